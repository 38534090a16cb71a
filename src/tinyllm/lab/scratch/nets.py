"""Small networks on the tensor engine: layers of units for logic, sums and moons, and one of convolutions."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tinyllm.lab.scratch.tensor import Array, Tensor

Loss = Callable[[int], Tensor]  # of a step

LOGIC = {"and": (0, 0, 0, 1), "or": (0, 1, 1, 1), "xor": (0, 1, 1, 0)}
CORNERS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=float)


class Layers:
    """Units in layers: `sizes` such as (2, 16, 16, 1), tanh between them, the last one linear."""

    def __init__(self, sizes: Sequence[int], seed: int):
        draw = np.random.default_rng(seed)
        self.weights = []
        for before, after in pairwise(sizes):
            self.weights += [Tensor(draw.normal(size=(before, after)) / before**0.5), Tensor(np.zeros(after))]

    def __call__(self, x: Array) -> Tensor:
        """(N, first size) to (N, last size)."""
        out = Tensor(x)
        for index in range(0, len(self.weights), 2):
            out = out @ self.weights[index] + self.weights[index + 1]
            if index + 2 < len(self.weights):
                out = out.tanh()
        return out


class Convolutions:
    """A network for images (N, 8, 8): two convolutions of 3 x 3, each halved by averaging, and a linear layer."""

    def __init__(self, seed: int, channels: tuple[int, int] = (16, 32), classes: int = 10):
        draw = np.random.default_rng(seed)
        one, two = channels

        def matrix(rows: int, columns: int) -> Tensor:
            return Tensor(draw.normal(size=(rows, columns)) * (2 / rows) ** 0.5)  # He et al. 2015

        self.weights = [matrix(9, one), matrix(9 * one, two), matrix(4 * two, classes)]
        self.weights += [Tensor(np.zeros(size)) for size in (one, two, classes)]

    def __call__(self, images: Array) -> Tensor:
        """Logits (N, classes)."""
        x = Tensor(images[..., None])  # (N, 8, 8, 1)
        for weight, bias in zip(self.weights[:2], self.weights[3:5], strict=True):
            x = halved((convolve(x, weight) + bias).relu())
        return x.reshape(len(images), -1) @ self.weights[2] + self.weights[5]


def convolve(x: Tensor, kernel: Tensor) -> Tensor:
    """Images (N, H, W, C) convolved by `kernel` (9 C, D): every 3 x 3 patch, zeros around, times one matrix."""
    N, H, W, C = x.shape
    rows, columns = np.arange(-1, H + 1), np.arange(-1, W + 1)
    inside = ((rows[:, None] >= 0) & (rows[:, None] < H) & (columns >= 0) & (columns < W)).astype(float)
    padded = x[:, rows.clip(0, H - 1)[:, None], columns.clip(0, W - 1)] * inside[..., None]
    down, across = np.divmod(np.arange(9), 3)
    patches = padded[
        :, np.arange(H)[:, None, None] + down, np.arange(W)[None, :, None] + across
    ]  # (N, H, W, 9, C)
    return (patches.reshape(N * H * W, 9 * C) @ kernel).reshape(N, H, W, kernel.shape[1])


def halved(x: Tensor) -> Tensor:
    """Images (N, H, W, C) at half the size, each pixel the mean of four."""
    N, H, W, C = x.shape
    return x.reshape(N, H // 2, 2, W // 2, 2, C).mean(axis=(2, 4))


def small(hidden: int, seed: int) -> Layers:
    """A unit with two inputs; with `hidden` units before it, or alone."""
    return Layers((2, hidden, 1) if hidden else (2, 1), seed)


def logic_loss(net: Layers, gate: str) -> Loss:
    """The mean squared error on a gate of `net`, whose output a sigmoid brings between 0 and 1."""
    wanted = np.array(LOGIC[gate], dtype=float)[:, None]
    return lambda step: ((net(CORNERS).sigmoid() - wanted) ** 2).mean()


def sum_loss(net: Layers, seed: int) -> Loss:
    """The mean squared error on sums of 256 pairs from -1 to 1, always the same."""
    pairs = np.random.default_rng(seed).uniform(-1, 1, size=(256, 2))
    return lambda step: ((net(pairs) - pairs.sum(1, keepdims=True)) ** 2).mean()


def sum_errors(net: Layers, largest: float, seed: int = 1) -> Array:
    """The absolute errors (1000,) on sums of pairs from -largest to largest."""
    pairs = np.random.default_rng(seed).uniform(-largest, largest, size=(1000, 2))
    return np.abs(net(pairs).data[:, 0] - pairs.sum(1))


def moons(count: int, noise: float, seed: int) -> tuple[Array, NDArray[np.int64]]:
    """Points (count, 2) on two half circles that reach into each other, and which one each is on."""
    draw = np.random.default_rng(seed)
    classes = np.arange(count) % 2
    angle = draw.uniform(0, np.pi, size=count)
    upper = np.stack((np.cos(angle), np.sin(angle)), axis=1)
    lower = np.stack((1 - np.cos(angle), 0.5 - np.sin(angle)), axis=1)
    points = np.where(classes[:, None] == 0, upper, lower)
    return points + draw.normal(scale=noise, size=points.shape), classes


def moons_loss(net: Layers, points: Array, classes: NDArray[np.int64]) -> Loss:
    """By how much the moons are not told apart by a margin (hinge loss, as in micrograd's demo)."""
    sign = (2 * classes - 1)[:, None]
    return lambda step: (1 - net(points) * sign).relu().mean()
