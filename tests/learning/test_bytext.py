"""A router that learns from outcomes which texts are easy: recorded answers, the real engine, a whole cycle."""

import json
from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from tests.engine.test_engine import Odds
from tests.learning.test_weights import yes
from tests.learning.things import a_network
from tinyllm.cli.workshop import Workshop
from tinyllm.engine import Engine, fold
from tinyllm.grading.reference import against
from tinyllm.graph import Graph, RouterNode, put_nodes
from tinyllm.learning.bytext import fit
from tinyllm.learning.cycle import Learner
from tinyllm.learning.items import Item
from tinyllm.learning.lessons import Lesson, Lessons, study
from tinyllm.learning.versions import head_of
from tinyllm.learning.weights import Weights
from tinyllm.protocols import Parts, Store
from tinyllm.settings import Settings
from tinyllm.store import open_store
from tinyllm.types import Message, Request, Trace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tinyllm.learning.proposal import Ask

NODES = {
    "worker": {
        "kind": "router",
        "model": "choice",
        "routes": {"cheap": {"to": "one"}, "dear": {"to": "two"}},
    },
    "one": {"kind": "specialist", "model": "small", "next": "exit"},
    "two": {"kind": "specialist", "model": "large", "next": "exit"},
}
FIRST = ("am", "br", "cel", "dor", "en", "fal", "gor", "hul", "ir", "jas", "kel", "lum", "mor", "nat", "os")
SECOND = ("ba", "ca", "do", "fi", "gu", "ha", "ki", "lo", "mu", "ne", "po", "ra", "si", "tu", "vo", "wa")


def rows() -> list[dict[str, Any]]:
    """Echoes, which both models can; and where things are kept, which the small one does not know."""
    made = []
    for number, word in enumerate(a + b + c for a in FIRST for b in SECOND for c in ("", "x")):
        echoes = number % 2 == 0
        query = f"now say {word} once more" if echoes else f"Where, please, is the {word} kept?"
        small = word if echoes else "nowhere"
        made.append({"query": query, "answer": word, "responses": {"s": small, "l": word}})
    return made


@dataclass(frozen=True)
class ABench:
    """The workshop of the command line, and a router that has no opinion."""

    workshop: Workshop
    store: Store

    def parts(self, graph: Graph) -> Parts:
        return replace(self.workshop.parts(graph), routers={"choice": Odds(cheap=0.5, dear=0.5)})

    def effective(self, graph: Graph) -> Graph:
        return graph

    @asynccontextmanager
    async def open(self, graph: Graph, files: Mapping[str, bytes]) -> "AsyncIterator[Ask]":
        await self.workshop.fetch(graph, self.store, files=files)
        runs = await open_store("memory:")

        async def resolve(request: Request) -> Graph:
            return graph

        engine = Engine(resolve, self.parts, runs)

        async def ask(request: Request) -> Trace:
            return fold(await runs.events((await engine.run(request)).run_id))

        yield ask


def network(path: Path, names: tuple[str, str], **fields: Any) -> Graph:
    models: dict[str, Any] = {"choice": {"backend": "builtin", "model": "router.linear"}}
    for name, (model, parameters) in zip(
        ("small", "large"), zip(names, (100, 1000), strict=True), strict=True
    ):
        options = {"path": str(path), "model": model, "parameters": parameters}
        models[name] = {"backend": "recorded", "options": options}
    return a_network(NODES, models, **fields)


async def right(item: Item, trace: Trace) -> bool | None:
    return against(trace, item.reference).score == 1.0


async def grown(bench: ABench, graph: Graph, lessons: Sequence[Lesson]) -> Graph:
    """The network after a cycle on these lessons."""
    async with bench.open(graph, {}):

        async def resolve(request: Request) -> Graph:
            return graph

        engine = Engine(resolve, bench.parts, bench.store)
        await study(Lessons("l", lessons, ()), lessons, engine.run, bench.store)
    await Learner(bench.store, graph, bench, [Weights(bench, right)], right, yes).cycle()
    return (await head_of(bench.store, graph)).graph


async def measured(
    bench: ABench, graph: Graph, asked: Sequence[Mapping[str, Any]], right: float | None = None
) -> tuple[float, float]:
    """The share of answers that are right, and of those that the large model gave."""
    good = dear = 0
    async with bench.open(graph, {}) as ask:
        for row in asked:
            trace = await ask(Request((Message("user", row["query"]),), right=right))
            good += trace.answer.strip() == row["answer"]
            dear += any(span.choice == "dear" for span in trace.spans)
    return good / len(asked), dear / len(asked)


async def test_texts_tell_the_easy_from_the_hard_and_the_trial_proves_it(tmp_path: Path) -> None:
    lines, path = rows(), tmp_path / "record.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    bench = ABench(Workshop(Settings(), tmp_path), await open_store("memory:"))
    graph = network(path, ("s", "l"), quality=0.3)
    lessons = [Lesson(query=line["query"], answer=line["answer"]) for line in lines[:400]]
    head = await grown(bench, graph, lessons)
    router = head.nodes["worker"]
    assert isinstance(router, RouterNode) and router.by_text == "worker-by-text"
    assert head.models[router.by_text].model.startswith("bytext-")
    accuracy, dear = await measured(bench, head, lines[400:])
    cells = put_nodes(head, {"worker": router.model_copy(update={"by_text": None})})
    (alone, share), cheap, best = await measured(bench, cells, lines[400:]), 0.5, 1.0
    assert share in (0.0, 1.0), "cells alone send all of one kind one way"
    assert alone in (cheap, best)
    assert accuracy > cheap + dear * (best - cheap) + 0.2, "cells alone, mixed at the same price"
    accuracy, dear = await measured(bench, head, lines[400:], right=0.8)
    assert accuracy >= 0.9 and dear < 0.65, (
        "each question goes the cheapest way that is right so often for it"
    )
    assert await measured(bench, cells, lines[400:], right=0.8) == (best, 1.0), (
        "cells alone must take the dear one"
    )


def test_outcomes_that_tell_texts_apart_no_better_make_no_model() -> None:
    draw, texts = Random(0), [line["query"] for line in rows()[:120]]
    by_chance = [(text, label, draw.random() < 0.5) for text in texts for label in ("cheap", "dear")]
    assert fit(by_chance, ["cheap", "dear"]) is None
    known = [(text, label, label == "dear" or "once" in text) for text, label, _ in by_chance]
    fitted = fit(known, ["cheap", "dear", "never"])
    assert fitted is not None and fitted.told[texts[0]]["cheap"] > 0 > fitted.told[texts[1]]["cheap"]
    assert fit(known[:78], ["cheap", "dear"]) is None, "39 outcomes of each route are too few"
    apart = [one for number, one in enumerate(known) if number % 4 in (0, 3)]
    assert fit(apart + apart, ["cheap", "dear"]) is None, "no text was asked both ways"
