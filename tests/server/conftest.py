"""A network of one small and one larger model, which say what a test's question asks them to."""

import json
from collections.abc import Iterator

import pytest

from tests.support.serving import Running, serving
from tinyllm.backends.scripted import Answer, Scripted
from tinyllm.errors import BackendUnreachable
from tinyllm.types import Prompt, ToolCall

NETWORK = """
schema: 1
name: pair
models: {small: {backend: s}, big: {backend: s}}
nodes:
  entry: {kind: entry, next: work}
  work: {kind: specialist, model: small, tools: [calculator], next: end, retries: 0, larger: big}
  big: {kind: specialist, model: big, next: end}
  end: {kind: exit, refusal: "I can't answer that."}
"""

REFUSAL = "Nobody can do this. I can't answer that."


def small(prompt: Prompt) -> Answer | str:
    """Does what the question says."""
    question = next(turn.content for turn in reversed(prompt.messages) if turn.role == "user")
    last = prompt.messages[-1]
    if last.role == "tool":
        return f"the tool said {last.content}"
    match question.split()[0]:
        case "weather":
            return Answer(tool_calls=(ToolCall("weather", {"city": "Rome"}, "call_1"),))
        case "Weather":
            return Answer(tool_calls=(ToolCall("Weather", {"city": "Oslo", "degrees": 3}, "call_1"),))
        case "twice":
            calls = [ToolCall("weather", {"city": city}, f"call_{city}") for city in ("Rome", "Oslo")]
            return Answer(tool_calls=tuple(calls))
        case "sum":
            return Answer(tool_calls=(ToolCall("calculator", {"expression": "40 + 2"}),))
        case "refuse":
            return Answer(tool_calls=(ToolCall("refuse", {"reason": "no idea"}),))
        case "json":
            return json.dumps({"city": "Rome", "degrees": 21})
        case "slow":
            return Answer("one two three four five " * 40, delay=0.05)
        case "break":
            return Answer("half an answer", error=BackendUnreachable("the model is gone"), error_after=0)
        case "crack":
            return Answer("half an answer", error=BackendUnreachable("the model is gone"), error_after=2)
        case "seed":
            return f"seed {prompt.sampling.seed}"
        case "system":
            return prompt.messages[0].content
        case _:
            return "one two three"


def big(prompt: Prompt) -> Answer | str:
    """Knows one word."""
    if prompt.messages[-1].content == "hi":
        return "big one"
    return Answer(tool_calls=(ToolCall("refuse", {"reason": "nobody can do this"}),))


@pytest.fixture(scope="module")
def pair() -> Iterator[Running]:
    models = {"small": Scripted("small", small), "big": Scripted("big", big)}
    with serving(NETWORK, models) as running:
        yield running
