"""Scaling laws of a family of small models: loss against parameters, data and compute, and a prediction held to it.

Every point is one training to its end, its learning rate decayed, on a budget of multiply-accumulates; models of
the family differ in width alone. Losses are nats per character of the whole validation set of the plays.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from tinyllm.errors import RequestError
from tinyllm.lab.chart import axes
from tinyllm.lab.folder import Folder
from tinyllm.lab.laws import Law, Point, fit, lowest, resampled
from tinyllm.lab.letters import encoded_plays
from tinyllm.lab.model import Config, Model
from tinyllm.lab.runs import fitting
from tinyllm.lab.runs.plays import text_losses, windows

SPREAD = (0.025, 0.975)  # what an interval leaves out below and above


def laws(folder: Folder) -> dict[str, Any]:
    """`scaling`: three budgets with models of several widths each, the law, and a larger budget that it predicts."""
    config = folder.config
    plays = encoded_plays(folder.text("tinyshakespeare.txt"))
    shapes = [_shape(folder, len(plays[0]), int(width)) for width in config["widths"].split()]
    if len(shapes) < config["sizes"] + config["budgets"] - 1 or config["sizes"] < 3 or config["budgets"] < 2:
        raise RequestError(
            f"{len(shapes)} widths are too few for {config['budgets']} budgets of {config['sizes']} sizes",
            hint="widths must be budgets + sizes - 1 or more, budgets 2 or more, sizes 3 or more",
        )
    trained = partial(_trained, folder, plays)
    budgets = [config["budget"] * config["ratio"] ** place for place in range(config["budgets"] + 1)]
    rows = [  # the larger the budget, the larger the models that are worth a try
        [trained(shape, budget) for shape in shapes[place : place + config["sizes"]]]
        for place, budget in enumerate(budgets[:-1])
    ]
    points = [point for row in rows for point in row]
    law = fit(points)
    sure = resampled(points, law, config["resampled"], folder.seed)

    def hoped(shape: Config) -> float:
        return law.loss(_size(shape), _steps(folder, shape, budgets[-1]) * _read(folder))

    largest = trained(min(shapes, key=hoped), budgets[-1])
    predicted = law.loss(largest.parameters, largest.tokens)
    figures: dict[str, Any] = {"prediction_error": abs(predicted / largest.loss - 1), "predicted": predicted}
    others = np.array([other.loss(largest.parameters, largest.tokens) for other in sure])
    for name, values in (("prediction_error", np.abs(others / largest.loss - 1)), ("predicted", others)):
        figures[f"{name}_interval"] = np.quantile(values, SPREAD).tolist()
    figures |= {"measured": largest.loss, "measured_parameters": largest.parameters}
    figures |= {"measured_tokens": largest.tokens, "points": len(points)}
    for place, row in enumerate(rows, 1):
        found = lowest(row)
        figures[f"budget_{place}"] = budgets[place - 1]
        figures[f"best_parameters_{place}"], figures[f"best_loss_{place}"] = found or (None, None)
    for name in ("alpha", "beta", "floor", "growth", "a", "b"):
        figures[name] = getattr(law, name)
        spread = np.quantile([getattr(other, name) for other in sure], SPREAD)
        figures[f"{name}_interval"] = spread.tolist()
    errors = [abs(law.loss(point.parameters, point.tokens) / point.loss - 1) for point in points]
    _pictures(folder, rows, law, largest)
    return folder.finish(figures | {"largest_error_of_fit": max(errors)})


def _trained(folder: Folder, plays: Any, shape: Config, budget: float) -> Point:
    """A model of `shape`, trained on the budget and measured; made once for each folder."""
    _, learn, dev = plays
    part = f"{budget:.2g} {shape.width}"
    steps = _steps(folder, shape, budget)

    def loss() -> float:
        model = Model(shape, seed=folder.seed)
        draw = partial(windows, learn, shape.context, folder.seed)
        fitting.fit(folder, model, draw, part=part, how=fitting.settings(folder, steps=steps))
        return float(text_losses(model, dev).mean())

    point = Point(_size(shape), steps * _read(folder), steps * _macs(folder, shape), folder.once(part, loss))
    folder.log(
        f"points {shape.width}", point.macs, parameters=point.parameters, tokens=point.tokens, loss=point.loss
    )
    return point


def _shape(folder: Folder, vocab: int, width: int) -> Config:
    """Heads of 8, and an FFN that is 8/3 as wide as the model (Touvron et al. 2023)."""
    heads, hidden = max(1, width // 8), round(width / 3) * 8
    sizes = {"width": width, "hidden": hidden, "heads": heads, "groups": heads}
    return fitting.shaped(folder, vocab, folder.config["context"], tied=True, **sizes)


def _size(shape: Config) -> int:
    return Model(shape).parameter_count


def _read(folder: Folder) -> int:
    """Tokens that one step of training reads."""
    return folder.config["batch"] * folder.config["context"]


def _macs(folder: Folder, shape: Config) -> int:
    """Multiply-accumulates of one step of training: forward, and backward twice as many."""
    _, trace = Model(shape)(torch.zeros(1, shape.context, dtype=torch.long))
    return 3 * folder.config["batch"] * trace.cost.macs


def _steps(folder: Folder, shape: Config, budget: float) -> int:
    return max(1, round(budget / _macs(folder, shape)))


def _pictures(folder: Folder, rows: Sequence[Sequence[Point]], law: Law, largest: Point) -> None:
    """Loss against parameters by budget, against data and compute by size of model; crosses are the law's."""
    every = [point for row in rows for point in row] + [largest]
    by_size = [
        sorted((point for point in every if point.parameters == size), key=lambda point: point.macs)
        for size in sorted({point.parameters for point in every})
    ]
    by_budget = [(f"{row[0].macs:.1e} macs", row) for row in rows]
    sized = [(f"{line[0].parameters / 1000:.0f} k parameters", line) for line in by_size]
    for name, what, lines in (
        ("parameters", "parameters", [*by_budget, ("the larger budget", [largest])]),
        ("data", "tokens read", sized),
        ("compute", "multiply-accumulates", sized),
    ):
        picture, plot = axes(what, "nats a character")
        for label, line in lines:
            x = [getattr(point, {"data": "tokens", "compute": "macs"}.get(name, name)) for point in line]
            (drawn,) = plot.plot(x, [point.loss for point in line], marker="o", ms=4, label=label)
            expected = [law.loss(point.parameters, point.tokens) for point in line]
            plot.plot(x, expected, "x", color=drawn.get_color())
        plot.set_xscale("log")
        plot.legend(fontsize=7)
        folder.plot(name, picture)
