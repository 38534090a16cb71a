"""A complete GPT twice: on numbers (the scalar engine) and on arrays (the tensor engine), the same model.

Token and position vectors, blocks of causal multi-head attention and a squared-ReLU layer, RMS norms before
each, logits (Radford et al. 2019; the shape follows Karpathy's microgpt). Knows nothing about names.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tinyllm.lab.scratch.scalar import Value
from tinyllm.lab.scratch.tensor import Array, Tensor

Ids = NDArray[np.int64]
Vector = list[Value]
EPS = 1e-5


@dataclass(frozen=True)
class Shape:
    vocab: int
    width: int = 16
    heads: int = 4
    layers: int = 1
    context: int = 16

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} must be a multiple of heads {self.heads}")


def draw(shape: Shape, seed: int) -> dict[str, Array]:
    """The weights of a model, drawn from a seed; what leads into the residual starts at zero."""
    C, random = shape.width, np.random.default_rng(seed)
    sizes = {"token": (shape.vocab, C), "position": (shape.context, C), "head": (C, shape.vocab)}
    for layer in range(shape.layers):
        sizes |= {f"{layer}.{name}": (C, C) for name in ("q", "k", "v", "o")}
        sizes |= {f"{layer}.up": (C, 4 * C), f"{layer}.down": (4 * C, C)}
    scales = {name: 0.0 if name.endswith((".o", ".down")) else 0.08 for name in sizes}
    return {name: random.normal(size=size) * scales[name] for name, size in sizes.items()}


def logits(w: dict[str, Tensor], shape: Shape, ids: Ids) -> Tensor:
    """Logits (B, T, vocab) after each of `ids` (B, T)."""
    B, T = ids.shape
    H, D = shape.heads, shape.width // shape.heads
    future = np.triu(np.full((T, T), -1e9), 1)
    x = w["token"][ids] + w["position"][np.arange(T)]  # (B, T, C)
    for layer in range(shape.layers):
        inner = _rms(x)
        q, k, v = (
            (inner @ w[f"{layer}.{name}"]).reshape(B, T, H, D).transpose(0, 2, 1, 3) for name in "qkv"
        )  # (B, H, T, D)
        mix = (q @ k.transpose(0, 1, 3, 2) * D**-0.5 + future).softmax()  # (B, H, T, T)
        x = x + (mix @ v).transpose(0, 2, 1, 3).reshape(B, T, shape.width) @ w[f"{layer}.o"]
        x = x + (_rms(x) @ w[f"{layer}.up"]).relu() ** 2 @ w[f"{layer}.down"]
    return _rms(x) @ w["head"]


def loss(w: dict[str, Tensor], shape: Shape, ids: Ids) -> Tensor:
    """The mean loss in nats of predicting each of `ids` (B, T) but the first; -1 fills up and does not count."""
    wanted = ids[:, 1:].reshape(-1)
    flat = logits(w, shape, ids[:, :-1].clip(0)).reshape(-1, shape.vocab)
    return flat[np.flatnonzero(wanted >= 0)].cross_entropy(wanted[wanted >= 0])


def scalar_loss(w: dict[str, list[Vector]], shape: Shape, ids: list[int]) -> Value:
    """The same for one sequence, number by number."""
    D = shape.width // shape.heads
    total = Value(0.0)
    past: list[tuple[list[Vector], list[Vector]]] = [([], []) for _ in range(shape.layers)]
    for place, (token, wanted) in enumerate(pairwise(ids)):
        x = [a + b for a, b in zip(w["token"][token], w["position"][place], strict=True)]
        for layer, (keys, values) in enumerate(past):
            inner = _scalar_rms(x)
            q, k, v = (_times(inner, w[f"{layer}.{name}"]) for name in "qkv")
            keys.append(k)
            values.append(v)
            mixed: Vector = []
            for head in range(0, shape.width, D):
                part = slice(head, head + D)
                scores = [_dot(q[part], key[part]) * D**-0.5 for key in keys]
                odds = [(score - max(s.data for s in scores)).exp() for score in scores]
                whole = sum(odds, Value(0.0))
                weights = [odd / whole for odd in odds]
                mixed += [_dot(weights, [value[i] for value in values]) for i in range(head, head + D)]
            x = [a + b for a, b in zip(x, _times(mixed, w[f"{layer}.o"]), strict=True)]
            hidden = [unit.relu() ** 2 for unit in _times(_scalar_rms(x), w[f"{layer}.up"])]
            x = [a + b for a, b in zip(x, _times(hidden, w[f"{layer}.down"]), strict=True)]
        scores = _times(_scalar_rms(x), w["head"])
        highest = max(score.data for score in scores)
        odds = [(score - highest).exp() for score in scores]
        total = total - (odds[wanted] / sum(odds, Value(0.0))).log()
    return total / (len(ids) - 1)


def _rms(x: Tensor) -> Tensor:
    return x * ((x * x).mean(axis=-1, keepdims=True) + EPS) ** -0.5


def _scalar_rms(x: Vector) -> Vector:
    scale = (_dot(x, x) / len(x) + EPS) ** -0.5
    return [number * scale for number in x]


def _times(x: Vector, matrix: list[Vector]) -> Vector:
    """A vector (rows,) times a matrix (rows, columns)."""
    return [_dot(x, [row[column] for row in matrix]) for column in range(len(matrix[0]))]


def _dot(a: Vector, b: Vector) -> Value:
    return sum((x * y for x, y in zip(a, b, strict=True)), Value(0.0))
