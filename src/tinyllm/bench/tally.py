"""What policies got on rows, split after split, and what that comes to. Knows nothing about policies."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tinyllm.bench import figures
from tinyllm.types import JSON

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

Point = tuple[float, float]  # accuracy and price


@dataclass(slots=True)
class Tally:
    """The rows of one split after another, their scores, the prices paid, and of these what shadows cost."""

    rows: "list[Array]" = field(default_factory=list)
    scores: "list[Array]" = field(default_factory=list)
    prices: "list[Array]" = field(default_factory=list)
    shadows: "list[Array]" = field(default_factory=list)

    def add(self, rows: "Array", scores: "Array", prices: "Array", shadows: "Array | float" = 0.0) -> None:
        import numpy as np

        self.rows.append(rows)
        self.scores.append(scores)
        self.prices.append(np.broadcast_to(prices, rows.shape))
        self.shadows.append(np.broadcast_to(shadows, rows.shape))

    def orderings(self, splits: int) -> "Iterator[Tally]":
        """A tally of each ordering, which is so many splits."""
        for start in range(0, len(self.rows), splits):
            part = slice(start, start + splits)
            yield Tally(self.rows[part], self.scores[part], self.prices[part], self.shadows[part])

    def last_quarter(self) -> "Tally":
        """The last quarter of each split's rows."""
        late = Tally()
        for rows, *kept in zip(self.rows, self.scores, self.prices, self.shadows, strict=True):
            last = slice(len(rows) - len(rows) // 4, None)
            late.add(rows[last], *(each[last] for each in kept))
        return late

    def by_row(self) -> "tuple[Array, Array, Array]":
        """Of each row of the file, up to the last one met: how often it was met, and the sums of its scores and
        of the prices paid for it."""
        import numpy as np

        rows = np.concatenate(self.rows)
        scores, prices = np.concatenate(self.scores), np.concatenate(self.prices)
        return np.bincount(rows), np.bincount(rows, scores), np.bincount(rows, prices)

    @property
    def point(self) -> Point:
        import numpy as np

        return float(np.concatenate(self.scores).mean()), float(np.concatenate(self.prices).mean())

    def row(self, single: "Array") -> dict[str, JSON]:
        """The figures, and the gain over the best single model, whose score on each row of the file is given."""
        times, scores, _ = self.by_row()
        met = times > 0
        gains = scores - times * single[: len(times)]
        accuracy, price = self.point
        return {
            "accuracy": accuracy,
            "price": price,
            "interval": figures.interval(scores[met], times[met]),
            "gain_over_best_single": figures.interval(gains[met], times[met]),
        }

    def traffic(self, splits: int) -> dict[str, JSON]:
        """The figures of whole traffic, what of the price is the shadows', and those of its last quarter: all
        orderings together, with the interval over rows, and each ordering's, of so many splits."""
        import numpy as np

        accuracy, price = self.point
        late = self.last_quarter()
        times, scores, _ = late.by_row()
        met = times > 0
        return {
            "accuracy": accuracy,
            "price": price,
            "shadow": float(np.concatenate(self.shadows).mean()),
            "last_quarter": {
                "accuracy": late.point[0],
                "interval": figures.interval(scores[met], times[met]),
                "price": late.point[1],
                "shadow": float(np.concatenate(late.shadows).mean()),
                "orderings": [each.point[0] for each in late.orderings(splits)],
            },
        }
