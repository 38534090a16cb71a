"""OpenAI's own client against the server: whole and streamed, tools, schemas, errors."""

import asyncio
from collections.abc import Sequence

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionToolParam
from pydantic import BaseModel

from tests.server.conftest import REFUSAL
from tests.support.serving import Running

WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "the weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}


class Weather(BaseModel):
    city: str
    degrees: int


@pytest.fixture
def client(pair: Running) -> OpenAI:
    return OpenAI(base_url=f"{pair.url}/v1", api_key="any", max_retries=0)


def ask(client: OpenAI, question: str, **options: object) -> ChatCompletion:
    return client.chat.completions.create(  # type: ignore[call-overload,no-any-return]
        model="gpt-4o", messages=[{"role": "user", "content": question}], **options
    )


def streamed(client: OpenAI, question: str, **options: object) -> Sequence[ChatCompletionChunk]:
    return list(ask(client, question, stream=True, **options))  # type: ignore[arg-type]


def test_a_question_is_answered(client: OpenAI, pair: Running) -> None:
    reply = ask(client, "sum it")
    assert reply.choices[0].message.content == "the tool said 40 + 2 = 42"
    assert (reply.choices[0].finish_reason, reply.model) == ("stop", "pair")
    assert reply.usage is not None and reply.usage.total_tokens > 0
    extra = (reply.model_extra or {})["tinyllm"]
    assert (extra["status"], extra["route"]) == ("answered", ["entry", "work", "end"])
    assert asyncio.run(pair.store.events(extra["run_id"]))[-1].kind == "run_finished"


def test_a_stream_has_all_that_clients_lean_on(client: OpenAI) -> None:
    chunks = streamed(client, "hello", stream_options={"include_usage": True})
    assert chunks[0].choices[0].delta.role == "assistant"
    assert len({chunk.id for chunk in chunks}) == 1
    assert "".join(c.choices[0].delta.content or "" for c in chunks[:-1]) == "one two three"
    assert len(chunks) == 6, "a role, three words, the end, the usage"
    assert [c.choices[0].finish_reason for c in chunks[:-1]] == [None] * 4 + ["stop"]
    assert (
        chunks[-1].choices == [] and chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 3
    )
    assert (chunks[-2].model_extra or {})["tinyllm"]["status"] == "answered"
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert streamed(client, "hello")[-1].choices, "no usage unless it is asked for"


async def test_the_asynchronous_client_streams_many_at_once(pair: Running) -> None:
    async with AsyncOpenAI(base_url=f"{pair.url}/v1", api_key="any", max_retries=0) as client:

        async def one() -> str:
            stream = await client.chat.completions.create(
                model="pair", messages=[{"role": "user", "content": "hello"}], stream=True
            )
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

        assert await asyncio.gather(*(one() for _ in range(20))) == ["one two three"] * 20


def test_the_callers_tools_are_called_by_the_caller(client: OpenAI) -> None:
    reply = ask(client, "weather in Rome?", tools=[WEATHER])
    assert reply.choices[0].message.tool_calls is not None
    (call,) = reply.choices[0].message.tool_calls
    assert call.type == "function"
    assert (call.function.name, call.function.arguments, call.id) == ("weather", '{"city": "Rome"}', "call_1")
    assert (reply.choices[0].finish_reason, reply.choices[0].message.content) == ("tool_calls", None)
    done = client.chat.completions.create(
        model="pair",
        tools=[WEATHER],
        messages=[
            {"role": "user", "content": "weather in Rome?"},
            reply.choices[0].message.model_dump(exclude_none=True),  # type: ignore[list-item]
            {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
        ],
    )
    assert done.choices[0].message.content == "the tool said sunny"


def test_streamed_calls_are_put_together_by_the_client(client: OpenAI) -> None:
    messages = [{"role": "user", "content": "twice please"}]
    with client.chat.completions.stream(model="pair", messages=messages, tools=[WEATHER]) as stream:  # type: ignore[arg-type]
        reply = stream.get_final_completion()
    calls = reply.choices[0].message.tool_calls or ()
    given = [call.function.parsed_arguments for call in calls if call.type == "function"]
    assert given == [{"city": "Rome"}, {"city": "Oslo"}]
    assert reply.choices[0].finish_reason == "tool_calls"
    one = ask(client, "twice please", tools=[WEATHER], parallel_tool_calls=False)
    assert len(one.choices[0].message.tool_calls or ()) == 1


def test_tool_choice(client: OpenAI) -> None:
    named = {"type": "function", "function": {"name": "weather"}}
    assert ask(client, "weather", tools=[WEATHER], tool_choice=named).choices[0].message.tool_calls
    refused = ask(client, "hello", tools=[WEATHER], tool_choice="required").choices[0].message
    assert not refused.tool_calls and refused.content == REFUSAL
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, "hello", tools=[WEATHER], tool_choice={"type": "function", "function": {"name": "x"}})
    assert caught.value.param == "tool_choice"


