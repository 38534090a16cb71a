"""The ladder of language models on names: neural rungs, each one a configuration, beside the count table.

Losses are nats per character, the end of each name included, on the split of the makemore lectures.
"""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch.nn.utils.rnn import pad_sequence

from tinyllm.errors import RequestError
from tinyllm.lab.chart import axes
from tinyllm.lab.counts import CountTable
from tinyllm.lab.folder import Folder
from tinyllm.lab.generate import Sampling, generate
from tinyllm.lab.letters import EDGE, Letters, encoded_names, interval
from tinyllm.lab.model import Config, Model
from tinyllm.lab.train import Example, Settings, train

ORDER = 6  # of the count table that models are mixed with: the best one on the dev set
Floats = NDArray[np.float64]


def bigram(folder: Folder) -> dict[str, float]:
    """`names-bigram`: all names counted in a 27 x 27 table, and a neural model that finds the same table.

    The lecture measures on the names that it counts, so the losses here are of training.
    """
    letters, parts = encoded_names(folder.text("names.txt"))
    everything = [name for part in parts for name in part]
    table = np.zeros((len(letters), len(letters)))
    for name in everything:
        np.add.at(table, (name[:-1], name[1:]), 1)
    odds = table / table.sum(axis=1, keepdims=True)
    counted = float(-(table[table > 0] * np.log(odds[table > 0])).sum() / table.sum())
    _picture(folder, letters, table)
    model = _fit(folder, letters, everything, [])
    figures = {"train_loss": counted, "model_train_loss": _mean(losses_of(model, everything))}
    return folder.finish(figures, samples=_samples(model, letters))


def ladder(folder: Folder) -> dict[str, Any]:
    """A neural rung: the model of `folder.config`, alone and mixed with the count table."""
    letters, (learn, dev, test) = encoded_names(folder.text("names.txt"))
    model = _fit(folder, letters, learn, dev)
    figures: dict[str, Any] = {"train_loss": _mean(losses_of(model, learn[:4000]))}
    table = CountTable(learn, len(letters), ORDER)
    for name, part in (("dev", dev), ("test", test)):
        losses = losses_of(model, part)
        figures[f"{name}_loss"] = _mean(losses)
        figures[f"mixed_{name}_loss"] = mixed(np.exp(-losses), table.probabilities(part))
        if part is dev:
            figures["dev_loss_interval"] = interval(losses, [len(name) - 1 for name in dev])
            figures["dev_n"] = len(losses)
    figures |= {"count_dev_loss": table.loss(dev), "parameters": model.parameter_count}
    _curves(folder, figures)
    return folder.finish(figures, samples=_samples(model, letters))


def mixed(one: Floats, other: Floats) -> float:
    """The loss of the best mixture of two models' probabilities, the weight of each half taken from the other half."""
    halves = [slice(0, len(one) // 2), slice(len(one) // 2, None)]
    weights = np.linspace(0, 1, 101)

    def loss(weight: float, half: slice) -> float:
        return float(-np.log(weight * one[half] + (1 - weight) * other[half]).sum())

    total = 0.0
    for half, rest in zip(halves, reversed(halves), strict=True):
        total += loss(min(weights, key=lambda weight: loss(weight, rest)), half)
    return total / len(one)


def losses_of(model: Model, names: Sequence[Sequence[int]]) -> Floats:
    """The loss of every character but the first of each name, in order."""
    model.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(names), 1024):
            batch = [torch.tensor(name, device=_device(model)) for name in names[start : start + 1024]]
            ids = pad_sequence(batch, batch_first=True, padding_value=-1)  # (B, T)
            wanted = ids[:, 1:]
            logits, _ = model(ids[:, :-1].clamp(min=0), at=wanted >= 0)  # (N, vocab), row by row
            parts.append(F.cross_entropy(logits, wanted[wanted >= 0], reduction="none").double().cpu())
    model.train()
    return torch.cat(parts).numpy()


def _fit(
    folder: Folder, letters: Letters, learn: Sequence[Sequence[int]], dev: Sequence[Sequence[int]]
) -> Model:
    """A model of the folder's config, trained; its checkpoint is in the folder."""
    config = folder.config
    shape = {field.name: config[field.name] for field in fields(Config) if field.name in config}
    longest = max(map(len, [*learn, *dev]))
    model = Model(Config(len(letters), context=longest, tied=False, **shape), seed=folder.seed)
    folder.device = _chosen(folder.device)
    model.to(folder.device)
    settings = Settings(
        steps=config["steps"],
        batch=config["batch"],
        lr=config["lr"],
        optimizer=config["optimizer"],
        weight_decay=config["weight_decay"],
        seed=folder.seed,
    )
    looks = max(1, config["steps"] // 6)
    recent: list[float] = []

    def progress(step: int, steps: int, loss: float, left: float) -> None:
        recent.append(loss)
        folder.tell(folder.run, step, steps, loss, left)
        if step % looks == 0 or step == steps:
            folder.log("train", step, loss=sum(recent) / len(recent))
            recent.clear()
            if dev:
                folder.log("dev", step, loss=_mean(losses_of(model, dev)))

    examples = [Example.text(name) for name in learn]
    train(model, examples, settings, progress, folder.path / "checkpoint.pt", every=looks)
    return model.eval()


def _samples(model: Model, letters: Letters, count: int = 20) -> list[str]:
    """Names that the model makes up."""
    start = letters.encode(EDGE)
    made = generate(model, [start] * count, 20, start[0], None, Sampling(seed=0).chooser())
    return [letters.decode(name) for name in made]


def _mean(values: Floats) -> float:
    return float(values.mean())


def _chosen(device: str) -> str:
    """The device that `auto` means here. Raises RequestError for one that the machine lacks."""
    there = torch.cuda.is_available()
    if device == "cuda" and not there:
        raise RequestError("this machine has no CUDA device that torch can use", hint="--device cpu")
    return ("cuda" if there else "cpu") if device == "auto" else device


def _device(model: Model) -> torch.device:
    return model.embed.weight.device


def _curves(folder: Folder, figures: dict[str, Any]) -> None:
    figure, plot = axes("step", "nats a character")
    for name in ("train", "dev"):
        plot.plot(*folder.curve(name), label=name)
    plot.axhline(figures["count_dev_loss"], ls="--", color="grey", label=f"count table, order {ORDER}, dev")
    plot.axhline(figures["mixed_dev_loss"], ls=":", color="black", label="mixed with the table, dev")
    plot.set_ylim(top=2.6)
    plot.legend()
    folder.plot("loss", figure)


def _picture(folder: Folder, letters: Letters, table: Floats) -> None:
    """The 27 x 27 table: how often each letter follows each."""
    figure, plot = axes("next", "letter", 11, 11)
    plot.imshow(table, cmap="Blues")
    plot.set_xticks(range(len(letters)), list(letters.letters))
    plot.set_yticks(range(len(letters)), list(letters.letters))
    for row, column in np.ndindex(table.shape):
        shade = "white" if table[row, column] > table.max() / 2 else "black"
        number = f"{table[row, column]:.0f}"
        plot.text(column, row, number, ha="center", va="center", fontsize=6, color=shade)
    folder.plot("table", figure)
