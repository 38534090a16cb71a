"""Graded runs of small networks, made by running them."""

from collections.abc import Callable, Mapping

from tests.learning.things import ABench
from tinyllm.backends.scripted import Answer, Scripted
from tinyllm.grading import correction, passed
from tinyllm.graph import Graph
from tinyllm.learning.items import Item, group_of
from tinyllm.protocols import Parts
from tinyllm.tools.table import TOOLS
from tinyllm.types import Message, Prompt, Request, ToolCall, Trace

Script = Callable[[Prompt], Answer | str]


class Workbench(ABench):
    """Runs graphs whose models follow scripts, with the calculator as their tool; `asked` are the requests."""

    def __init__(self, scripts: Mapping[str, Script]) -> None:
        self.scripts = scripts

    def parts(self, graph: Graph) -> Parts:
        backends = {name: Scripted(name, script) for name, script in self.scripts.items()}
        return Parts(backends, {"calculator": TOOLS["calculator"]()})


async def an_item(bench: ABench, graph: Graph, question: str, answer: str, **fields: object) -> Item:
    """The question as the network answers it, graded by the right answer."""
    request = Request((Message("user", question),), seed=1, clock=1e9, **fields)  # type: ignore[arg-type]
    async with bench.open(graph, {}) as ask:
        trace = await ask(request)
    return Item(request, trace, correction(trace, "tester", answer), group_of(question))


async def right(item: Item, trace: Trace) -> bool | None:
    """Whether a trace says what the item's right answer is."""
    return passed(correction(trace, "tester", item.reference or "").score or 0.0)


def says(text: str) -> Script:
    """A model with one answer to everything."""
    return lambda prompt: text


def calls(*calls: ToolCall, say: Callable[[str], str] = lambda text: text) -> Script:
    """A model that makes these calls one by one, and then says what the last one gave."""

    def script(prompt: Prompt) -> Answer | str:
        done = sum(message.role == "tool" for message in prompt.messages)
        return say(prompt.messages[-1].content) if done == len(calls) else Answer(tool_calls=(calls[done],))

    return script


def calculate(expression: str) -> ToolCall:
    """A call of the calculator."""
    return ToolCall("calculator", {"expression": expression})
