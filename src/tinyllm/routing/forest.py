"""Cells found by themselves: trees that part requests where the choices' outcomes differ.

Extremely randomised trees (Geurts et al. 2006) of outcome cells: each node of a tree is a cell, backed by the
node above it. Outcomes may be missing: a choice counts where it was tried. Knows nothing about text or prices.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinyllm.routing.cells import STRENGTH, Cells

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

TREES = 24
_LEAF = 25  # requests that a cell holds at least
_CUTS = 48  # random cuts that a node is offered


@dataclass(frozen=True, slots=True)
class Tree:
    """`feature` and `cut` of each node (-1 at a leaf), its two `kids`, and its cells."""

    feature: "Array"
    cut: "Array"
    kids: "Array"
    cells: Cells

    def find(self, vectors: "Array") -> "Array":
        """The leaf cell of each row of vectors."""
        import numpy as np

        place = np.zeros(len(vectors), dtype=np.int64)
        rows = np.arange(len(vectors))
        while len(rows):
            rows = rows[self.feature[place[rows]] >= 0]
            here = place[rows]
            right = vectors[rows, self.feature[here]] > self.cut[here]
            place[rows] = self.kids[here, right.astype(np.int64)]
        return place


@dataclass(frozen=True, slots=True)
class Forest:
    trees: tuple[Tree, ...]

    def means(self, vectors: "Array") -> "Array":
        """What each choice is worth for each row of vectors: the mean over the trees' cells."""
        import numpy as np

        total = sum(tree.cells.means()[tree.find(vectors)] for tree in self.trees)
        return np.asarray(total / len(self.trees))


def grow(vectors: "Array", scores: "Array", tried: "Array", *, seed: int = 0, trees: int = TREES) -> Forest:
    """A forest from outcomes: `scores` from 0 to 1, counted where `tried` is 1 (both requests x choices)."""
    import numpy as np

    random = np.random.default_rng(seed)
    facts = np.hstack([scores * tried, tried, np.ones((len(tried), 1))]).astype(np.float32)
    return Forest(tuple(_tree(vectors, facts, random) for _ in range(trees)))


def _tree(vectors: "Array", facts: "Array", random: "np.random.Generator") -> Tree:
    import numpy as np

    feature: list[int] = []
    cut: list[float] = []
    kids: list[list[int]] = []
    parents: list[int] = []
    sums: list[Array] = []
    waiting: list[tuple[Array, int, int]] = [(np.arange(len(vectors)), -1, 0)]
    while waiting:
        rows, parent, side = waiting.pop()
        node = len(parents)
        parents.append(parent)
        here = facts[rows]
        sums.append(here.sum(axis=0))
        kids.append([-1, -1])
        if parent >= 0:
            kids[parent][side] = node
        chosen, value, left = _cut(vectors, rows, here, sums[-1], random)
        feature.append(chosen)
        cut.append(value)
        if left is not None:
            waiting += [(rows[~left], node, 1), (rows[left], node, 0)]
    choices = facts.shape[1] // 2  # their good outcomes, then how often they were tried, then requests
    cells = Cells(parents, choices, STRENGTH)
    total = np.array(sums, dtype=np.float64)
    cells.good, cells.seen = total[:, :choices], total[:, choices:-1]
    return Tree(np.array(feature), np.array(cut, dtype=np.float32), np.array(kids), cells)


def _cut(
    vectors: "Array", rows: "Array", facts: "Array", whole: "Array", random: "np.random.Generator"
) -> "tuple[int, float, Array | None]":
    """The best of some random cuts: the one after which the choices' means differ most; no mask at a leaf.

    `facts` are those of `rows`, and `whole` is their sum.
    """
    import numpy as np

    if len(rows) < 2 * _LEAF:
        return -1, 0.0, None
    features = random.integers(vectors.shape[1], size=_CUTS)
    cuts = vectors[rows[random.integers(len(rows), size=_CUTS)], features]
    left = vectors[rows[:, None], features] <= cuts
    one = left.T.astype(np.float32) @ facts
    sizes = one[:, -1]
    legal = (sizes >= _LEAF) & (sizes <= len(rows) - _LEAF)
    if not legal.any():
        return -1, 0.0, None
    choices = facts.shape[1] // 2
    tried, tries = one[:, choices:-1], whole[choices:-1]
    # What one side has above the mean, the other has below it.
    above = one[:, :choices] - whole[:choices] / np.maximum(tries, 1) * tried
    gain = (above**2 * (1 / np.maximum(tried, 1) + 1 / np.maximum(tries - tried, 1))).sum(axis=1)
    best = int(np.where(legal, gain, -1).argmax())
    return int(features[best]), float(cuts[best]), left[:, best]
