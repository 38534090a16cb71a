"""Which layers of a trained model pay: its plans held against each other on text that it has not learned from."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

from tinyllm.lab import saved
from tinyllm.lab.compare import Way, compare
from tinyllm.lab.letters import encoded_names, encoded_plays, interval
from tinyllm.lab.model import Model
from tinyllm.lab.pipeline import questions, talk
from tinyllm.lab.plan import Plan
from tinyllm.lab.runs.fitting import Floats
from tinyllm.lab.tokenizer import Tokenizer
from tinyllm.lab.train import Example

BATCH = 4096  # tokens that run at once


def scan(layers: int) -> list[Plan]:
    """The plain plan, then each layer run twice, then each left out, then all but the first as options."""
    order = range(layers)
    twice = [[*order[: layer + 1], *order[layer:]] for layer in order]
    without = [[*order[:layer], *order[layer + 1 :]] for layer in order] if layers > 1 else []
    plain = [Plan(tuple(each)) for each in ([*order], *twice, *without)]
    return [*plain, Plan.parse(" ".join([*"0", *(f"{layer}?" for layer in order[1:])]))] if without else plain


def held_out(folder: Path, read: Callable[[str], str], tokens: int) -> tuple[Model, list[Example]]:
    """The model that a run left in `folder`, and about so many `tokens` to predict that it has not learned from: of
    text, or of what a model of the pipeline shall say in conversations.

    `read` gives the text of a data set. Raises NotFound, ModelFileError, and what `read` raises.
    """
    if talk.is_there(folder):
        model, tokenizer = talk.load(folder)
        return model, conversations(tokenizer, model.config.context, tokens)
    writer = saved.load(folder)
    model = writer.model
    if writer.stop is not None:  # of names, each is a sequence
        names = encoded_names(read("names.txt"))[1][1]
        ends = np.cumsum([len(name) - 1 for name in names])
        return model, [Example.text(name) for name in names[: int(np.searchsorted(ends, tokens)) + 1]]
    ids, length = encoded_plays(read("tinyshakespeare.txt"))[2], model.config.context
    starts = range(0, min(tokens, len(ids) - length), length)
    return model, [Example.text(ids[start : start + length + 1]) for start in starts]


def conversations(tokenizer: Tokenizer, context: int, tokens: int) -> list[Example]:
    """Sums, stories and talk in turn, of the part by which a pipeline is judged, until there is enough to say."""
    chance, made = Random(0), list[Example]()
    for draw in cycle((questions.sums, questions.stories, questions.talk)):
        if sum(sum(one.learn) for one in made) >= tokens:
            return made
        one = talk.example(tokenizer, draw(chance, "test"))
        if len(one.ids) <= context:
            made.append(one)
    return made


def table(model: Model, examples: Sequence[Example], plans: Sequence[Plan]) -> dict[str, Any]:
    """Loss and cost of every plan, and how its loss differs from that of the first, with a 95% interval.

    `best` is the loss if at every token the best of the plans were known beforehand: what choosing a depth token by
    token could gain, at the very most.
    """
    alike = defaultdict(list)
    for example in examples:
        alike[len(example.ids)].append(example)
    ways, counted, passed = [Way(plan) for plan in plans], list[int](), 0
    losses, macs = [list[Floats]() for _ in plans], [0] * len(plans)
    for length, group in alike.items():
        rows = max(1, BATCH // length)
        for start in range(0, len(group), rows):
            some = group[start : start + rows]
            wanted = np.array([example.learn[1:] for example in some])
            counted += wanted.sum(axis=1).tolist()
            passed += wanted.size
            for i, (found, cost) in enumerate(
                compare(model, torch.tensor([each.ids for each in some]), ways)
            ):
                losses[i].append(found.double().numpy()[wanted])
                macs[i] += cost.macs
    told = [np.concatenate(parts) for parts in losses]
    return {
        "tokens": len(told[0]),
        "plans": [
            {
                "plan": str(plan),
                "loss": float(mine.mean()),
                "more": float((mine - told[0]).mean()),
                "more_interval": interval(mine - told[0], counted),
                "macs_a_token": round(spent / passed),
            }
            for plan, mine, spent in zip(plans, told, macs, strict=True)
        ],
        "best": float(np.minimum.reduce(told).mean()),
    }
