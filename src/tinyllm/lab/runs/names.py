"""The ladder of language models on names: neural rungs, each one a configuration, beside the count table.

Losses are nats per character, the end of each name included, on the split of the makemore lectures.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyllm.lab import saved
from tinyllm.lab.chart import axes, curves
from tinyllm.lab.counts import CountTable
from tinyllm.lab.folder import Folder
from tinyllm.lab.generate import Sampling, generate
from tinyllm.lab.letters import EDGE, Letters, encoded_names, mean_figures
from tinyllm.lab.model import Model
from tinyllm.lab.runs.fitting import Floats, fit, losses_of, mixed, shaped
from tinyllm.lab.train import Example

ORDER = 6  # of the count table that models are mixed with: the best one on the dev set


def bigram(folder: Folder) -> dict[str, Any]:
    """`names-bigram`: all names counted in a 27 x 27 table, and a neural model that finds the same table.

    The lecture measures on the names that it counts, so the losses here are of training.
    """
    letters, parts = encoded_names(folder.text("names.txt"))
    everything = [name for part in parts for name in part]
    table = np.zeros((len(letters), len(letters)))
    for name in everything:
        np.add.at(table, (name[:-1], name[1:]), 1)
    odds = table / table.sum(axis=1, keepdims=True)
    counted = np.concatenate([-np.log(odds[name[:-1], name[1:]]) for name in everything])
    _picture(folder, letters, table)
    model = _fit(folder, letters, everything, [])
    lengths = [len(name) - 1 for name in everything]
    figures = mean_figures("train_loss", counted, lengths)
    figures |= mean_figures("model_train_loss", losses_of(model, everything), lengths)
    figures["train_n"] = len(counted)
    return folder.finish(figures, samples=_samples(model, letters))


def ladder(folder: Folder) -> dict[str, Any]:
    """A neural rung: the model of `folder.config`, alone and mixed with the count table."""
    letters, (learn, dev, test) = encoded_names(folder.text("names.txt"))
    model = _fit(folder, letters, learn, dev)
    table = CountTable(learn, len(letters), ORDER)
    figures: dict[str, Any] = {}
    for name, part in (("train", learn[:4000]), ("dev", dev), ("test", test)):
        losses = {"": losses_of(model, part)}
        if name != "train":  # which the table has counted
            counted = table.probabilities(part)
            losses |= {"mixed_": mixed(np.exp(-losses[""]), counted), "count_": -np.log(counted)}
        for kind, each in losses.items():
            figures |= mean_figures(f"{kind}{name}_loss", each, [len(ids) - 1 for ids in part])
        figures[f"{name}_n"] = len(losses[""])
    figures["parameters"] = model.parameter_count
    levels = {f"count table, order {ORDER}, dev": "count_dev_loss", "mixed with it, dev": "mixed_dev_loss"}
    curves(folder, {label: figures[name] for label, name in levels.items()}, top=2.6)
    return folder.finish(figures, samples=_samples(model, letters))


def _fit(
    folder: Folder, letters: Letters, learn: Sequence[Sequence[int]], dev: Sequence[Sequence[int]]
) -> Model:
    """A model of the folder's config, trained on names; its checkpoint is in the folder."""
    config = shaped(folder, len(letters), max(map(len, [*learn, *dev])))
    model = Model(config, seed=folder.seed)
    saved.save(folder.path, config, letters, stop=0)

    def look(step: int) -> None:
        if dev:
            folder.log("dev", step, loss=float(losses_of(model, dev).mean()))

    fit(folder, model, [Example.text(name) for name in learn], look)
    return model


def _samples(model: Model, letters: Letters, count: int = 20) -> list[str]:
    """Names that the model makes up."""
    start = letters.encode(EDGE)
    made = generate(model, [start] * count, 20, start[0], None, Sampling(seed=0).chooser())
    return [letters.decode(name) for name in made]


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
