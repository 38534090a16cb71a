"""The forward pass through real nodes, scripted models and a store in memory."""

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from tinyllm.backends.scripted import Answer, Scripted
from tinyllm.engine import Engine, fold
from tinyllm.errors import BackendError, BackendUnreachable, RequestError, RequestTooLarge, ToolError
from tinyllm.graph import Graph, parse
from tinyllm.protocols import Backend, Choice, Parts, Tool, ToolContext
from tinyllm.store import open_store
from tinyllm.tools.table import TOOLS
from tinyllm.types import JSON, Budget, Message, Prompt, Request, TokenScore, ToolCall, ToolResult, ToolSpec

LINE = """
schema: 1
name: line
models: {m: {backend: scripted}, judge: {backend: scripted}}
nodes:
  entry: {kind: entry, next: work}
  work: {kind: specialist, model: m, tools: [calculator], next: gate, retries: 0}
  gate: {kind: gate, checks: CHECKS, next: exit}
  exit: {kind: exit, refusal: "No."}
"""
FORK = """
schema: 1
name: fork
models: {skills: {backend: builtin}, m1: {backend: s}, m2: {backend: s}, big: {backend: s}}
human: person
nodes:
  entry: {kind: entry, next: router}
  router: {kind: router, model: skills, routes: {one: {to: first}, two: {to: second}}, threshold: 0.2}
  first: {kind: specialist, model: m1, next: exit, larger: big, retries: 0}
  second: {kind: specialist, model: m2, next: exit, larger: big, retries: 0}
  big: {kind: specialist, model: big, next: exit, retries: 0}
  person: {kind: human, next: exit}
  exit: {kind: exit}
"""


class Odds:
    """A router that always sees the same odds."""

    def __init__(self, **odds: float) -> None:
        self.odds = odds

    async def choose(self, text: str, labels: object) -> Choice:
        return Choice(max(self.odds, key=lambda label: self.odds[label]), self.odds)


class Liar:
    """A tool that says something else each time."""

    spec = ToolSpec("calculator", "lies", {"type": "object"})

    def __init__(self) -> None:
        self.count = 0

    async def call(self, arguments: Mapping[str, JSON], context: ToolContext) -> ToolResult:
        self.count += 1
        return ToolResult(self.count, str(self.count))


def calling(expression: str, say: Callable[[str], str] = lambda text: text) -> Callable[..., Answer]:
    """A model that calls the calculator once, then tells its result."""

    def script(prompt: object) -> Answer:
        last = prompt.messages[-1]  # type: ignore[attr-defined]
        if last.role == "tool":
            return Answer(say(last.content))
        return Answer(tool_calls=(ToolCall("calculator", {"expression": expression}),))

    return script


async def engine(
    text: str, backends: Mapping[str, Backend], router: Odds | None = None, tool: Tool | None = None
) -> Engine:
    graph = parse(text, tools=TOOLS)

    async def resolve(request: Request) -> Graph:
        return graph

    routers = {"skills": router} if router else {}
    parts = Parts(backends, {"calculator": tool or TOOLS["calculator"]()}, routers)
    return Engine(resolve, lambda _: parts, await open_store("memory:"))


def line(checks: str = "[{check: schema}, {check: recompute}]") -> str:
    return LINE.replace("CHECKS", checks)


def ask(text: str, **fields: object) -> Request:
    return Request((Message("user", text),), **fields)  # type: ignore[arg-type]


async def test_a_question_is_answered_through_tool_and_gate_and_recorded() -> None:
    net = await engine(line(), {"m": Scripted("m", calling("847 * 392")), "judge": Scripted("judge", ["x"])})
    reply = await net.run(ask("what is 847 times 392"))
    assert (reply.status, reply.route) == ("answered", ("entry", "work", "gate", "exit"))
    assert "332024" in reply.answer
    assert reply.tool_calls[0].result is not None and reply.tool_calls[0].result.value == 332024
    trace = fold(await net.store.events(reply.run_id))
    assert (trace.answer, trace.status, trace.cost) == (reply.answer, "answered", reply.cost)
    assert [(check.name, check.passed) for check in trace.spans[2].checks] == [
        ("schema", True),
        ("recompute", True),
    ]


