"""Sequences into sequences: adding, reversing with and without attention, recalling what came long ago.

Problems are drawn afresh all the time. Sums that are tested are never trained on; of 30 letters there are so many
strings that those tested are new ones.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from tinyllm.lab.chart import axes
from tinyllm.lab.folder import Folder
from tinyllm.lab.letters import Letters, share_interval
from tinyllm.lab.model import Model
from tinyllm.lab.pair import Pair
from tinyllm.lab.runs.fitting import fit, shaped
from tinyllm.lab.train import Example

Problem = tuple[str, str]  # what is read, and what shall be written
Draw = Callable[[random.Random], Problem]
EPOCH = 16  # batches that are drawn at once
REMEMBERING: dict[str, dict[str, Any]] = {
    "attention": {"mixer": "attention"},
    "sliding attention": {"mixer": "attention", "window": 8},
    "rnn": {"mixer": "rnn"},
    "lstm": {"mixer": "lstm"},
    "gru": {"mixer": "gru"},
    "convolution": {"mixer": "conv"},
    "fixed window": {"mixer": "window", "window": 4},
    "none": {"mixer": "none"},
}


def addition(folder: Folder) -> dict[str, Any]:
    """`seq2seq-addition`: sums of three-digit numbers, the answer's last digit first."""
    tested = folder.config["tested"]
    problems, draw = sums(folder.seed, tested)
    letters = Letters("0123456789+=")
    shape = shaped(folder, len(letters), sum(map(len, problems[0])))
    encoder = Model(replace(shape, mixer="attention", causal=False, tied=True), seed=folder.seed)
    model = Pair(encoder, Model(replace(shape, mixer="cross"), seed=folder.seed + 1), len(problems[0][0]))
    _learn(folder, model, letters, draw, problems, "")
    picture, plot = axes("step", "share right")
    for what, label in (("exact", "whole sums"), ("symbols", "digits")):
        plot.plot(*folder.curve("dev", what), label=label)
    plot.legend()
    folder.plot("accuracy", picture)
    share = folder.curve("dev", "exact")[1][-1]
    figures = {"accuracy": share, "accuracy_interval": share_interval(share, tested), "tested": tested}
    return folder.finish(figures | {"parameters": model.parameter_count})


def sums(seed: int, tested: int) -> tuple[list[Problem], Draw]:
    """As many sums as are `tested`, no two alike, and a function that draws any others."""
    held = set(random.Random(seed - 1).sample(range(1000**2), tested))

    def draw(chance: random.Random) -> Problem:
        while (pair := chance.randrange(1000**2)) in held:
            pass
        return _sum(pair)

    return list(map(_sum, sorted(held))), draw


def _sum(pair: int) -> Problem:
    one, other = divmod(pair, 1000)
    return f"{one:03}+{other:03}=", f"{one + other:04}"[::-1]


def reverse(folder: Folder) -> dict[str, Any]:
    """`seq2seq-reverse`: letters backwards, by a decoder that attends and by one that is given one vector."""
    length, tested = folder.config["length"], folder.config["tested"]
    letters = Letters("=abcdefghijklmnopqrstuvwxyz")

    def draw(chance: random.Random) -> Problem:
        text = "".join(chance.choices(letters.letters[1:], k=length))
        return f"{text}=", text[::-1]

    chance = random.Random(folder.seed - 1)
    problems = [draw(chance) for _ in range(tested)]
    figures: dict[str, Any] = {}
    for part in ("attention", "fixed"):
        model = _pair(folder, letters, problems[0], fixed=part == "fixed")
        _learn(folder, model, letters, draw, problems, part)
        for what in ("symbols", "exact"):
            figures[f"{part}_{what}"] = folder.curve(f"{part} dev", what)[1][-1]
        if part == "attention":
            _alignment(folder, model, letters, problems[0])
    figures["gain"] = figures["attention_symbols"] - figures["fixed_symbols"]
    picture, plot = axes("step", "share of letters right")
    for part in ("attention", "fixed"):
        plot.plot(*folder.curve(f"{part} dev", "symbols"), label=part)
    plot.legend()
    folder.plot("accuracy", picture)
    return folder.finish(figures | {"tested": tested, "parameters": model.parameter_count})


