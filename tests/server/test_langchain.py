"""LangChain's chat model against the server."""

from collections.abc import Iterator
from functools import reduce
from operator import add
from typing import Any, Literal

import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from tests.support.serving import Running


class Weather(BaseModel):
    """The weather in a city."""

    city: str
    degrees: int


@tool
def weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"sunny in {city}"


@pytest.fixture
def model(pair: Running) -> Iterator[ChatOpenAI]:
    yield ChatOpenAI(base_url=f"{pair.url}/v1", api_key=SecretStr("any"), model="pair", max_retries=0)


def test_invoke_and_stream(model: ChatOpenAI) -> None:
    reply = model.invoke("hello")
    assert reply.content == "one two three"
    assert reply.usage_metadata is not None and reply.usage_metadata["output_tokens"] == 3
    chunks: list[Any] = list(model.stream("hello", stream_usage=True))
    whole = reduce(add, chunks)
    assert (whole.content, whole.usage_metadata["output_tokens"]) == ("one two three", 3)


async def test_many_at_once(model: ChatOpenAI) -> None:
    replies = await model.abatch([f"hello {number}" for number in range(8)])
    assert [reply.content for reply in replies] == ["one two three"] * 8


def test_a_round_of_tools_whole_and_streamed(model: ChatOpenAI) -> None:
    bound = model.bind_tools([weather])
    asked = HumanMessage("twice")
    reply = bound.invoke([asked])
    chunks: list[Any] = list(bound.stream([asked]))
    for each in (reply, reduce(add, chunks)):
        assert [call["args"] for call in each.tool_calls] == [{"city": "Rome"}, {"city": "Oslo"}]
    results = [
        ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"]) for call in reply.tool_calls
    ]
    assert bound.invoke([asked, reply, *results]).content == "the tool said sunny in Oslo"


@pytest.mark.parametrize("method", ["json_schema", "json_mode"])
def test_structured_output(model: ChatOpenAI, method: Literal["json_schema", "json_mode"]) -> None:
    structured = model.with_structured_output(Weather, method=method)
    assert structured.invoke("json please") == Weather(city="Rome", degrees=21)


def test_structured_output_by_a_forced_call(model: ChatOpenAI) -> None:
    structured = model.with_structured_output(Weather, method="function_calling")
    assert structured.invoke("Weather") == Weather(city="Oslo", degrees=3)