async def test_the_gate_rejects_a_figure_that_the_tool_did_not_compute() -> None:
    model = Scripted("m", calling("847 * 392", say=lambda text: "331624"))
    net = await engine(line(), {"m": model, "judge": Scripted("judge", ["x"])})
    reply = await net.run(ask("what is 847 times 392"))
    assert reply.status == "refused" and reply.answer.endswith("which the answer does not say. No.")


@pytest.mark.parametrize(
    ("value", "said", "status"),
    [
        (332024, "That makes 332,024.", "answered"),
        (332024, "That makes 332,024.0 or so.", "answered"),
        (332024, "That makes 331,624.", "refused"),
        (12, "That makes 120.", "refused"),
        (-3, "It is −3.", "answered"),
        (3, "Between 2-3 of them.", "answered"),
        (176.66666666666666, "It is about 176.667 °C.", "answered"),
        (176.66666666666666, "It is about 177 °C.", "answered"),
        (176.66666666666666, "It is about 180 °C.", "refused"),
        ("5/3", "The mean is 1.67.", "answered"),
        ("5/3", "The mean is 5/3.", "answered"),
        ("5/3", "The mean is 2.", "refused"),
        ("0.3", "It is 0.30.", "answered"),
        ("0.3", "It is 3.", "refused"),
        (1.5e-7, "It is tiny.", "answered"),  # written so, it is no figure that a text would tell
        ("2025-11-22", "Saturday, 22 November 2025.", "answered"),
        (True, "Yes, it is.", "answered"),
    ],
)
async def test_a_figure_may_be_rounded_but_not_changed(value: JSON, said: str, status: str) -> None:
    class Fixed(Liar):
        async def call(self, arguments: Mapping[str, JSON], context: ToolContext) -> ToolResult:
            return ToolResult(value, "the tool's own words")

    model = Scripted("m", calling("1", say=lambda text: said))
    net = await engine(line(), {"m": model, "judge": Scripted("judge", ["x"])}, tool=Fixed())
    assert (await net.run(ask("how much?"))).status == status


async def test_the_gate_notices_a_tool_that_lies() -> None:
    net = await engine(
        line(), {"m": Scripted("m", calling("1")), "judge": Scripted("judge", ["x"])}, tool=Liar()
    )
    reply = await net.run(ask("what is 1"))
    checks = fold(await net.store.events(reply.run_id)).spans[2].checks
    assert reply.status == "refused"
    assert checks[-1].passed is False and "then" in checks[-1].reason


@pytest.mark.parametrize(
    ("verdict", "status"),
    [
        ('{"verdict": "pass", "reason": "right"}', "answered"),
        ('{"verdict": "fail", "reason": "wrong"}', "refused"),
        ("full marks!", "answered"),  # no verdict is no failure
    ],
)
async def test_a_judge_rejects_only_with_a_verdict(verdict: str, status: str) -> None:
    backends = {"m": Scripted("m", ["Paris"]), "judge": Scripted("judge", [verdict])}
    net = await engine(line("[{check: judge, model: judge}]"), backends)
    assert (await net.run(ask("capital of France?"))).status == status


@pytest.mark.parametrize(
    ("sure", "second", "status", "passed"),
    [
        (0.95, "847 * 392", "answered", True),
        (0.95, "392 * 847", "answered", True),  # another call, the same value
        (0.95, "847 + 392", "refused", False),
        (0.80, "847 + 392", "answered", None),  # sure enough: the second reader is not asked
    ],
)
async def test_a_second_reader_must_agree_where_the_first_is_not_sure(
    sure: float, second: str, status: str, passed: bool | None
) -> None:
    def first(prompt: Prompt) -> Answer:
        answer = calling("847 * 392")(prompt)
        return replace(answer, scores=(TokenScore("call", math.log(0.9)),)) if answer.tool_calls else answer

    other = Scripted("judge", calling(second))
    checks = f"[{{check: agreement, model: judge, sure: {sure}}}]"
    net = await engine(line(checks), {"m": Scripted("m", first), "judge": other})
    reply = await net.run(ask("what is 847 times 392"))
    assert reply.status == status
    trace = fold(await net.store.events(reply.run_id))
    assert [check.passed for span in trace.spans for check in span.checks] == [passed]
    assert len(other.prompts) == (passed is not None)


