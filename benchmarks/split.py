"""What does a network of one small language model learn to do with four others that stand beside it?

TINYLLM_DATA_DIR=data python benchmarks/split.py     a table and split.json; ten minutes on one core

Recorded outcomes of real models (outcomes_llmrouter.jsonl: 14 tasks) answer through the engine. Day one is one node on
Mistral 7B; four more models of 7 to 9 billion parameters stand in its file and answer nowhere. Requests come in
thousands, each graded as the record says, with a cycle of learning after each: the node may take another model, or be
split so that kinds of requests have models of their own. The network sees texts and grades, never tasks. The rest of
the rows is sealed: what the network, each model alone, and the best of the five for every task get right of them.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

from tinyllm.cli.workshop import Workshop
from tinyllm.engine import Engine, fold
from tinyllm.evidence import wilson
from tinyllm.graph import Graph, parse
from tinyllm.learning.alternatives import alternatives
from tinyllm.learning.cycle import Learner
from tinyllm.learning.items import Item
from tinyllm.learning.proposal import Ask, Proposal
from tinyllm.learning.split import Splits
from tinyllm.learning.trial import Verdict
from tinyllm.learning.versions import head_of
from tinyllm.protocols import Store
from tinyllm.settings import Settings
from tinyllm.store import open_store
from tinyllm.types import Grade, Message, Request, Trace

SMALL = (
    "mistral-7b-instruct-v0.3", "llama-3.1-8b-instruct", "gemma-2-9b-it", "qwen2.5-7b-instruct", "codegemma-7b",
)  # fmt: skip
FIRST = SMALL[0]
EVERY, CYCLES = 1000, 3
SEEDS = (0, 1, 2)
ASKED = 4.0  # every request by every model: what is recorded costs nothing
RIGHT = 0.5  # of a recorded score, from which on an answer counts as right

Row = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """Where graphs of recorded models answer."""

    workshop: Workshop
    store: Store

    def effective(self, graph: Graph) -> Graph:
        return graph

    def engine(self, graph: Graph, runs: Store) -> Engine:
        async def resolve(request: Request) -> Graph:
            return graph

        return Engine(resolve, self.workshop.parts, runs)

    @asynccontextmanager
    async def open(self, graph: Graph, files: Mapping[str, bytes]) -> AsyncIterator[Ask]:
        await self.workshop.fetch(graph, self.store, files=files)
        runs = await open_store("memory:")
        engine = self.engine(graph, runs)

        async def ask(request: Request) -> Trace:
            return fold(await runs.events((await engine.run(request)).run_id))

        yield ask
        await runs.close()


def network(record: Path, prices: Mapping[str, Any]) -> Graph:
    models = {}
    for model in SMALL:
        price = prices[model]["price_per_million_tokens"]
        options = {"path": str(record), "model": model, "price_in": price, "price_out": price}
        models[model] = {"backend": "recorded", "options": options}
    nodes = {
        "question": {"kind": "entry", "next": "worker"},
        "worker": {"kind": "specialist", "model": FIRST, "next": "answer"},
        "answer": {"kind": "exit"},
    }
    whole = {"schema": 1, "name": "small", "models": models, "nodes": nodes, "learning": {"adopt": "auto"}}
    return parse(json.dumps(whole))


async def agreed(proposal: Proposal, verdict: Verdict) -> bool:
    return True


async def ordering(rows: list[Row], prices: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """One network's life, and what became of the sealed rows."""
    Random(seed).shuffle(rows)
    scores = {row["query"]: row["scores"] for row in rows}

    def is_right(trace: Trace) -> bool:
        return bool(scores[trace.question][trace.answer] >= RIGHT)

    async def right(item: Item, trace: Trace) -> bool | None:
        return is_right(trace)

    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "record.jsonl"
        said = {model: model for model in SMALL}  # the answer is who gave it: the record has scores alone
        lines = (json.dumps({"query": row["query"], "responses": said}) + "\n" for row in rows)
        record.write_text("".join(lines), encoding="utf-8")
        store = await open_store(f"sqlite:///{folder}/runs.sqlite")
        bench = Bench(Workshop(Settings(), Path(folder)), store)
        base = network(record, prices)
        proposers = [alternatives, Splits(bench, right, asked=ASKED)]
        learner = Learner(store, base, bench, proposers, right, agreed, seed=seed, limit=EVERY * CYCLES)
        sealed, versions = rows[EVERY * CYCLES :], list[dict[str, Any]]()
        stopped = list[str]()
        points = [await exam(base, bench, sealed, is_right)]
        for cycle in range(CYCLES):
            head = (await head_of(store, base)).graph
            engine = bench.engine(head, store)
            for row in rows[cycle * EVERY : (cycle + 1) * EVERY]:
                reply = await engine.run(Request((Message("user", row["query"]),)))
                score = float(is_right(fold(await store.events(reply.run_id))))
                await store.grade(Grade(reply.run_id, "reference", "record", score))
            report = await learner.cycle()
            for one in report.rounds:
                if one.version is not None and one.trial is not None:
                    tally = one.trial.evidence["confirm"]["tally"]
                    told = {"edit": one.version.edit, "reason": one.version.reason, "confirm": tally}
                    versions.append({"requests": (cycle + 1) * EVERY, **told})
            stopped.append(report.reason)
            points.append(await exam((await head_of(store, base)).graph, bench, sealed, is_right))
            print(f"seed {seed}, {(cycle + 1) * EVERY}: {points[-1]}; {report.reason[:120]}", flush=True)
        await store.close()
        await bench.workshop.close()
    return {"seed": seed, "points": points, "versions": versions, "stopped": stopped, **alone(rows, sealed)}


