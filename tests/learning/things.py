"""Items of graded traffic and small networks, made by hand."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from tinyllm.backends.scripted import Scripted
from tinyllm.engine import Engine, fold
from tinyllm.graph import Graph, parse
from tinyllm.learning.items import Item, group_of
from tinyllm.learning.proposal import Ask, Cluster, Findings
from tinyllm.protocols import Parts, Store
from tinyllm.store import open_store
from tinyllm.tools.table import TOOLS
from tinyllm.types import Cost, Grade, Message, Request, Span, Trace


def an_item(
    text: str, *, passed: bool, reference: str | None = None, node: str = "worker", run: str | None = None
) -> Item:
    """A graded run that `node` answered."""
    run_id = run or f"r-{text}"
    span = Span(node, "specialist", 0.0, 1.0, text="an answer")
    trace = Trace(run_id, "g", text, "an answer", "answered", (span,), Cost(macs=10), 1.0)
    request = Request((Message("user", text),), seed=1, clock=1.0)
    return Item(
        request, trace, Grade(run_id, "reference", "t", float(passed), reference=reference), group_of(text)
    )


def findings(head: Graph, *items: Item, node: str = "worker") -> Findings:
    """One cluster of all items."""
    return Findings(head, items, [Cluster("a kind", node, tuple(items))])


def a_network(nodes: Mapping[str, Any], models: Mapping[str, Any], **fields: Any) -> Graph:
    """A network named `net`; entry and exit are there already, `entry` leads to `worker`."""
    every = {"entry": {"kind": "entry", "next": "worker"}, **nodes, "exit": {"kind": "exit"}}
    whole = {"schema": 1, "name": "net", "models": models, "nodes": every, **fields}
    return parse(json.dumps(whole), tools=TOOLS)


class ABench:
    """Runs graphs whose specialists answer by `said`: from the name of a model and a question to an answer."""

    def __init__(self, said: Callable[[str, str], str]) -> None:
        self.said = said

    def parts(self, graph: Graph) -> Parts:
        def script(model: str) -> Scripted:
            return Scripted(model, lambda prompt: self.said(model, prompt.messages[-1].content))

        return Parts({name: script(name) for name in graph.models}, {})

    def effective(self, graph: Graph) -> Graph:
        return graph

    @asynccontextmanager
    async def open(self, graph: Graph, files: Mapping[str, bytes]) -> AsyncIterator[Ask]:
        store = await open_store("memory:")
        engine = self.engine(graph, store)

        async def ask(request: Request) -> Trace:
            return fold(await store.events((await engine.run(request)).run_id))

        yield ask

    def engine(self, graph: Graph, store: Store) -> Engine:
        async def resolve(request: Request) -> Graph:
            return graph

        return Engine(resolve, self.parts, store)
