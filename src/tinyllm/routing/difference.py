"""A linear model of what each choice is worth for a text, fitted so that the choices' differences come out right.

Ridge regression in its dual form: it needs no vectors, only how alike rows are (their inner products). Outcomes
may be missing: a choice is learned from where it was tried. Knows nothing about where likeness comes from.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

PENALTIES = (1.0, 3.0, 10.0, 30.0)
_ENOUGH = 1500  # rows from which the penalty is chosen


@dataclass(frozen=True, slots=True)
class Ridge:
    """`shares` (known rows x choices) are what each row adds to a choice's worth, by likeness to it."""

    shares: "Array"
    base: "Array"

    def means(self, alike: "Array") -> "Array":
        """What each choice is worth for rows, from how alike (rows x known rows) they are; without bounds."""
        import numpy as np

        return np.asarray(alike @ self.shares + self.base)


def penalty(alike: "Array", scores: "Array", tried: "Array | None" = None) -> float:
    """The penalty under which each row, left out, is told best from the others (Allen 1974).

    Only rows with two outcomes or more count: what all choices share decides nothing. Of equals the stiffest.
    """
    import numpy as np

    alike, scores = alike[:_ENOUGH, :_ENOUGH], scores[:_ENOUGH]
    tried = np.ones(scores.shape, dtype=bool) if tried is None else tried[:_ENOUGH].astype(bool)
    known = tried.sum(axis=1, keepdims=True)

    def loss(penalty: float) -> float:
        missed = np.zeros(scores.shape)
        for rows, choices in _groups(tried):
            inverse = np.linalg.inv(_stiff(alike, rows, penalty))
            centred = scores[np.ix_(rows, choices)]
            centred = centred - centred.mean(axis=0)
            missed[np.ix_(rows, choices)] = inverse @ centred / np.diag(inverse)[:, None]
        missed -= missed.sum(axis=1, keepdims=True) / np.maximum(known, 1)
        return float((missed[tried & (known > 1)] ** 2).sum())

    return min(reversed(PENALTIES), key=loss)


def fit(alike: "Array", scores: "Array", tried: "Array", penalty: float) -> Ridge:
    """The model of outcomes (requests x choices), counted where `tried`; a choice never tried is worth 0.5."""
    import numpy as np

    tried = tried.astype(bool)
    shares, base = np.zeros(scores.shape, dtype=alike.dtype), np.full(scores.shape[1], 0.5)
    for rows, choices in _groups(tried):
        known = scores[np.ix_(rows, choices)]
        base[choices] = known.mean(axis=0)
        centred = (known - base[choices]).astype(alike.dtype)
        shares[np.ix_(rows, choices)] = np.linalg.solve(_stiff(alike, rows, penalty), centred)
    return Ridge(shares, base)


def _groups(tried: "Array") -> "list[tuple[Array, Array]]":
    """Rows and the choices that were tried in just these rows: what is solved at once."""
    import numpy as np

    found: dict[bytes, list[int]] = {}
    for choice in np.flatnonzero(tried.any(axis=0)):
        found.setdefault(tried[:, choice].tobytes(), []).append(int(choice))
    return [(np.flatnonzero(tried[:, same[0]]), np.array(same)) for same in found.values()]


def _stiff(alike: "Array", rows: "Array", penalty: float) -> "Array":
    import numpy as np

    part = alike[np.ix_(rows, rows)]
    part[np.diag_indices(len(rows))] += penalty
    return np.asarray(part)
