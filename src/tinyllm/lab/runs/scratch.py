"""Runs of the machines from scratch that take seconds: one weight, logic, sums, moons, deep gradients."""

from itertools import product
from typing import Any

import numpy as np

from tinyllm.lab.chart import axes
from tinyllm.lab.folder import Folder
from tinyllm.lab.letters import mean_figures
from tinyllm.lab.runs import descent
from tinyllm.lab.scratch import gradients, nets
from tinyllm.lab.scratch.perceptron import Perceptron


def perceptron(folder: Folder) -> dict[str, float]:
    """`perceptron`: a model that is three numbers in a file learns which side of a line points are on."""
    draw = np.random.default_rng(folder.seed)
    points = draw.uniform(-1, 1, size=(folder.config["points"], 2))
    side = points @ [0.8, -0.5] + 0.1
    points, side = points[np.abs(side) > 0.05], side[np.abs(side) > 0.05]  # nothing on the line itself
    examples = [(float(x1), float(x2), int(s > 0)) for (x1, x2), s in zip(points, side, strict=True)]
    path = folder.path / "perceptron.json"
    Perceptron().save(path)
    wrong = len(examples)
    for epoch in range(1, folder.config["epochs"] + 1):
        model = Perceptron.load(path).trained(examples)
        model.save(path)
        wrong = sum(model(x1, x2) != wanted for x1, x2, wanted in examples)
        folder.log("train", epoch, wrong=wrong)
        if not wrong:
            break
    model = Perceptron.load(path)
    figure, plot = axes("x1", "x2", 5, 5)
    plot.scatter(*points.T, c=side > 0, cmap="coolwarm", s=12)
    line = np.array([-1.0, 1.0])
    plot.plot(line, -(model.w1 * line + model.b) / model.w2, color="black")
    plot.set_ylim(-1, 1)
    folder.plot("line", figure)
    figures = {"accuracy": 1 - wrong / len(examples), "examples": len(examples), "epochs": epoch}
    return folder.finish(figures | {"w1": model.w1, "w2": model.w2, "b": model.b})


def logic(folder: Folder) -> dict[str, float]:
    """`logic`: what one unit can learn, and what takes a hidden layer (Minsky & Papert 1969)."""
    figures: dict[str, float] = {}
    for gate in nets.LOGIC:
        for name, units in (("alone", 0), ("hidden", folder.config["hidden"])):
            key, net = f"{gate}_{name}", nets.small(units, folder.seed)
            loss = nets.logic_loss(net, gate)
            descent.fit(folder, net.weights, loss, 0.1, key)
            figures[key] = float(loss(folder.config["steps"]).data)
    figure, plot = axes("", "mean squared error")
    plot.bar(list(figures), list(figures.values()))
    folder.plot("errors", figure)
    return folder.finish(figures)


def addition(folder: Folder) -> dict[str, Any]:
    """`addition`: networks that have seen sums of numbers up to 1, asked for larger ones."""
    sizes = (1, 2, 5, 10, 100)
    figures: dict[str, Any] = {}
    figure, plot = axes("largest number added (1 was seen)", "mean absolute error")
    for name, hidden in (("linear", 0), ("tanh", folder.config["hidden"])):
        net = nets.small(hidden, folder.seed)
        descent.fit(folder, net.weights, nets.sum_loss(net, folder.seed), 0.02, name)
        errors = [nets.sum_errors(net, size) for size in sizes]
        for size, each in zip(sizes, errors, strict=True):
            figures |= mean_figures(f"{name}_error_{size}", each, [1] * len(each))
        figures["tested"] = len(errors[0])
        plot.loglog(sizes, [each.mean() for each in errors], marker="o", label=name)
    plot.legend()
    folder.plot("errors", figure)
    return folder.finish(figures)


def moons(folder: Folder) -> dict[str, float]:
    """`moons`: two half circles told apart, as in micrograd's demo; and on points that were not seen."""
    points, classes = nets.moons(100, folder.config["noise"], folder.seed)
    net = nets.Layers((2, 16, 16, 1), folder.seed)
    descent.fit(folder, net.weights, nets.moons_loss(net, points, classes), 0.02)
    fresh, fresh_classes = nets.moons(2000, folder.config["noise"], folder.seed + 1)
    figures = {
        "accuracy": float(((net(points).data[:, 0] > 0) == classes).mean()),
        "examples": len(classes),
        "fresh_accuracy": float(((net(fresh).data[:, 0] > 0) == fresh_classes).mean()),
        "tested": len(fresh_classes),
    }
    figure, plot = axes("", "", 6, 4)
    x, y = np.meshgrid(np.linspace(-1.6, 2.6, 120), np.linspace(-1.2, 1.7, 120))
    score = net(np.stack((x.ravel(), y.ravel()), axis=1)).data.reshape(x.shape)
    plot.contourf(x, y, np.tanh(score), levels=20, cmap="coolwarm", alpha=0.5)
    plot.scatter(*points.T, c=classes, cmap="coolwarm", s=14, edgecolors="black")
    folder.plot("boundary", figure)
    return folder.finish(figures)


def deep_gradients(folder: Folder) -> dict[str, float]:
    """`deep-gradients`: the gradient that reaches the first layer, by depth, activation, init, norm, residual."""
    rows = folder.once("table", lambda: gradients.table(folder.seed, folder.config["width"]))
    for row in rows:
        made = [row["activation"], row["init"], *(name for name in ("norm", "residual") if row[name])]
        folder.log(" ".join(made), row["depth"], reach=row["reach"])
    reached = {tuple(value for key, value in row.items() if key != "reach"): row["reach"] for row in rows}
    either = (False, True)
    columns = [(init, norm, residual) for norm, residual, init in product(either, either, gradients.INITS)]
    lines = [(depth, act) for act, depth in product(gradients.ACTIVATIONS, gradients.DEPTHS)]
    grid = np.array([[reached[(*line, *column)] for column in columns] for line in lines])
    figure, plot = axes("", "", 11, 6)
    shown = np.log10(np.clip(grid, 1e-12, 1e12))
    picture = plot.imshow(shown, cmap="RdBu_r", vmin=-6, vmax=6, aspect="auto")
    names = [f"{i}{', norm' if n else ''}{', residual' if r else ''}" for i, n, r in columns]
    plot.set_xticks(range(len(columns)), names, rotation=60, ha="right")
    plot.set_yticks(range(len(lines)), [f"{act}, {depth} layers" for depth, act in lines])
    figure.colorbar(picture, label="log10 of the gradient's norm, first layer over last")
    folder.plot("gradients", figure)
    deepest = gradients.DEPTHS[-1]
    figures = {
        "sigmoid_xavier": reached[deepest, "sigmoid", "xavier", False, False],
        "tanh_xavier": reached[deepest, "tanh", "xavier", False, False],
        "relu_xavier": reached[deepest, "relu", "xavier", False, False],
        "relu_he": reached[deepest, "relu", "he", False, False],
        "relu_he_norm_residual": reached[deepest, "relu", "he", True, True],
    }
    return folder.finish(figures, depth=deepest, table=rows)
