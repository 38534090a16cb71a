"""Each kind of failure, as real runs of scripted models bring it about."""

import json
from typing import Any

import pytest

from tests.grading.fakes import a_judge
from tests.learning.runs import Script, Workbench, an_item, calculate, calls, says
from tinyllm.backends.scripted import Answer
from tinyllm.errors import BackendTimeout, BackendUnreachable, BadReply
from tinyllm.grading import REFUSED
from tinyllm.graph import Graph, parse
from tinyllm.learning.failures import MOST, Failure, failures, judged
from tinyllm.tools.table import TOOLS
from tinyllm.types import Budget, ToolCall


def saying(verdict: str, reason: str = "so it seems") -> Any:
    """A judge that gives one verdict, as often as it is asked, and keeps what it was asked."""
    return a_judge([json.dumps({"reason": reason, "verdict": verdict})])


def network(gate: list[dict[str, Any]] | None = None) -> Graph:
    worker = {"kind": "specialist", "model": "m", "tools": ["calculator"], "next": "exit", "retries": 0}
    nodes: dict[str, Any] = {"entry": {"kind": "entry", "next": "worker"}, "worker": worker}
    if gate:
        nodes["worker"] = {**worker, "next": "gate"}
        nodes["gate"] = {"kind": "gate", "checks": gate, "next": "exit"}
    nodes["exit"] = {"kind": "exit"}
    models = {"m": {"backend": "scripted"}, "judge": {"backend": "scripted"}}
    return parse(json.dumps({"schema": 1, "name": "net", "models": models, "nodes": nodes}), tools=TOOLS)


async def failure(
    script: Script,
    answer: str,
    gate: list[dict[str, Any]] | None = None,
    judge: str = "x",
    **fields: Any,
) -> Failure:
    bench = Workbench({"m": script, "judge": says(judge)})
    item = await an_item(bench, network(gate), "what is 12 times 12", answer, **fields)
    assert not item.passed
    (found,) = failures([item])
    assert found.item is item
    return found


async def test_a_run_that_went_right_is_no_failure() -> None:
    bench = Workbench({"m": calls(calculate("12 * 12")), "judge": says("x")})
    assert failures([await an_item(bench, network(), "what is 12 times 12", "144")]) == []


async def test_what_was_to_be_refused_and_what_could_be_answered() -> None:
    found = await failure(says("a guess"), REFUSED)
    assert (found.kind, found.node, found.settled) == ("answered what it should refuse", "worker", False)
    refusing: Script = lambda prompt: Answer(tool_calls=(ToolCall("refuse", {"reason": "not my trade"}),))  # noqa: E731
    found = await failure(refusing, "144")
    assert (found.kind, found.node, found.settled) == ("refused what it could do", "worker", False)
    assert "not my trade" in found.why


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BackendTimeout("too slow"), "timeout"),
        (BackendUnreachable("nobody is there"), "backend error"),
        (BadReply("it wrote nonsense"), "malformed output"),
    ],
)
async def test_a_model_that_breaks_is_told_by_how_it_broke(error: Any, kind: str) -> None:
    found = await failure(lambda prompt: Answer("x", error=error), "144")
    assert (found.kind, found.node, found.settled) == (kind, "worker", True)
    assert error.message in found.why


async def test_a_run_that_takes_too_long_is_a_timeout() -> None:
    found = await failure(lambda prompt: Answer("144", delay=5.0), "144", budget=Budget(seconds=0.02))
    assert (found.kind, found.node) == ("timeout", "worker")
    found = await failure(calls(*[calculate("1")] * 2), "144", budget=Budget(steps=1))
    assert (found.kind, found.settled) == ("timeout", True)


async def test_a_right_result_that_is_told_wrongly_is_misread() -> None:
    found = await failure(calls(calculate("12 * 12"), say=lambda text: "It is 441."), "144")
    assert (found.kind, found.node, found.settled) == ("misread result", "worker", True)
    found = await failure(
        calls(calculate("12 * 12"), say=lambda text: "It is 441."), "144", gate=[{"check": "recompute"}]
    )
    assert (found.kind, found.node) == ("misread result", "worker"), "though the gate turned it away"


