"""What policies got on test rows, split after split, and what that comes to. Knows nothing about policies."""

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

    def by_row(self) -> "Array":
        """The mean score of each row, in the order of the file."""
        import numpy as np

        rows, scores = np.concatenate(self.rows), np.concatenate(self.scores)
        times = np.bincount(rows)
        return np.bincount(rows, scores)[times > 0] / times[times > 0]

    @property
    def point(self) -> Point:
        import numpy as np

        return float(np.concatenate(self.scores).mean()), float(np.concatenate(self.prices).mean())

    def row(self, single: "Array") -> dict[str, JSON]:
        """The figures, and the gain over the best single model, whose scores by row are given."""
        mine = self.by_row()
        accuracy, price = self.point
        return {
            "accuracy": accuracy,
            "price": price,
            "interval": figures.interval(mine),
            "gain_over_best_single": figures.interval(mine - single),
        }

    def traffic(self) -> dict[str, JSON]:
        """The figures of whole traffic, what of the price is the shadows', and those of its last quarter.

        The last quarter's interval is over splits.
        """
        import numpy as np

        accuracy, price = self.point
        quarter = [slice(len(rows) - len(rows) // 4, None) for rows in self.rows]
        scores = np.array([part[last].mean() for part, last in zip(self.scores, quarter, strict=True)])
        prices = [part[last].mean() for part, last in zip(self.prices, quarter, strict=True)]
        return {
            "accuracy": accuracy,
            "price": price,
            "shadow": float(np.concatenate(self.shadows).mean()),
            "last_quarter": {
                "accuracy": float(scores.mean()),
                "interval": figures.interval(scores),
                "price": float(np.mean(prices)),
            },
        }
