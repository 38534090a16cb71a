"""A linear model of what each choice is worth for a text, fitted so that the choices' differences come out right.

Ridge regression; its penalty is the one under which each row, left out, is told best from the others (Allen
1974: one decomposition gives every left-out error). Knows nothing about where vectors come from.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0)


@dataclass(frozen=True, slots=True)
class Ridge:
    centre: "Array"
    weights: "Array"
    base: "Array"
    penalty: float

    def means(self, vectors: "Array") -> "Array":
        """What each choice is worth for each row of vectors; the scale is that of the scores, without bounds."""
        import numpy as np

        return np.asarray((vectors - self.centre) @ self.weights + self.base)


def fit(vectors: "Array", scores: "Array") -> Ridge:
    """The model of fully known outcomes (requests x choices)."""
    import numpy as np

    centre, base = vectors.mean(axis=0), scores.mean(axis=0)
    rows, known = vectors - centre, scores - base
    if len(rows) < rows.shape[1]:  # the same axes, from the smaller matrix
        values, left = np.linalg.eigh(rows @ rows.T)
        values, left = values[values > 1e-5], left[:, values > 1e-5]
        axes = rows.T @ left / np.sqrt(values)
    else:
        values, axes = np.linalg.eigh(rows.T @ rows)
    turned = rows @ axes
    squares, pull = turned**2, turned.T @ known
    best: tuple[float, float] | None = None
    for penalty in PENALTIES:
        scale = 1 / (np.maximum(values, 0) + penalty)
        missed = known - turned @ (scale[:, None] * pull)
        missed /= np.maximum(1 - 1 / len(rows) - squares @ scale, 1e-6)[:, None]
        missed -= missed.mean(axis=1, keepdims=True)  # what all choices share decides nothing
        loss = float((missed**2).mean())
        if best is None or loss < best[0]:
            best = loss, penalty
    assert best
    weights = axes @ (pull / (np.maximum(values, 0) + best[1])[:, None])
    return Ridge(centre, weights, base, best[1])
