"""The table of operations agrees with the patterns, the labels and the tools themselves."""

import json
from importlib import resources
from itertools import permutations
from random import Random

import pytest

from tinyllm.errors import ToolError
from tinyllm.protocols import ToolContext
from tinyllm.slots import REFUSE, fill, find, legal_calls, read_call
from tinyllm.slots.units import sorts
from tinyllm.starter.calls import OPS
from tinyllm.starter.catalogue import CATALOGUE
from tinyllm.starter.corpus import Example, patterns
from tinyllm.starter.corpus import fill as fill_pattern
from tinyllm.tools.table import TOOLS

CONTEXT = ToolContext(clock=1.79e9, seed=7)
SLOW = {"derive", "integrate", "factor", "expand", "simplify", "solve"}  # each starts a worker of its own


def test_patterns_and_operations_name_each_other() -> None:
    assert set(patterns()) == set(OPS)


def test_every_label_is_a_call_of_the_table() -> None:
    text = resources.files("tinyllm.starter").joinpath("human_calls.jsonl").read_text(encoding="utf-8")
    for line in text.splitlines():
        row = json.loads(line)
        for literals in (row["call"], *row.get("also", [])):
            assert literals[0] in OPS, literals
            assert len(literals) == 1 + len(OPS[literals[0]].kinds), literals


async def test_every_operation_runs_in_its_tool() -> None:
    random = Random(5)
    tools = {op.tool: TOOLS[op.tool]() for op in OPS.values() if op.tool}
    for name, lines in patterns().items():
        if name == REFUSE or name in SLOW - {"derive"}:
            continue
        drawn: list[Example] = []
        while len(drawn) < (1 if name in SLOW else 4):
            example = fill_pattern(random.choice(lines), random)
            drawn += [example] if example else []
        for example in drawn:
            call = fill(example.call, example.slots, OPS)
            assert call is not None
            try:
                await tools[call.name].call(call.arguments, CONTEXT)
            except ToolError as error:
                raise AssertionError(f"{example.text!r} -> {dict(call.arguments)}") from error


async def test_the_units_tool_knows_every_unit_of_the_gazetteer() -> None:
    units = TOOLS["units"]()
    for name in sorts():
        same = await units.call({"value": 7, "from_unit": name, "to_unit": name}, CONTEXT)
        assert same.value == 7, name


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("how many weeks until christmas", "days_until d0"),
        ("second largest of 4, 9 and 7", "largest l0"),
        ("the population standard deviation of 1, 2 and 3", "stdev l0"),
        ("area of a circle with diameter 10", "circle_area n0"),
        ("sqrt 50 rounded to 2 decimals", "round n0 n1"),
        ("6 choose 3", "mul n0 n1"),
        ("multiply 3 by 4 then add 5", "mul n0 n1"),
        ("3 hours minus 20 minutes", "compare n0 u0 n1 u1"),
        ("third letter of banana", "letters w1"),
        ("how many b's and s's in basses", "count_letter c0 w0"),
        ("round 1234 to the nearest hundred", "round_whole n0"),
        ("round 1234 to the nearest 100", "round n0 n1"),
        ("what time is it in atlantis", "now"),
        ("what is the date today in japan", "date_of d0"),
        ("what day is it in tokyo", "now_in z0"),
        ("minus 3 squared", "square n0"),
        ("-2 to the fourth power", "power n0 n1"),
        ("17 % 5", "percent_of n0 n1"),
        ("17%5", "percent_of n0 n1"),
        ("half of 3 cups in ml", "compare n0 u0 n1 u1"),
        ("convert 3 yards to feet and 12 inches to feet", "convert_sum n0 u0 n1 u1 u2"),
        ("12 inches in feet and 3 yards in feet", "convert_sum n0 u0 n1 u1 u2"),
        ("sum of 1 to 100", "add n0 n1"),
        ("20 is 80 percent of what", "what_percent n0 n1"),
        ("double 5 and add 3", "add n0 n1"),
        ("largest of 3, 9 and 4 times 2", "largest l0"),
        ("how many sundays until christmas", "days_until d0"),
        ("integral of x^2 from 0 to 1", "integrate e0"),
        ("day of year for march 1", "day_of_year"),
        ("pick two numbers between 1 and 10", "random_between n1 n2"),
    ],
)
def test_a_call_that_answers_another_question_is_not_legal(text: str, call: str) -> None:
    slots = find(text)
    with pytest.raises(ToolError, match=r"leaves out|passes over"):
        read_call(call, slots, OPS)
    assert call not in legal_calls(slots, OPS)


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("how many letters are in the word third", "letters w0"),
        ("round 3.7 to the nearest whole number", "round_whole n0"),
        ("round 3.14159 to 2 decimals", "round n0 n1"),
        ("what time is it in tokyo", "now_in z0"),
        ("square of minus 3", "square n0"),
        ("(-3) squared", "square n0"),
        ("17% of 5", "percent_of n0 n1"),
        ("17% 5", "percent_of n0 n1"),
        ("what day of the year is today", "day_of_year"),
        ("is it monday", "weekday_today"),
    ],
)
def test_a_call_that_answers_the_question_is_legal(text: str, call: str) -> None:
    assert call in legal_calls(find(text), OPS)


async def test_a_number_is_rounded_to_the_one_that_is_named() -> None:
    call = fill("round_to n0 n1", find("15512 to the nearest thousand"), CATALOGUE)
    assert call is not None
    assert (await TOOLS[call.name]().call(call.arguments, CONTEXT)).value == 16000


async def test_what_is_symmetric_gives_one_result_in_any_order() -> None:
    values = ("12", "18", "7")
    tried = 0
    for op in CATALOGUE.values():
        if not op.symmetric:
            continue
        size = len(op.kinds)
        slots = find(" by ".join(values[:size]))
        results = set()
        for places in permutations(range(size)):
            meant = fill(" ".join((op.name, *(f"n{place}" for place in places))), slots, CATALOGUE)
            assert meant is not None
            results.add((await TOOLS[meant.name]().call(meant.arguments, CONTEXT)).value)
        assert len(results) == 1, op.name
        tried += 1
    assert tried >= 10
