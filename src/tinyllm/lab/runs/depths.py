"""Which layers of a trained model pay: its plans held against each other on text that it has not learned from."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tinyllm.lab import saved
from tinyllm.lab.compare import Way, compare
from tinyllm.lab.letters import encoded_names, encoded_plays, interval
from tinyllm.lab.model import Model
from tinyllm.lab.pipeline import talk, texts
from tinyllm.lab.plan import Plan
from tinyllm.lab.runs.fitting import Floats

BATCH = 4096  # tokens that run at once


def scan(layers: int) -> list[Plan]:
    """The plain plan, then each layer run twice, then each left out, then all but the first as options."""
    order = range(layers)
    twice = [[*order[: layer + 1], *order[layer:]] for layer in order]
    without = [[*order[:layer], *order[layer + 1 :]] for layer in order] if layers > 1 else []
    plain = [Plan(tuple(each)) for each in ([*order], *twice, *without)]
    return [*plain, Plan.parse(" ".join([*"0", *(f"{layer}?" for layer in order[1:])]))] if without else plain


def held_out(folder: Path, read: Callable[[str], str], tokens: int) -> tuple[Model, list[list[int]]]:
    """The model that a run left in `folder`, and about so many `tokens` that it has not learned from, in sequences.

    `read` gives the text of a data set. Raises NotFound, ModelFileError, and what `read` raises.
    """
    if talk.is_there(folder):
        model, tokenizer = talk.load(folder)
        parts = texts.texts(read, seed=0)
        known = [tokenizer.encode(parts[name][1][: 4 * tokens]) for name in ("plays", "problems")]
    else:
        writer = saved.load(folder)
        model = writer.model
        if writer.stop is not None:  # of names, each is a sequence
            names = encoded_names(read("names.txt"))[1][1]
            ends = np.cumsum([len(name) - 1 for name in names])
            return model, names[: int(np.searchsorted(ends, tokens)) + 1]
        known = [encoded_plays(read("tinyshakespeare.txt"))[2]]
    length, share = model.config.context, tokens // len(known)
    starts = [(ids, start) for ids in known for start in range(0, min(share, len(ids) - length), length)]
    return model, [ids[start : start + length + 1] for ids, start in starts]


def table(model: Model, sequences: Sequence[Sequence[int]], plans: Sequence[Plan]) -> dict[str, Any]:
    """Loss and cost of every plan, and how its loss differs from that of the first, with a 95% interval.

    `best` is the loss if at every token the best of the plans were known beforehand: what choosing a depth token by
    token could gain, at the very most.
    """
    alike = defaultdict(list)
    for sequence in sequences:
        alike[len(sequence)].append(sequence)
    ways, lengths = [Way(plan) for plan in plans], list[int]()
    losses, macs = [list[Floats]() for _ in plans], [0] * len(plans)
    for length, group in alike.items():
        rows = max(1, BATCH // length)
        for start in range(0, len(group), rows):
            batch = torch.tensor(group[start : start + rows])
            lengths += [length - 1] * len(batch)
            for i, (found, cost) in enumerate(compare(model, batch, ways)):
                losses[i].append(found.flatten().double().numpy())
                macs[i] += cost.macs
    told = [np.concatenate(parts) for parts in losses]
    return {
        "tokens": len(told[0]),
        "plans": [
            {
                "plan": str(plan),
                "loss": float(mine.mean()),
                "more": float((mine - told[0]).mean()),
                "more_interval": interval(mine - told[0], lengths),
                "macs_a_token": round(spent / len(mine)),
            }
            for plan, mine, spent in zip(plans, told, macs, strict=True)
        ],
        "best": float(np.minimum.reduce(told).mean()),
    }
