"""How well requests by people that were never seen are read: cross-validation by near-duplicate group.

TINYLLM_DATA_DIR=data python benchmarks/readers.py    prints a table and writes benchmarks/readers.json

For every fold the linear reader, the reading neuron and the router are trained on the other folds. Measured
are each reader alone and the whole `starter` network on them, at the one setting that ships. A tool call is
right when it computes what the label's (or an equally right one's) computes; to refuse is right where the
label refuses. The neurons of all folds take about an hour on one core; `--models DIR` keeps them.
"""

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyllm.backends.folding import complete
from tinyllm.backends.llamacpp import LlamaCpp, Options
from tinyllm.backends.neuron import NeuronBackend
from tinyllm.backends.reader import LinearBackend, LinearRouter, vector
from tinyllm.backends.reading import Cascade
from tinyllm.cli.trainer import LabTrainer
from tinyllm.engine import Engine
from tinyllm.errors import ToolError
from tinyllm.graph import parse
from tinyllm.protocols import Backend, Parts, Tool, ToolContext
from tinyllm.slots import REFUSE, find, literal_call
from tinyllm.starter import human, shipped
from tinyllm.starter.calls import OPS
from tinyllm.starter.corpus import COPIES, PATTERNS, examples
from tinyllm.starter.linear import ROUTES, skill, train_reader, train_router
from tinyllm.starter.neuron import train_neuron
from tinyllm.store import open_store
from tinyllm.tools.table import TOOLS
from tinyllm.types import Message, Prompt, Request, ToolCall

GROUPS = ("calculation and conversion", "other skills", "other intents", "out of scope")
TABLE = tuple(sorted({op.tool for op in OPS.values() if op.tool}))
MOMENTS = ((1.79e9, 1), (1.7312e9, 2))  # clocks and seeds under which two calls must compute the same

Ask = Callable[[str], Awaitable[ToolCall | None]]


@dataclass(frozen=True)
class Outcome:
    """What became of a held-out row: whether it was answered, and whether rightly (or rightly refused)."""

    row: int
    group: str
    call: ToolCall | None
    right: bool


class Judge:
    """Tells whether two tool calls are the same in effect, by running them."""

    def __init__(self) -> None:
        self.tools: dict[str, Tool] = {name: TOOLS[name]() for name in TABLE}
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

    async def judge(self, row: human.Row, index: int, call: ToolCall | None) -> Outcome:
        wanted = {await self.effect(literal_call(literals, OPS)) for literals in row.calls}
        return Outcome(index, group(row), call, await self.effect(call) in wanted)


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


def figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The shares by group."""
    table: dict[str, Any] = {}
    for name in GROUPS:
        rows = [o for o in outcomes if o.group == name]
        answered = [o for o in rows if o.call is not None]
        if name in GROUPS[2:]:
            table[name] = {"refused": share(len(rows) - len(answered), len(rows))}
        else:
            table[name] = {
                "right": share(sum(o.right for o in rows), len(rows)),
                "answered": share(len(answered), len(rows)),
                "right of answered": share(sum(o.right for o in answered), len(answered)),
            }
    return table


class Fold:
    """The models trained without one fold, and the three ways to ask them. Files go to a folder."""

    def __init__(self, seen: Sequence[human.Row], folder: Path, options: argparse.Namespace) -> None:
        drawn = examples(options.seed, options.patterns, seen, copies=options.copies)
        folder.mkdir(parents=True, exist_ok=True)
        start = time.process_time()
        linear = train_reader(drawn, seed=options.seed).model
        self.seconds = {"linear": time.process_time() - start}
        start = time.process_time()
        self.router = train_router(drawn, seed=options.seed)
        self.seconds["router"] = time.process_time() - start
        (folder / "reader.linear").write_bytes(linear.to_bytes())
        (folder / "router.linear").write_bytes(self.router.to_bytes())
        self.seen, self.options = seen, options
        self.file = folder / "reader.gguf"
        inner = LlamaCpp("reader", Options(path=self.file, template="raw", context=512))
        self.linear = LinearBackend("reader", folder / "reader.linear", OPS)
        self.neuron = NeuronBackend("reader", inner, OPS)
        self.parts = Parts(
            {"reader": Cascade("reader", self.linear, self.neuron, OPS)},
            {name: TOOLS[name]() for name in TABLE},
            {"skills": LinearRouter(folder / "router.linear")},
        )

    async def open(self) -> Mapping[str, Ask]:
        """The ways to ask, once the neuron is trained."""
        card = self.file.with_suffix(".json")
        if not card.exists():
            seed, quick = self.options.seed, self.options.quick
            made = await train_neuron(
                LabTrainer(), self.seen, self.file, seed=seed, quick=quick, progress=tell
            )
            card.write_text(json.dumps(made), encoding="utf-8")
        self.seconds["neuron"] = json.loads(card.read_text(encoding="utf-8"))["seconds"]
        graph = parse(shipped.network("starter").read_text(encoding="utf-8"), tools=TABLE)

        async def resolve(request: Request) -> Any:
            return graph

        self.store = await open_store("memory:")
        engine = Engine(resolve, lambda _: self.parts, self.store)

        specs = tuple(tool.spec for tool in self.parts.tools.values())

        def alone(reader: Backend) -> Ask:
            async def ask(text: str) -> ToolCall | None:
                done = await complete(reader, Prompt((Message("user", text),), tools=specs))
                return None if done.tool_calls[0].name == REFUSE else done.tool_calls[0]

            return ask

        async def network(text: str) -> ToolCall | None:
            reply = await engine.run(Request((Message("user", text),), seed=1))
            return reply.tool_calls[-1].call if reply.status == "answered" else None

        return {"linear": alone(self.linear), "neuron": alone(self.neuron), "network": network}

    async def close(self) -> None:
        await self.neuron.close()
        await self.store.close()
        self.parts.tools["algebra"].close()  # type: ignore[attr-defined]  # it has a process to end


def tell(step: int, steps: int, loss: float) -> None:
    if step % 100 == 0:
        print(f"  neuron: step {step} of {steps}, loss {loss:.4f}", file=sys.stderr)


def routes(fold: Fold, row: human.Row) -> bool:
    """Whether the router finds a right route for a row of a skill."""
    slots = find(row.text)
    guess = fold.router.labels[int(fold.router.probabilities(vector(slots, fold.router.bits)).argmax())]
    # "calculator" takes what is nothing but symbols, and hands the rest to "numbers".
    guess = "numbers" if guess == "calculator" else guess
    return guess in {ROUTES[skill(literals[0])] for literals in row.calls}


async def measure(options: argparse.Namespace, models: Path) -> dict[str, Any]:
    rows = human.rows(Path(options.data))
    folds = human.folds(rows, options.folds, options.seed)
    judge = Judge()
    outcomes: dict[str, list[Outcome]] = {}
    spent: dict[str, list[float]] = {}
    seconds: dict[str, list[float]] = {}
    routed: list[bool] = []
    for number in range(options.folds):
        held = [i for i in range(len(rows)) if folds[i] == number]
        seen = [rows[i] for i in range(len(rows)) if folds[i] != number]
        fold = Fold(seen, models / f"fold-{number}", options)
        for name, ask in (await fold.open()).items():
            await ask("3 cups in ml")  # loads it
            start = time.process_time()
            calls = [await ask(rows[i].text) for i in held]
            spent.setdefault(name, []).append((time.process_time() - start) / len(held) * 1e3)
            outcomes.setdefault(name, []).extend(
                [await judge.judge(rows[i], i, call) for i, call in zip(held, calls, strict=True)]
            )
        routed += [routes(fold, rows[i]) for i in held if rows[i].intent in human.SKILLS]
        for name, took in fold.seconds.items():
            seconds.setdefault(name, []).append(round(took, 1))
        await fold.close()
        print(f"fold {number + 1} of {options.folds}", file=sys.stderr)
    if options.errors:
        report(rows, outcomes)
    return {
        "rows": {name: sum(group(row) == name for row in rows) for name in GROUPS},
        "training_seconds": seconds,
        "cpu_ms_per_request": {name: round(sum(ms) / len(ms), 3) for name, ms in spent.items()},
        "router, right route of the skills' rows": share(sum(routed), len(routed)),
        **{name: figures(all_outcomes) for name, all_outcomes in outcomes.items()},
    }


def report(rows: Sequence[human.Row], outcomes: Mapping[str, Sequence[Outcome]]) -> None:
    for name, all_outcomes in outcomes.items():
        for o in all_outcomes:
            if not o.right:
                row = rows[o.row]
                call = f"{o.call.name} {dict(o.call.arguments)}" if o.call else REFUSE
                print(f"{name}: {row.text!r} read as {call}, wanted {row.calls[0]}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=os.environ.get("TINYLLM_DATA_DIR", "data"))
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--patterns", type=int, default=PATTERNS, help="examples drawn from patterns")
    parser.add_argument(
        "--copies", type=int, default=COPIES, help="refilled copies of each human row of a skill"
    )
    parser.add_argument("--quick", action="store_true", help="a neuron that is hardly trained, for a trial")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--models", type=Path, help="a folder for the models; neurons found there are kept")
    parser.add_argument("--errors", action="store_true", help="print every wrong outcome to stderr")
    parser.add_argument("--out", default="benchmarks/readers.json")
    options = parser.parse_args()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        measured = asyncio.run(measure(options, options.models or Path(folder)))
    result = {
        "command": "python benchmarks/readers.py " + " ".join(sys.argv[1:]),
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        },
        "seed": options.seed,
        **measured,
    }
    Path(options.out).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for name in ("linear", "neuron", "network"):
        print(name)
        for where, shares in measured[name].items():
            for what, figure in shares.items():
                low, high = figure["interval"]
                print(f"  {where:27} {what:18} {figure['k']:5}/{figure['n']:<5} "
                      f"{figure['share'] or 0:7.2%}  [{low:.2%}, {high:.2%}]")  # fmt: skip


if __name__ == "__main__":
    main()