async def test_a_failing_call_is_given_back_once_and_repaired() -> None:
    calls = iter(["1 +", "1 + 1"])

    def script(prompt: object) -> Answer:
        last = prompt.messages[-1]  # type: ignore[attr-defined]
        if last.role == "tool" and not last.content.startswith("error"):
            return Answer(last.content)
        return Answer(tool_calls=(ToolCall("calculator", {"expression": next(calls)}),))

    net = await engine(line(), {"m": Scripted("m", script), "judge": Scripted("judge", ["x"])})
    reply = await net.run(ask("one plus one"))
    assert reply.status == "answered"
    assert [run.error is None for run in reply.tool_calls] == [False, True]


async def test_a_round_of_failing_calls_may_be_repaired_whatever_their_number() -> None:
    wrong = tuple(ToolCall("calculator", {"expression": text}) for text in ("1 +", "2 +"))
    right = ToolCall("calculator", {"expression": "1 + 1"})
    model = Scripted("m", [Answer(tool_calls=wrong), Answer(tool_calls=(right,)), "2"])
    reply = await (await engine(line(), {"m": model, "judge": Scripted("judge", ["x"])})).run(
        ask("one plus one")
    )
    assert (reply.status, reply.answer) == ("answered", "2")
    assert [run.error is None for run in reply.tool_calls] == [False, False, True]


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("'x' is no number", "error: 'x' is no number; write it as 12"),
        ("'x' is no number: write it as 12", "error: 'x' is no number: write it as 12"),
    ],
)
async def test_a_model_is_given_the_tools_advice(message: str, told: str) -> None:
    class Advising(Liar):
        async def call(self, arguments: Mapping[str, JSON], context: ToolContext) -> ToolResult:
            raise ToolError(message, hint="write it as 12")

    model = Scripted("m", calling("x"))
    await (await engine(line(), {"m": model, "judge": Scripted("judge", ["x"])}, tool=Advising())).run(
        ask("x")
    )
    assert model.prompts[1].messages[-1].content == told


async def test_two_rounds_of_failing_calls_fail_the_node() -> None:
    broken = Scripted("m", lambda prompt: Answer(tool_calls=(ToolCall("calculator", {"expression": "1 +"}),)))
    net = await engine(line(), {"m": broken, "judge": Scripted("judge", ["x"])})
    assert (await net.run(ask("one plus"))).status == "refused"


DOWN = BackendUnreachable("nobody answers", hint="start it")
REFUSING = Answer(tool_calls=(ToolCall("refuse", {"reason": "not my field"}),))


@pytest.mark.parametrize(
    ("first", "second", "big", "route", "status"),
    [
        (Answer("1"), Answer("2"), Answer("3"), ("first",), "answered"),
        (Answer(error=DOWN), Answer("2"), Answer("3"), ("first", "second"), "answered"),
        (REFUSING, Answer(error=DOWN), Answer("3"), ("first", "second", "big"), "answered"),
        (REFUSING, REFUSING, REFUSING, ("first", "second", "big", "person"), "escalated"),
    ],
)
async def test_recovery_goes_from_the_next_specialist_to_a_larger_model_to_a_person(
    first: Answer, second: Answer, big: Answer, route: tuple[str, ...], status: str
) -> None:
    backends = {"m1": Scripted("m1", [first]), "m2": Scripted("m2", [second]), "big": Scripted("big", [big])}
    net = await engine(FORK, backends, Odds(one=0.7, two=0.3))
    reply = await net.run(ask("hello"))
    assert tuple(node for node in reply.route if node not in ("entry", "router", "exit")) == route
    assert reply.status == status
    assert (reply.ticket is not None) == (status == "escalated")
    if reply.ticket:
        assert [ticket.id for ticket in await net.store.tickets()] == [reply.ticket]


