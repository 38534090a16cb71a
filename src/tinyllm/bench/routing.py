"""The routing experiment: what policies that read only the request would have got right, and at which price.

Recorded outcomes of real models are replayed, row by row; settings are chosen inside the labelled rows. Knows
nothing about the command line.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tinyllm.bench import figures
from tinyllm.bench.bandits import Run, cells, linucb, traffic
from tinyllm.bench.full import DIALS, full_information
from tinyllm.bench.outcomes import Outcomes, matching
from tinyllm.bench.splits import FOLDS, Split, splits
from tinyllm.bench.world import World
from tinyllm.errors import RequestError
from tinyllm.routing import texts
from tinyllm.routing.cells import choose
from tinyllm.types import JSON

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

BANDIT_DIALS = (0.0, 0.03, 0.06, 0.09, 0.12)
DIAL = 0.09  # of the bandits' rows; nothing chooses it
ORDERINGS = 5  # of a two-model file, for its APGR
# (share of wrong answers that a check stops, share of right ones that it stops too). The gate's own are those
# of this project's linear reader on requests by people (docs/log.md): 28 of 36, and 59 of 892.
GATE = (28 / 36, 59 / 892)
RATES = (GATE, (0.5, 0.05), (0.7, 0.1), (0.8, 0.05), (0.9, 0.1), (0.95, 0.02), (1.0, 0.0))

Tell = Callable[[int, int], None]
Point = tuple[float, float]


@dataclass(slots=True)
class Tally:
    """What a policy got, test rows of one split after another: the rows, their scores, the prices paid."""

    rows: "list[Array]" = field(default_factory=list)
    scores: "list[Array]" = field(default_factory=list)
    prices: "list[Array]" = field(default_factory=list)

    def add(self, rows: "Array", scores: "Array", prices: "Array") -> None:
        import numpy as np

        self.rows.append(rows)
        self.scores.append(scores)
        self.prices.append(np.broadcast_to(prices, rows.shape))

    def by_row(self, n: int) -> "Array":
        """The mean score of each tested row, in the order of the file."""
        import numpy as np

        rows = np.concatenate(self.rows)
        times = np.bincount(rows, minlength=n)
        return np.bincount(rows, np.concatenate(self.scores), n)[times > 0] / times[times > 0]

    @property
    def point(self) -> Point:
        import numpy as np

        return float(np.concatenate(self.scores).mean()), float(np.concatenate(self.prices).mean())


Tallies = dict[Any, Tally]


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
    world = World(texts.read(whole.queries), whole.scores, prices)
    parts = list(splits(len(whole), first, labels, seed))
    steps = len(parts) * (3 + len(BANDIT_DIALS))
    tallies: Tallies = {}
    whole_runs: Tallies = {}
    chosen = []
    for i, split in enumerate(parts):
        step = i * (3 + len(BANDIT_DIALS))
        progress(step, steps)
        _fixed(tallies, world, split, whole)
        trained = full_information(world, split)
        chosen.append({"dial": trained.dial, "weight_of_cells": trained.weight})
        means = trained.means(split.test)
        for dial in DIALS:
            _took(tallies, ("full", dial), world, split.test, choose(means, prices, dial))
        _took(tallies, "full_information", world, split.test, choose(means, prices, trained.dial))
        progress(step + 1, steps)
        cold, warm = traffic(world, split, warm=False), traffic(world, split, warm=True)
        for name, run in (
            ("cells_cold", cells(cold, DIAL)),
            ("linucb", linucb(cold, DIAL)),
            ("context_free", cells(cold, DIAL, context=False)),
        ):
            _ran(tallies, whole_runs, name, world, run)
        for j, dial in enumerate(BANDIT_DIALS):
            progress(step + 2 + j, steps)
            run = cells(warm, dial)
            _ran(tallies, whole_runs, ("warm", dial), world, run)
            for rate in RATES:
                _escalated(tallies, (rate, dial), world, run, rate)
    progress(steps, steps)
    tallies["cells_warm"], whole_runs["cells_warm"] = tallies["warm", DIAL], whole_runs["warm", DIAL]
    whole_runs["cells_warm", "shadow"] = whole_runs[("warm", DIAL), "shadow"]
    tallies["cells_escalate"] = tallies[GATE, DIAL]
    n = len(whole)
    singles = {model: tallies[f"single:{model}"].by_row(n) for model in whole.models}
    best = max(singles, key=lambda model: float(singles[model].mean()))
    aim = float(singles[best].mean())
    curves = {
        "full_information": [tallies["full", dial].point for dial in DIALS],
        "bandit": [tallies["warm", dial].point for dial in BANDIT_DIALS],
        "bandit_whole_traffic": [whole_runs["warm", dial].point for dial in BANDIT_DIALS],
    }
    made: dict[str, JSON] = {
        "n": len(outcomes),
        "labels": labels,
        "seed": seed,
        "best_single": best,
        "policies": [
            _row(name, tally, singles[best], n, whole_runs)
            for name, tally in tallies.items()
            if isinstance(name, str)
        ],
        "price_at_equal_accuracy": {name: figures.price_at(curve, aim) for name, curve in curves.items()},
        **dict.fromkeys(("apgr", "cpt50", "cpt80")),
        "chosen_in_training": chosen,
        "curves": {
            name: [
                {"dial": dial, "accuracy": right, "price": price}
                for dial, (right, price) in zip(
                    DIALS if name == "full_information" else BANDIT_DIALS, curve, strict=True
                )
            ]
            for name, curve in curves.items()
        },
        "last_quarter": [
            {"dial": dial, **_last_quarter(whole_runs["warm", dial], len(parts))} for dial in BANDIT_DIALS
        ],
        "escalate": [_escalation(tallies, rate, aim) for rate in RATES],
    }
    if len(whole.models) == 2:
        made |= _two_models(world, n, first, labels, seed)
    if small and len(matching(whole, small)) > 1:
        made["small"] = _small(world, whole, parts, matching(whole, small), aim)
    return made


def _check(whole: Outcomes, first: int, labels: int | None) -> None:
    training = first or len(whole) - -(-len(whole) // FOLDS)
    if training < 50:
        raise RequestError(f"{training} rows to learn from are too few", hint="give 50 or more, better 500")
    if labels is not None and not 50 <= labels <= training:
        raise RequestError(
            f"{labels} labelled rows are asked for", hint=f"give --labels a number from 50 to {training}"
        )


def _took(tallies: Tallies, name: object, world: World, rows: "Array", choice: "Array") -> None:
    tallies.setdefault(name, Tally()).add(rows, world.scores[rows, choice], world.prices[choice])


def _fixed(tallies: Tallies, world: World, split: Split, whole: Outcomes) -> None:
    """The policies that learn nothing from texts, and the two oracles, which see the test rows' own scores."""
    import numpy as np

    rows, same = split.test, np.zeros(len(split.test), dtype=np.int64)
    scores, prices = world.scores[rows], world.prices
    for i, model in enumerate(whole.models):
        _took(tallies, f"single:{model}", world, rows, same + i)
    tallies.setdefault("random", Tally()).add(rows, scores.mean(axis=1), prices.mean())
    best = choose(world.scores[split.labelled].mean(axis=0)[None], prices, 0)
    _took(tallies, "best_single", world, rows, same + best)
    tasks = [whole.tasks[row] for row in rows]
    if None not in tasks:
        names, place = np.unique(np.array(tasks), return_inverse=True)
        means = np.stack([scores[place == i].mean(axis=0) for i in range(len(names))])
        _took(tallies, "task_oracle", world, rows, choose(means, prices, 0)[place])
    _took(tallies, "query_oracle", world, rows, choose(scores, prices, 0))


