"""OpenAI's `/v1/responses`: bodies read into jobs, answers written as responses and their events.

Each request carries its whole conversation: the server keeps none to go on from.
"""

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field
from pydantic_core import to_json

from tinyllm.errors import TinyLLMError
from tinyllm.server.access import Caller
from tinyllm.server.answer import Answer
from tinyllm.server.chat import EVENT_STREAM, call_of
from tinyllm.server.endpoint import Job
from tinyllm.server.faults import BadParameter, body_of
from tinyllm.server.messages import (
    Body,
    Call,
    Extra,
    Function,
    FunctionSpec,
    Part,
    Tool,
    Turn,
    Wishes,
    message,
    parsed,
    requests_of,
    sampling_of,
    schema_of,
    tools_of,
)  # fmt: skip
from tinyllm.server.service import Service
from tinyllm.types import JSON, Message, Request, ToolCall


class Item(BaseModel):
    """A turn, a call or the result of a call."""

    type: str = "message"
    role: Any = "user"
    content: str | list[Part] | None = None
    call_id: str | None = None
    name: str = ""
    arguments: str = ""
    output: str | list[Part] | None = None


class FlatTool(FunctionSpec):
    type: str = "function"


class Form(BaseModel):
    format: dict[str, Any] | None = None


class Ask(Body):
    model: str = ""
    input: str | list[Item]
    instructions: str | None = None
    tools: list[FlatTool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: Form | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_output_tokens: int | None = Field(default=None, ge=1)
    previous_response_id: str | None = None
    stream: bool | None = False
    user: str | None = Field(default=None, max_length=200)
    tinyllm: Extra = Field(default_factory=Extra)


def read_response(body: bytes, caller: Caller, service: Service) -> Job:
    """The job that a body asks for. Raises BadParameter, NotFound."""
    ask = parsed(Ask, body)
    if ask.previous_response_id:
        raise BadParameter("responses are not kept: send the whole conversation", "previous_response_id")
    items = [Item(content=ask.input)] if isinstance(ask.input, str) else ask.input
    turns = [_turn(item, place) for place, item in enumerate(items)]
    system = [Message("system", ask.instructions)] if ask.instructions else []
    functions = [Tool(function=tool) for tool in ask.tools or () if tool.type == "function"]
    tools, choice = tools_of(functions, ask.tool_choice)
    request = Request(
        (*system, *_merged(turns)),
        service.model(ask.model),
        tools,
        choice,
        schema_of(ask.text.format if ask.text else None),
    )
    shared = ask.model_dump(include={"temperature", "top_p", "user"})
    wishes = Wishes.model_validate(shared | {"tinyllm": ask.tinyllm})
    requests = requests_of(wishes, request, caller, sampling_of(wishes, ask.max_output_tokens))
    writer = ResponseWriter(
        request.model,
        structured=request.json_schema is not None,
        one_call=ask.parallel_tool_calls is False,
    )
    return Job(requests, bool(ask.stream), writer)


def _turn(item: Item, place: int) -> Message:
    match item.type:
        case "message":
            turn = Turn(role=item.role, content=item.content)
        case "function_call":
            call = Call(id=item.call_id, function=Function(name=item.name, arguments=item.arguments))
            turn = Turn(role="assistant", tool_calls=[call])
        case "function_call_output":
            turn = Turn(role="tool", content=item.output, tool_call_id=item.call_id)
        case other:
            raise BadParameter(f"input.{place}: {other!r} is not understood here", "input")
    return message(turn, place)


def _merged(turns: Sequence[Message]) -> list[Message]:
    """The conversation with calls that follow each other in one turn, as models know it."""
    merged: list[Message] = []
    for turn in turns:
        if turn.tool_calls and merged and merged[-1].role == "assistant":
            last = merged.pop()
            turn = Message("assistant", last.content, (*last.tool_calls, *turn.tool_calls))
        merged.append(turn)
    return merged


class ResponseWriter:
    """Writes a response, or the events that lead to it."""

    media = EVENT_STREAM

    def __init__(self, model: str, *, structured: bool = False, one_call: bool = False) -> None:
        self.model = model
        self.structured = structured
        self.one_call = one_call
        self.id = f"resp_{secrets.token_hex(12)}"
        self.message = f"msg_{secrets.token_hex(12)}"
        self.created = int(time.time())
        self.sequence = 0
        self.said = ""
        self.begun = False

    def whole(self, answers: Sequence[Answer]) -> bytes:
        (answer,) = answers
        return to_json(self._response("completed", answer))

    def piece(self, index: int, text: str) -> bytes:
        data = self._begin()
        self.said += text
        return data + self._event(
            "response.output_text.delta", {**self._place(), "delta": text, "logprobs": []}
        )

    def end(self, index: int, answer: Answer) -> bytes:
        data = self._begin()
        done = self._text_item(self.said)
        part = done["content"][0]
        data += self._event("response.output_text.done", {**self._place(), "text": self.said, "logprobs": []})
        data += self._event("response.content_part.done", {**self._place(), "part": part})
        data += self._event("response.output_item.done", {"output_index": 0, "item": done})
        for place, item in enumerate(self._call_items(answer), 1):
            where = {"output_index": place, "item_id": item["id"]}
            empty = {**item, "arguments": "", "status": "in_progress"}
            data += self._event("response.output_item.added", {"output_index": place, "item": empty})
            given = {**where, "delta": item["arguments"]}
            data += self._event("response.function_call_arguments.delta", given)
            whole = {**where, "name": item["name"], "arguments": item["arguments"]}
            data += self._event("response.function_call_arguments.done", whole)
            data += self._event("response.output_item.done", {"output_index": place, "item": item})
        output = [done, *self._call_items(answer)]
        last = {**self._response("completed", answer), "output": output}
        return data + self._event("response.completed", {"response": last})

    def close(self) -> bytes:
        return b""

    def fault(self, error: TinyLLMError) -> bytes:
        told = body_of(error)["error"]
        return self._event(
            "error", {"message": told["message"], "code": told["code"], "param": told["param"]}
        )

    def _begin(self) -> bytes:
        if self.begun:
            return b""
        self.begun = True
        started = {"response": self._response("in_progress", None)}
        item = {
            "type": "message",
            "id": self.message,
            "status": "in_progress",
            "role": "assistant",
            "content": [],
        }
        part = {"type": "output_text", "text": "", "annotations": []}
        return (
            self._event("response.created", started)
            + self._event("response.in_progress", started)
            + self._event("response.output_item.added", {"output_index": 0, "item": item})
            + self._event("response.content_part.added", {**self._place(), "part": part})
        )

    def _place(self) -> dict[str, JSON]:
        return {"item_id": self.message, "output_index": 0, "content_index": 0}

    def _event(self, kind: str, fields: Mapping[str, JSON]) -> bytes:
        data = {"type": kind, "sequence_number": self.sequence, **fields}
        self.sequence += 1
        return b"event: " + kind.encode() + b"\ndata: " + to_json(data) + b"\n\n"

    def _response(self, status: str, answer: Answer | None) -> dict[str, JSON]:
        truncated = answer is not None and answer.truncated
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": "incomplete" if truncated else status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if truncated else None,
            "instructions": None,
            "metadata": {},
            "model": self.model,
            "output": self._output(answer) if answer else [],
            "parallel_tool_calls": not self.one_call,
            "tool_choice": "auto",
            "tools": [],
            "temperature": None,
            "top_p": None,
            "usage": _usage(answer) if answer else None,
            **({"tinyllm": answer.extra} if answer else {}),
        }

    def _output(self, answer: Answer) -> list[JSON]:
        calls = self._call_items(answer)
        if calls and not answer.text:
            return calls
        if self.structured and answer.status == "refused":
            refusal = {"type": "refusal", "refusal": answer.text}
            return [{**self._text_item(""), "content": [refusal]}]
        return [self._text_item(answer.text), *calls]

    def _text_item(self, text: str) -> dict[str, JSON]:
        part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
        return {
            "type": "message",
            "id": self.message,
            "status": "completed",
            "role": "assistant",
            "content": [part],
        }

    def _call_items(self, answer: Answer) -> list[JSON]:
        calls = answer.calls[:1] if self.one_call else answer.calls
        return [_call_item(call) for call in calls]


def _call_item(call: ToolCall) -> dict[str, JSON]:
    function = call_of(call)["function"]
    return {
        "type": "function_call",
        "id": f"fc_{call.id}",
        "call_id": call.id,
        "name": function["name"],
        "arguments": function["arguments"],
        "status": "completed",
    }


def _usage(answer: Answer) -> dict[str, JSON]:
    return {
        "input_tokens": answer.tokens_in,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": answer.tokens_out,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": answer.tokens_in + answer.tokens_out,
    }
