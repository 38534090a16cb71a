"""Runs of the machines from scratch: one weight, logic, sums, moons, digits, deep gradients, a tiny GPT."""

import time
import zipfile
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from tinyllm.errors import ModelFileError, SettingsError
from tinyllm.lab.chart import axes
from tinyllm.lab.folder import Folder
from tinyllm.lab.letters import encoded_names
from tinyllm.lab.scratch import backprop as manual
from tinyllm.lab.scratch import gpt, gradients, nets
from tinyllm.lab.scratch.perceptron import Perceptron
from tinyllm.lab.scratch.scalar import Value
from tinyllm.lab.scratch.tensor import Adam, Tensor

State = dict[str, Any]


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
    figures = {"accuracy": 1 - wrong / len(examples), "epochs": epoch}
    return folder.finish(figures | {"w1": model.w1, "w2": model.w2, "b": model.b})


def logic(folder: Folder) -> dict[str, float]:
    """`logic`: what one unit can learn, and what takes a hidden layer (Minsky & Papert 1969)."""
    steps, hidden = folder.config["steps"], folder.config["hidden"]
    figures: dict[str, float] = {}
    for gate in nets.LOGIC:
        for name, units in (("alone", 0), ("hidden", hidden)):
            key = f"{gate}_{name}"
            figures[key] = folder.once(key, lambda: nets.learn_logic(gate, units, steps, folder.seed))  # noqa: B023
    figure, plot = axes("", "mean squared error")
    plot.bar(list(figures), list(figures.values()))
    folder.plot("errors", figure)
    return folder.finish(figures)


def addition(folder: Folder) -> dict[str, float]:
    """`addition`: networks that have seen sums of numbers up to 1, asked for larger ones."""
    sizes = (1, 2, 5, 10, 100)
    figures: dict[str, float] = {}
    figure, plot = axes("largest number added (1 was seen)", "mean absolute error")
    for name, hidden in (("linear", 0), ("tanh", folder.config["hidden"])):

        def learned(units: int = hidden) -> list[float]:
            net = nets.learn_sum(units, folder.config["steps"], folder.seed)
            return [nets.sum_error(net, size) for size in sizes]

        errors = folder.once(name, learned)
        figures |= {f"{name}_error_{size}": error for size, error in zip(sizes, errors, strict=True)}
        plot.loglog(sizes, errors, marker="o", label=name)
    plot.legend()
    folder.plot("errors", figure)
    return folder.finish(figures)


