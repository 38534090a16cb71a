"""Ollama's `/api/chat` and `/api/generate`: bodies read into jobs, answers written as lines of JSON."""

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, Field
from pydantic_core import to_json

from tinyllm.errors import TinyLLMError
from tinyllm.graph import Graph
from tinyllm.server.access import Caller
from tinyllm.server.answer import Answer
from tinyllm.server.endpoint import Job
from tinyllm.server.faults import BadParameter, told
from tinyllm.server.messages import (
    Body,
    Extra,
    Tool,
    Turn,
    Wishes,
    legal,
    message,
    parsed,
    requests_of,
    sampling_of,
    tools_of,
)
from tinyllm.server.service import Service
from tinyllm.types import JSON, Message, Request, ToolCall


class Options(BaseModel):
    """Those of Ollama's sampling options that a network heeds."""

    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    num_predict: int | None = None
    seed: int | None = None
    stop: str | list[str] | None = None


class Asked(Body):
    """What both paths have in common. Ollama streams unless it is told not to."""

    model: str = ""
    stream: bool | None = True
    format: str | dict[str, Any] | None = None
    options: Options | None = None
    tinyllm: Extra = Field(default_factory=Extra)


class OllamaTurn(Turn):
    images: list[Any] | None = None


class Chat(Asked):
    messages: list[OllamaTurn] = Field(min_length=1)
    tools: list[Tool] | None = None


class Generate(Asked):
    prompt: str
    system: str | None = None
    images: list[Any] | None = None


def read_chat(body: bytes, caller: Caller, service: Service) -> Job:
    """The job that a body of `/api/chat` asks for. Raises BadParameter, NotFound."""
    chat = parsed(Chat, body)
    if any(turn.images for turn in chat.messages):
        raise BadParameter("this network reads text, not images", "messages")
    turns = paired([message(turn, place) for place, turn in enumerate(chat.messages)])
    tools, _ = tools_of(chat.tools, None)
    request = Request(turns, service.model(chat.model), tools, json_schema=_schema(chat.format))
    return _job(chat, request, caller, ChatWriter(request.model))


def read_generate(body: bytes, caller: Caller, service: Service) -> Job:
    """The job that a body of `/api/generate` asks for. Raises BadParameter, NotFound."""
    asked = parsed(Generate, body)
    if asked.images:
        raise BadParameter("this network reads text, not images", "images")
    system = (Message("system", asked.system),) if asked.system else ()
    turns = (*system, Message("user", asked.prompt))
    request = Request(turns, service.model(asked.model), json_schema=_schema(asked.format))
    return _job(asked, request, caller, GenerateWriter(request.model))


def paired(turns: Sequence[Message]) -> tuple[Message, ...]:
    """The conversation with ids that pair calls and results, which Ollama pairs by their order."""
    waiting: deque[str] = deque()
    numbered: list[Message] = []
    for place, turn in enumerate(turns):
        if turn.tool_calls:
            calls = [
                ToolCall(c.name, c.arguments, f"call_{place}_{i}") for i, c in enumerate(turn.tool_calls)
            ]
            waiting = deque(call.id for call in calls)
            turn = Message(turn.role, turn.content, tuple(calls))
        elif turn.role == "tool" and waiting:
            turn = Message("tool", turn.content, tool_call_id=waiting.popleft())
        numbered.append(turn)
    return tuple(numbered)


def _schema(form: str | dict[str, Any] | None) -> Mapping[str, JSON] | None:
    if isinstance(form, dict):
        return legal(form, "format")
    return {"type": "object"} if form == "json" else None


def _job(asked: Asked, request: Request, caller: Caller, writer: "GenerateWriter") -> Job:
    options = asked.options or Options()
    wishes = Wishes.model_validate(options.model_dump() | {"tinyllm": asked.tinyllm})
    limit = options.num_predict if options.num_predict and options.num_predict > 0 else None
    return Job(
        requests_of(wishes, request, caller, sampling_of(wishes, limit)), asked.stream is not False, writer
    )


class GenerateWriter:
    """Writes lines whose text is under `response`."""

    media = b"application/x-ndjson"

    def __init__(self, model: str) -> None:
        self.model = model

    def whole(self, answers: Sequence[Answer]) -> bytes:
        (answer,) = answers
        return self._last(answer, self.text(answer.text, answer.calls))

    def piece(self, index: int, text: str) -> bytes:
        return self._line(self.text(text) | {"done": False})

    def end(self, index: int, answer: Answer) -> bytes:
        calls = self._line(self.text("", answer.calls) | {"done": False}) if answer.calls else b""
        return calls + self._last(answer, self.text(""))

    def close(self) -> bytes:
        return b""

    def fault(self, error: TinyLLMError) -> bytes:
        return to_json({"error": told(error)}) + b"\n"

    def text(self, text: str, calls: Sequence[ToolCall] = ()) -> dict[str, JSON]:
        return {"response": text}

    def _last(self, answer: Answer, text: dict[str, JSON]) -> bytes:
        spent = int(answer.extra["latency_ms"] * 1e6)
        return self._line(
            {
                **text,
                "done": True,
                "done_reason": "length" if answer.truncated else "stop",
                "total_duration": spent,
                "load_duration": 0,
                "prompt_eval_count": answer.tokens_in,
                "prompt_eval_duration": 0,
                "eval_count": answer.tokens_out,
                "eval_duration": spent,
                "tinyllm": answer.extra,
            }
        )

    def _line(self, fields: dict[str, JSON]) -> bytes:
        created = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        return to_json({"model": self.model, "created_at": created, **fields}) + b"\n"


class ChatWriter(GenerateWriter):
    """Writes lines whose text is a message."""

    def text(self, text: str, calls: Sequence[ToolCall] = ()) -> dict[str, JSON]:
        told = [{"function": {"name": call.name, "arguments": dict(call.arguments)}} for call in calls]
        return {"message": {"role": "assistant", "content": text, **({"tool_calls": told} if told else {})}}


def listed(models: Mapping[str, Graph], started: float) -> list[dict[str, JSON]]:
    """The models as `/api/tags` lists them."""
    made = datetime.fromtimestamp(started, UTC).isoformat()
    return [
        {
            "name": name,
            "model": name,
            "modified_at": made,
            "size": 0,
            "digest": graph.id,
            "details": {
                "format": "network",
                "family": graph.name,
                "parameter_size": "",
                "quantization_level": "",
            },
        }
        for name, graph in models.items()
    ]
