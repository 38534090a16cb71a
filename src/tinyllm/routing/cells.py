"""Outcome cells: what each choice has been worth, cell by cell, and which choice that makes best at its price.

A cell is a kind of request; its parent is a wider kind; a root is the choice itself, wherever it is used. Each
(cell, choice) holds a Beta posterior whose prior is the posterior mean of the cell's parent (back-off). Knows
nothing about how a request finds its cell.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

STRENGTH = 4.0  # outcomes that a cell's prior is worth


class Cells:
    """Counts of each (cell, choice). `parents` lists each cell's parent before the cell itself; a root has -1."""

    def __init__(self, parents: Sequence[int], choices: int, strength: float = STRENGTH) -> None:
        import numpy as np

        if any(parent >= cell for cell, parent in enumerate(parents)):
            raise ValueError("a parent must come before its cells")
        self.parents = list(parents)
        self.strength = strength
        self.good: Array = np.zeros((len(self.parents), choices))
        self.seen: Array = np.zeros((len(self.parents), choices))

    def add(self, cell: int, choice: int, score: float, weight: float = 1.0) -> None:
        """Count an outcome from 0 to 1 in a cell and in all that hold it."""
        while cell >= 0:
            self.good[cell, choice] += weight * score
            self.seen[cell, choice] += weight
            cell = self.parents[cell]

    def discount(self, factor: float) -> None:
        """Let all that was seen weigh `factor` times as much, for the world drifts."""
        self.good *= factor
        self.seen *= factor

    def means(self) -> "Array":
        """The posterior mean of each (cell, choice)."""
        import numpy as np

        means = np.empty_like(self.good)
        for cell, parent in enumerate(self.parents):
            prior = means[parent] if parent >= 0 else 0.5
            good = self.good[cell] + self.strength * prior
            means[cell] = good / (self.seen[cell] + self.strength)
        return means

    def posterior(self, cell: int, choice: int) -> tuple[float, float]:
        """The two parameters of the Beta distribution of a choice's worth in a cell."""
        total = float(self.seen[cell, choice]) + self.strength
        a = float(self.means()[cell, choice]) * total
        return a, total - a


def net(means: "Array", prices: "Array", dial: float) -> "Array":
    """Worth less price: `dial` is the accuracy that the dearest choice's price must buy (0: never mind prices)."""
    import numpy as np

    top = float(prices.max())
    return np.asarray(means - (dial / top if top else 0.0) * prices)


def choose(means: "Array", prices: "Array", dial: float) -> "Array":
    """The best choice of each row of means by worth less price; of equals the cheapest."""
    import numpy as np

    order = np.argsort(prices, kind="stable")
    return np.asarray(order[net(means, prices, dial)[:, order].argmax(axis=1)])
