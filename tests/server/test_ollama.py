"""Ollama's own client against the server."""

from collections.abc import Mapping
from typing import Any

import pytest
from ollama import AsyncClient, Client, ResponseError
from pydantic import BaseModel

from tests.server.conftest import REFUSAL
from tests.support.serving import Running


class Weather(BaseModel):
    city: str
    degrees: int


def weather(city: str) -> str:
    """Tell the weather.

    Args:
      city: where
    """
    return f"sunny in {city}"


@pytest.fixture
def client(pair: Running) -> Client:
    return Client(host=pair.url)


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_chat_whole_and_streamed(client: Client) -> None:
    reply = client.chat("pair", user("hello"))
    assert (reply.message.content, reply.done, reply.done_reason) == ("one two three", True, "stop")
    assert reply.eval_count == 3 and reply.total_duration
    *parts, last = client.chat("pair:latest", user("hello"), stream=True)
    assert "".join(part.message.content or "" for part in parts) == "one two three"
    assert len(parts) == 3 and last.done and not last.message.content


def test_generate_whole_and_streamed(client: Client) -> None:
    assert client.generate("pair", "system prompt", system="Be brief.").response == "Be brief."
    parts = list(client.generate("pair", "hello", stream=True))
    assert "".join(part.response or "" for part in parts) == "one two three"


async def test_the_asynchronous_client(pair: Running) -> None:
    stream = await AsyncClient(host=pair.url).chat("pair", user("hello"), stream=True)
    assert "".join([part.message.content or "" async for part in stream]) == "one two three"


@pytest.mark.parametrize("stream", [False, True])
def test_tools_and_their_results(client: Client, stream: bool) -> None:
    said = client.chat("pair", user("twice"), tools=[weather], stream=stream)  # type: ignore[call-overload]
    calls = [call for part in (said if stream else [said]) for call in part.message.tool_calls or ()]
    assert [call.function.arguments for call in calls] == [{"city": "Rome"}, {"city": "Oslo"}]
    results = [
        {"role": "tool", "tool_name": "weather", "content": weather(**call.function.arguments)}
        for call in calls
    ]
    turns: list[Mapping[str, Any]] = [*user("twice"), {"role": "assistant", "tool_calls": calls}, *results]
    assert client.chat("pair", turns, tools=[weather]).message.content == "the tool said sunny in Oslo"


def test_formats_and_options(client: Client) -> None:
    said = client.chat("pair", user("json"), format=Weather.model_json_schema()).message.content
    assert Weather.model_validate_json(said or "") == Weather(city="Rome", degrees=21)
    assert client.chat("pair", user("hello"), format="json").message.content == REFUSAL
    cut = client.chat("pair", user("hello"), options={"num_predict": 2, "temperature": 0.1})
    assert (cut.message.content, cut.done_reason) == ("one two", "length")
    assert client.chat("pair", user("seed"), options={"seed": 9}).message.content == "seed 9"


def test_models_are_listed_and_shown(client: Client) -> None:
    assert [model.model for model in client.list().models] == ["pair", "pair/work", "pair/big"]
    assert client.show("pair").capabilities == ["completion", "tools"]
    assert client.ps().models


def test_errors_are_told_as_ollama_does(client: Client) -> None:
    with pytest.raises(ResponseError, match="the model is gone") as caught:
        client.chat("pair", user("break"))
    assert caught.value.status_code == 503
    with pytest.raises(ResponseError, match="the model is gone"):
        list(client.chat("pair", user("crack"), stream=True))
    with pytest.raises(ResponseError, match="not images") as caught:
        client.chat("pair", [{"role": "user", "content": "look", "images": [b"123"]}])
    assert caught.value.status_code == 400
    with pytest.raises(ResponseError, match="did you mean"):
        client.chat("pair/bug", user("hi"))
