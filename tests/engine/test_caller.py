"""What a caller asks of the form of an answer: its sampling, its schema, its own tools, its system prompt."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.engine.test_engine import ask, engine
from tinyllm.backends.openai_format import chat_body
from tinyllm.backends.scripted import Answer, Scripted
from tinyllm.engine.request import from_json, to_json
from tinyllm.protocols import Backend
from tinyllm.types import Message, Prompt, Request, Sampling, SamplingWish, ToolCall, ToolSpec

PAIR = """
schema: 1
name: pair
models: {m: {backend: s}, big: {backend: s}}
prompts: {p: {text: Be brief.}}
nodes:
  entry: {kind: entry, next: work}
  work: {kind: specialist, model: m, prompt: p, tools: [calculator], next: exit, larger: big, max_tokens: 40}
  big: {kind: specialist, model: big, next: exit}
  exit: {kind: exit, refusal: "No."}
"""
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
WEATHER = ToolSpec("weather", "tells the weather", {"type": "object"})


def models(small: Sequence[Answer | str], big: Sequence[Answer | str] = ("big",)) -> dict[str, Backend]:
    return {"m": Scripted("m", small), "big": Scripted("big", big)}


async def prompt_of(request: Request) -> Prompt:
    small = Scripted("m", ["fine"])
    net = await engine(PAIR, {"m": small, "big": Scripted("big", ["big"])})
    await net.run(request)
    return small.prompts[0]


async def test_what_the_caller_leaves_out_of_the_sampling_stays_as_the_node_has_it() -> None:
    prompt = await prompt_of(ask("hi", seed=7, sampling=SamplingWish(temperature=0.5)))
    assert prompt.sampling == Sampling(temperature=0.5, max_tokens=40, seed=7)


async def test_a_stored_request_keeps_every_wish() -> None:
    wish = SamplingWish(stop=("a", "b"), max_tokens=3)
    request = replace(ask("hi", tools=(WEATHER,), json_schema=SCHEMA, sampling=wish), tool_choice="required")
    assert from_json(json.loads(json.dumps(to_json(request)))) == request


async def test_the_callers_system_prompt_joins_that_of_the_node() -> None:
    turns = (Message("system", "Speak French."), Message("user", "hi"))
    prompt = await prompt_of(Request(turns))
    assert prompt.messages == (Message("system", "Be brief.\n\nSpeak French."), Message("user", "hi"))


@pytest.mark.parametrize("text", ["n is 3", '{"n": "three"}', '{"m": 3}'])
async def test_an_answer_that_does_not_fit_the_schema_goes_to_a_larger_model(text: str) -> None:
    net = await engine(PAIR, models([text], ['{"n": 3}']))
    reply = await net.run(ask("hi", json_schema=SCHEMA))
    assert (reply.answer, reply.route) == ('{"n": 3}', ("entry", "work", "big", "exit"))


@pytest.mark.parametrize("schema", [{"$ref": "http://127.0.0.1:1/x"}, {"$ref": "#"}])
async def test_a_schema_that_leads_nowhere_ends_in_a_refusal(schema: dict[str, str]) -> None:
    net = await engine(PAIR, models(['"x"'], ['"x"']))
    reply = await net.run(ask("hi", json_schema=schema))
    assert reply.status == "refused" and "the schema cannot be followed" in reply.reason


async def test_a_schemas_regular_expression_is_never_run() -> None:
    schema = {"type": "string", "pattern": "^(a+)+$"}
    net = await engine(PAIR, models([json.dumps("a" * 40 + "!")]))
    assert (await net.run(ask("hi", json_schema=schema))).status == "answered"


async def test_a_required_call_is_one_of_the_callers() -> None:
    call = ToolCall("weather", {"city": "Rome"})
    net = await engine(PAIR, models(["It is sunny."], [Answer(tool_calls=(call,))]))
    request = replace(ask("hi", tools=(WEATHER,)), tool_choice="required")
    reply = await net.run(request)
    assert reply.caller_calls == (call,)
    prompt = await prompt_of(request)
    assert [tool.name for tool in prompt.tools] == ["weather", "refuse"]
    assert chat_body(prompt)["tool_choice"] == "required"


async def test_a_tool_of_the_caller_stands_before_the_nodes_own_of_that_name() -> None:
    theirs = ToolSpec("calculator", "another one", {"type": "object"})
    call = ToolCall("calculator", {"expression": "1+1"})
    net = await engine(PAIR, models([Answer(tool_calls=(call,))]))
    reply = await net.run(ask("hi", tools=(theirs,)))
    assert reply.caller_calls == (call,) and reply.tool_calls == ()


async def test_an_answer_that_ran_out_of_tokens_says_so() -> None:
    net = await engine(PAIR, models(["one two three four"]))
    reply = await net.run(ask("hi", sampling=SamplingWish(max_tokens=2)))
    assert (reply.answer, reply.truncated) == ("one two", True)
    assert not (await net.run(ask("hi"))).truncated