def _alignment(folder: Folder, model: Pair, letters: Letters, problem: Problem) -> None:
    """What the decoder looked at when it wrote each letter: a matrix, as numbers and as a picture."""
    source, target = problem
    ids = letters.encode(source + target[:-1])
    with torch.inference_mode():
        _, trace = model(torch.tensor([ids], device=model.embed.weight.device), watch=True)
    (looked,) = [route.weights for route in trace.routes if route.weights is not None]
    weights = looked[0, 0].cpu().numpy()  # (written, read)
    np.save(folder.path / "alignment.npy", weights)
    picture, plot = axes("read", "written", 7, 7)
    plot.imshow(weights, cmap="Blues")
    plot.set_xticks(range(len(source)), list(source))
    plot.set_yticks(range(len(target)), list(target))
    folder.plot("alignment", picture)


def recall(folder: Folder) -> dict[str, Any]:
    """`recall-distance`: a letter, then noise, then the question which letter it was; once for every mixer.

    But for `cross` and `bahdanau`: they look at what another model made of a text, never back in their own, so how
    far they recall is how far that one does. `seq2seq-reverse` and `seq2seq-addition` show what they do.
    """
    farthest, tested = folder.config["farthest"], folder.config["tested"]
    keys, noise = "abcdefghij", "0123456789"
    letters = Letters(f"?{keys}{noise}")
    distances = [2**power for power in range(farthest.bit_length())]

    def draw(chance: random.Random, distance: int) -> Example:
        key, between = chance.choice(keys), "".join(chance.choices(noise, k=distance - 1))
        return Example.answer(letters.encode(f"{key}{between}?"), letters.encode(key))

    def examples(epoch: int) -> list[Example]:
        chance = random.Random(f"{folder.seed} {epoch}")
        drawn = EPOCH * folder.config["batch"]
        return [draw(chance, round(farthest ** chance.random())) for _ in range(drawn)]

    chance = random.Random(folder.seed - 1)
    problems = {distance: [draw(chance, distance).ids for _ in range(tested)] for distance in distances}
    figures: dict[str, Any] = {}
    picture, plot = axes("how many places back", "share right")
    for part, change in REMEMBERING.items():

        def learned(part: str = part, change: Mapping[str, Any] = change) -> list[float]:
            model = Model(shaped(folder, len(letters), farthest + 1, **change), seed=folder.seed)
            fit(folder, model, examples, part=part)
            return [_share(model, problems[distance]) for distance in distances]

        shares = folder.once(part, learned)
        for distance, share in zip(distances, shares, strict=True):
            folder.log(f"{part} dev", distance, exact=share)
        plot.plot(distances, shares, marker="o", label=part)
        figures[f"{part}_far"] = shares[-1]
        reached = [distance for distance, share in zip(distances, shares, strict=True) if share >= 0.9]
        figures[f"{part}_reach"] = max(reached, default=0)
    plot.set_xscale("log", base=2)
    plot.legend(fontsize=7)
    folder.plot("recall", picture)
    return folder.finish(figures | {"tested": tested})


def _share(model: Model, problems: Sequence[Sequence[int]]) -> float:
    """The share of `problems`, all of one length, whose last id the model finds likeliest."""
    ids = torch.tensor(problems, device=model.embed.weight.device)
    with torch.inference_mode():
        logits, _ = model(ids[:, :-1])
    return float((logits[:, -1].argmax(-1) == ids[:, -1]).float().mean())


def _pair(folder: Folder, letters: Letters, problem: Problem, fixed: bool) -> Pair:
    """A recurrent encoder, and a decoder that reads what it made, for problems as long as this one."""
    source, target = map(len, problem)
    shape = shaped(folder, len(letters), source + target)
    encoder = Model(replace(shape, mixer="gru", tied=True), seed=folder.seed)
    decoder = Model(replace(shape, mixer="gru bahdanau"), seed=folder.seed + 1)
    return Pair(encoder, decoder, source, fixed)


def _learn(
    folder: Folder, model: Pair, letters: Letters, draw: Draw, problems: Sequence[Problem], part: str
) -> None:
    """Train the model; the shares of `problems` that it gets right on the way, and in the end, are curve `dev`."""

    def examples(epoch: int) -> list[Example]:
        chance = random.Random(f"{folder.seed} {epoch}")
        pairs = (draw(chance) for _ in range(EPOCH * folder.config["batch"]))
        return [Example.answer(letters.encode(source), letters.encode(target)) for source, target in pairs]

    sources, targets = (
        torch.tensor([letters.encode(text) for text in texts]) for texts in zip(*problems, strict=True)
    )

    def look(step: int) -> None:
        right = model.write(sources.to(model.embed.weight.device), targets.shape[1]).cpu() == targets
        shares = {"symbols": float(right.float().mean()), "exact": float(right.all(1).float().mean())}
        folder.log(f"{part} dev".strip(), step, **shares)

    fit(folder, model, examples, look, part)