async def exam(graph: Graph, bench: Bench, sealed: list[Row], is_right: Any) -> dict[str, float]:
    async with bench.open(graph, {}) as ask:
        traces = [await ask(Request((Message("user", row["query"]),))) for row in sealed]
    rights = [is_right(trace) for trace in traces]
    return {"right": sum(rights), "n": len(rights), "price": fmean(trace.cost.money for trace in traces)}


def alone(rows: list[Row], sealed: list[Row]) -> dict[str, Any]:
    """Each model by itself, and the best of the small ones for every task, as the whole record tells it."""
    models = {model: sum(row["scores"][model] >= RIGHT for row in sealed) for model in rows[0]["scores"]}
    by_task: defaultdict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(SMALL, 0))
    for row in rows:
        for model in SMALL:
            by_task[row["task"]][model] += row["scores"][model] >= RIGHT
    best = {task: max(own, key=lambda model: own[model]) for task, own in by_task.items()}
    return {"alone": models, "by_task": sum(row["scores"][best[row["task"]]] >= RIGHT for row in sealed)}


async def main() -> None:
    data = Path(os.environ["TINYLLM_DATA_DIR"])
    with (data / "outcomes_llmrouter.jsonl").open(encoding="utf-8") as lines:
        rows = list({row["query"]: row for row in map(json.loads, lines)}.values())
    prices = json.loads((data / "outcomes_llmrouter_models.json").read_text(encoding="utf-8"))
    runs = [await ordering(list(rows), prices, seed) for seed in SEEDS]

    def told(rights: list[int]) -> dict[str, Any]:
        n = sum(run["points"][0]["n"] for run in runs)
        return {"right": round(sum(rights) / n, 4), "interval": [round(x, 4) for x in wilson(sum(rights), n)]}

    summary: dict[str, Any] = {
        "day_one": told([run["points"][0]["right"] for run in runs]),
        "grown": told([run["points"][-1]["right"] for run in runs]),
        "best_small_by_task": told([run["by_task"] for run in runs]),
        **{model: told([run["alone"][model] for run in runs]) for model in runs[0]["alone"]},
    }
    for name, row in summary.items():
        print(f"{name:36}{row['right']:8.1%}  {row['interval'][0]:.1%}-{row['interval'][1]:.1%}")
    prices_paid = [fmean(run["points"][at]["price"] for run in runs) for at in (0, -1)]
    summary["price"] = {"day_one": prices_paid[0], "grown": prices_paid[1]}
    report = {"command": "python benchmarks/split.py", "seeds": SEEDS, "summary": summary, "runs": runs}
    Path(__file__).with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
