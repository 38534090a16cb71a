"""Why deep networks were hard to train: what is left of the gradient where a deep one begins."""

from itertools import product

import numpy as np

from tinyllm.lab.scratch.tensor import Tensor

ACTIVATIONS = {"sigmoid": Tensor.sigmoid, "tanh": Tensor.tanh, "relu": Tensor.relu}
# The standard deviation of a weight, times the root of the layer's width.
INITS = {"small": 0.3, "xavier": 1.0, "he": 2**0.5, "large": 3.0}
DEPTHS = (2, 10, 30, 60)


def standardised(x: Tensor) -> Tensor:
    """Layer normalisation without gains (Ba et al. 2016)."""
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred * ((centred * centred).mean(axis=-1, keepdims=True) + 1e-5) ** -0.5


def reach(
    depth: int, activation: str, init: str, norm: bool, residual: bool, *, width: int = 64, seed: int = 0
) -> float:
    """The norm of the gradient by the first layer's input, over that by the last layer's output.

    Near 1 all layers learn alike; far below it the first ones stand still (Hochreiter 1991), far above they
    fly apart. Xavier: Glorot & Bengio 2010; He et al. 2015; residual: He et al. 2016.
    """
    draw = np.random.default_rng(seed)
    act, scale = ACTIVATIONS[activation], INITS[init] / width**0.5
    layers = [Tensor(draw.normal(size=(width, width)) * scale) for _ in range(depth)]
    x = first = Tensor(draw.normal(size=(32, width)))
    for layer in layers:
        inner = act((standardised(x) if norm else x) @ layer)
        x = x + inner if residual else inner
    (x * draw.normal(size=x.shape)).sum().backward()
    assert first.grad is not None and x.grad is not None
    return float(np.linalg.norm(first.grad) / np.linalg.norm(x.grad))


def table(seed: int, width: int) -> list[dict[str, object]]:
    """`reach` for every depth, activation, initialisation, with and without norm and residual."""
    return [
        {"depth": depth, "activation": act, "init": init, "norm": norm, "residual": residual}
        | {"reach": reach(depth, act, init, norm, residual, width=width, seed=seed)}
        for depth, act, init, norm, residual in product(
            DEPTHS, ACTIVATIONS, INITS, (False, True), (False, True)
        )
    ]