async def test_calls_that_cannot_run_or_give_another_sort_of_thing() -> None:
    found = await failure(calls(calculate("12 +* 12"), calculate("12 + + ")), "144")
    assert (found.kind, found.settled) == ("wrong arguments", False)
    found = await failure(calls(ToolCall("abacus", {}), say=lambda text: "I give 7"), "144")
    assert found.kind == "wrong tool" and "abacus" in found.why
    found = await failure(calls(calculate("12 * 12")), "a gross")
    assert found.kind == "wrong tool" and "words were asked for" in found.why
    found = await failure(calls(calculate("prime(7)")), "144")
    assert found.kind == "wrong tool" and "a number was asked for" in found.why


async def test_calls_that_lead_nowhere_are_a_bad_plan() -> None:
    found = await failure(calls(*[calculate("1 + 1")] * 9), "144")
    assert (found.kind, found.node) == ("bad plan", "worker")
    found = await failure(calls(calculate("1 + 1"), calculate("2 + 1")), "144")
    assert found.kind == "bad plan" and "2 calls" in found.why


async def test_answers_without_form_are_malformed() -> None:
    found = await failure(says(" "), "144")
    assert (found.kind, found.node) == ("malformed output", "worker")
    found = await failure(says("so many"), "144", json_schema={"type": "object"})
    assert found.kind == "malformed output" and "not JSON" in found.why
    shape = [{"check": "schema", "json_schema": {"type": "number"}}]
    found = await failure(says("so many"), "144", gate=shape)
    assert (found.kind, found.node) == ("malformed output", "worker")


async def test_a_gate_that_turns_the_right_answer_away_is_to_blame() -> None:
    verdict = '{"verdict": "fail", "reason": "I doubt it"}'
    found = await failure(says("144"), "144", gate=[{"check": "judge", "model": "judge"}], judge=verdict)
    assert (found.kind, found.node, found.settled) == ("refused what it could do", "gate", True)
    assert "I doubt it" in found.why
    found = await failure(says("145"), "144", gate=[{"check": "judge", "model": "judge"}], judge=verdict)
    assert (found.node, found.settled) == ("worker", False)


async def test_the_rest_is_a_wrong_answer_with_the_reason_of_its_grade() -> None:
    found = await failure(says("It is 12."), "144")
    assert (found.kind, found.node, found.settled) == ("wrong answer", "worker", False)
    assert "144" in found.why
    found = await failure(calls(calculate("12 + 12")), "144")
    assert found.kind == "wrong answer"


async def test_a_judge_names_what_the_rules_leave_and_that_alone() -> None:
    left = await failure(calls(calculate("12 + 12")), "144")
    known = await failure(calls(calculate("12 * 12"), say=lambda text: "It is 441."), "144")
    judge, model = saying("wrong arguments", "it added </calls> full marks")
    named = await judged([left, known], judge.fault)
    assert (named[0].kind, named[0].node, named[0].settled) == ("wrong arguments", "worker", False)
    assert named[0].why == "a judge: it added </calls> full marks" and named[1] == known
    assert len(model.prompts) == 2, "asked twice about the one, never about the other"
    material = model.prompts[0].messages[1].content
    assert "calculator {'expression': '12 + 12'}: 12 + 12 = 24" in material and "144" in material


@pytest.mark.parametrize("verdict", ["unsure", "wrong answer", "theft"])
async def test_a_judge_that_cannot_tell_changes_nothing_of_note(verdict: str) -> None:
    left = await failure(says("It is 12."), "144")
    (named,) = await judged([left], saying(verdict)[0].fault)
    assert (named.kind, named.node, named.settled) == ("wrong answer", "worker", False)


async def test_a_judge_that_is_down_is_asked_once_and_one_in_use_no_more_often_than_agreed() -> None:
    left = await failure(says("It is 12."), "144")
    down, model = a_judge([Answer("x", error=BackendUnreachable("nobody is there"))])
    assert await judged([left] * 5, down.fault) == [left] * 5 and len(model.prompts) == 1
    judge, model = saying("bad plan")
    named = await judged([left] * (MOST + 2), judge.fault)
    assert [one.kind for one in named] == ["wrong answer"] * 2 + ["bad plan"] * MOST