def _ran(tallies: Tallies, whole_runs: Tallies, name: object, world: World, run: Run) -> None:
    """Count a bandit's run, on the test rows and on all of its traffic, shadows in its price."""
    scores = world.scores[run.rows, run.choice]
    prices = world.prices[run.choice] + run.shadow
    test = slice(len(run.rows) - run.tested, None)
    tallies.setdefault(name, Tally()).add(run.rows[test], scores[test], prices[test])
    whole_runs.setdefault(name, Tally()).add(run.rows, scores, prices)
    whole_runs.setdefault((name, "shadow"), Tally()).add(run.rows, scores, run.shadow)


def _escalated(tallies: Tallies, name: object, world: World, run: Run, rate: Point) -> None:
    """Count what a check of each answer would give in expectation: what it stops goes to the next best choice."""
    import numpy as np

    caught, false = rate
    test = slice(len(run.rows) - run.tested, None)
    rows, choice, best = run.rows[test], run.choice[test], run.best[test]
    cheap = world.scores[rows, choice]
    stopped = np.where(choice == best, 0.0, caught * (1 - cheap) + false * cheap)
    passed = np.where(choice == best, cheap, cheap * (1 - false))
    scores = passed + stopped * world.scores[rows, best]
    prices = world.prices[choice] + run.shadow[test] + stopped * world.prices[best]
    tallies.setdefault(name, Tally()).add(rows, scores, prices)


