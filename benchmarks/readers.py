"""How well the readers read requests by people that they never saw: cross-validation by near-duplicate group.

TINYLLM_DATA_DIR=data python benchmarks/readers.py    prints a table and writes benchmarks/readers.json

A prediction is right when its tool call computes what the label's (or an equally right one's) computes;
to refuse is right where the label refuses. Every skill answers above a threshold of its own; those used on
a fold are chosen on the held-out predictions for the other folds, where a wrong answer weighs as much as
ten needless refusals. Where several readers run, "agreement" answers what all of them read alike.
"""

import argparse
import asyncio
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tinyllm.backends.reader import vector
from tinyllm.backends.reading import Reading
from tinyllm.errors import ToolError
from tinyllm.protocols import Tool, ToolContext
from tinyllm.slots import REFUSE, Slots, fill, find, literal_call
from tinyllm.starter import human
from tinyllm.starter.calls import OPS
from tinyllm.starter.corpus import Example, examples
from tinyllm.starter.linear import ROUTES, skill, train_reader, train_router
from tinyllm.tools.table import TOOLS
from tinyllm.types import ToolCall

GROUPS = ("calculation and conversion", "other skills", "other intents", "out of scope")
WRONG = 10  # needless refusals that one wrong answer weighs, when a threshold is chosen
MOMENTS = ((1.79e9, 1), (1.7312e9, 2))  # clocks and seeds under which two calls must compute the same


Thresholds = Mapping[tuple[int, str], float]  # by fold and skill


class Reader(Protocol):
    def read(self, slots: Slots) -> Reading: ...


# A reader is what trains it: examples and a seed in, something that reads out.
READERS: Mapping[str, Callable[[Sequence[Example], int], Reader]] = {
    "linear": lambda examples, seed: train_reader(examples, seed=seed),
}


@dataclass(frozen=True)
class Outcome:
    """A prediction on a held-out row. `right` is whether the call, or the refusal, would be right."""

    row: int
    fold: int
    group: str
    call: str
    probability: float
    right: bool
    refusable: bool

    def answered(self, thresholds: Thresholds) -> bool:
        return self.call != REFUSE and self.probability >= thresholds.get((self.fold, skill(self.call)), 0.0)

    def scored(self, thresholds: Thresholds) -> bool:
        return self.right if self.answered(thresholds) else self.refusable


class Judge:
    """Tells whether two tool calls are the same in effect, by running them."""

    def __init__(self) -> None:
        names = {op.tool for op in OPS.values() if op.tool}
        self.tools: dict[str, Tool] = {name: TOOLS[name]() for name in names}
        self.known: dict[str, str] = {}

    async def effect(self, call: ToolCall | None) -> str:
        """What a call computes, as text; of a refusal and of a call that fails, its kind."""
        if call is None:
            return REFUSE
        key = json.dumps([call.name, dict(call.arguments)], sort_keys=True)
        if key not in self.known:
            values: list[Any] = [call.arguments.get("zone") if call.name == "time" else None]
            try:
                for clock, seed in MOMENTS:
                    result = await self.tools[call.name].call(call.arguments, ToolContext(clock, seed))
                    values.append(result.value)
                self.known[key] = json.dumps([call.name, values])
            except ToolError:
                self.known[key] = f"fails: {key}"
        return self.known[key]

    async def judge(self, row: human.Row, fold: int, index: int, slots: Slots, reading: Reading) -> Outcome:
        wanted = {await self.effect(literal_call(literals, OPS)) for literals in row.calls}
        right = await self.effect(fill(reading.call, slots, OPS)) in wanted
        return Outcome(
            index, fold, group(row), reading.call, reading.probability, right, (REFUSE,) in row.calls
        )


def group(row: human.Row) -> str:
    if row.intent in ("calculator", "measurement_conversion"):
        return GROUPS[0]
    if row.intent in human.SKILLS:
        return GROUPS[1]
    return GROUPS[3] if row.intent == "oos" else GROUPS[2]


def wilson(k: int, n: int, z: float = 1.96) -> list[float]:
    """The 95% interval of a proportion (Wilson 1927)."""
    if not n:
        return [0.0, 1.0]
    centre, spread = (k + z * z / 2) / (n + z * z), z * (k * (n - k) / n + z * z / 4) ** 0.5 / (n + z * z)
    return [round(max(0.0, centre - spread), 4), round(min(1.0, centre + spread), 4)]


def share(k: int, n: int) -> dict[str, Any]:
    return {"k": k, "n": n, "share": round(k / n, 4) if n else None, "interval": wilson(k, n)}


def threshold(outcomes: Sequence[Outcome]) -> float:
    """The threshold at which what one skill answers is worth most."""
    worth, most, best = 0, 0, 1.1
    for outcome in sorted(outcomes, key=lambda o: -o.probability):
        worth += 1 if outcome.right else -WRONG
        if worth >= most:
            most, best = worth, outcome.probability
    return round(best - 5e-4, 3)


def thresholds_of(outcomes: Sequence[Outcome], folds: int) -> Thresholds:
    """For every fold and skill, the threshold chosen on the other folds."""
    table = {}
    for fold in range(folds):
        for name in {skill(o.call) for o in outcomes} - {REFUSE}:
            table[fold, name] = threshold([o for o in outcomes if o.fold != fold and skill(o.call) == name])
    return table


