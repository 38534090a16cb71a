"""A tool node with a fixed call: filled in from the question, or none of its business."""

import pytest

from tinyllm.backends.scripted import Scripted
from tinyllm.engine import Engine, fold
from tinyllm.errors import GraphError
from tinyllm.graph import Graph, parse
from tinyllm.protocols import Parts, Tool
from tinyllm.slots import Op, call_in
from tinyllm.store import open_store
from tinyllm.tools.table import TOOLS
from tinyllm.types import Message, Request, ToolCall, Trace

NET = """
schema: 1
name: net
models: {m: {backend: scripted}}
nodes:
  entry: {kind: entry, next: area}
  area: {kind: tool, tool: calculator, call: half n0 n1, simpler: chat, next: exit}
  chat: {kind: specialist, model: m, next: exit}
  exit: {kind: exit}
"""
HALF = {"expression": "{0} * {1} / 2"}
OPS = {
    "half": Op("half", ("n", "n"), "calculator", HALF, whole="n", unless=frozenset({"twice"})),
    "refuse": Op("refuse"),
}


def fill(call: str, text: str) -> ToolCall | None:
    return call_in(call, text, OPS)


async def ask(question: str, net: str = NET) -> Trace:
    graph = parse(net, tools=TOOLS)
    store, parts = (
        await open_store("memory:"),
        Parts({"m": Scripted("m", ["let me see"])}, tools(), fill=fill),
    )

    async def resolve(request: Request) -> Graph:
        return graph

    reply = await Engine(resolve, lambda _: parts, store).run(Request((Message("user", question),)))
    return fold(await store.events(reply.run_id))


def tools() -> dict[str, Tool]:
    return {name: TOOLS[name]() for name in ("calculator", "units")}


async def test_the_call_is_filled_in_from_the_question_and_nothing_is_spent() -> None:
    trace = await ask("a triangle of base 30 and height 12")
    assert (trace.status, [span.node for span in trace.spans]) == ("answered", ["entry", "area", "exit"])
    (run,) = trace.spans[1].tools
    assert (run.call.name, run.call.arguments) == ("calculator", {"expression": "30 * 12 / 2"})
    assert trace.answer.endswith("180") and trace.cost.tokens_in == trace.cost.macs == 0


@pytest.mark.parametrize(
    "question",
    [
        "a triangle of base 30",  # a value is missing
        "triangles of base 3 and height 4, or 5",  # a figure would be left out
        "twice a triangle of 3 by 4",  # a word that makes another question of it
        "3 by 4 " + "and so on " * 2000,  # longer than what is read
    ],
)
async def test_what_does_not_fit_goes_the_other_way(question: str) -> None:
    trace = await ask(question)
    assert trace.answer == "let me see" and [span.node for span in trace.spans][1:3] == ["area", "chat"]
    assert not trace.spans[1].tools and "does not fit 'area'" in (trace.spans[1].error or "")


@pytest.mark.parametrize("call", ["refuse", "half n0", "third n0 n1"])
async def test_a_call_that_is_none_fails_and_says_so(call: str) -> None:
    trace = await ask("3 by 4", NET.replace("half n0 n1", call))
    assert trace.answer == "let me see" and call.split()[0] in (trace.spans[1].error or "")


async def test_a_call_of_another_tool_is_not_made() -> None:
    trace = await ask("3 by 4", NET.replace("tool: calculator", "tool: units"))
    assert trace.answer == "let me see" and "no call of 'units'" in (trace.spans[1].error or "")


@pytest.mark.parametrize("fields", ["", "argument: expression, call: half n0 n1,"])
def test_a_tool_node_has_an_argument_or_a_call(fields: str) -> None:
    with pytest.raises(GraphError, match="give `argument:`"):
        parse(NET.replace("call: half n0 n1,", fields), tools=TOOLS)
