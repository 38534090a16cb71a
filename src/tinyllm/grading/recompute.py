"""Grades a run by computing again: its calls from the trace, and a second reading of its question.

A tool that gives something else, or a figure that the answer does not tell, proves the answer wrong. That the
sums hold proves it right only where the call is certain, too: the question itself was the tool's argument, or
a second reader comes to the same value. Otherwise the grader abstains. Knows nothing about nodes or models.
"""

import json
from collections.abc import Awaitable, Callable, Mapping

from tinyllm.errors import ToolError
from tinyllm.protocols import Tool, ToolContext
from tinyllm.slots import figure, tells
from tinyllm.types import JSON, Completion, Grade, GradeKind, Message, Prompt, Span, ToolCall, ToolRun, Trace

Ask = Callable[[Prompt], Awaitable[Completion]]


class Recompute:
    """Computes with `tools`; `second` answers a prompt with a tool call, as a reader of the question.

    `name` is that of the network which has them: another one may grade what this one cannot.
    """

    kind: GradeKind = "recompute"

    def __init__(self, name: str, tools: Mapping[str, Tool], second: Ask | None = None) -> None:
        self.name = name
        self.tools = tools
        self.second = second

    async def grade(self, trace: Trace, context: ToolContext, reference: str | None = None) -> Grade:
        """The grade of an answer that rests on repeatable calls. Raises BackendError where a reader breaks."""
        score, reason = await self._judge(trace, context)
        return Grade(trace.run_id, self.kind, self.name, score, reason)

    async def _judge(self, trace: Trace, context: ToolContext) -> tuple[float | None, str]:
        span = maker(trace)
        runs = [run for run in span.tools if run.result is not None] if span else []
        if span is None or not runs:
            return None, "no call of a tool supports the answer"
        for run in runs:
            tool = self.tools.get(run.call.name)
            if tool is None or not tool.spec.repeatable:
                return None, f"a call of {run.call.name!r} cannot be repeated"
            try:
                again = await tool.call(run.call.arguments, context)
            except ToolError as error:
                return None, f"{run.call.name} does not run now: {error.message}"
            if not _same(again.value, _value(run)):
                return 0.0, f"{run.call.name} gave {_value(run)!r}, and gives {again.value!r}"
        computed = figure(_value(runs[-1]))
        if computed is not None and span.text != _text(runs[-1]) and not tells(span.text, computed):
            return 0.0, f"the tool computed {_value(runs[-1])}, which the answer does not say"
        if span.kind == "tool" and trace.question in runs[-1].call.arguments.values():
            return 1.0, "the question is the tool's argument, and it gives the same again"
        return await self._confirm(trace, runs[-1], context)

    async def _confirm(self, trace: Trace, run: ToolRun, context: ToolContext) -> tuple[float | None, str]:
        """Whether another reader of the question comes to the same value."""
        if any(check.name == "agreement" and check.passed for span in trace.spans for check in span.checks):
            return 1.0, "the calls give the same again, and two readers agreed on them"
        if self.second is None:
            return None, "the calls give the same again; whether they are the right ones nobody confirms"
        specs = tuple(tool.spec for tool in self.tools.values())
        read = await self.second(Prompt((Message("user", trace.question),), tools=specs))
        call = read.tool_calls[0] if read.tool_calls else None
        if call is None or call.name not in self.tools:
            return None, "a second reader makes no call of the question"
        try:
            other = await self.tools[call.name].call(call.arguments, context)
        except ToolError as error:
            return None, f"the call of a second reader fails: {error.message}"
        if not _same(other.value, _value(run)):
            return None, f"a second reader calls {_shown(call)}, the first {_shown(run.call)}"
        return 1.0, "the calls give the same again, and a second reader comes to the same value"


def maker(trace: Trace) -> Span | None:
    """The span of the node that made the answer of an answered run, as far as the trace tells."""
    made = (
        span
        for span in reversed(trace.spans)
        if span.kind in ("specialist", "tool") and span.error is None and span.text == trace.answer
    )
    return next(made, None) if trace.status == "answered" else None


def _same(one: JSON, other: JSON) -> bool:
    """Whether two values are the same as JSON, for a stored one has been through it."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _value(run: ToolRun) -> JSON:
    return run.result.value if run.result is not None else None


def _text(run: ToolRun) -> str:
    return run.result.text if run.result is not None else ""


def _shown(call: ToolCall) -> str:
    return f"{call.name}({', '.join(f'{key}={value!r}' for key, value in call.arguments.items())})"
