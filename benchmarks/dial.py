"""Does a router that learns from outcomes which texts are hard spend better than one that counts its routes?
And is it right as often as it is asked to be?

TINYLLM_DATA_DIR=data python benchmarks/dial.py     two tables and dial.json; two minutes on one core

Two recorded models (outcomes_routellm_gsm8k.jsonl: GSM8K, Mixtral 8x7B and GPT-4) answer through the engine, as
routes of a router without an opinion of its own. Per ordering, 660 questions are asked and graded as the record
says; `weights` proposes the router's numbers and its model by text from them, and the other 659 are asked at each
dial. Numbers alone send all questions one way, so they are compared at the same share of GPT-4, drawn by lot.
Then they are asked for each share of right answers, with the model by text and by the numbers alone.
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
from statistics import fmean
from typing import Any

from tinyllm.cli.workshop import Workshop
from tinyllm.engine import Engine, fold
from tinyllm.graph import Graph, RouterNode, parse, put_nodes
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
SHARES = (0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)


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


@dataclass(frozen=True)
class Ordering:
    """`dials` has for each question whether GPT-4 was asked, and how far the answer is above the draw by lot; `shares`
    what came of wanting each, by text and with the numbers alone; `models` what each model alone gets right, and at
    which price."""

    dials: dict[float, list[tuple[int, float]]]
    shares: dict[float, dict[str, dict[str, float]]]
    models: dict[str, dict[str, float]]


async def ordering(path: Path, rows: list[dict[str, Any]], seed: int) -> Ordering:
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

    def told(traces: Sequence[Trace]) -> dict[str, float]:
        good = [score(trace) for trace in traces]
        sure = [(one, went(trace)) for one, trace in zip(good, traces, strict=True) if promised(trace)]
        small = [one for one, large in sure if not large]
        return {
            "right": fmean(good),
            "large": fmean(map(went, traces)),
            "price": fmean(trace.cost.money for trace in traces),
            "promised": len(sure) / len(good),
            "promised_by_small": len(small) / len(good),
            **({"right_of_promised": fmean(one for one, _ in sure)} if sure else {}),
            **({"right_of_small": fmean(small)} if small else {}),
        }

    router = proposal.graph.nodes["worker"]
    assert isinstance(router, RouterNode)
    alone = put_nodes(proposal.graph, {"worker": router.model_copy(update={"by_text": None})})
    shares: dict[float, dict[str, dict[str, float]]] = {share: {} for share in SHARES}
    models = {}
    for name, known in (("by_text", proposal.graph), ("alone", alone)):
        async with bench.open(known, proposal.files) as ask:
            for share in SHARES:
                shares[share][name] = told(
                    [await ask(asked(row["query"], right=share)) for row in rows[LABELS:]]
                )
    async with bench.open(graph, {}) as ask:
        for label in ("small", "large"):
            models[label] = told(
                [await ask(asked(row["query"], forced={"worker": label})) for row in rows[LABELS:]]
            )
    await bench.workshop.close()
    return Ordering(made, shares, models)


def promised(trace: Trace) -> bool:
    """Whether a route was known that surely reaches the share that was wanted."""
    span = next(span for span in trace.spans if span.node == "worker")
    return span.right is not None and span.scores[str(span.choice)] >= span.right


def went(trace: Trace) -> int:
    return int(any(span.choice == "large" for span in trace.spans))


def wanted(share: float, runs: Sequence[Ordering]) -> dict[str, Any]:
    """What came of wanting a share, over the orderings. Prices are parts of GPT-4's alone, and `lot` is that at which
    a draw by lot between the models is right as often."""
    point: dict[str, Any] = {"wanted": share}
    for name in ("by_text", "alone"):
        each = []
        for run in runs:
            small, large, one = run.models["small"], run.models["large"], run.shares[share][name]
            part = (one["right"] - small["right"]) / (large["right"] - small["right"])
            lot = (part * large["price"] + (1 - part) * small["price"]) / large["price"]
            each.append({**one, "price": one["price"] / large["price"], "lot": lot})
        found = {
            key: [one[key] for one in each if key in one]
            for key in sorted({key for one in each for key in one})
        }
        point[name] = {key: {"mean": fmean(of), "orderings": of} for key, of in found.items()}
    told = {
        key: f"{of['mean']:.1%} ({min(of['orderings']):.1%} to {max(of['orderings']):.1%})"
        for key, of in point["by_text"].items()
    }
    print(
        f"wanted {share:.2f}: {told['right']} right at {told['price']} of GPT-4's price, by lot {told['lot']}; "
        f"promised {told['promised']}, of which {told.get('right_of_promised')} right; by Mixtral "
        f"{told['promised_by_small']}, of which {told.get('right_of_small')} right; numbers alone "
        f"{point['alone']['right']['mean']:.1%} at {point['alone']['price']['mean']:.1%}"
    )
    return point


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
        share = float(np.mean([large for run in runs for large, _ in run.dials[dial]]))
        gains = [float(np.mean([gain for _, gain in run.dials[dial]])) for run in runs]
        gain = float(np.mean(gains))
        points.append({"dial": dial, "large": share, "gain": gain, "orderings": gains})
        print(
            f"dial {dial:.2f}: {share:.1%} to GPT-4, {gain:+.1%} right ({min(gains):+.1%} to {max(gains):+.1%})"
        )
    report = {
        "command": "python benchmarks/dial.py",
        "labels": LABELS,
        "points": points,
        "shares": [wanted(share, runs) for share in SHARES],
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
