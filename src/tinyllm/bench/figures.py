"""Figures of a routing experiment: costs at equal quality, areas, and intervals. Knows nothing about policies."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_Z = 1.959964  # 95%


def interval(sums: "Array", times: "Array | float" = 1.0) -> list[float]:
    """The 95% interval of a mean over rows; of rows that were met several times, `sums` over so many `times`."""
    import numpy as np

    rows, total = len(sums), float(np.broadcast_to(times, len(sums)).sum())
    mean = float(sums.sum()) / total
    off = float(((sums - mean * times) ** 2).sum())
    reach = _Z * (off * rows / (rows - 1)) ** 0.5 / total if rows > 1 else float("inf")
    return [mean - reach, mean + reach]


def price_at(curve: Sequence[tuple[float, float]], accuracy: float) -> float | None:
    """The least price at which a curve of (accuracy, price) points reaches an accuracy; None if it never does.

    Two neighbouring points may be mixed: some requests by one setting, the others by the next.
    """
    reached = [price for right, price in curve if right >= accuracy]
    for (low, cheap), (high, dear) in zip(sorted(curve), sorted(curve)[1:], strict=False):
        if low < accuracy <= high:
            reached.append(cheap + (dear - cheap) * (accuracy - low) / (high - low))
    return min(reached, default=None)


def recovered(margins: "Array", weak: "Array", strong: "Array") -> "Array":
    """The performance gap recovered when the 0, 1, ... n requests of the largest margin go to the strong model.

    PGR of RouteLLM (Ong et al. 2024), between 0, all to the weak model, and 1, all to the strong one.
    """
    import numpy as np

    gains = (strong - weak)[np.argsort(-margins, kind="stable")]
    return np.asarray(np.concatenate([[0.0], np.cumsum(gains)]) / gains.sum())


def apgr(gaps: "Array") -> float:
    """The average performance gap recovered: the area under the curve of `recovered`; 0.5 by chance."""
    return float((gaps[1:] + gaps[:-1]).sum() / 2 / (len(gaps) - 1))


def cpt(gaps: "Array", share: float) -> float:
    """The least share of requests for the strong model with which that share of the gap is recovered."""
    return float((gaps >= share).argmax() / (len(gaps) - 1))