def _row(name: str, tally: Tally, single: "Array", n: int, whole_runs: Tallies) -> dict[str, JSON]:
    mine = tally.by_row(n)
    accuracy, price = tally.point
    made: dict[str, JSON] = {
        "name": name,
        "accuracy": accuracy,
        "price": price,
        "interval": figures.interval(mine),
        "gain_over_best_single": figures.interval(mine - single),
    }
    if name in whole_runs:
        right, paid = whole_runs[name].point
        shadow = whole_runs[name, "shadow"].point[1]
        made["whole_traffic"] = {"accuracy": right, "price": paid, "shadow": shadow}
    return made


def _last_quarter(tally: Tally, parts: int) -> dict[str, JSON]:
    """The accuracy and price of the last quarter of the traffic of each split, with an interval over splits."""
    import numpy as np

    scores = np.array([part[-(len(part) // 4) :].mean() for part in tally.scores])
    prices = np.array([part[-(len(part) // 4) :].mean() for part in tally.prices])
    return {
        "accuracy": float(scores.mean()),
        "interval": figures.interval(scores),
        "price": float(prices.mean()),
        "splits": parts,
    }


def _escalation(tallies: Tallies, rate: Point, aim: float) -> dict[str, JSON]:
    curve = [tallies[rate, dial].point for dial in BANDIT_DIALS]
    return {
        "true_positive": rate[0],
        "false_positive": rate[1],
        "points": [{"accuracy": right, "price": price} for right, price in curve],
        "price_at_equal_accuracy": figures.price_at(curve, aim),
    }


def _two_models(world: World, n: int, first: int, labels: int | None, seed: int) -> dict[str, JSON]:
    """APGR and CPT as RouteLLM defines them, a mean over orderings; the interval is over rows (bootstrap)."""
    import numpy as np

    strong = int(world.scores.mean(axis=0).argmax())
    orderings: Iterable[list[Split]] = (
        [[split] for split in splits(n, first, labels, seed)]
        if first
        else [list(splits(n, 0, labels, seed + i)) for i in range(ORDERINGS)]
    )
    ranks = []
    for parts in orderings:
        rank = np.zeros(n)
        for split in parts:
            means = full_information(world, split).means(split.test)
            margins = means[:, strong] - means[:, 1 - strong]
            rank[split.test] = margins.argsort(kind="stable").argsort() / len(margins)
        ranks.append(rank[first:])
    weak, better = world.scores[first:, 1 - strong], world.scores[first:, strong]
    gaps = [figures.recovered(rank, weak, better) for rank in ranks]
    random, drawn = np.random.default_rng(seed), []
    for _ in range(400):
        rows = random.integers(len(weak), size=len(weak))
        again = [figures.apgr(figures.recovered(rank[rows], weak[rows], better[rows])) for rank in ranks]
        drawn.append(np.mean(again))
    return {
        "apgr": float(np.mean([figures.apgr(gap) for gap in gaps])),
        "cpt50": float(np.mean([figures.cpt(gap, 0.5) for gap in gaps])),
        "cpt80": float(np.mean([figures.cpt(gap, 0.8) for gap in gaps])),
        "apgr_interval": [float(edge) for edge in np.quantile(drawn, (0.025, 0.975))],
        "apgr_orderings": [figures.apgr(gap) for gap in gaps],
    }


def _small(
    world: World, whole: Outcomes, parts: list[Split], models: tuple[str, ...], aim: float
) -> dict[str, JSON]:
    """What full information makes of the small models alone, against the best single one of all."""
    kept = [whole.models.index(model) for model in models]
    alone = World(world.texts, world.scores[:, kept], world.prices[kept])
    tallies: Tallies = {}
    for split in parts:
        means = full_information(alone, split).means(split.test)
        for dial in DIALS:
            _took(tallies, dial, alone, split.test, choose(means, alone.prices, dial))
    curve = [tallies[dial].point for dial in DIALS]
    return {
        "models": list(models),
        "points": [{"accuracy": right, "price": price} for right, price in curve],
        "price_at_equal_accuracy": figures.price_at(curve, aim),
    }
