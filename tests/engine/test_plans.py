"""One plan for each graph version: it is made once, its models fail on their own, its exits are its nodes' own."""

import asyncio

from tests.engine.test_engine import DOWN, Odds, ask
from tinyllm.backends.scripted import Answer, Scripted
from tinyllm.engine import Engine
from tinyllm.graph import Graph, parse
from tinyllm.protocols import Parts
from tinyllm.store.memory import MemoryStore
from tinyllm.types import Request

SHORT = """
schema: 1
name: short
models: {m: {backend: scripted, model: MODEL}}
nodes:
  entry: {kind: entry, next: work}
  work: {kind: specialist, model: m, next: exit, retries: 0}
  exit: {kind: exit}
"""
TWO_EXITS = """
schema: 1
name: two
models: {skills: {backend: builtin}, m: {backend: scripted}}
nodes:
  entry: {kind: entry, next: router}
  router: {kind: router, model: skills, routes: {sums: {to: reckon}, talk: {to: chat}}}
  reckon: {kind: specialist, model: m, next: out-of-sums}
  out-of-sums: {kind: exit, refusal: "I only do sums."}
  chat: {kind: specialist, model: m, next: gate}
  gate: {kind: gate, checks: [{check: schema}], next: out-of-talk}
  out-of-talk: {kind: exit, refusal: "I would rather not say."}
"""


class SlowStore(MemoryStore):
    """Lets others run before it keeps a graph."""

    async def save_graph(self, graph_id: str, name: str, source: str, *, tenant: str = "local") -> None:
        await asyncio.sleep(0)
        await super().save_graph(graph_id, name, source, tenant=tenant)


async def test_two_first_requests_make_one_plan() -> None:
    graph = parse(SHORT)
    made = []

    async def resolve(request: Request) -> Graph:
        return graph

    def parts(graph: Graph) -> Parts:
        made.append(graph.id)
        return Parts({"m": Scripted("m", ["fine"])}, {})

    net = Engine(resolve, parts, SlowStore())
    replies = await asyncio.gather(*(net.run(ask(text)) for text in ("one", "two")))
    assert [reply.status for reply in replies] == ["answered"] * 2
    assert made == [graph.id]


async def test_a_dead_model_of_one_version_does_not_silence_its_namesake_in_another() -> None:
    dead, living = parse(SHORT.replace("MODEL", "dead")), parse(SHORT.replace("MODEL", "living"))
    answers = {dead.id: Answer(error=DOWN), living.id: Answer("fine")}
    serving = [dead]

    async def resolve(request: Request) -> Graph:
        return serving[0]

    def parts(graph: Graph) -> Parts:
        return Parts({"m": Scripted("m", [answers[graph.id]])}, {})

    net = Engine(resolve, parts, MemoryStore())
    for _ in range(6):
        assert (await net.run(ask("hello"))).status == "failed"
    serving[0] = living
    assert (await net.run(ask("hello"))).answer == "fine"


async def test_what_cannot_be_answered_leaves_by_the_exit_of_its_branch() -> None:
    graph = parse(TWO_EXITS)

    async def resolve(request: Request) -> Graph:
        return graph

    async def leave(route: str) -> tuple[str, str]:
        silent = Parts({"m": Scripted("m", [""])}, {}, {"skills": Odds(**{route: 1.0})})
        reply = await Engine(resolve, lambda _: silent, MemoryStore()).run(ask("hello there"))
        return reply.route[-1], reply.answer

    assert await leave("sums") == ("out-of-sums", "It answered nothing. I only do sums.")
    assert await leave("talk") == ("out-of-talk", "It answered nothing. I would rather not say.")