def moons(folder: Folder) -> dict[str, float]:
    """`moons`: two half circles told apart, as in micrograd's demo; and on points that were not seen."""
    points, classes = nets.moons(100, folder.config["noise"], folder.seed)
    net = nets.learn_moons(points, classes, folder.config["steps"], folder.seed)
    fresh, fresh_classes = nets.moons(2000, folder.config["noise"], folder.seed + 1)
    figures = {
        "accuracy": float(((net(points).data[:, 0] > 0) == classes).mean()),
        "fresh_accuracy": float(((net(fresh).data[:, 0] > 0) == fresh_classes).mean()),
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


def digits_cnn(folder: Folder) -> dict[str, float]:
    """`digits-cnn`: two convolutions on 8 x 8 digits; trained on the first half, tested on the second."""
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise SettingsError(
            "the digits come with scikit-learn, which is not installed", hint="pip install scikit-learn"
        ) from error
    images, labels = load_digits(return_X_y=True)
    images, half = images.reshape(-1, 8, 8) / 16, len(images) // 2
    net, batch = nets.Convolutions(folder.seed), folder.config["batch"]

    def loss(step: int) -> Tensor:
        draw = np.random.default_rng([folder.seed, step])
        rows = draw.integers(half, size=batch)
        moved = np.roll(images[rows], draw.integers(-1, 2, size=2), axis=(1, 2))  # digits stand anywhere
        return net(moved).cross_entropy(labels[rows])

    _fit(folder, net.weights, loss)
    right = net(images[half:]).data.argmax(1) == labels[half:]
    figure, plot = axes("", "", 8, 2)
    plot.imshow(
        np.hstack(images[half:][~right][:10] if (~right).any() else images[half : half + 10]), cmap="gray_r"
    )
    plot.set_title("not recognised")
    folder.plot("mistakes", figure)
    parameters = sum(weight.data.size for weight in net.weights)
    return folder.finish({"accuracy": float(right.mean()), "tested": len(right), "parameters": parameters})


def tiny_gpt(folder: Folder) -> dict[str, float]:
    """`scalar-gpt`: one GPT on two engines: equal gradients, very unequal speed; the fast one learns names."""
    letters, parts = encoded_names(folder.text("names.txt"))
    learn, dev = ([name[:17] for name in part] for part in parts[:2])
    config = folder.config
    shape = gpt.Shape(len(letters), config["width"], config["heads"], config["layers"])
    weights = {name: Tensor(data) for name, data in gpt.draw(shape, folder.seed).items()}
    speeds = folder.once("speed", lambda: _race(shape, folder.seed, learn[: config["raced"]]))

    def loss(step: int) -> Tensor:
        rows = np.random.default_rng([folder.seed, step]).integers(len(learn), size=config["batch"])
        return gpt.loss(weights, shape, _padded([learn[row] for row in rows]))

    _fit(folder, list(weights.values()), loss)
    dev_loss = float(gpt.loss(weights, shape, _padded(dev)).data)
    parameters = sum(weight.data.size for weight in weights.values())
    figure, plot = axes("step", "nats a character")
    plot.plot(*folder.curve("train"))
    folder.plot("loss", figure)
    return folder.finish({**speeds, "dev_loss": dev_loss, "parameters": parameters})


def backprop(folder: Folder) -> dict[str, float]:
    """`names-backprop`: the lecture's model with every derivative by hand, held against automatic ones."""
    letters, parts = encoded_names(folder.text("names.txt"))
    x, y, dev_x, dev_y = (array for part in parts[:2] for array in _windows(part))
    config = folder.config
    weights = manual.Weights.draw(len(letters), config["embed"], config["hidden"], folder.seed)
    error = folder.once("gradient_error", lambda: _gradient_error(weights, x[:64], y[:64]))
    state: State = vars(weights) | {"step": np.array(0)}
    state |= {"mean": np.zeros(config["hidden"]), "variance": np.ones(config["hidden"])}
    path, steps, recent = folder.path / "checkpoint.npz", config["steps"], list[float]()
    state |= _kept(path)
    weights = manual.Weights(**{name: state[name] for name in vars(weights)})
    for step in range(int(state["step"]), steps):
        rows = np.random.default_rng([folder.seed, step]).integers(len(x), size=config["batch"])
        now, slopes, statistics = manual.loss_and_gradients(weights, x[rows], y[rows])
        rate = config["lr"] * (1 if step < steps * 0.7 else 0.1)
        for name, slope in vars(slopes).items():
            state[name] -= rate * slope  # in place: the weights and the state are the same arrays
        for name, value in zip(("mean", "variance"), statistics, strict=True):
            state[name] = 0.99 * state[name] + 0.01 * value
        recent.append(now)
        if (step + 1) % max(1, steps // 20) == 0 or step + 1 == steps:
            folder.log("train", step + 1, loss=float(np.mean(recent)))
            folder.tell(folder.run, step + 1, steps, float(np.mean(recent)), 0.0)
            recent.clear()
            _keep(path, state | {"step": np.array(step + 1)})
    figures = {"gradient_error": error}
    for name, xs, ys in (("train", x, y), ("dev", dev_x, dev_y)):
        figures[f"{name}_loss"] = manual.loss_with(weights, xs, ys, state["mean"], state["variance"])
    figure, plot = axes("step", "nats a character")
    plot.plot(*folder.curve("train"))
    folder.plot("loss", figure)
    return folder.finish(figures)


def _fit(folder: Folder, weights: Sequence[Tensor], loss: Callable[[int], Tensor]) -> None:
    """Train with Adam for the config's `steps` at its `lr`, from where the folder's checkpoint stands."""
    adam, steps = Adam(weights, folder.config["lr"]), folder.config["steps"]
    path, kept = folder.path / "checkpoint.npz", _kept(folder.path / "checkpoint.npz")
    if kept:
        adam.steps = int(kept["step"])
        for index, weight in enumerate(weights):
            weight.data, adam.state[index] = kept[f"weight{index}"], kept[f"adam{index}"]
    recent: list[float] = []
    begun = time.monotonic()
    done = adam.steps
    for step in range(done, steps):
        now = loss(step)
        now.backward()
        adam.step(1 - step / steps)
        recent.append(float(now.data))
        if not np.isfinite(recent[-1]):
            raise ValueError(f"the loss became {recent[-1]} at step {step}; try a lower lr")
        left = (time.monotonic() - begun) / (step + 1 - done) * (steps - step - 1)
        folder.tell(folder.run, step + 1, steps, recent[-1], left)
        if (step + 1) % max(1, steps // 20) == 0 or step + 1 == steps:
            folder.log("train", step + 1, loss=float(np.mean(recent)))
            recent.clear()
            state: State = {"step": np.array(step + 1)}
            for index, weight in enumerate(weights):
                state |= {f"weight{index}": weight.data, f"adam{index}": adam.state[index]}
            _keep(path, state)


def _keep(path: Path, state: State) -> None:
    partial = path.with_name("part.npz")
    np.savez(partial, **state)
    partial.replace(path)


def _kept(path: Path) -> State:
    """The state in a checkpoint, or nothing. Raises ModelFileError where it is damaged."""
    if not path.exists():
        return {}
    try:
        with np.load(path, allow_pickle=False) as file:  # its zip file carries sums, which reading checks
            return dict(file)
    except (zipfile.BadZipFile, ValueError, OSError, EOFError) as error:
        raise ModelFileError(
            f"the checkpoint {path.name!r} is damaged ({error})", hint="run with --fresh to begin anew"
        ) from None


def _race(shape: gpt.Shape, seed: int, names: list[list[int]]) -> dict[str, float]:
    """CPU seconds of loss and gradients of the same model on both engines, and by how much they differ."""
    draw = np.random.default_rng(seed)  # not the weights of a beginning, some of which are zero
    drawn = {name: draw.normal(size=data.shape) * 0.2 for name, data in gpt.draw(shape, seed).items()}
    slow = {name: [[Value(number) for number in row] for row in data] for name, data in drawn.items()}
    fast = {name: Tensor(data) for name, data in drawn.items()}
    began = time.process_time()
    for ids in names:
        gpt.scalar_loss(slow, shape, ids).backward()
    slow_seconds = time.process_time() - began
    repeats, total = 10, {name: np.zeros_like(data) for name, data in drawn.items()}
    began = time.process_time()
    for _ in range(repeats):
        for ids in names:
            gpt.loss(fast, shape, np.array([ids])).backward()
            for name, weight in fast.items():
                assert weight.grad is not None
                total[name] += weight.grad / repeats
    fast_seconds = (time.process_time() - began) / repeats
    difference = max(
        np.abs([[number.grad for number in row] for row in slow[name]] - total[name]).max() for name in fast
    )
    seconds = {"scalar_seconds": slow_seconds, "tensor_seconds": fast_seconds}
    return {"speedup": slow_seconds / fast_seconds, "gradient_difference": float(difference), **seconds}


def _gradient_error(weights: manual.Weights, x: gpt.Ids, y: gpt.Ids) -> float:
    """The largest difference between the derivatives by hand and those of torch."""
    import torch
    import torch.nn.functional as F

    _, by_hand, _ = manual.loss_and_gradients(weights, x, y)
    w = {name: torch.tensor(value, requires_grad=True) for name, value in vars(weights).items()}
    before = w["c"][torch.tensor(x)].flatten(1) @ w["w1"]
    normal = F.batch_norm(before, None, None, w["gain"], w["shift"], training=True, eps=manual.EPS)
    F.cross_entropy(normal.tanh() @ w["w2"] + w["b2"], torch.tensor(y)).backward()
    slopes = {name: weight.grad for name, weight in w.items() if weight.grad is not None}
    return max(float(np.abs(getattr(by_hand, name) - slope.numpy()).max()) for name, slope in slopes.items())


def _padded(names: Sequence[Sequence[int]]) -> gpt.Ids:
    """Names as rows (B, T), filled up with -1."""
    rows = np.full((len(names), max(map(len, names))), -1)
    for row, name in zip(rows, names, strict=True):
        row[: len(name)] = name
    return rows


def _windows(names: Sequence[Sequence[int]]) -> tuple[gpt.Ids, gpt.Ids]:
    """The three letters (N, 3) before every letter (N,) of the names; more edges stand before the first one."""
    rows = [[0, 0, *name] for name in names]
    x = np.array([row[i : i + 3] for row in rows for i in range(len(row) - 3)])
    return x, np.array([letter for row in rows for letter in row[3:]])
