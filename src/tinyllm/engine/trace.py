"""Folds the events of a run into the trace that people read."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from tinyllm.events import Event
from tinyllm.types import JSON, Check, Cost, Span, ToolCall, ToolResult, ToolRun, Trace


@dataclass(slots=True)
class _Open:
    kind: str
    start_ms: float
    choice: str | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    tools: list[ToolRun] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    cost: Cost = field(default_factory=Cost)
    before: dict[str, float] = field(default_factory=dict)
    facts: tuple[str, ...] = ()
    scores: dict[str, float] = field(default_factory=dict)
    pace: dict[str, float] = field(default_factory=dict)
    right: float | None = None


def fold(events: Iterable[Event]) -> Trace:
    """The forward pass of one run, from its events in order; a run cut short shows as failed."""
    spans: list[Span] = []
    open_: dict[str, _Open] = {}
    start: dict[str, JSON] = {}
    end: dict[str, JSON] = {}
    run_id, last_ms = "", 0.0
    for event in events:
        run_id, last_ms, node, data = event.run_id, event.at_ms, event.node or "", event.data
        match event.kind:
            case "run_started":
                start = dict(data)
            case "node_started":
                open_[node] = _Open(data["kind"], event.at_ms)
            case "choice_made" if node in open_:
                open_[node].choice = data["choice"]
                open_[node].probabilities = dict(data["probabilities"])
                open_[node].before = dict(data.get("before", {}))
                open_[node].scores = dict(data.get("scores", {}))
                open_[node].pace = dict(data.get("pace", {}))
                open_[node].right = data.get("right")
                open_[node].facts = tuple(data.get("facts", ()))
            case "tool_called" if node in open_:
                open_[node].tools.append(_tool_run(data))
            case "check_made" if node in open_:
                open_[node].checks.append(Check(data["name"], data["passed"], data["reason"]))
            case "model_called" if node in open_ and "cost" in data:
                open_[node].cost += Cost(**data["cost"])
            case "node_finished" | "node_failed" if node in open_:
                error = data.get("failed") or data.get("message")
                spans.append(
                    _close(node, open_.pop(node), event.at_ms, data.get("text", ""), error, data.get("error"))
                )
            case "run_finished":
                end = dict(data)
            case _:
                pass
    spans += [_close(node, part, last_ms, "", "cut short") for node, part in open_.items()]
    return Trace(
        run_id=run_id,
        graph=start.get("graph", ""),
        question=start.get("question", ""),
        answer=end.get("answer", ""),
        status=end.get("status", "failed"),
        spans=tuple(sorted(spans, key=lambda span: span.start_ms)),
        cost=Cost(**end["cost"]) if "cost" in end else Cost(),
        latency_ms=end.get("latency_ms", last_ms),
    )


def _close(
    node: str, part: _Open, end_ms: float, text: str, error: str | None, fault: str | None = None
) -> Span:
    return Span(
        node,
        part.kind,
        part.start_ms,
        end_ms,
        part.choice,
        part.probabilities,
        tuple(part.tools),
        tuple(part.checks),
        part.cost,
        text,
        error,
        part.before,
        part.facts,
        fault=fault,
        scores=part.scores,
        pace=part.pace,
        right=part.right,
    )


def _tool_run(data: dict[str, JSON] | JSON) -> ToolRun:
    call = ToolCall(data["name"], data["arguments"])
    if "error" in data:
        return ToolRun(call, None, data["error"])
    return ToolRun(call, ToolResult(data["result"], data["text"]))
