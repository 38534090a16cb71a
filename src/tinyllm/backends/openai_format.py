"""Between our prompts and chunks and the JSON of OpenAI's chat format, which servers and llama.cpp share.

Knows nothing about connections. Lenient in what it reads: servers differ in what they leave out.
"""

import json
from collections.abc import Mapping
from typing import Any, Literal

from tinyllm.backends.pricing import Rates, roughly
from tinyllm.errors import BadReply
from tinyllm.types import JSON, Chunk, Cost, Message, Prompt, TokenScore, ToolCall

Finish = Literal["stop", "length", "tool_calls"]


def clean(text: str) -> str:
    """The text without lone surrogates, which no JSON parser of a server accepts."""
    return text.encode("utf-8", "replace").decode("utf-8")


def sampling_fields(prompt: Prompt) -> dict[str, JSON]:
    """What chat and plain completion have in common, as a streaming request."""
    sampling = prompt.sampling
    body: dict[str, JSON] = {
        "stream": True,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
    }
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    return body


def chat_body(prompt: Prompt) -> dict[str, JSON]:
    body = sampling_fields(prompt)
    body["messages"] = [_message(message) for message in prompt.messages]
    body["stream_options"] = {"include_usage": True}
    if prompt.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {"name": t.name, "description": t.description, "parameters": dict(t.parameters)},
            }
            for t in prompt.tools
        ]
        if prompt.tool_choice != "auto":
            body["tool_choice"] = prompt.tool_choice
    if prompt.json_schema is not None:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": dict(prompt.json_schema)},
        }
    if prompt.scores:
        body["logprobs"] = True
    return body


def _message(message: Message) -> dict[str, JSON]:
    out: dict[str, JSON] = {"role": message.role, "content": clean(message.content)}
    if message.tool_calls:
        out["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(dict(call.arguments))},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        out["tool_call_id"] = message.tool_call_id
    return out


class Assembly:
    """Gathers the JSON chunks of one answer (a stream, or one whole body) for the model called `name`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.finish: str | None = None
        self._usage: Mapping[str, JSON] = {}
        self._said: list[str] = []
        self._calls: dict[int, dict[str, str]] = {}
        self._scores: list[TokenScore] = []

    def feed(self, data: JSON) -> str:
        """The text that this chunk adds. Raises BadReply where it is not shaped like a chunk."""
        try:
            if isinstance(usage := data.get("usage"), dict):
                self._usage = usage
            if not (choices := data.get("choices")):
                return ""
            choice = choices[0]
            self.finish = choice.get("finish_reason") or self.finish
            part = choice.get("delta") or choice.get("message") or {}
            for position, call in enumerate(part.get("tool_calls") or ()):
                self._add_call(position, call)
            for score in (choice.get("logprobs") or {}).get("content") or ():
                self._scores.append(TokenScore(score["token"], float(score["logprob"])))
            text = part.get("content") or choice.get("text") or ""
        except (AttributeError, KeyError, IndexError, TypeError, ValueError):
            raise self.bad("sent a chunk that is not in OpenAI's format", data) from None
        if not isinstance(text, str):
            raise self.bad("sent a chunk that is not in OpenAI's format", data)
        self._said.append(text)
        return text

    def _add_call(self, position: int, part: Mapping[str, Any]) -> None:
        """Merge a piece of a tool call. A server that numbers nothing starts a call with each name."""
        function = part.get("function") or {}
        index = part.get("index")
        if index is None:
            index = len(self._calls) if function.get("name") else max(self._calls, default=position)
        call = self._calls.setdefault(index, {"id": "", "name": "", "arguments": ""})
        arguments = function.get("arguments") or ""
        call["id"] = part.get("id") or call["id"]
        call["name"] = function.get("name") or call["name"]
        call["arguments"] += arguments if isinstance(arguments, str) else json.dumps(arguments)

    def last(self, prompt: Prompt, rates: Rates, milliseconds: float) -> Chunk:
        """The closing chunk; tokens are counted roughly where the server did not say.

        Raises BadReply where the stream was cut or a tool call cannot be read.
        """
        if self.finish is None:
            raise BadReply(
                f"model {self.name!r} stopped in the middle of its answer",
                hint="ask again; if it happens often, look at the server's log and memory",
            )
        calls = tuple(self._call(*item) for item in sorted(self._calls.items()))
        finish: Finish = "tool_calls" if calls else "length" if self.finish == "length" else "stop"
        return Chunk(
            tool_calls=calls,
            finish=finish,
            cost=self._cost(prompt, rates, milliseconds),
            scores=tuple(self._scores),
        )

    def _cost(self, prompt: Prompt, rates: Rates, milliseconds: float) -> Cost:
        details = self._usage.get("prompt_tokens_details")
        heard = _number(self._usage, "prompt_tokens")
        said = _number(self._usage, "completion_tokens")
        return rates.cost(
            tokens_in=heard or sum(roughly(message.content) for message in prompt.messages),
            tokens_out=said or sum(roughly(piece) for piece in self._said),
            milliseconds=milliseconds,
            cached=_number(details, "cached_tokens") if isinstance(details, dict) else 0,
        )

    def _call(self, index: int, call: Mapping[str, str]) -> ToolCall:
        try:
            arguments = json.loads(call["arguments"] or "{}")
        except ValueError:
            arguments = None
        if not isinstance(arguments, dict) or not call["name"]:
            raise self.bad("made a tool call that cannot be read", call)
        return ToolCall(call["name"], arguments, call["id"] or f"call_{index}")

    def bad(self, what: str, data: JSON) -> BadReply:
        return BadReply(f"model {self.name!r} {what}: {_excerpt(data)}", hint="ask again, or another model")


def _number(values: Mapping[str, JSON], key: str) -> int:
    value = values.get(key)
    return value if isinstance(value, int) else 0


def _excerpt(data: JSON) -> str:
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, default=str)
    return text if len(text) <= 200 else text[:200] + "..."
