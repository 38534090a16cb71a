"""The price at which a policy is as right as the best single model, with the evidence for it.

A policy played at several dials is a curve. Two neighbouring settings may be mixed: some requests by one, the
others by the next. Knows nothing about what a policy does.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tinyllm.bench import figures
from tinyllm.bench.tally import Tally
from tinyllm.types import JSON

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

TOLERANCE = 0.01  # accuracy by which the lower bound may miss the best single model's
_DRAWS = 1000
_STEPS = 20  # of a mixture of two settings


def at_equal_accuracy(curve: Sequence[Tally], single: "Array", splits: int, seed: int) -> dict[str, JSON]:
    """Where a curve is as right as the best single model is on the same rows; `single` has its score on each row
    of the file.

    `price` is the least at which it is, None if it never is; `interval` by drawing rows anew, with None for an end
    where that many draws never are; `orderings` of each ordering, of so many splits, alone. `bounded` is the
    cheapest setting that is as right, and the lower bound of whose gain is TOLERANCE below 0 at most.
    """
    import numpy as np

    times, scores, prices = _rows(curve)
    met = times > 0
    single = single[: len(times)]
    apart = [_alone(part, single) for part in _parts(curve, splits)]
    times, scores, prices, single = times[met], scores[:, met], prices[:, met], (single * times)[met]
    aim = float(single.sum() / times.sum())
    draws = np.random.default_rng(seed).multinomial(len(times), np.full(len(times), 1 / len(times)), _DRAWS)
    total = (draws @ times)[:, None]
    drawn = zip(draws @ scores.T / total, draws @ prices.T / total, draws @ single / total[:, 0], strict=True)
    found = [figures.price_at(list(zip(right, price, strict=True)), least) for right, price, least in drawn]
    edges = np.quantile([np.inf if one is None else one for one in found], (0.025, 0.975), method="nearest")
    return {
        "accuracy": aim,
        "price": figures.price_at([tally.point for tally in curve], aim),
        "interval": [float(edge) if np.isfinite(edge) else None for edge in edges],
        "orderings": apart,
        "bounded": min(_sure(times, scores, prices, single), key=lambda one: one["price"], default=None),
    }


def _rows(curve: Sequence[Tally]) -> "tuple[Array, Array, Array]":
    """How often each row was met, and at each dial the sums of its scores and of its prices."""
    import numpy as np

    found = [tally.by_row() for tally in curve]
    return found[0][0], np.array([scores for _, scores, _ in found]), np.array([paid for *_, paid in found])


def _parts(curve: Sequence[Tally], splits: int) -> Iterator[tuple[Tally, ...]]:
    return zip(*(tally.orderings(splits) for tally in curve), strict=True)


def _alone(curve: Sequence[Tally], single: "Array") -> float | None:
    times, scores, prices = _rows(curve)
    total = times.sum()
    points = list(zip(scores.sum(axis=1) / total, prices.sum(axis=1) / total, strict=True))
    price = figures.price_at(points, float((single[: len(times)] * times).sum() / total))
    return None if price is None else float(price)


def _sure(times: "Array", scores: "Array", prices: "Array", single: "Array") -> Iterator[dict[str, Any]]:
    """The settings and mixtures of neighbours that are as right as the best single model beyond doubt."""
    import numpy as np

    order = np.argsort(scores.sum(axis=1), kind="stable")
    for low, high in pairwise(order):
        for share in np.linspace(0, 1, _STEPS + 1):
            mixed = scores[low] + share * (scores[high] - scores[low])
            gain = figures.interval(mixed - single, times)
            if mixed.sum() >= single.sum() and gain[0] >= -TOLERANCE:
                paid = prices[low] + share * (prices[high] - prices[low])
                yield {
                    "accuracy": float(mixed.sum() / times.sum()),
                    "interval": figures.interval(mixed, times),
                    "gain_over_best_single": gain,
                    "price": float(paid.sum() / times.sum()),
                }
