"""The routing experiment: what policies that read only the request would have got right, and at which price.

Recorded outcomes of real models are replayed, row by row; settings are chosen inside the labelled rows. Knows
nothing about the command line.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tinyllm.bench import figures
from tinyllm.bench.bandits import Run, cells, linucb, traffic
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

BANDIT_DIALS = (0.0, 0.03, 0.06, 0.09, 0.12, 0.15)
DIAL = 0.06  # of the bandits' rows; nothing chooses it
ORDERINGS = 5  # of a two-model file without a file for training
FEWEST = 50  # rows to learn from
# (share of wrong answers that a check stops, share of right ones that it stops too). The gate's own are those
# of this project's linear reader on requests by people (docs/log.md): 28 of 36, and 59 of 892.
GATE = (28 / 36, 59 / 892)
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
        prices = self.world.prices[run.choice] + run.shadow
        test = slice(len(run.rows) - run.tested, None)
        self.tests.setdefault(policy, Tally()).add(run.rows[test], scores[test], prices[test])
        self.traffic.setdefault(policy, Tally()).add(run.rows, scores, prices, run.shadow)

    def escalated(self, policy: object, run: Run, rate: Point) -> None:
        """Count what a check of each answer gives in expectation: what it stops is asked of the best choice."""
        import numpy as np

        caught, false = rate
        test = slice(len(run.rows) - run.tested, None)
        rows, choice, best = run.rows[test], run.choice[test], run.best[test]
        cheap = self.world.scores[rows, choice]
        stopped = np.where(choice == best, 0.0, caught * (1 - cheap) + false * cheap)
        passed = np.where(choice == best, cheap, cheap * (1 - false))
        scores = passed + stopped * self.world.scores[rows, best]
        prices = self.world.prices[choice] + run.shadow[test] + stopped * self.world.prices[best]
        self.tests.setdefault(policy, Tally()).add(rows, scores, prices)


def report(
    outcomes: Outcomes,
    prices: "Array",
    *,
    training: Outcomes | None = None,
    labels: int | None = None,
    small: str | None = None,
    seed: int = 0,
    progress: Tell = lambda step, steps: None,
) -> dict[str, JSON]:
    """The figures of every policy, as the object that other tools may rely on.

    Prices are in the units of `prices`. Accuracy, price and interval are those of the test rows, a bandit's
    with its shadows' price. Raises RequestError where there are too few rows.
    """
    whole = training + outcomes if training else outcomes
    first = len(training) if training else 0
    _check(whole, first, labels)
    world = World.of(texts.read(whole.queries), whole.scores, prices)
    played = Played(world)
    parts = list(splits(len(whole), first, labels, seed))
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
    made = _figures(played, whole)
    made |= {"n": len(outcomes), "labels": labels, "seed": seed, "chosen_in_training": chosen}
    if len(whole.models) == 2:
        more = () if first else [list(splits(len(whole), 0, labels, seed + i)) for i in range(1, ORDERINGS)]
        again = [[(one.test, full_information(world, one).means(one.test)) for one in each] for each in more]
        made |= two_models(world.scores, [[part] for part in means] if first else [means, *again], seed)
    if small and len(matching(whole, small)) > 1:
        made["small"] = _small(world, whole, parts, matching(whole, small), made["best_single"])
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


def _figures(played: Played, whole: Outcomes) -> dict[str, JSON]:
    """The part of the report that every file gives; what only two-model files do is None."""
    tests, runs = played.tests, played.traffic
    singles = {model: tests[f"single:{model}"].by_row() for model in whole.models}
    best = max(singles, key=lambda model: float(singles[model].mean()))
    aim = float(singles[best].mean())
    curves = {
        "full_information": {dial: tests["full", dial].point for dial in DIALS},
        "bandit": {dial: tests["warm", dial].point for dial in BANDIT_DIALS},
        "bandit_whole_traffic": {dial: runs["warm", dial].point for dial in BANDIT_DIALS},
    }
    return {
        "best_single": best,
        "policies": [
            {
                "name": name,
                **tally.row(singles[best]),
                **({"whole_traffic": runs[name].traffic()} if name in runs else {}),
            }
            for name, tally in tests.items()
            if isinstance(name, str)
        ],
        "price_at_equal_accuracy": {
            name: figures.price_at(list(curve.values()), aim) for name, curve in curves.items()
        },
        **dict.fromkeys(("apgr", "cpt50", "cpt80")),
        "curves": {name: _points(curve) for name, curve in curves.items()},
        "warm_traffic": [{"dial": dial, **runs["warm", dial].traffic()} for dial in BANDIT_DIALS],
        "escalate": [
            _escalation(rate, {d: tests[rate, d].point for d in BANDIT_DIALS}, aim) for rate in RATES
        ],
    }


def _points(curve: dict[float, Point]) -> list[JSON]:
    return [{"dial": dial, "accuracy": right, "price": price} for dial, (right, price) in curve.items()]


def _escalation(rate: Point, curve: dict[float, Point], aim: float) -> dict[str, JSON]:
    return {
        "true_positive": rate[0],
        "false_positive": rate[1],
        "points": _points(curve),
        "price_at_equal_accuracy": figures.price_at(list(curve.values()), aim),
    }


def _small(
    world: World, whole: Outcomes, parts: list[Split], models: tuple[str, ...], best: str
) -> dict[str, JSON]:
    """What full information makes of the small models alone, against the best single one of all."""
    kept = [whole.models.index(model) for model in models]
    played = Played(replace(world, scores=world.scores[:, kept], prices=world.prices[kept]))
    for split in parts:
        means = full_information(played.world, split).means(split.test)
        for dial in DIALS:
            played.chose(dial, split.test, choose(means, played.world.prices, dial))
    curve = {dial: played.tests[dial].point for dial in DIALS}
    rows = played.tests[DIALS[0]].by_row()
    aim = float(world.scores[-len(rows) :, whole.models.index(best)].mean())
    return {
        "models": list(models),
        "points": _points(curve),
        "price_at_equal_accuracy": figures.price_at(list(curve.values()), aim),
    }
