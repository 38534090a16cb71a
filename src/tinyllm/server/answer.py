"""An answer of the network as every dialect tells it, whether it came whole or as events."""

from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter

from tinyllm.engine.request import to_json
from tinyllm.engine.scope import tool_run_json
from tinyllm.errors import BackendTimeout, TinyLLMError, named
from tinyllm.types import JSON, Reply, ToolCall


@dataclass(frozen=True, slots=True)
class Answer:
    """`calls` are for the caller to run; `extra` is what goes under the key `tinyllm`."""

    text: str
    status: str
    calls: tuple[ToolCall, ...]
    truncated: bool
    tokens_in: int
    tokens_out: int
    graph: str
    extra: Mapping[str, JSON]
    error: TinyLLMError | None = None

    @property
    def finish(self) -> str:
        """Why the answer ends, in OpenAI's words."""
        return "tool_calls" if self.calls else "length" if self.truncated else "stop"


def of_reply(reply: Reply) -> Answer:
    """The answer that a whole run came to."""
    calls = [tool_run_json(run) for run in reply.tool_calls]
    extra = _extra(
        dict(zip(_TOLD, _told(reply), strict=True)) | {"tool_calls": calls, "cost": to_json(reply.cost)}
    )
    return Answer(
        text=reply.answer,
        status=reply.status,
        calls=reply.caller_calls,
        truncated=reply.truncated,
        tokens_in=reply.cost.tokens_in,
        tokens_out=reply.cost.tokens_out,
        graph=reply.graph,
        extra=extra,
        error=_error(reply.status, reply.answer, reply.error),
    )


def of_event(data: Mapping[str, JSON], broken: TinyLLMError | None) -> Answer:
    """The answer in a `run_finished` event; `broken` is the first error on the way."""
    return Answer(
        text=data["answer"],
        status=data["status"],
        calls=tuple(ToolCall(**call) for call in data["caller_calls"]),
        truncated=data["truncated"],
        tokens_in=data["cost"]["tokens_in"],
        tokens_out=data["cost"]["tokens_out"],
        graph=data["graph"],
        extra=_extra(data),
        error=_error(data["status"], data["answer"], broken),
    )


def broken_by(data: Mapping[str, JSON]) -> TinyLLMError:
    """The error that a `node_failed` event tells of."""
    return named(data["error"], data["message"], data.get("hint", ""))


_TOLD = ("run_id", "graph", "status", "route", "tool_calls", "cost", "latency_ms", "reason", "ticket")
_told = attrgetter(*_TOLD)


def _extra(data: Mapping[str, JSON]) -> dict[str, JSON]:
    return {name: told for name in _TOLD if (told := data[name]) is not None and told != ""}


def _error(status: str, told: str, error: TinyLLMError | None) -> TinyLLMError | None:
    """Why there is no answer. A run that failed without an error took too long."""
    if status != "failed":
        return None
    return error or BackendTimeout(told, hint="ask for less, or raise the network's budget of seconds")
