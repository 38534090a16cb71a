"""Honesty and power of trials, simulated with the code that decides them.

python benchmarks/honesty.py            a table and honesty.json; under five minutes on one core
python benchmarks/honesty.py --quick    a tenth of the networks, and no file

Honest: of networks that make 200 trials of changes that change nothing (answers flip at random, to better and
to worse alike), at most one in twenty may ever adopt one. A trial looks at its evidence here even where the
real order of things would first ask for more pairs: looking more often only makes honesty harder.
Power: how many pairs prove a change that does help.

Tables of the tests' own values find the trials that may pass; `tinyllm.learning.trial` decides these. A trial
that the tables leave out has a p-value above its level, for which that code never adopts.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from tinyllm.evidence import Ledger, Tally, Test, betting, clopper_pearson, e_value, mcnemar, required_pairs
from tinyllm.learning.traffic import Outcome, Pair, Part, part_of
from tinyllm.learning.trial import Contest, Rules, confirm, contest, follow, watch

Array = np.ndarray[Any, Any]
TRIALS = 200
FLIPS = (0.05, 0.1, 0.2, 0.3)
PAIRS = 300  # in confirm, in each trial
STREAM = 1000  # pairs of a stream, which is looked at after every one of them
RULES = Rules(cost_cap=1.0)
SAVING = Rules(cost_cap=1.0, margin=0.05)
WON = Contest("candidate", 0, 0, "", {})


def share(k: int, n: int) -> dict[str, Any]:
    low, high = clopper_pearson(k, n)
    return {"k": k, "n": n, "share": round(k / n, 4), "interval": [round(low, 4), round(high, 4)]}


def tally(gains: Any, losses: Any, pairs: Any) -> Tally:
    return Tally(int(gains), int(losses), int(pairs - gains - losses))


class Life:
    """The ledgers of a network that adopts every so many changes (0: none) and their levels, trial by trial."""

    def __init__(self, every: int) -> None:
        self.ledgers = [Ledger()]
        for i in range(TRIALS - 1):
            proven = bool(every) and i % every == 0
            self.ledgers.append(self.ledgers[-1].opened(f"trial {i}").closed(f"trial {i}", proven=proven))
        self.levels = np.array([ledger.next_level for ledger in self.ledgers])


class Simulation:
    """Random networks, and the tables that find their trials which may pass."""

    def __init__(self, seed: int) -> None:
        self.chance = np.random.default_rng(seed)
        self.failing, self.growing_life = Life(0), Life(4)

    @cached_property
    def p_values(self) -> Array:
        """By gains and losses."""
        return np.array([[mcnemar(Tally(g, l)) for l in range(150)] for g in range(150)])

    @cached_property
    def p_values_saving(self) -> Array:
        """By gains and losses in so many pairs as confirm has."""
        p_value = partial(betting, margin=SAVING.margin)
        return np.array([[p_value(Tally(g, l, PAIRS - g - l)) for l in range(150)] for g in range(150)])

    @cached_property
    def wealth(self) -> Array:
        """By gains and losses."""
        return np.array([[e_value(Tally(g, l)) for l in range(420)] for g in range(620)])

    def counts(self, pairs: int, flips: float, gain: float, runs: int) -> Array:
        """Gains, losses and ties of so many runs."""
        rates = [(flips + gain) / 2, max(0.0, flips - gain) / 2, 1 - flips]
        return self.chance.multinomial(pairs, rates, runs)

    def walks(self, pairs: int, flips: float, gain: float, runs: int) -> tuple[Array, Array]:
        """Gains and losses so far, after every pair."""
        drawn = self.chance.random((runs, pairs), dtype=np.float32)
        worse = (drawn >= (flips + gain) / 2) & (drawn < flips)
        return (drawn < (flips + gain) / 2).cumsum(1, dtype=np.int32), worse.cumsum(1, dtype=np.int32)

    def looks(self, counts: Array, p_values: Array, life: Life, rules: Rules = RULES) -> list[int]:
        """The trials that are adopted, given gains, losses and ties of all in their order."""
        adopted = []
        for i in np.flatnonzero(p_values[counts[:, 0], counts[:, 1]] <= life.levels):
            outcome = Outcome(Tally(*counts[i].tolist()), cost_before=1.0, cost_after=0.5)
            if confirm("new", WON, outcome, life.ledgers[i], rules)[0].adopted:
                adopted.append(int(i))
        return adopted

    def fresh(self, flips: float) -> bool:
        """Each trial has new traffic."""
        return bool(self.looks(self.counts(PAIRS, flips, 0.0, TRIALS), self.p_values, self.failing))

    def savings(self, flips: float) -> bool:
        """Each change saves, and loses exactly the margin of five points, which is just too much."""
        counts = self.counts(PAIRS, flips, -SAVING.margin, TRIALS)
        return bool(self.looks(counts, self.p_values_saving, self.failing, SAVING))

    def reused(self, flips: float) -> bool:
        """All trials meet the same requests, with the head's good or bad luck on them.

        A candidate answers a share of them anew, and is right six times in ten, as the head is.
        """
        right = int(self.chance.binomial(PAIRS, 0.6))
        anew = flips / (2 * 0.6 * 0.4)
        gains = self.chance.binomial(PAIRS - right, anew * 0.6, TRIALS)
        losses = self.chance.binomial(right, anew * 0.4, TRIALS)
        counts = np.stack([gains, losses, PAIRS - gains - losses], axis=1)
        return bool(self.looks(counts, self.p_values, self.failing))

    def growing(self, flips: float) -> bool:
        """Every fourth change helps (+25 points) and gives its level back: is one adopted that does nothing?"""
        counts = self.counts(PAIRS, flips, 0.0, TRIALS)
        counts[::4] = self.counts(PAIRS, max(flips, 0.25), 0.25, TRIALS // 4)
        adopted = self.looks(counts, self.p_values, self.growing_life)
        # The ledgers are right until a change is adopted that does nothing: all that help must be.
        assert set(range(0, TRIALS, 4)) <= set(adopted)
        return len(adopted) > TRIALS // 4

    def whole(self, flips: float) -> bool:
        """Twenty trials as they come: near-duplicates, parts by group, the luckiest of twenty rivals."""
        rules = Rules(cost_cap=1.0, gain=0.25)
        sizes = self.chance.geometric(0.6, 400).tolist()
        salt = str(self.chance.integers(1 << 60))
        parts = [part_of(str(group), salt=salt) for group in range(len(sizes))]

        def outcome(part: Part) -> Outcome:
            groups = [group for group, its in enumerate(parts) if its == part]
            changes = self.chance.choice([1, -1, 0], len(groups), p=[flips / 2, flips / 2, 1 - flips])
            return Outcome.of(
                Pair(f"{group}.{i}", str(group), change < 0, change > 0)
                for group, change in zip(groups, changes.tolist(), strict=True)
                for i in range(sizes[group])
            )

        ledger = Ledger()
        for i in range(20):
            won = contest({f"rival {j}": outcome("select") for j in range(20)}, ledger, rules)
            if won.winner is not None:
                verdict, ledger = confirm(f"trial {i}", won, outcome("confirm"), ledger, rules)
                if verdict.adopted:
                    return True
        return False

    def streams(self, flips: float) -> bool:
        """Candidates run beside the head and are judged after every pair: is one adopted?"""
        gains, losses = self.walks(STREAM, flips, 0.0, TRIALS)
        passed = self.wealth[gains, losses] >= 1 / self.failing.levels[:, None]
        for i in np.flatnonzero(passed.any(1)):
            at = passed[i].argmax()
            outcome = Outcome(tally(gains[i, at], losses[i, at], at + 1))
            if follow("new", "candidate", outcome, self.failing.ledgers[i].opened("new"), RULES)[0].adopted:
                return True
        return False

    def rollbacks(self, flips: float) -> bool:
        """200 versions as good as their parents, a third of traffic protected: is one rolled back?"""
        rules = Rules(cost_cap=1.0, protected={"units": 0.02})
        gains, losses = self.walks(STREAM, flips, 0.0, TRIALS)
        # Every third pair is one of the protected slice.
        mine_gained, mine_lost = (np.diff(x, axis=1, prepend=0) for x in (gains, losses))
        mine_gained[:, np.arange(STREAM) % 3 > 0] = mine_lost[:, np.arange(STREAM) % 3 > 0] = 0
        mine_gained, mine_lost = mine_gained.cumsum(1), mine_lost.cumsum(1)
        values = (self.wealth[losses, gains] + self.wealth[mine_lost, mine_gained]) / 2
        passed = values >= 1 / self.failing.levels[:, None]
        for i in np.flatnonzero(passed.any(1)):
            at = passed[i].argmax()
            units = tally(mine_gained[i, at], mine_lost[i, at], at // 3 + 1)
            live = Outcome(tally(gains[i, at], losses[i, at], at + 1), slices={"units": units})
            if not watch("new", live, self.failing.ledgers[i].opened("new"), rules)[0].adopted:
                return True
        return False

    def networks(self, adopts: Callable[[float], bool], flips: float, runs: int) -> dict[str, Any]:
        return share(sum(adopts(flips) for _ in range(runs)), runs)

    def power(self, trial: int, gain: float, flips: float, rules: Rules, runs: int) -> dict[str, Any]:
        """The pairs with which a gain is adopted, and how often that many did it."""
        ledger = self.failing.ledgers[trial - 1]
        test: Test = partial(betting, margin=rules.margin) if rules.margin else mcnemar
        pairs = required_pairs(test, gain, flips, ledger.next_level)
        rows = self.counts(pairs, flips, gain, runs).tolist()
        outcomes = [Outcome(Tally(*row), cost_before=1.0, cost_after=0.5) for row in rows]
        adopted = sum(confirm("new", WON, outcome, ledger, rules)[0].adopted for outcome in outcomes)
        known = {"trial": trial, "level": ledger.next_level, "flips": flips, "gain": gain, "pairs": pairs}
        return known | share(adopted, runs)

    def stream_power(self, trial: int, gain: float, runs: int) -> dict[str, Any]:
        """The pairs after which a stream has adopted a gain at 30% flips, in half and in 80% of runs."""
        gains, losses = self.walks(3200, 0.3, gain, runs)
        gains, losses = np.minimum(gains, 619), np.minimum(losses, 419)
        passed = self.wealth[gains, losses] >= 1 / self.failing.levels[trial - 1]
        at = np.where(passed.any(1), passed.argmax(1) + 1, np.inf)
        half, most = (float(np.quantile(at, q, method="higher")) for q in (0.5, 0.8))
        known = {"half of runs": half, "80% of runs": most}
        for run in np.flatnonzero(passed.any(1))[:100]:
            seen = int(at[run])
            outcome = Outcome(tally(gains[run, seen - 1], losses[run, seen - 1], seen))
            ledger = self.failing.ledgers[trial - 1].opened("new")
            assert follow("new", "candidate", outcome, ledger, RULES)[0].adopted, "the table is not the code"
        # None: more pairs than were simulated.
        return {"trial": trial, "gain": gain} | {k: int(v) if v < np.inf else None for k, v in known.items()}

    def naive(self, runs: int) -> dict[str, Any]:
        """What common rules do with changes that change nothing, at 20% flips."""
        hundred, three = self.counts(100, 0.2, 0.0, runs), self.counts(3, 0.2, 0.0, runs)
        lucky = self.counts(100, 0.2, 0.0, runs * 20)
        gains, losses = self.walks(STREAM, 0.2, 0.0, min(runs, 2000))
        peeks = np.asarray((self.p_values[gains, losses] <= 0.05).any(1))
        lives = self.counts(100, 0.2, 0.0, runs * TRIALS).reshape(runs, TRIALS, 3)
        once = self.p_values[lives[..., 0], lives[..., 1]] <= 0.05
        fives = self.counts(60, 0.2, 0.0, runs) * 5
        better = lives[..., 0] > lives[..., 1]
        return {
            "better on 100 items": share(int((hundred[:, 0] > hundred[:, 1]).sum()), runs),
            "no worse on 100 items": share(int((hundred[:, 0] >= hundred[:, 1]).sum()), runs),
            "better on three items": share(int((three[:, 0] > three[:, 1]).sum()), runs),
            "exact test at 5%, once": share(int(once[:, 0].sum()), runs),
            "exact test at 5%, looked at after every one of 1,000 pairs": share(int(peeks.sum()), len(peeks)),
            "exact test at 5%, 60 groups of five duplicates, each counted": share(
                int((self.p_values[fives[:, 0], fives[:, 1]] <= 0.05).sum()), runs
            ),
            "networks, better on 100 items, 200 trials": share(int(better.any(1).sum()), runs),
            "networks, exact test at 5% each, 200 trials": share(int(once.any(1).sum()), runs),
            "points that the luckiest of 20 seems to gain on 100 items": round(
                float((lucky[:, 0] - lucky[:, 1]).reshape(runs, 20).max(1).mean()), 2
            ),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description="Are trials honest, and how many pairs do they take?")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a tenth of the networks, and no file")
    options = parser.parse_args()
    began = time.process_time()
    simulation = Simulation(options.seed)
    part = 10 if options.quick else 1
    ways = {  # how networks live, and how many of them are simulated for each share of flips
        "one look, new traffic each trial": (simulation.fresh, 20_000),
        "one look, the same traffic each trial": (simulation.reused, 20_000),
        "streams judged after every pair": (simulation.streams, 1000),
        "rollback of versions that are fine": (simulation.rollbacks, 500),
        "one look, savings that lose 5 points": (simulation.savings, 20_000),
        "one look, every fourth change helps": (simulation.growing, 1000),
        "the whole way, 20 trials of 20 rivals": (simulation.whole, 60),
    }
    report: dict[str, Any] = {
        "command": " ".join(["python benchmarks/honesty.py", *sys.argv[1:]]),
        "machine": {
            "system": platform.system(), "processor": platform.machine(), "python": platform.python_version()
        },
        "seed": options.seed,
        "budget": Ledger().budget,
        "trials": TRIALS,
        "pairs": {"one look": PAIRS, "stream": STREAM},
        "networks that adopt, or roll back, a change that changes nothing": {},
    }  # fmt: skip
    honest = report["networks that adopt, or roll back, a change that changes nothing"]
    for way, (adopts, runs) in ways.items():
        honest[way] = {}
        for flips in FLIPS:
            honest[way][f"{flips:.0%} flips"] = figure = simulation.networks(adopts, flips, runs // part)
            print(f"{way:40} {flips:4.0%} flips  {words(figure)}", flush=True)
    powers = [(trial, gain) for trial in (1, 10, 50, TRIALS) for gain in (0.05, 0.1, 0.25)]
    looks = [(trial, gain, 0.3, RULES) for trial, gain in powers]
    report["pairs that prove a gain, one look"] = [simulation.power(*it, 5000 // part) for it in looks]
    looks = [(trial, 0.0, flips, SAVING) for trial in (1, 10, 50, TRIALS) for flips in (0.01, 0.05, 0.1)]
    report["pairs that prove no loss of 5 points"] = [simulation.power(*it, 5000 // part) for it in looks]
    for row in report["pairs that prove a gain, one look"] + report["pairs that prove no loss of 5 points"]:
        what = f"+{row['gain']:.0%} at {row['flips']:.0%} flips"
        print(f"trial {row['trial']:3}  {what:18} {row['pairs']:5} pairs  {words(row)}")
    report["pairs that prove a gain, streams"] = [simulation.stream_power(*it, 1000 // part) for it in powers]
    for row in report["pairs that prove a gain, streams"]:
        print("stream", row)
    report["common rules, 20% flips"] = simulation.naive(10_000 // part)
    for name, value in report["common rules, 20% flips"].items():
        print(f"{name:75} {words(value) if isinstance(value, dict) else value}")
    report["cpu_seconds"] = round(time.process_time() - began)
    print(f"{report['cpu_seconds']} seconds of CPU")
    if not options.quick:
        Path(__file__).with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n")


def words(figure: dict[str, Any]) -> str:
    low, high = figure["interval"]
    return f"{figure['share']:.2%} ({low:.2%} to {high:.2%}) of {figure['n']}"


if __name__ == "__main__":
    main()
