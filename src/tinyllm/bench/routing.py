"""The routing experiment: what policies that read only the request would have got right, and at which price.

Recorded outcomes of real models are replayed, row by row; settings are chosen inside the labelled rows. Knows
nothing about the command line.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tinyllm.bench.bandits import Run, cells, linucb, traffic
from tinyllm.bench.equal import at_equal_accuracy
from tinyllm.bench.full import DIALS, full_information
from tinyllm.bench.outcomes import Outcomes, matching
from tinyllm.bench.pairs import Part, two_models
from tinyllm.bench.splits import FOLDS, Split, splits
from tinyllm.bench.tally import Point, Tally
from tinyllm.bench.world import World
from tinyllm.errors import RequestError
from tinyllm.routing import texts
from tinyllm.routing.cells import choose
from tinyllm.types import JSON

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

BANDIT_DIALS = (0.0, 0.03, 0.06, 0.09, 0.12, 0.18)
DIAL = 0.06  # of the bandits' rows; nothing chooses it
ORDERINGS = 3
FEWEST = 50  # rows to learn from
# (share of wrong answers that a check stops, share of right ones that it stops too). The gate's own are those
# of the starter network on requests by people: `python -m benchmarks.check`, kept in benchmarks/check.json.
GATE = (27 / 36, 124 / 924)
RATES = (GATE, (0.5, 0.05), (0.7, 0.1), (0.8, 0.05), (0.9, 0.1), (0.95, 0.02), (1.0, 0.0))

Tell = Callable[[int, int], None]


@dataclass(slots=True)
class Played:
    """What every policy got. A policy is its name, with its settings where it is played at several."""

    world: World
    tests: dict[Any, Tally] = field(default_factory=dict)
    traffic: dict[Any, Tally] = field(default_factory=dict)

    def chose(self, policy: object, rows: "Array", choice: "Array") -> None:
        scores, prices = self.world.scores[rows, choice], self.world.prices[choice]
        self.tests.setdefault(policy, Tally()).add(rows, scores, prices)

    def ran(self, policy: object, run: Run) -> None:
        """Count a bandit's run on the test rows and on all of its traffic, shadows in its price."""
        scores = self.world.scores[run.rows, run.choice]
        self._count(policy, run, scores, self.world.prices[run.choice] + run.shadow)

    def _count(self, policy: object, run: Run, scores: "Array", prices: "Array") -> None:
        test = slice(len(run.rows) - run.tested, None)
        self.tests.setdefault(policy, Tally()).add(run.rows[test], scores[test], prices[test])
        self.traffic.setdefault(policy, Tally()).add(run.rows, scores, prices, run.shadow)

    def escalated(self, policy: object, run: Run, rate: Point) -> None:
        """Count what a check of each answer gives in expectation: what it stops is asked of the second choice,
        whose answer stands."""
        caught, false = rate
        first = self.world.scores[run.rows, run.choice]
        stopped = caught * (1 - first) + false * first
        scores = first * (1 - false) + stopped * self.world.scores[run.rows, run.second]
        prices = self.world.prices[run.choice] + run.shadow + stopped * self.world.prices[run.second]
        self._count(policy, run, scores, prices)


def report(
    outcomes: Outcomes,
    prices: "Array",
    *,
    training: Outcomes | None = None,
    labels: int | None = None,
    small: str | None = None,
    seed: int = 0,
    orderings: int = ORDERINGS,
    progress: Tell = lambda step, steps: None,
) -> dict[str, JSON]:
    """The figures of every policy, as the object that other tools may rely on.

    Prices are in the units of `prices`. Accuracy, price and interval are those of the test rows, a bandit's
    with its shadows' price. Without `training` rows are shuffled into five folds as often as `orderings` says,
    with seeds from `seed` on; with it these are shuffled five times. Raises RequestError where there are too few
    rows.
    """
    whole = training + outcomes if training else outcomes
    first = len(training) if training else 0
    _check(whole, first, labels)
    world = World.of(texts.read(whole.queries), whole.scores, prices)
    played = Played(world)
    seeds = range(seed, seed + (1 if first else orderings))
    each = 1 if first else FOLDS  # splits of an ordering
    parts = [split for one in seeds for split in splits(len(whole), first, labels, one)]
    means: list[Part] = []
    chosen = []
    for i, split in enumerate(parts):
        progress(2 * i, 2 * len(parts))
        _fixed(played, split, whole)
        trained = full_information(world, split)
        chosen.append({"dial": trained.dial, "weight_of_cells": trained.weight})
        means.append((split.test, trained.means(split.test)))
        for dial in DIALS:
            played.chose(("full", dial), split.test, choose(means[-1][1], prices, dial))
        played.chose("full_information", split.test, choose(means[-1][1], prices, trained.dial))
        progress(2 * i + 1, 2 * len(parts))
        _bandits(played, split)
    progress(2 * len(parts), 2 * len(parts))
    made = _figures(played, whole, each, seed)
    made |= {"n": len(outcomes), "labels": labels, "seeds": list(seeds), "chosen_in_training": chosen}
    if len(whole.models) == 2:
        made |= two_models(world.scores, [means[i : i + each] for i in range(0, len(means), each)], seed)
    if small and len(matching(whole, small)) > 1:
        best = world.scores[:, whole.models.index(made["best_single"])]
        made["small"] = _small(world, whole, parts, matching(whole, small), best, each, seed)
    return made


