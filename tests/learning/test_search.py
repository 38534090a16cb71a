"""Search for calls: from right answers alone to the operations that were asked for."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest

from tinyllm.learning.items import Item, group_of
from tinyllm.learning.search import Target, find_calls
from tinyllm.protocols import ToolContext
from tinyllm.slots import Op
from tinyllm.tools.calculator import Calculator
from tinyllm.types import JSON, Cost, Grade, Message, Request, ToolResult, ToolSpec, Trace


def op(name: str, kinds: str, expression: str) -> Op:
    return Op(name, tuple(kinds.split()), "calculator", {"expression": expression})


OPS = {
    one.name: one
    for one in (
        op("floor", "n", "floor({0})"),
        op("ceil", "n", "ceil({0})"),
        op("round_whole", "n", "round({0})"),
        op("sub", "n n", "{0} - {1}"),
        op("mul", "n n", "{0} * {1}"),
        Op("lucky", (), "lucky", {}),
        Op("refuse"),
    )
}


class Lucky:
    """Says what it was made to say, and never twice the same, it claims."""

    spec = ToolSpec("lucky", "", {}, repeatable=False)

    async def call(self, arguments: Mapping[str, JSON], context: ToolContext) -> ToolResult:
        return ToolResult(7, "7")


class Clock:
    """Tells the time and the seed that it was given."""

    spec = ToolSpec("lucky", "", {})

    async def call(self, arguments: Mapping[str, JSON], context: ToolContext) -> ToolResult:
        return ToolResult(None, f"{context.clock + context.seed:.0f}")


@dataclass
class Says:
    """Says the same to everything."""

    text: str
    spec = ToolSpec("says", "", {})

    async def call(self, arguments: Mapping[str, JSON], context: ToolContext) -> ToolResult:
        return ToolResult(None, self.text)


TOOLS = {"calculator": Calculator()}


def item(question: str, right: str | None, *, passed: bool = False, answer: str = "", seed: int = 0) -> Item:
    run = f"r{question}{seed}"
    trace = Trace(run, "g", question, answer, "answered" if passed else "refused", (), Cost(), 0.0)
    grade = Grade(run, "reference", "file", float(passed), "", right)
    return Item(
        Request((Message("user", question),), seed=seed, clock=1000.0), trace, grade, group_of(question)
    )


def calls(targets: list[Target]) -> dict[str, str]:
    return {target.item.request.text: target.call for target in targets}


async def test_words_settle_what_several_calls_would_explain() -> None:
    # Half of the numbers round down, so that half of each kind is explained by both of its calls.
    numbers = [f"{n}.{3 if n % 2 else 8}" for n in range(11, 41)]
    down = [item(f"the whole part of {n}", str(int(float(n)))) for n in numbers]
    near = [item(f"the nearest whole number to {n}", str(round(float(n)))) for n in numbers]
    found = calls(await find_calls([*down, *near], OPS, TOOLS))
    assert {found[one.request.text] for one in down} == {"floor n0"}
    assert {found[one.request.text] for one in near} == {"round_whole n0"}


async def test_the_order_of_slots_is_found_too() -> None:
    first = [item(f"{n} less {n - 7}", "7") for n in range(20, 30)]
    second = [item(f"take {n - 7} from {n}", "7") for n in range(20, 30)]
    found = Counter(target.call for target in await find_calls([*first, *second], OPS, TOOLS))
    assert found == {"sub n0 n1": 10, "sub n1 n0": 10}


async def test_a_coincidence_explains_nothing() -> None:
    products = [item(f"the product of {n} and {n + 1}", str(n * (n + 1))) for n in range(12, 20)]
    chance = item("which of 9 and 5 do i owe", "4")  # 9 - 5, but nobody subtracts
    unknown = item("what is the capital of 5", "Paris")
    found = await find_calls([*products, chance, unknown], OPS, TOOLS)
    assert [target.item for target in found] == products
    assert {target.call for target in found} <= {"mul n0 n1", "mul n1 n0"}
    assert len(await find_calls([chance] * 4, OPS, TOOLS)) == 4


@pytest.mark.parametrize(("second", "kept"), [("ann", 6), ("bob", 16)])
async def test_one_user_alone_gives_an_operation_no_meaning_where_several_give_their_word(
    second: str, kept: int
) -> None:
    def by(user: str, one: Item) -> Item:
        return replace(one, grade=replace(one.grade, kind="correction", grader=user))

    lied = [by("ann" if n % 2 else second, item(f"{n} less 7", str(n * 7))) for n in range(20, 30)]
    true = [
        by("bob" if n % 2 else "eve", item(f"the product of {n} and 3", str(n * 3))) for n in range(31, 37)
    ]
    assert len(await find_calls([*lied, *true], OPS, TOOLS)) == kept
    assert len(await find_calls([by("ann", one) for one in lied], OPS, TOOLS)) == 10, "hers is the only word"


async def test_of_calls_that_are_always_right_the_one_that_says_less_is_meant() -> None:
    ops = {name: Op(name, (), name, {}) for name in ("a_long", "short", "z_long")}
    tools = {name: Says("17:06 on Sunday, 15 June" if "long" in name else "Sunday, 15 June") for name in ops}
    found = await find_calls(
        [item("what day is it", "Sunday, 15 June", seed=n) for n in range(4)], ops, tools
    )
    assert {target.call for target in found} == {"short"}


async def test_a_call_that_like_requests_hardly_bear_out_is_chance() -> None:
    # Where the right operation is not in the table, another one gives the right answer now and then.
    few = [item(f"the remainder of {n} by 7", "3" if n % 25 == 0 else str(n)) for n in range(100, 200)]
    three = {"three": Op("three", (), "three", {})}
    assert not await find_calls(few, three, {"three": Says("3")})


async def test_only_repeatable_tools_are_called_with_the_clock_and_seed_of_the_run() -> None:
    asked = [item("what now", str(1000 + seed), seed=seed) for seed in range(4)]
    assert len(await find_calls(asked, OPS, {"lucky": Clock()})) == 4
    assert not await find_calls(
        [item("what now", "7", seed=seed) for seed in range(4)], OPS, {"lucky": Lucky()}
    )


async def test_an_answer_that_passed_is_its_own_reference_and_a_refusal_is_none() -> None:
    right = [item(f"the product of {n} and 3", None, passed=True, answer=str(n * 3)) for n in range(31, 36)]
    wrong = [item(f"the product of {n} and 3", None, answer=str(n * 3)) for n in range(41, 46)]
    refused = [
        replace(one, trace=replace(one.trace, status="refused", answer="93"))
        for one in (item("the product of 31 and 3", None, passed=True, seed=seed) for seed in range(5))
    ]
    assert [target.item for target in await find_calls([*right, *wrong, *refused], OPS, TOOLS)] == right
    assert not await find_calls([], OPS, TOOLS)
