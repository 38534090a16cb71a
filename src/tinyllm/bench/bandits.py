"""Policies that learn while they serve, replayed on recorded outcomes: they see the scores that they paid for.

Knows nothing about files or reports.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tinyllm.bench.splits import Split
from tinyllm.bench.world import World
from tinyllm.routing import forest, texts
from tinyllm.routing.cells import choose, net
from tinyllm.routing.linucb import LinUCB

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

SHADOW = 0.05  # share of traffic that is scored on a rival of the mean price; on a cheaper one more often
RIVALS = 4  # the best choices by worth less price: the one that is made, and those that a shadow looks at
COLD = 50  # requests that a policy without labels pays to have scored by every choice
_GROWTH = 1.4  # a policy learns anew when its traffic has grown so much
_TREES = 16  # of a policy that learns anew again and again


@dataclass(frozen=True, slots=True)
class Run:
    """A policy over a split's traffic, in its order: the choice, the best by worth alone, and what the shadows
    cost. The last `tested` rows are the test rows."""

    rows: "Array"
    choice: "Array"
    best: "Array"
    shadow: "Array"
    tested: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """The rows of a split in the order in which they come; of those before `start` every score is known."""

    world: World
    split: Split
    rows: "Array"
    start: int
    _seen: "dict[int, tuple[Array, Array]]" = field(default_factory=dict)

    def stages(self) -> Iterator[tuple[int, int]]:
        """From where to where a policy decides by what it knew before; it learns anew in between."""
        now = max(self.start, min(COLD, len(self.rows)))
        while now < len(self.rows):
            then = min(len(self.rows), int(now * _GROWTH) + 1)
            yield now, then
            now = then

    def vectors(self, now: int, then: int) -> "tuple[Array, Array]":
        """Compact vectors of the rows before `now` and of those up to `then`, in the space of the former."""
        if now not in self._seen:
            past, coming = self.world.texts[self.rows[:now]], self.world.texts[self.rows[now:then]]
            space = texts.space(past, self.split.seed)
            self._seen[now] = space.compact(past), space.compact(coming)
        return self._seen[now]


def traffic(world: World, split: Split, *, warm: bool) -> Traffic:
    """A split's rows: the labelled ones known from the start, if `warm`, and otherwise served like the rest."""
    import numpy as np

    rows = np.concatenate([split.labelled, split.earlier, split.test])
    return Traffic(world, split, rows, len(split.labelled) if warm else 0)


def cells(served: Traffic, dial: float, *, context: bool = True) -> Run:
    """Cells that learn from the answers they give, and from shadows. Without `context` all is one cell.

    A shadow scores rivals whose answers nobody is shown, each as often as its price allows. Without labels
    the first requests go to the dearest choice and are scored by every other.
    """
    import numpy as np

    world, rows, start = served.world, served.rows, served.start
    prices = world.prices
    random = np.random.default_rng([served.split.seed, 1])
    tried = np.zeros((len(rows), len(prices)), dtype=bool)
    choice, best = np.zeros((2, len(rows)), dtype=np.int64)
    shadow = np.zeros(len(rows))
    first = start or min(COLD, len(rows))
    tried[:first] = True
    choice[start:first] = best[start:first] = prices.argmax()
    shadow[start:first] = prices.sum() - prices.max()
    often = np.minimum(1.0, SHADOW * prices.mean() / np.maximum(prices, SHADOW * prices.mean() + 1e-12))
    for now, then in served.stages():
        here = np.arange(now, then)
        means = _worth(served, tried, now, then, context)
        choice[here], best[here] = choose(means, prices, dial), choose(means, prices, 0)
        tried[here, choice[here]] = True
        rank = np.argsort(np.argsort(-net(means, prices, dial), axis=1), axis=1)
        looked = (rank < RIVALS) & (random.random(means.shape) < often) & ~tried[here]
        shadow[here] = looked @ prices
        tried[here] |= looked
    return Run(rows[start:], choice[start:], best[start:], shadow[start:], len(served.split.test))


def _worth(served: Traffic, tried: "Array", now: int, then: int, context: bool) -> "Array":
    """What each choice is worth for the rows from `now` to `then`, from what was paid for before them."""
    import numpy as np

    seen = tried[:now].astype(np.float32)
    scores = served.world.scores[served.rows[:now]] * seen
    if not context:
        return np.repeat((scores.sum(axis=0) + 1)[None] / (seen.sum(axis=0) + 2), then - now, axis=0)
    past, coming = served.vectors(now, then)
    return forest.grow(past, scores, seen, seed=served.split.seed, trees=_TREES).means(coming)


def linucb(served: Traffic, dial: float) -> Run:
    """LinUCB from the first request on, without shadows. Its space is that of the earliest texts."""
    import numpy as np

    world, rows = served.world, served.rows
    space = texts.space(world.texts[rows[:COLD]], served.split.seed)
    vectors = np.hstack([space.compact(world.texts[rows]), np.ones((len(rows), 1), dtype=np.float32)])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    handicap = -net(np.zeros_like(world.prices), world.prices, dial)
    learner = LinUCB(vectors.shape[1], len(world.prices))
    choice = np.zeros(len(rows), dtype=np.int64)
    for i, row in enumerate(rows):
        choice[i] = learner.choose(vectors[i], handicap)
        learner.learn(vectors[i], int(choice[i]), float(world.scores[row, choice[i]]))
    return Run(rows, choice, choice, np.zeros(len(rows)), len(served.split.test))
