"""Granting tools: a language model gets the tool that computes what it failed, and the change is proven like any."""

from collections.abc import Mapping
from typing import Any

from tests.learning.runs import Script, Workbench, right
from tests.learning.things import a_network, an_item, findings
from tinyllm.backends.scripted import Answer
from tinyllm.graph import Graph, Specialist
from tinyllm.learning.cycle import Learner
from tinyllm.learning.grant import Grants
from tinyllm.learning.items import Item
from tinyllm.learning.lessons import Lesson, Lessons, study
from tinyllm.learning.proposal import Proposal
from tinyllm.learning.trial import Verdict
from tinyllm.protocols import Tool
from tinyllm.slots import Op
from tinyllm.store import open_store
from tinyllm.tools.calculator import Calculator
from tinyllm.tools.text import Text
from tinyllm.types import Prompt, ToolCall

OPS = {
    one.name: one
    for one in (
        Op("mul", ("n", "n"), "calculator", {"expression": "{0} * {1}"}),
        Op("reverse", ("w",), "text", {"operation": "reverse", "text": "{0}"}),
        Op("refuse"),
    )
}
TOOLS: Mapping[str, Tool] = {"calculator": Calculator(), "text": Text()}
THINGS = "boxes crates bags shelves rows tables jars tins carts pallets chests drawers vans trays cases racks".split()  # noqa: SIM905
PARTS = "apples nails pens books coins stamps cups plates shirts bricks tiles seeds lamps bulbs".split()  # noqa: SIM905


def a_head(backend: str = "ollama", **worker: Any) -> Graph:
    node = {"kind": "specialist", "model": "m", "next": "exit", **worker}
    return a_network({"worker": node}, {"m": {"backend": backend}})


def stock(count: int) -> list[Lesson]:
    """Requests that a product answers, each in other words."""
    pairs = [(thing, part) for thing in THINGS for part in PARTS][:count]
    return [
        Lesson(
            query=f"{13 + at} {thing} hold {27 + at} {part} each, how many are there",
            answer=(13 + at) * (27 + at),
        )
        for at, (thing, part) in enumerate(pairs)
    ]


def failed(lessons: list[Lesson]) -> list[Item]:
    return [an_item(one.query, passed=False, reference=one.reference) for one in lessons]


async def proposals(head: Graph, *items: Item) -> list[Proposal]:
    return list(await Grants(OPS, TOOLS)(findings(head, *items)))


async def test_a_model_is_granted_the_tool_that_computes_most_of_what_it_failed() -> None:
    words = [
        an_item(f'write "{word}" backwards', passed=False, reference=word[::-1]) for word in (*PARTS[:5],)
    ]
    head = a_head(turns=1)
    (made,) = await proposals(head, *failed(stock(8)), *words)
    assert (made.edit, made.node) == ("tool", "worker")
    assert "calculator gives the right answer to 8 of 13 requests that worker failed" in made.reason
    worker = made.graph.nodes["worker"]
    assert isinstance(worker, Specialist) and (worker.tools, worker.turns) == (("calculator",), 2)
    (next_one,) = await proposals(made.graph, *failed(stock(8)), *words)
    worker = next_one.graph.nodes["worker"]
    assert isinstance(worker, Specialist) and worker.tools == ("calculator", "text")


async def test_readers_and_what_no_tool_computes_get_nothing() -> None:
    assert not await proposals(a_head("builtin"), *failed(stock(8)))
    assert not await proposals(a_head("learned"), *failed(stock(8)))
    assert not await proposals(a_head(), *failed(stock(3)))
    riddles = [an_item(f"who met the {part}", passed=False, reference="nobody") for part in PARTS]
    assert not await proposals(a_head(), *riddles)


def multiplies(prompt: Prompt) -> Answer | str:
    """A model that multiplies with the tool that it is offered, and guesses without one."""
    said = prompt.messages[-1]
    if said.role == "tool":
        return said.content
    words = said.content.split()
    if not any(tool.name == "calculator" for tool in prompt.tools):
        return "many"
    return Answer(tool_calls=(ToolCall("calculator", {"expression": f"{words[0]} * {words[3]}"}),))


async def agrees(proposal: Proposal, verdict: Verdict) -> bool:
    return True


async def test_a_granted_tool_is_proven_and_adopted() -> None:
    script: Script = multiplies
    bench, store, head = Workbench({"m": script}), await open_store("memory:"), a_head()
    lessons = Lessons("stock", stock(220), ())
    await study(lessons, lessons.rows, bench.engine(head, store).run, store)
    report = await Learner(store, head, bench, [Grants(OPS, TOOLS)], right, agrees).cycle()
    assert report.failed == 220 and [done.version is not None for done in report.rounds] == [True]
    assert [version.edit for version in await store.versions("net")] == ["file", "tool"]
    (trial,) = await store.trials("net")
    assert trial.evidence["confirm"]["tally"]["losses"] == 0