def test_answers_of_a_schema(client: OpenAI) -> None:
    def parse(question: str) -> tuple[Weather | None, str | None]:
        message = client.chat.completions.parse(
            model="pair", messages=[{"role": "user", "content": question}], response_format=Weather
        ).choices[0].message  # fmt: skip
        return message.parsed, message.refusal

    assert parse("json please") == (Weather(city="Rome", degrees=21), None)
    assert parse("hello") == (None, REFUSAL)
    assert ask(client, "json", response_format={"type": "json_object"}).choices[0].message.content


def test_several_answers_differ_by_their_seed(client: OpenAI) -> None:
    reply = ask(client, "seed please", n=3, seed=5)
    assert [choice.message.content for choice in reply.choices] == ["seed 5", "seed 6", "seed 7"]
    chunks = streamed(client, "seed please", n=2, seed=1)
    said = {0: "", 1: ""}
    for chunk in chunks:
        said[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert said == {0: "seed 1", 1: "seed 2"}


def test_stop_and_max_tokens(client: OpenAI) -> None:
    assert ask(client, "hello", stop=" two").choices[0].message.content == "one"
    assert ask(client, "hello", stop=[""]).choices[0].message.content == "one two three"
    cut = ask(client, "hello", max_completion_tokens=2).choices[0]
    assert (cut.message.content, cut.finish_reason) == ("one two", "length")
    assert streamed(client, "hello", max_tokens=1)[-1].choices[0].finish_reason == "length"


def test_parts_and_system_prompts_are_understood(client: OpenAI) -> None:
    reply = client.chat.completions.create(
        model="pair",
        messages=[
            {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
            {"role": "user", "content": [{"type": "text", "text": "system prompt?"}]},
        ],
    )
    assert reply.choices[0].message.content == "Be brief."


def test_a_node_can_be_asked_alone(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["pair", "pair/work", "pair/big"]
    assert client.models.retrieve("pair/big").id == "pair/big"
    reply = client.chat.completions.create(model="pair/big", messages=[{"role": "user", "content": "hi"}])
    assert (reply.choices[0].message.content, reply.model) == ("big one", "pair/big")
    with pytest.raises(openai.NotFoundError, match="did you mean 'pair/big'"):
        client.chat.completions.create(model="pair/bug", messages=[{"role": "user", "content": "hi"}])


def test_a_refusal_is_an_answer_in_words(client: OpenAI) -> None:
    reply = ask(client, "refuse this")
    assert reply.choices[0].message.content == REFUSAL
    assert (reply.model_extra or {})["tinyllm"]["reason"] == "nobody can do this"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": []}, "messages"),
        ({"temperature": 9}, "temperature"),
        ({"n": 100}, "n"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages.0.content",
        ),
        ({"messages": [{"role": "user", "content": ""}]}, None),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": 3}}}},
            "response_format",
        ),
        ({"response_format": {"type": "json_schema", "json_schema": [[]]}}, "response_format"),
        ({"tool_choice": {"function": ["weather"]}}, "tool_choice"),
        ({"tinyllm": {"no": "such"}}, "tinyllm.no"),
        ({"tinyllm": {"forced": {"nobody": "x"}}}, None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_taken_is_told_with_its_field(
    pair: Running, body: dict[str, object], param: str | None, stream: bool
) -> None:
    whole = {"model": "pair", "messages": [{"role": "user", "content": "hi"}], "stream": stream, **body}
    response = pair.post("/v1/chat/completions", whole)
    error = response.json()["error"]
    assert (response.status_code, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert error["message"] and response.headers["x-should-retry"] == "false"


def test_what_is_no_json_is_told(pair: Running) -> None:
    import httpx

    for data in (
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
        b"[" * 10_000,
    ):
        assert httpx.post(f"{pair.url}/v1/chat/completions", content=data).status_code == 400


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_is_gone_is_an_error_that_may_pass(client: OpenAI, stream: bool) -> None:
    with pytest.raises(openai.InternalServerError, match="the model is gone") as caught:
        list(ask(client, "break down", stream=stream))
    assert caught.value.status_code == 503
    assert caught.value.response.headers["x-should-retry"] == "true"


def test_an_error_in_mid_stream_reaches_the_client(client: OpenAI) -> None:
    with pytest.raises(openai.APIError, match="the model is gone"):
        streamed(client, "crack up")