def figures(outcomes: Sequence[Outcome], thresholds: Thresholds) -> dict[str, Any]:
    """The shares by group, each fold at its own threshold."""
    table: dict[str, Any] = {}
    for name in GROUPS:
        rows = [o for o in outcomes if o.group == name]
        answered = [o for o in rows if o.answered(thresholds)]
        if name in GROUPS[2:]:
            table[name] = {"refused": share(len(rows) - len(answered), len(rows))}
        else:
            table[name] = {
                "right": share(sum(o.scored(thresholds) for o in rows), len(rows)),
                "answered": share(len(answered), len(rows)),
                "right of answered": share(sum(o.right for o in answered), len(answered)),
            }
    return table


def agreement(readers: Sequence[Sequence[Outcome]]) -> list[Outcome]:
    """What is answered where every reader reads the same call: with the lowest of their probabilities."""
    agreed = []
    for outcomes in zip(*readers, strict=True):
        first = outcomes[0]
        same = len({o.call for o in outcomes}) == 1
        lowest = min(o.probability for o in outcomes)
        call, right = (first.call, first.right) if same else (REFUSE, first.refusable)
        agreed.append(Outcome(first.row, first.fold, first.group, call, lowest, right, first.refusable))
    return agreed


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    rows = human.rows(Path(options.data))
    folds = human.folds(rows, options.folds, options.seed)
    slots = [find(row.text) for row in rows]
    judge = Judge()
    outcomes: dict[str, list[Outcome]] = {name: [] for name in options.readers}
    routed: list[bool] = []
    cpu: dict[str, list[float]] = {name: [] for name in (*options.readers, "router")}
    milliseconds: dict[str, list[float]] = {name: [] for name in options.readers}
    for fold in range(options.folds):
        held = [i for i in range(len(rows)) if folds[i] == fold]
        seen = [rows[i] for i in range(len(rows)) if folds[i] != fold]
        drawn = examples(options.seed, options.patterns, seen, copies=options.copies)
        for name in options.readers:
            start = time.process_time()
            reader = READERS[name](drawn, options.seed)
            cpu[name].append(time.process_time() - start)
            for i in held:
                outcomes[name].append(await judge.judge(rows[i], fold, i, slots[i], reader.read(slots[i])))
            start = time.process_time()
            for i in held:
                reader.read(find(rows[i].text))
            milliseconds[name].append((time.process_time() - start) / len(held) * 1e3)
        start = time.process_time()
        router = train_router(drawn, seed=options.seed)
        cpu["router"].append(time.process_time() - start)
        for i in held:
            if rows[i].intent in human.SKILLS:
                guess = router.labels[int(router.probabilities(vector(slots[i], router.bits)).argmax())]
                # "calculator" takes what is nothing but symbols, and hands the rest to "numbers".
                guess = "numbers" if guess == "calculator" else guess
                routed.append(guess in {ROUTES[skill(literals[0])] for literals in rows[i].calls})
        print(f"fold {fold + 1} of {options.folds}: {len(drawn)} examples", file=sys.stderr)
    result: dict[str, Any] = {
        "rows": {name: sum(group(row) == name for row in rows) for name in GROUPS},
        "training_cpu_seconds": {name: [round(s, 1) for s in seconds] for name, seconds in cpu.items()},
        "read_cpu_ms": {name: round(sum(ms) / len(ms), 3) for name, ms in milliseconds.items()},
        "router, right route of the skills' rows": share(sum(routed), len(routed)),
    }
    settings = dict(outcomes)
    if len(outcomes) > 1:
        settings["agreement"] = agreement(list(outcomes.values()))
    for name, all_outcomes in settings.items():
        thresholds = thresholds_of(all_outcomes, options.folds)
        result[name] = {
            "thresholds": {f"{tool}, fold {fold + 1}": t for (fold, tool), t in sorted(thresholds.items())},
            "above thresholds": figures(all_outcomes, thresholds),
            "answering always": figures(all_outcomes, {}),
        }
        if options.errors:
            report(rows, slots, [o for o in all_outcomes if not o.scored(thresholds)], name)
    return result


def report(rows: Sequence[human.Row], slots: Sequence[Slots], wrong: Sequence[Outcome], name: str) -> None:
    for o in wrong:
        print(
            f"{name} {o.probability:.2f} {rows[o.row].text!r} [{slots[o.row].template}] read {o.call!r}, "
            f"wanted {rows[o.row].calls[0]}",
            file=sys.stderr,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=os.environ.get("TINYLLM_DATA_DIR", "data"))
    parser.add_argument("--readers", nargs="+", choices=READERS, default=list(READERS))
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--patterns", type=int, default=20_000, help="examples drawn from patterns")
    parser.add_argument("--copies", type=int, default=8, help="refilled copies of each human row of a skill")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--errors", action="store_true", help="print every wrong prediction to stderr")
    parser.add_argument("--out", default="benchmarks/readers.json")
    options = parser.parse_args()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    result = {
        "command": "python benchmarks/readers.py " + " ".join(sys.argv[1:]),
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        },
        "seed": options.seed,
        **asyncio.run(measure(options)),
    }
    Path(options.out).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for name in (*options.readers, "agreement"):
        for setting in ("above thresholds", "answering always") if name in result else ():
            print(f"{name}, {setting}")
            for where, shares in result[name][setting].items():
                for what, figure in shares.items():
                    low, high = figure["interval"]
                    print(f"  {where:27} {what:18} {figure['k']:5}/{figure['n']:<5} "
                          f"{figure['share'] or 0:7.2%}  [{low:.2%}, {high:.2%}]")  # fmt: skip


if __name__ == "__main__":
    main()
