"""Back-propagation by hand: every derivative of a small language model written out, none of it automatic.

The model of the makemore lectures: the vectors of three letters side by side, a hidden layer with batch
normalisation and tanh, logits. Knows nothing about names or files.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ids = NDArray[np.int64]
EPS = 1e-5


@dataclass
class Weights:
    """C (V, E) embeddings; w1 (3 E, H); gain, shift (H,) of the norm; w2 (H, V) and b2 (V,)."""

    c: Array
    w1: Array
    gain: Array
    shift: Array
    w2: Array
    b2: Array

    @classmethod
    def draw(cls, vocab: int, embed: int, hidden: int, seed: int, window: int = 3) -> "Weights":
        drawn = np.random.default_rng(seed)
        w1 = drawn.normal(size=(window * embed, hidden)) * (5 / 3) / (window * embed) ** 0.5
        w2 = drawn.normal(size=(hidden, vocab)) * 0.1
        c = drawn.normal(size=(vocab, embed))
        return cls(c, w1, np.ones(hidden), np.zeros(hidden), w2, np.zeros(vocab))


def loss_and_gradients(w: Weights, x: Ids, y: Ids) -> tuple[float, Weights, tuple[Array, Array]]:
    """The mean loss of predicting `y` (N,) from `x` (N, 3), its gradient by every weight, and the batch's mean
    and variance (H,) of the hidden layer."""
    N = len(x)
    e = w.c[x].reshape(N, -1)  # (N, 3 E)
    before = e @ w.w1  # (N, H)
    mean, variance = before.mean(0), before.var(0)
    scale = (variance + EPS) ** -0.5
    normal = (before - mean) * scale  # (N, H)
    h = np.tanh(normal * w.gain + w.shift)
    log_p = _log_softmax(h @ w.w2 + w.b2)  # (N, V)
    loss = -log_p[np.arange(N), y].mean()

    d_logits = np.exp(log_p)  # (N, V): p less one at the right answer, over N
    d_logits[np.arange(N), y] -= 1
    d_logits /= N
    d_h = d_logits @ w.w2.T
    d_act = d_h * (1 - h**2)
    d_normal = d_act * w.gain
    # Mean and variance depend on every example, so each one's gradient loses what all have in common.
    d_before = scale * (d_normal - d_normal.mean(0) - normal * (d_normal * normal).mean(0))
    d_e = (d_before @ w.w1.T).reshape(*x.shape, -1)  # (N, 3, E)
    d_c = np.zeros_like(w.c)
    np.add.at(d_c, x, d_e)
    gradients = Weights(
        d_c, e.T @ d_before, (d_act * normal).sum(0), d_act.sum(0), h.T @ d_logits, d_logits.sum(0)
    )
    return float(loss), gradients, (mean, variance)


def losses_with(w: Weights, x: Ids, y: Ids, mean: Array, variance: Array) -> Array:
    """The losses (N,) with given statistics of the hidden layer: how the model is used after training."""
    normal = (w.c[x].reshape(len(x), -1) @ w.w1 - mean) * (variance + EPS) ** -0.5
    log_p = _log_softmax(np.tanh(normal * w.gain + w.shift) @ w.w2 + w.b2)
    return -log_p[np.arange(len(x)), y]


def _log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
