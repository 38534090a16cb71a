"""The policy that learns from rows of which every model's score is known. Knows nothing about files or traffic."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinyllm.bench.equal import TOLERANCE
from tinyllm.bench.figures import interval
from tinyllm.bench.splits import Split
from tinyllm.bench.world import World
from tinyllm.routing import difference, forest, texts
from tinyllm.routing.cells import choose, net

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

DIALS = tuple(i / 50 for i in range(16))  # accuracy that the dearest price must buy
_INNER = 3  # folds of the labelled rows, inside which settings are chosen
_WEIGHTS = (1.0, 0.75, 0.5, 0.25, 0.0)  # of the cells beside the model of differences


@dataclass(frozen=True, slots=True)
class Trained:
    """`means` gives what each choice is worth for some rows. `weight` is the cells' share in that, and `dial`
    the one that is cheapest while right as often as the best single model, both chosen in the labelled rows."""

    means: "Callable[[Array], Array]"
    weight: float
    dial: float


def full_information(world: World, split: Split) -> Trained:
    """Cells and the model of differences, mixed as is best within the labelled rows; see `Trained`."""
    import numpy as np

    rows = np.random.default_rng([split.seed, 2]).permutation(split.labelled)
    held = np.array_split(rows, _INNER)
    parts = [_pair(world, np.setdiff1d(split.labelled, fold), split)(fold) for fold in held]
    pair = np.concatenate(parts, axis=1)
    scores = world.scores[rows]
    weight = max(_WEIGHTS, key=lambda share: _value(_mix(pair, share), scores, world.prices))
    single = scores[:, scores.mean(axis=0).argmax()]
    held_out = _mix(pair, weight)
    dial = 0.0
    for rival in DIALS:
        got = scores[np.arange(len(rows)), choose(held_out, world.prices, rival)]
        if interval(got - single)[0] >= -TOLERANCE:
            dial = rival
    final = _pair(world, split.labelled, split)
    return Trained(lambda asked: _mix(final(asked), weight), weight, dial)


def _pair(world: World, known: "Array", split: Split) -> "Callable[[Array], Array]":
    """Rows -> what the cells and what the model of differences say each choice is worth, one above the other.

    Both learn from the scores of the `known` rows; the space of vectors also from earlier texts.
    """
    import numpy as np

    space = texts.space(world.texts[np.concatenate([known, split.earlier])], split.seed)
    scores = world.scores[known]
    grown = forest.grow(space.compact(world.texts[known]), scores, np.ones_like(scores), seed=split.seed)
    alike = world.alike(known, known, space.manner)
    ridge = difference.fit(alike, scores, np.ones_like(scores), difference.penalty(alike, scores))

    def means(rows: "Array") -> "Array":
        cells = grown.means(space.compact(world.texts[rows]))
        return np.stack([cells, ridge.means(world.alike(rows, known, space.manner))])

    return means


def _mix(pair: "Array", share: float) -> "Array":
    import numpy as np

    return np.asarray(pair[0] * share + pair[1] * (1 - share))


def _value(means: "Array", scores: "Array", prices: "Array") -> float:
    """What choosing by these means is worth, prices taken off, on average over the dials."""
    import numpy as np

    rows = np.arange(len(scores))
    worth = [net(scores, prices, dial)[rows, choose(means, prices, dial)].mean() for dial in DIALS]
    return float(np.mean(worth))
