"""Does a router that learns from outcomes which texts are hard spend better than one that counts its routes?

TINYLLM_DATA_DIR=data python benchmarks/dial.py     a table and dial.json; a minute on one core

Two recorded models (outcomes_routellm_gsm8k.jsonl: GSM8K, Mixtral 8x7B and GPT-4) answer through the engine, as
routes of a router without an opinion of its own. Per ordering, 660 questions are asked and graded as the record
says; `weights` proposes the router's numbers and its model by text from them, and the other 659 are asked at each
dial. Numbers alone send all questions one way, so they are compared at the same share of GPT-4, drawn by lot.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from tinyllm.cli.workshop import Workshop
from tinyllm.engine import Engine, fold
from tinyllm.graph import Graph, parse
from tinyllm.learning.items import Item, group_of
from tinyllm.learning.proposal import Ask, Findings
from tinyllm.learning.weights import Weights
from tinyllm.protocols import Choice, Parts, Store
from tinyllm.settings import Settings
from tinyllm.store import open_store
from tinyllm.types import Grade, Message, Request, Trace

SMALL, LARGE = "mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"
PRICES = {SMALL: 0.24, LARGE: 24.7}  # per million tokens, as RouteLLM has them
LABELS = 660
ORDERINGS = 5
DIALS = (0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7)


class NoOpinion:
    """A router to which all routes are alike."""

    async def choose(self, text: str, labels: Sequence[str]) -> Choice:
        return Choice(labels[0], {label: 1 / len(labels) for label in labels})


@dataclass(frozen=True)
class Bench:
    workshop: Workshop
    store: Store

    def effective(self, graph: Graph) -> Graph:
        return graph

    @asynccontextmanager
    async def open(self, graph: Graph, files: Mapping[str, bytes]) -> AsyncIterator[Ask]:
        await self.workshop.fetch(graph, self.store, files=files)
        parts = replace(self.workshop.parts(graph), routers={"choice": NoOpinion()})
        runs = await open_store("memory:")

        async def resolve(request: Request) -> Graph:
            return graph

        def same(_: Graph) -> Parts:
            return parts

        engine = Engine(resolve, same, runs)

        async def ask(request: Request) -> Trace:
            return fold(await runs.events((await engine.run(request)).run_id))

        yield ask
        await runs.close()


def network(path: Path) -> Graph:
    models: dict[str, Any] = {"choice": {"backend": "builtin", "model": "router.linear"}}
    for name, model in (("small", SMALL), ("large", LARGE)):
        price = {"price_in": PRICES[model], "price_out": PRICES[model]}
        models[name] = {"backend": "recorded", "options": {"path": str(path), "model": model, **price}}
    ways = {"small": {"to": "one"}, "large": {"to": "two"}}
    nodes = {
        "entry": {"kind": "entry", "next": "worker"},
        "worker": {"kind": "router", "model": "choice", "routes": ways},
        "one": {"kind": "specialist", "model": "small", "next": "exit"},
        "two": {"kind": "specialist", "model": "large", "next": "exit"},
        "exit": {"kind": "exit"},
    }
    return parse(json.dumps({"schema": 1, "name": "two", "models": models, "nodes": nodes}))


def asked(text: str, **fields: Any) -> Request:
    return Request((Message("user", text),), **fields)


async def ordering(path: Path, rows: list[dict[str, Any]], seed: int) -> dict[float, list[tuple[int, float]]]:
    """By dial, for each question: whether GPT-4 was asked, and how far the answer is above the draw by lot."""
    Random(seed).shuffle(rows)
    scores = {row["query"]: (row["scores"][SMALL], row["scores"][LARGE]) for row in rows}

    def score(trace: Trace) -> float:
        return float(scores[trace.question][went(trace)])

    async def right(item: Item, trace: Trace) -> bool | None:
        return score(trace) == 1.0

    store = await open_store("memory:")
    bench = Bench(Workshop(Settings(), path.parent), store)
    graph = network(path)
    items = []
    async with bench.open(graph, {}) as ask:
        for row in rows[:LABELS]:
            request = asked(row["query"], quality=0.5)
            trace = await ask(request)
            grade = Grade(trace.run_id, "reference", "record", score(trace))
            items.append(Item(request, trace, grade, group_of(row["query"])))
    (proposal,) = await Weights(bench, right, most=LABELS)(Findings(graph, items, [], seed))
    made: dict[float, list[tuple[int, float]]] = {}
    async with bench.open(proposal.graph, proposal.files) as ask:
        for dial in DIALS:
            traces = [await ask(asked(row["query"], quality=dial)) for row in rows[LABELS:]]
            share = sum(map(went, traces)) / len(traces)
            lot = [(1 - share) * scores[t.question][0] + share * scores[t.question][1] for t in traces]
            made[dial] = [(went(trace), score(trace) - by) for trace, by in zip(traces, lot, strict=True)]
    await bench.workshop.close()
    return made


def went(trace: Trace) -> int:
    return int(any(span.choice == "large" for span in trace.spans))


async def main() -> None:
    import numpy as np

    source = Path(os.environ["TINYLLM_DATA_DIR"]) / "outcomes_routellm_gsm8k.jsonl"
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "record.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        runs = [await ordering(path, list(rows), seed) for seed in range(ORDERINGS)]
    points = []
    for dial in DIALS:
        share = float(np.mean([large for run in runs for large, _ in run[dial]]))
        gains = [float(np.mean([gain for _, gain in run[dial]])) for run in runs]
        gain = float(np.mean(gains))
        points.append({"dial": dial, "large": share, "gain": gain, "orderings": gains})
        print(
            f"dial {dial:.2f}: {share:.1%} to GPT-4, {gain:+.1%} right ({min(gains):+.1%} to {max(gains):+.1%})"
        )
    report = {"command": "python benchmarks/dial.py", "labels": LABELS, "points": points}
    Path(__file__).with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
