"""Finished runs to grade, tools to compute with, and a model as a judge that says what a test wants."""

from collections.abc import Mapping, Sequence
from functools import partial

from tinyllm.backends.folding import complete
from tinyllm.backends.scripted import Script, Scripted
from tinyllm.grading import Judge
from tinyllm.protocols import Tool, ToolContext
from tinyllm.tools.table import TOOLS
from tinyllm.types import JSON, Check, Cost, Span, Status, ToolCall, ToolResult, ToolRun, Trace

CONTEXT = ToolContext(clock=1_700_000_000.0, seed=7)
RIGHT, WRONG, UNSURE = (
    f'{{"reason": "so it is", "verdict": "{word}"}}' for word in ("right", "wrong", "unsure")
)


def a_trace(
    answer: str = "4",
    *,
    question: str = "2 + 2",
    status: Status = "answered",
    spans: Sequence[Span] = (),
    run_id: str = "r1",
) -> Trace:
    return Trace(run_id, "g1", question, answer, status, spans, Cost(), 1.0)


def a_span(
    node: str = "solver",
    kind: str = "specialist",
    *,
    tools: Sequence[ToolRun] = (),
    text: str = "",
    checks: Sequence[Check] = (),
    choice: str | None = None,
    error: str | None = None,
) -> Span:
    return Span(
        node, kind, 0.0, 1.0, choice, tools=tuple(tools), checks=tuple(checks), text=text, error=error
    )


def called(value: JSON, text: str, tool: str = "calculator", **arguments: JSON) -> ToolRun:
    return ToolRun(ToolCall(tool, arguments), ToolResult(value, text))


def tools(*names: str) -> Mapping[str, Tool]:
    return {name: TOOLS[name]() for name in names or ("calculator",)}


def a_judge(script: Script, *, seconds: float = 5.0) -> tuple[Judge, Scripted]:
    """A judge with the model behind it, which keeps what it was asked."""
    model = Scripted("small", script)
    return Judge("small", partial(complete, model), seconds=seconds), model
