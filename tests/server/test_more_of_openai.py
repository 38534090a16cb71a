"""OpenAI's own client against the other endpoints: responses, completions, embeddings."""

import math
from typing import Any

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from tests.server.conftest import REFUSAL
from tests.support.serving import Running
from tinyllm.server.embeddings import embed

WEATHER: Any = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}


class Weather(BaseModel):
    city: str
    degrees: int


@pytest.fixture
def client(pair: Running) -> OpenAI:
    return OpenAI(base_url=f"{pair.url}/v1", api_key="any", max_retries=0)


def test_a_response(client: OpenAI) -> None:
    reply = client.responses.create(model="pair", input="system prompt", instructions="Be brief.")
    assert (reply.output_text, reply.status, reply.model) == ("Be brief.", "completed", "pair")
    assert reply.usage is not None and reply.usage.total_tokens > 0
    assert (reply.model_extra or {})["tinyllm"]["status"] == "answered"
    cut = client.responses.create(model="pair", input="hello", max_output_tokens=2)
    assert (cut.output_text, cut.status) == ("one two", "incomplete")


def test_a_streamed_response(client: OpenAI) -> None:
    with client.responses.stream(model="pair", input="hello") as stream:
        events = list(stream)
        final = stream.get_final_response()
    kinds = [event.type for event in events]
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
    assert (
        "".join(event.delta for event in events if event.type == "response.output_text.delta")
        == "one two three"
    )
    assert final.output_text == "one two three"
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(set(numbers))


def test_a_round_of_tools_in_responses(client: OpenAI) -> None:
    question: Any = {"role": "user", "content": [{"type": "input_text", "text": "twice"}]}
    reply = client.responses.create(model="pair", input=[question], tools=[WEATHER])
    calls = [item for item in reply.output if item.type == "function_call"]
    assert [call.arguments for call in calls] == ['{"city": "Rome"}', '{"city": "Oslo"}']
    results: Any = [{"type": "function_call_output", "call_id": c.call_id, "output": "sunny"} for c in calls]
    turns: Any = [question, *(call.model_dump() for call in calls), *results]
    assert (
        client.responses.create(model="pair", input=turns, tools=[WEATHER]).output_text
        == "the tool said sunny"
    )
    with client.responses.stream(model="pair", input="twice", tools=[WEATHER]) as stream:
        final = stream.get_final_response()
    assert [item.arguments for item in final.output if item.type == "function_call"] == [
        c.arguments for c in calls
    ]


def test_a_response_of_a_schema(client: OpenAI) -> None:
    assert client.responses.parse(model="pair", input="json", text_format=Weather).output_parsed == Weather(
        city="Rome", degrees=21
    )
    (item,) = client.responses.parse(model="pair", input="hello", text_format=Weather).output
    assert item.type == "message" and item.content[0].type == "refusal" and item.content[0].refusal == REFUSAL


def test_what_responses_do_not_take(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="not kept"):
        client.responses.create(model="pair", input="hello", previous_response_id="resp_1")
    with pytest.raises(openai.BadRequestError, match="not understood"):
        client.responses.create(model="pair", input=[{"type": "item_reference", "id": "x"}])
    *_, last = client.responses.create(model="pair", input="crack", stream=True)
    assert last.type == "error" and last.message == "the model is gone"


def test_completions(client: OpenAI) -> None:
    reply = client.completions.create(model="pair", prompt=["hello", "seed"], n=2, seed=3)
    assert [choice.text for choice in reply.choices] == ["one two three"] * 2 + ["seed 3", "seed 4"]
    chunks = list(client.completions.create(model="pair", prompt="hello", stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == "one two three"
    assert chunks[-1].choices[0].finish_reason == "stop"
    with pytest.raises(openai.BadRequestError):
        client.completions.create(model="pair", prompt=[[1, 2, 3]])


def test_embeddings_are_alike_where_words_are(client: OpenAI) -> None:
    texts = ["convert three cups to spoons", "converting 3 cups into spoons", "who wrote Hamlet?"]
    as_floats = client.embeddings.create(model="any", input=texts, encoding_format="float")
    packed = client.embeddings.create(model="any", input=texts)  # which the client asks for as base64
    a, b, c = (row.embedding for row in packed.data)
    assert a == pytest.approx(as_floats.data[0].embedding)
    assert a == pytest.approx(embed(texts[0]), abs=1e-6)
    assert len(a) == 1024 and math.hypot(*a) == pytest.approx(1)
    assert nearness(a, b) > nearness(a, c) + 0.2
    assert len(client.embeddings.create(model="any", input="x", dimensions=64).data[0].embedding) == 64


def nearness(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))
