"""Scaling laws: how the loss falls with parameters and data, fitted to measured points.

The law is Hoffmann et al. (2022), equation 10: loss = floor + a / parameters^alpha + b / tokens^beta. It knows
nothing about where points come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
STARTS = [(-1.0, -1.0, floor, slope, slope) for slope in (0.3, 0.8) for floor in (-0.5, 0.3)]
BOUNDS = ([-20, -20, -5, 0.01, 0.01], [5, 5, 5, 3, 3])
SURPRISE = 1e-3  # how far off, in log loss, a point pulls no harder (Hoffmann et al. 2022, section 3.3)


@dataclass(frozen=True)
class Point:
    """A trained model: its parameters, the tokens that it read, the multiply-accumulates of that, its loss."""

    parameters: int
    tokens: int
    macs: int
    loss: float


@dataclass(frozen=True)
class Law:
    """loss = floor + a / parameters^alpha + b / tokens^beta, in nats a token."""

    floor: float
    a: float
    alpha: float
    b: float
    beta: float

    def loss(self, parameters: float, tokens: float) -> float:
        return self.floor + self.a / parameters**self.alpha + self.b / tokens**self.beta

    @property
    def growth(self) -> float:
        """The best number of parameters grows as compute to this power (Hoffmann et al. 2022, equation 4)."""
        return self.beta / (self.alpha + self.beta)


def fit(points: Sequence[Point], near: Law | None = None) -> Law:
    """The law that is closest to `points` by Huber loss of the logarithm, sought from a grid of starts.

    `near` is where to begin instead, which is quicker.
    """
    from scipy.optimize import least_squares

    sizes, data, losses = (
        np.log([getattr(point, name) for point in points]) for name in ("parameters", "tokens", "loss")
    )
    size, amount = sizes.mean(), data.mean()  # seen from the middle, slopes and heights are told apart

    def terms(x: Floats) -> Floats:
        """The logarithms of the three terms of a law: x = (log of each in the middle, alpha, beta)."""
        return np.stack((x[0] - x[3] * (sizes - size), x[1] - x[4] * (data - amount), 0 * data + x[2]))

    def off(x: Floats) -> Floats:
        return np.logaddexp.reduce(terms(x)) - losses

    def slopes(x: Floats) -> Floats:
        one, two, three = np.exp(terms(x) - np.logaddexp.reduce(terms(x)))  # the shares of the terms
        return np.stack((one, two, three, -one * (sizes - size), -two * (data - amount)), axis=-1)

    starts = STARTS
    if near is not None:
        heights = near.a * np.exp(-near.alpha * size), near.b * np.exp(-near.beta * amount), near.floor
        starts = [(*np.log(heights), near.alpha, near.beta)]
    tries = [
        least_squares(off, start, slopes, BOUNDS, ftol=1e-6, loss="huber", f_scale=SURPRISE)
        for start in starts
    ]
    one, two, floor, alpha, beta = min(tries, key=lambda found: found.cost).x
    return Law(
        float(np.exp(floor)),
        float(np.exp(one + alpha * size)),
        float(alpha),
        float(np.exp(two + beta * amount)),
        float(beta),
    )


def resampled(points: Sequence[Point], law: Law, times: int, seed: int) -> list[Law]:
    """Laws fitted to points drawn anew from `points`, with replacement: how sure `law` is (Efron 1979)."""
    draw = np.random.default_rng(seed)
    laws = list[Law]()
    while len(laws) < times:
        chosen = [points[index] for index in draw.integers(len(points), size=len(points))]
        if len({point.parameters for point in chosen}) > 2 and len({point.macs for point in chosen}) > 2:
            laws.append(fit(chosen, law))
    return laws


def lowest(points: Sequence[Point]) -> tuple[float, float] | None:
    """Parameters and loss where the parabola through `points` of one budget, in log parameters, is lowest.

    None where that lies outside of the points: then the budget has no minimum that was measured.
    """
    sizes = np.log([point.parameters for point in points])
    second, first, zeroth = np.polyfit(sizes, [point.loss for point in points], 2)
    at = -first / (2 * second)
    if second <= 0 or not sizes.min() < at < sizes.max():
        return None
    return float(np.exp(at)), float(zeroth - first**2 / (4 * second))
