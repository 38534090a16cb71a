"""Rung zero of the ladders: count tables of every order, on names and on Shakespeare."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyllm.lab.chart import axes
from tinyllm.lab.counts import CountTable
from tinyllm.lab.folder import Folder
from tinyllm.lab.letters import Letters, encoded_names, encoded_plays, mean_figures

Texts = Sequence[Sequence[int]]


def names(folder: Folder) -> dict[str, Any]:
    """`names-count`: letters of names, on the split of the makemore lectures."""
    letters, (learn, dev, test) = encoded_names(folder.text("names.txt"))
    table, figures = _best(folder, learn, dev, len(letters))
    for name, part in (("dev", dev), ("test", test)):
        losses = -np.log(table.probabilities(part))
        figures |= mean_figures(f"{name}_loss", losses, [len(ids) - 1 for ids in part])
        figures[f"{name}_n"] = len(losses)
    return folder.finish(figures, samples=[_written(table, letters, 20, seed, end=0) for seed in range(10)])


def shakespeare(folder: Folder) -> dict[str, Any]:
    """`shakespeare-count`: characters of the plays; the last tenth is the validation set, all of it counts."""
    letters, learn, dev = encoded_plays(folder.text("tinyshakespeare.txt"))
    table, figures = _best(folder, [learn], [dev], len(letters))
    figures |= mean_figures("dev_loss", -np.log(table.probabilities([dev]))) | {"dev_n": len(dev) - 1}
    return folder.finish(figures, samples=[_written(table, letters, 300, folder.seed)])


def _best(folder: Folder, learn: Texts, dev: Texts, vocab: int) -> tuple[CountTable, dict[str, Any]]:
    """The table whose order is best on the dev set, with its figures; every order is a point of the curve."""
    for order in range(1, folder.config["orders"] + 1):
        table = CountTable(learn, vocab, order)
        loss = table.loss(dev)
        folder.tell(folder.run, order, folder.config["orders"], loss, 0.0)
        folder.log("dev", order, loss=loss, entries=table.entries)
    orders, losses = folder.curve("dev")
    figure, plot = axes("order of the table", "dev loss, nats a character")
    plot.plot(orders, losses, marker="o")
    folder.plot("orders", figure)
    best = CountTable(learn, vocab, orders[int(np.argmin(losses))])
    return best, {"order": best.order, "entries": best.entries}


def _written(table: CountTable, letters: Letters, length: int, seed: int, end: int | None = None) -> str:
    """Text that the table makes up after the first letter of the vocabulary: to `end`, or `length` characters."""
    draw, ids = np.random.default_rng(seed), [0]
    while len(ids) <= length:
        ids.append(int(draw.choice(table.vocab, p=table.distribution(ids))))
        if ids[-1] == end:
            break
    return letters.decode(ids[1:])
