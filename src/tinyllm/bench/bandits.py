"""Policies that learn while they serve, replayed on recorded outcomes: they see the scores that they paid for.

Knows nothing about files or reports.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tinyllm.bench.splits import Split
from tinyllm.bench.world import World
from tinyllm.routing import difference, forest, texts
from tinyllm.routing.cells import choose, net
from tinyllm.routing.linucb import LinUCB

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

SHADOW = 0.05  # share of traffic that is scored on a rival of the mean price; on a cheaper one more often
WHOLE = 600  # requests after which that share falls, by half when the traffic has doubled
RIVALS = 4  # the best choices by worth less price: the one that is made, and those that a shadow looks at
COLD = 50  # requests that a policy without labels pays to have scored by every choice
_GROWTH = 1.4  # a policy learns anew when its traffic has grown so much
_TREES = 16  # of a policy that learns anew again and again


@dataclass(frozen=True, slots=True)
class Run:
    """A policy over a split's traffic, in its order: the choice, the one that would be made without it, and what
    the shadows cost. The last `tested` rows are the test rows."""

    rows: "Array"
    choice: "Array"
    second: "Array"
    shadow: "Array"
    tested: int


@dataclass(frozen=True, slots=True)
class Stage:
    """What a policy has of the texts between two times of learning: past ones and those to come as compact
    vectors, and how alike both are to the past ones."""

    past: "Array"
    coming: "Array"
    past_alike: "Array"
    coming_alike: "Array"


@dataclass(frozen=True)
class Traffic:
    """The rows of a split in the order in which they come; of those before `start` every score is known. What is
    the same for every policy is kept."""

    world: World
    split: Split
    rows: "Array"
    start: int
    _stages: dict[int, Stage] = field(default_factory=dict)

    def stages(self) -> Iterator[tuple[int, int]]:
        """From where to where a policy decides by what it knew before; it learns anew in between."""
        now = max(self.start, min(COLD, len(self.rows)))
        while now < len(self.rows):
            then = min(len(self.rows), int(now * _GROWTH) + 1)
            yield now, then
            now = then

    def stage(self, now: int, then: int) -> Stage:
        """The rows before `now` and those from there to `then`, in the space of the former."""
        if now not in self._stages:
            known, coming = self.rows[:now], self.rows[now:then]
            space = texts.space(self.world.texts[known], self.split.seed)
            self._stages[now] = Stage(
                space.compact(self.world.texts[known]),
                space.compact(self.world.texts[coming]),
                self.world.alike(known, known, space.manner),
                self.world.alike(coming, known, space.manner),
            )
        return self._stages[now]

    @cached_property
    def penalty(self) -> float:
        """The penalty that fits the rows before the first stage best, of which all is known."""
        now, then = next(self.stages())
        return difference.penalty(self.stage(now, then).past_alike, self.world.scores[self.rows[:now]])

    @cached_property
    def beginning(self) -> "Array":
        """What each choice is worth in the first stage, before which no policy knows more than another."""
        import numpy as np

        now, then = next(self.stages())
        return _worth(self, np.ones((now, len(self.world.prices)), dtype=bool), now, then)


def traffic(world: World, split: Split, *, warm: bool) -> Traffic:
    """A split's rows: the labelled ones known from the start, if `warm`, and otherwise served like the rest."""
    import numpy as np

    rows = np.concatenate([split.labelled, split.earlier, split.test])
    return Traffic(world, split, rows, len(split.labelled) if warm else 0)


def cells(served: Traffic, dial: float, *, context: bool = True) -> Run:
    """Cells and the model of differences, half and half, that learn from the answers they give, and from
    shadows. Without `context` all is one cell.

    A shadow scores rivals whose answers nobody is shown, each as often as its price allows, and ever more
    rarely. Without labels the first requests go to the dearest choice and are scored by every other.
    """
    import numpy as np

    world, rows, start = served.world, served.rows, served.start
    prices = world.prices
    random = np.random.default_rng([served.split.seed, 1])
    tried = np.zeros((len(rows), len(prices)), dtype=bool)
    choice, second = np.zeros((2, len(rows)), dtype=np.int64)
    shadow = np.zeros(len(rows))
    first = start or min(COLD, len(rows))
    tried[:first] = True
    choice[start:first] = second[start:first] = prices.argmax()
    shadow[start:first] = prices.sum() - prices.max()
    for now, then in served.stages():
        here = np.arange(now, then)
        if not context:
            means = _plain(served, tried, now, then)
        else:
            means = served.beginning if now == first else _worth(served, tried, now, then)
        choice[here] = choose(means, prices, dial)
        others = np.where(np.arange(len(prices)) == choice[here][:, None], -np.inf, means)
        second[here] = choose(others, prices, dial)
        tried[here, choice[here]] = True
        rank = np.argsort(np.argsort(-net(means, prices, dial), axis=1), axis=1)
        spent = SHADOW * min(1.0, WHOLE / now) * prices.mean()
        often = np.minimum(1.0, spent / np.maximum(prices, spent + 1e-12))
        looked = (rank < RIVALS) & (random.random(means.shape) < often) & ~tried[here]
        shadow[here] = looked @ prices
        tried[here] |= looked
    return Run(rows[start:], choice[start:], second[start:], shadow[start:], len(served.split.test))


def _worth(served: Traffic, tried: "Array", now: int, then: int) -> "Array":
    """What each choice is worth for the rows from `now` to `then`, from what was paid for before them."""
    stage = served.stage(now, then)
    seen = tried[:now].astype("float32")
    scores = served.world.scores[served.rows[:now]] * seen
    grown = forest.grow(stage.past, scores, seen, seed=served.split.seed, trees=_TREES)
    ridge = difference.fit(stage.past_alike, scores, seen, served.penalty)
    return (grown.means(stage.coming) + ridge.means(stage.coming_alike)) / 2


def _plain(served: Traffic, tried: "Array", now: int, then: int) -> "Array":
    """What each choice has been worth, whatever the request."""
    import numpy as np

    seen = tried[:now]
    scores = served.world.scores[served.rows[:now]] * seen
    return np.repeat((scores.sum(axis=0) + 1)[None] / (seen.sum(axis=0) + 2), then - now, axis=0)


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