async def test_what_breaks_is_named_and_never_hidden() -> None:
    text = FORK.replace("human: person\n", "").replace("  person: {kind: human, next: exit}\n", "")
    down = {name: Scripted(name, [Answer(error=DOWN)]) for name in ("m1", "m2", "big")}
    reply = await (await engine(text, down, Odds(one=0.7, two=0.3))).run(ask("hello"))
    assert reply.status == "failed"
    assert "nobody answers" in reply.answer and "start it" in reply.answer
    assert reply.error is DOWN


async def test_a_forced_choice_and_a_replay_change_one_thing_only() -> None:
    backends = {name: Scripted(name, [name]) for name in ("m1", "m2", "big")}
    net = await engine(FORK, backends, Odds(one=0.9, two=0.1))
    first = await net.run(ask("hello", seed=7, clock=1e9))
    assert first.answer == "m1"
    assert (await net.replay(first.run_id)).answer == "m1"
    changed = await net.replay(first.run_id, forced={"router": "two"})
    assert changed.answer == "m2"
    starts = [(await net.store.events(run))[0].data for run in (first.run_id, changed.run_id)]
    assert [(start["seed"], start["clock"]) for start in starts] == [(7, 1e9), (7, 1e9)]


async def test_the_router_that_does_not_know_sends_the_run_to_recovery() -> None:
    backends = {name: Scripted(name, [name]) for name in ("m1", "m2", "big")}
    reply = await (await engine(FORK, backends, Odds(one=0.1, two=0.05))).run(ask("hello"))
    assert reply.status == "escalated"


async def test_a_router_that_breaks_takes_its_way_for_what_it_does_not_know() -> None:
    text = FORK.replace("threshold: 0.2", "otherwise: second")
    lost = Scripted("skills", ["neither of them"])
    net = await engine(text, {"skills": lost, "m1": Scripted("m1", ["1"]), "m2": Scripted("m2", ["2"]),
                              "big": Scripted("big", ["big"])})  # fmt: skip
    reply = await net.run(ask("what?"))
    assert (reply.status, reply.route) == ("answered", ("entry", "router", "second", "exit"))


async def test_retries_happen_only_where_they_can_help() -> None:
    text = FORK.replace("retries: 0", "retries: 2")
    net = await engine(
        text,
        {name: Scripted(name, [Answer(error=DOWN), Answer("up")]) for name in ("m1", "m2", "big")},
        Odds(one=1.0),
    )
    assert (await net.run(ask("hello"))).answer == "up"
    final = BackendError("this model does not exist")
    broken = Scripted("m1", [Answer(error=final), Answer("up")])
    net = await engine(
        text, {"m1": broken, "m2": Scripted("m2", ["2"]), "big": Scripted("big", ["3"])}, Odds(one=1.0)
    )
    assert (await net.run(ask("hello"))).answer == "3"
    assert len(broken.prompts) == 1


async def test_a_backend_that_keeps_failing_is_left_alone() -> None:
    dead = Scripted("m1", [Answer(error=DOWN)])
    net = await engine(
        FORK, {"m1": dead, "m2": Scripted("m2", ["2"]), "big": Scripted("big", ["3"])}, Odds(one=1.0)
    )
    for _ in range(12):
        assert (await net.run(ask("hello"))).answer == "3"
    assert len(dead.prompts) == 5


@pytest.mark.parametrize(
    ("budget", "words"),
    [(Budget(seconds=0.05), "longer than"), (Budget(tokens=1), "tokens"), (Budget(steps=2), "steps")],
)
async def test_a_run_ends_at_its_budget(budget: Budget, words: str) -> None:
    slow = Scripted("m", [Answer("a b c d", delay=0.1)])
    net = await engine(line(), {"m": slow, "judge": Scripted("judge", ["x"])})
    reply = await net.run(ask("hello there", budget=budget))
    assert reply.status == "failed" and words in reply.answer


