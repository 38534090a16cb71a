"""Runs of the machines from scratch that train on arrays, from checkpoint to checkpoint: digits, a tiny GPT, and
a net whose derivatives are written by hand.
"""

import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tinyllm.errors import SettingsError
from tinyllm.lab.chart import axes
from tinyllm.lab.folder import Folder
from tinyllm.lab.letters import encoded_names, mean_figures
from tinyllm.lab.runs import descent
from tinyllm.lab.runs.descent import State
from tinyllm.lab.scratch import backprop as manual
from tinyllm.lab.scratch import gpt, nets
from tinyllm.lab.scratch.scalar import Value
from tinyllm.lab.scratch.tensor import Array, Tensor


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

    descent.fit(folder, net.weights, loss, folder.config["lr"])
    right = net(images[half:]).data.argmax(1) == labels[half:]
    figure, plot = axes("", "", 8, 2)
    plot.imshow(
        np.hstack(images[half:][~right][:10] if (~right).any() else images[half : half + 10]), cmap="gray_r"
    )
    plot.set_title("not recognised")
    folder.plot("mistakes", figure)
    parameters = sum(weight.data.size for weight in net.weights)
    return folder.finish({"accuracy": float(right.mean()), "tested": len(right), "parameters": parameters})


def tiny_gpt(folder: Folder) -> dict[str, Any]:
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

    descent.fit(folder, list(weights.values()), loss, config["lr"])
    losses = _losses(weights, shape, _padded(dev))
    measured = mean_figures("dev_loss", losses, [len(name) - 1 for name in dev]) | {"dev_n": len(losses)}
    parameters = sum(weight.data.size for weight in weights.values())
    figure, plot = axes("step", "nats a character")
    plot.plot(*folder.curve("train"))
    folder.plot("loss", figure)
    return folder.finish({**speeds, **measured, "parameters": parameters})


def backprop(folder: Folder) -> dict[str, Any]:
    """`names-backprop`: the lecture's model with every derivative by hand, held against automatic ones."""
    letters, parts = encoded_names(folder.text("names.txt"))
    x, y, dev_x, dev_y = (array for part in parts[:2] for array in _windows(part))
    config = folder.config
    weights = manual.Weights.draw(len(letters), config["embed"], config["hidden"], folder.seed)
    error = folder.once("gradient_error", lambda: _gradient_error(weights, x[:64], y[:64]))
    state: State = vars(weights) | {"step": np.array(0)}
    state |= {"mean": np.zeros(config["hidden"]), "variance": np.ones(config["hidden"])}
    state |= descent.load(descent.path_of(folder))
    weights = manual.Weights(**{name: state[name] for name in vars(weights)})
    seen: State = {}  # of the last look

    def look(step: int) -> tuple[float, Iterable[Array]]:
        rows = np.random.default_rng([folder.seed, step]).integers(len(x), size=config["batch"])
        loss, slopes, statistics = manual.loss_and_gradients(weights, x[rows], y[rows])
        seen.update(slopes=vars(slopes), statistics=statistics)
        return loss, vars(slopes).values()

    def move(step: int) -> None:
        rate = config["lr"] * (1 if step < config["steps"] * 0.7 else 0.1)
        for name, slope in seen["slopes"].items():
            state[name] -= rate * slope  # in place: the weights and the state are the same arrays
        for name, value in zip(("mean", "variance"), seen["statistics"], strict=True):
            state[name] = 0.99 * state[name] + 0.01 * value

    descent.downhill(folder, int(state["step"]), look, move, lambda: state)
    figures: dict[str, Any] = {"gradient_error": error}
    figures["derivatives"] = sum(weight.size for weight in vars(weights).values())
    for name, part, xs, ys in (("train", parts[0], x, y), ("dev", parts[1], dev_x, dev_y)):
        losses = manual.losses_with(weights, xs, ys, state["mean"], state["variance"])
        figures |= mean_figures(f"{name}_loss", losses, [len(ids) - 1 for ids in part])
        figures[f"{name}_n"] = len(losses)
    figure, plot = axes("step", "nats a character")
    plot.plot(*folder.curve("train"))
    folder.plot("loss", figure)
    return folder.finish(figures)


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


def _losses(weights: dict[str, Tensor], shape: gpt.Shape, ids: gpt.Ids) -> Array:
    """The loss of each of `ids` (B, T) but the first, row by row; -1 fills up and does not count."""
    wanted = ids[:, 1:]
    log_p = gpt.logits(weights, shape, ids[:, :-1].clip(0)).log_softmax().data  # (B, T - 1, vocab)
    return -np.take_along_axis(log_p, wanted.clip(0)[..., None], -1)[..., 0][wanted >= 0]


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