def _check(whole: Outcomes, first: int, labels: int | None) -> None:
    training = first or len(whole) - -(-len(whole) // FOLDS)
    if training < FEWEST:
        raise RequestError(
            f"{training} rows to learn from are too few", hint=f"give {FEWEST} or more, better 500"
        )
    if labels is not None and not FEWEST <= labels <= training:
        raise RequestError(
            f"{labels} labelled rows are asked for",
            hint=f"give --labels a number from {FEWEST} to {training}",
        )


def _fixed(played: Played, split: Split, whole: Outcomes) -> None:
    """The policies that learn nothing from texts, and the two oracles, which see the test rows' own scores."""
    import numpy as np

    world, rows = played.world, split.test
    scores, prices, same = world.scores[rows], world.prices, np.zeros(len(rows), dtype=np.int64)
    for i, model in enumerate(whole.models):
        played.chose(f"single:{model}", rows, same + i)
    played.tests.setdefault("random", Tally()).add(rows, scores.mean(axis=1), prices.mean())
    best = choose(world.scores[split.labelled].mean(axis=0)[None], prices, 0)
    played.chose("best_single", rows, same + best)
    tasks = [whole.tasks[row] for row in rows]
    if None not in tasks:
        names, place = np.unique(np.array(tasks), return_inverse=True)
        worth = np.stack([scores[place == i].mean(axis=0) for i in range(len(names))])
        played.chose("task_oracle", rows, choose(worth, prices, 0)[place])
    played.chose("query_oracle", rows, choose(scores, prices, 0))


def _bandits(played: Played, split: Split) -> None:
    cold, warm = (traffic(played.world, split, warm=known) for known in (False, True))
    played.ran("linucb", linucb(cold, DIAL))
    played.ran("context_free", cells(cold, DIAL, context=False))
    played.ran("cells_cold", cells(cold, DIAL))
    for dial in BANDIT_DIALS:
        run = cells(warm, dial)
        played.ran(("warm", dial), run)
        for rate in RATES:
            played.escalated((rate, dial), run, rate)
        if dial == DIAL:
            played.ran("cells_warm", run)
            played.escalated("cells_escalate", run, GATE)


def _figures(played: Played, whole: Outcomes, splits: int, seed: int) -> dict[str, JSON]:
    """The part of the report that every file gives; what only two-model files do is None."""
    tests, runs = played.tests, played.traffic
    best = max(whole.models, key=lambda model: tests[f"single:{model}"].point[0])
    single = played.world.scores[:, whole.models.index(best)]
    curves = {
        "full_information": {dial: tests["full", dial] for dial in DIALS},
        "bandit": {dial: tests["warm", dial] for dial in BANDIT_DIALS},
        "bandit_whole_traffic": {dial: runs["warm", dial] for dial in BANDIT_DIALS},
    }
    equal = {
        name: at_equal_accuracy([*curve.values()], single, splits, seed) for name, curve in curves.items()
    }
    return {
        "best_single": best,
        "policies": [
            {
                "name": name,
                **tally.row(single),
                **({"whole_traffic": runs[name].traffic(splits)} if name in runs else {}),
            }
            for name, tally in tests.items()
            if isinstance(name, str)
        ],
        "price_at_equal_accuracy": {name: found["price"] for name, found in equal.items()},
        **dict.fromkeys(("apgr", "cpt50", "cpt80")),
        "equal_accuracy": equal,
        "curves": {name: _points(curve, single) for name, curve in curves.items()},
        "warm_traffic": [{"dial": dial, **runs["warm", dial].traffic(splits)} for dial in BANDIT_DIALS],
        "escalate": [_escalation(played, rate, single, splits, seed) for rate in RATES],
    }


def _points(curve: dict[float, Tally], single: "Array") -> list[JSON]:
    return [{"dial": dial, **tally.row(single)} for dial, tally in curve.items()]


def _escalation(played: Played, rate: Point, single: "Array", splits: int, seed: int) -> dict[str, JSON]:
    curve = {dial: played.tests[rate, dial] for dial in BANDIT_DIALS}
    return {
        "true_positive": rate[0],
        "false_positive": rate[1],
        "points": _points(curve, single),
        "traffic": [{"dial": d, **played.traffic[rate, d].traffic(splits)} for d in BANDIT_DIALS],
        "equal_accuracy": at_equal_accuracy([*curve.values()], single, splits, seed),
    }


def _small(
    world: World,
    whole: Outcomes,
    parts: list[Split],
    models: tuple[str, ...],
    single: "Array",
    splits: int,
    seed: int,
) -> dict[str, JSON]:
    """What full information makes of the small models alone, against the best single one of all."""
    kept = [whole.models.index(model) for model in models]
    played = Played(replace(world, scores=world.scores[:, kept], prices=world.prices[kept]))
    for split in parts:
        means = full_information(played.world, split).means(split.test)
        for dial in DIALS:
            played.chose(dial, split.test, choose(means, played.world.prices, dial))
    curve = {dial: played.tests[dial] for dial in DIALS}
    equal = at_equal_accuracy([*curve.values()], single, splits, seed)
    return {
        "models": list(models),
        "points": _points(curve, single),
        "price_at_equal_accuracy": equal["price"],
        "equal_accuracy": equal,
    }