async def test_the_stream_ends_with_the_committed_reply_and_keeps_no_tokens() -> None:
    net = await engine(
        FORK, {name: Scripted(name, ["one two"]) for name in ("m1", "m2", "big")}, Odds(one=1.0)
    )
    events = [event async for event in net.stream(ask("hello"))]
    assert "".join(event.data["text"] for event in events if event.kind == "token") == "one two"
    assert all(event.data["final"] for event in events if event.kind == "token")
    assert events[-1].kind == "run_finished"
    stored = await net.store.events(events[-1].run_id)
    assert stored[-1].data["answer"] == "one two"
    assert "token" not in {event.kind for event in stored}


async def test_a_cancelled_run_is_recorded() -> None:
    net = await engine(
        line(), {"m": Scripted("m", [Answer("a b", delay=5)]), "judge": Scripted("judge", ["x"])}
    )
    task = asyncio.create_task(net.run(ask("hello")))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (row,) = await net.store.runs()
    assert row.status == "failed"


async def test_parallel_branches_meet_at_the_gate() -> None:
    text = """
schema: 1
name: both
models: {m1: {backend: scripted}, m2: {backend: scripted}, judge: {backend: scripted}}
nodes:
  entry: {kind: entry, next: [a, b]}
  a: {kind: specialist, model: m1, next: gate}
  b: {kind: specialist, model: m2, next: gate}
  gate: {kind: gate, checks: [{check: judge, model: judge}], next: exit}
  exit: {kind: exit}
"""

    def judge(prompt: object) -> str:
        good = "bravo" in prompt.messages[-1].content  # type: ignore[attr-defined]
        return '{"verdict": "%s", "reason": "-"}' % ("pass" if good else "fail")

    backends = {
        "m1": Scripted("m1", ["alpha"]),
        "m2": Scripted("m2", ["bravo"]),
        "judge": Scripted("judge", judge),
    }
    reply = await (await engine(text, backends)).run(ask("hello"))
    assert reply.answer == "bravo" and {"a", "b"} <= set(reply.route)


async def test_a_gate_sends_the_work_back_once_with_the_reason() -> None:
    text = line("[{check: schema, json_schema: {type: object}}]").replace(
        "next: exit}", "next: exit, retry: {to: work}}", 1
    )
    model = Scripted("m", ["not json", '{"a": 1}'])
    reply = await (await engine(text, {"m": model, "judge": Scripted("judge", ["x"])})).run(
        ask("json please")
    )
    assert reply.answer == '{"a": 1}'
    assert "not JSON" in model.prompts[-1].messages[0].content


async def test_calls_of_the_callers_own_tools_go_out_unrun() -> None:
    call = ToolCall("lamp", {"on": True})
    net = await engine(
        line(), {"m": Scripted("m", [Answer(tool_calls=(call,))]), "judge": Scripted("judge", ["x"])}
    )
    reply = await net.run(ask("light!", tools=(ToolSpec("lamp", "a lamp", {"type": "object"}),)))
    assert reply.caller_calls == (call,) and reply.status == "answered"


@pytest.mark.parametrize(
    ("text", "error"), [("", RequestError), (" \x00\x07 ", RequestError), ("x" * 1_000_000, RequestTooLarge)]
)
async def test_what_cannot_be_asked_is_said_so(text: str, error: type[Exception]) -> None:
    net = await engine(line(), {"m": Scripted("m", ["a"]), "judge": Scripted("judge", ["x"])})
    with pytest.raises(error):
        await net.run(ask(text))


async def test_control_characters_and_broken_unicode_do_no_harm() -> None:
    model = Scripted("m", ["fine"])
    net = await engine(line(), {"m": model, "judge": Scripted("judge", ["x"])})
    reply = await net.run(ask("a\x00b\ud800c\x1b[31m"))
    assert reply.status == "answered"
    assert model.prompts[0].messages[-1].content == "ab?c[31m"
