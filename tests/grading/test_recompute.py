"""Grading by computing again."""

from collections.abc import Mapping

import pytest

from tests.grading.fakes import CONTEXT, a_span, a_trace, called, tools
from tinyllm.errors import BackendUnreachable
from tinyllm.grading import Recompute
from tinyllm.protocols import ToolContext
from tinyllm.types import (
    JSON,
    Check,
    Completion,
    Cost,
    Prompt,
    ToolCall,
    ToolResult,
    ToolRun,
    ToolSpec,
    Trace,
)

GOOD = called(4, "2+2 = 4", expression="2 + 2")


def solved(
    *runs: ToolRun, answer: str = "2+2 = 4", kind: str = "specialist", agreed: bool | None = None
) -> Trace:
    spans = [
        a_span(kind=kind, tools=list(runs) or [GOOD], text=answer),
        a_span("gate", "gate", checks=[Check("agreement", agreed)]),
    ]
    return a_trace(answer, spans=spans)


class Reader:
    """A second reader that makes one call."""

    def __init__(self, *calls: ToolCall) -> None:
        self.calls = calls
        self.prompts: list[Prompt] = []

    async def __call__(self, prompt: Prompt) -> Completion:
        self.prompts.append(prompt)
        return Completion("", self.calls, "tool_calls", Cost())


async def score(trace: Trace, second: Reader | None = None) -> float | None:
    return (await Recompute("starter", tools(), second).grade(trace, CONTEXT)).score


async def test_a_value_that_does_not_come_again_is_wrong() -> None:
    bad = called(5, "2+2 = 5", expression="2+2")
    grade = await Recompute("starter", tools()).grade(solved(bad, answer="2+2 = 5"), CONTEXT)
    assert (grade.kind, grade.grader, grade.score) == ("recompute", "starter", 0.0)
    assert "gave 5, and gives 4" in grade.reason


async def test_an_answer_that_tells_another_figure_is_wrong() -> None:
    assert await score(solved(answer="That makes 5.", agreed=True)) == 0.0
    assert await score(solved(answer="That makes 4.", agreed=True)) == 1.0


async def test_sums_that_hold_prove_nothing_about_the_reading() -> None:
    assert await score(solved()) is None
    assert await score(solved(agreed=False)) is None


async def test_a_certain_reading_is_right() -> None:
    assert await score(solved(kind="tool")) == 1.0
    assert await score(solved(agreed=True)) == 1.0


async def test_a_fixed_call_is_a_reading_like_any_other() -> None:
    filled = called(4, "(2)+(2) = 4", expression="(2)+(2)")
    assert await score(solved(filled, answer="(2)+(2) = 4", kind="tool")) is None
    reader = Reader(ToolCall("calculator", {"expression": "2 * 2"}))
    assert await score(solved(filled, answer="(2)+(2) = 4", kind="tool"), reader) == 1.0


async def test_a_second_reader_confirms_or_leaves_it_open() -> None:
    reader = Reader(ToolCall("calculator", {"expression": "1+3"}))
    assert await score(solved(), reader) == 1.0
    assert reader.prompts[0].messages[0].content == "2 + 2"
    assert await score(solved(), Reader(ToolCall("calculator", {"expression": "2*3"}))) is None
    assert await score(solved(), Reader(ToolCall("calculator", {"expression": "2+"}))) is None
    assert await score(solved(), Reader(ToolCall("unheard-of", {}))) is None
    assert await score(solved(), Reader()) is None


async def test_a_reader_that_is_down_leaves_no_grade() -> None:
    async def down(prompt: Prompt) -> Completion:
        raise BackendUnreachable("no reader")

    with pytest.raises(BackendUnreachable):
        await Recompute("starter", tools(), down).grade(solved(), CONTEXT)


@pytest.mark.parametrize(
    "trace",
    [
        a_trace("4"),
        a_trace("sorry", status="refused", spans=[a_span(tools=[GOOD], text="sorry")]),
        a_trace("4", spans=[a_span(text="4")]),
        a_trace("5", spans=[a_span(tools=[GOOD], text="4")]),  # another node made the answer
        solved(called(4, "4", tool="gone")),
        solved(called(4, "4", expression="2+")),  # such a call does not run any more
    ],
    ids=["no spans", "refused", "no calls", "another node", "no such tool", "a call that fails"],
)
async def test_what_cannot_be_computed_again_is_left_ungraded(trace: Trace) -> None:
    assert await score(trace) is None


async def test_a_list_is_the_same_after_it_was_stored() -> None:
    run = called(["1", "2"], "1, 2", tool="ordered")
    grade = await Recompute("starter", {"ordered": Ordered()}).grade(
        solved(run, answer="1, 2", agreed=True), CONTEXT
    )
    assert grade.score == 1.0


class Ordered:
    """A tool whose value is a tuple, which JSON makes a list."""

    spec = ToolSpec("ordered", "Orders.", {"type": "object"})

    async def call(self, arguments: Mapping[str, JSON], context: ToolContext) -> ToolResult:
        return ToolResult(("1", "2"), "1, 2")


async def test_the_run_s_own_clock_and_seed_are_used() -> None:
    day = tools("time")["time"]
    asked = {"operation": "now", "zone": "UTC"}
    now = await day.call(asked, CONTEXT)
    trace = solved(called(now.value, now.text, tool="time", **asked), answer=now.text, agreed=True)
    assert (await Recompute("starter", tools("time")).grade(trace, CONTEXT)).score == 1.0
