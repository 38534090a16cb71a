"""OpenAI's `/v1/chat/completions`: bodies read into jobs, answers written as completions and chunks."""

import json
import secrets
import time
from collections.abc import Sequence

from pydantic_core import to_json

from tinyllm.errors import TinyLLMError
from tinyllm.server.access import Caller
from tinyllm.server.answer import Answer
from tinyllm.server.endpoint import Job
from tinyllm.server.faults import body_of
from tinyllm.server.messages import Chat, message, parsed, requests_of, sampling_of, schema_of, tools_of
from tinyllm.server.service import Service
from tinyllm.types import JSON, Request, ToolCall

EVENT_STREAM = b"text/event-stream; charset=utf-8"
DONE = b"data: [DONE]\n\n"


def read_chat(body: bytes, caller: Caller, service: Service) -> Job:
    """The job that a body asks for. Raises BadParameter, and NotFound for a node that does not exist."""
    chat = parsed(Chat, body)
    tools, choice = tools_of(chat.tools, chat.tool_choice)
    request = Request(
        tuple(message(turn, place) for place, turn in enumerate(chat.messages)),
        model=service.model(chat.model),
        tools=tools,
        tool_choice=choice,
        json_schema=schema_of(chat.response_format),
    )
    sampling = sampling_of(chat, chat.max_completion_tokens)
    writer = ChatWriter(
        request.model,
        usage=chat.include_usage,
        structured=request.json_schema is not None,
        one_call=chat.parallel_tool_calls is False,
    )
    return Job(requests_of(chat, request, caller, sampling), bool(chat.stream), writer)


class ChatWriter:
    """Writes chat completions. Of an answer to a schema, a refusal is told as `refusal`, as OpenAI does."""

    media = EVENT_STREAM
    kind, chunk_kind, nothing = "chat.completion", "chat.completion.chunk", b'"delta":{}'

    def __init__(
        self, model: str, *, usage: bool = False, structured: bool = False, one_call: bool = False
    ) -> None:
        self.model = model
        self.usage = usage
        self.structured = structured
        self.one_call = one_call
        self.id = f"chatcmpl-{secrets.token_hex(12)}"
        self.created = int(time.time())
        self.begun: set[int] = set()
        self.spent = (0, 0)
        # All that the chunks of one stream share, so that a token costs little more than its own text.
        head = {"id": self.id, "object": self.chunk_kind, "created": self.created, "model": model}
        self.head = b"data: " + to_json(head)[:-1] + b',"choices":[{"index":'
        self.tail = b"}]" + (b',"usage":null' if usage else b"") + b"}\n\n"

    def whole(self, answers: Sequence[Answer]) -> bytes:
        spent = sum(a.tokens_in for a in answers), sum(a.tokens_out for a in answers)
        return to_json(
            {
                "id": self.id,
                "object": self.kind,
                "created": self.created,
                "model": self.model,
                "system_fingerprint": fingerprint(answers[0]),
                "choices": [
                    {"index": i, **self.told(each), "logprobs": None, "finish_reason": each.finish}
                    for i, each in enumerate(answers)
                ],
                "usage": usage(*spent),
                "tinyllm": extra(answers),
            }
        )

    def piece(self, index: int, text: str) -> bytes:
        return self.begin(index) + self.chunk(index, self.text(text))

    def end(self, index: int, answer: Answer) -> bytes:
        data = self.begin(index) + self.calls(index, answer)
        self.spent = self.spent[0] + answer.tokens_in, self.spent[1] + answer.tokens_out
        more = (
            b',"tinyllm":' + to_json(answer.extra) + b',"system_fingerprint":' + to_json(fingerprint(answer))
        )
        last = self.chunk(index, self.nothing, json.dumps(answer.finish).encode())
        return data + last[:-3] + more + b"}\n\n"

    def close(self) -> bytes:
        if not self.usage:
            return DONE
        head = self.head.removesuffix(b'[{"index":') + b'[],"usage":'
        return head + to_json(usage(*self.spent)) + b"}\n\n" + DONE

    def fault(self, error: TinyLLMError) -> bytes:
        return b"data: " + to_json(body_of(error)) + b"\n\n"

    def begin(self, index: int) -> bytes:
        """The first chunk of a choice names the role, on which clients rely."""
        if index in self.begun:
            return b""
        self.begun.add(index)
        return self.chunk(index, b'"delta":{"role":"assistant","content":""}')

    def chunk(self, index: int, told: bytes, finish: bytes = b"null") -> bytes:
        parts = (self.head, str(index).encode(), b",", told, b',"logprobs":null,"finish_reason":', finish)
        return b"".join((*parts, self.tail))

    def text(self, text: str) -> bytes:
        return b'"delta":{"content":' + to_json(text) + b"}"

    def calls(self, index: int, answer: Answer) -> bytes:
        chunks = []
        for place, call in enumerate(self._calls(answer)):
            delta = {"tool_calls": [{"index": place, **call_of(call)}]}
            chunks.append(self.chunk(index, b'"delta":' + to_json(delta)))
        return b"".join(chunks)

    def told(self, answer: Answer) -> dict[str, JSON]:
        """What a choice that does not stream holds."""
        refused = self.structured and answer.status == "refused"
        calls = [call_of(call) for call in self._calls(answer)]
        message = {
            "role": "assistant",
            "content": None if refused or (calls and not answer.text) else answer.text,
            "refusal": answer.text if refused else None,
            **({"tool_calls": calls} if calls else {}),
        }
        return {"message": message}

    def _calls(self, answer: Answer) -> Sequence[ToolCall]:
        return answer.calls[:1] if self.one_call else answer.calls


def call_of(call: ToolCall) -> dict[str, JSON]:
    arguments = json.dumps(dict(call.arguments), ensure_ascii=False)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def usage(tokens_in: int, tokens_out: int) -> dict[str, int]:
    return {
        "prompt_tokens": tokens_in,
        "completion_tokens": tokens_out,
        "total_tokens": tokens_in + tokens_out,
    }


def extra(answers: Sequence[Answer]) -> JSON:
    """What goes under the key `tinyllm`: one object, or a list where several answers were asked for."""
    return answers[0].extra if len(answers) == 1 else [answer.extra for answer in answers]


def fingerprint(answer: Answer) -> str:
    """The version of the network that answered."""
    return f"fp_{answer.graph}"
