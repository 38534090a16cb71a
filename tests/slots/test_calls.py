"""The call language: filled in, listed, constrained and pointed at, over a table of three operations."""

import re
from collections.abc import Hashable

import pytest

from tinyllm.errors import ToolError
from tinyllm.slots import (
    REFUSE,
    Op,
    canonical,
    fill,
    find,
    grammar,
    legal_calls,
    literal_call,
    outline,
    point,
)

OPS = {
    op.name: op
    for op in (
        Op("calc", ("e:number n",), "calculator", {"expression": "{0}"}),
        Op("sub", ("n", "n"), "calculator", {"expression": "{0:()} - {1:()}"}, (("calc", "({0})-({1})"),)),
        Op("convert", ("n", "u", "u"), "units", {"value": "{0}", "from_unit": "{1}", "to_unit": "{2}"}),
        Op("convert_one", ("u", "u"), "units", {"value": 1}, (("convert", "1", "{0}", "{1}"),)),
        Op("mean", ("l",), "statistics", {"operation": "mean", "values": ["{0}"]}),
        Op("solve", ("e:!number",), "algebra", {"expression": "{0}"}),
        Op("double", ("n",), "calculator", {"expression": "2*{0}"}, whole="nel"),
        Op("halve", ("n",), "calculator", {"expression": "{0}/2"}, unless=frozenset(("twice", "-n_cubed"))),
        Op("later", ("n", "u:day u:week"), "dates", {"amount": "{0}", "unit": "{1}"}),
        Op("spell", ("w",), "text", {"text": "{0}"}),
        Op("now", (), "time", {"operation": "now"}),
        Op(REFUSE),
    )
}


@pytest.mark.parametrize(
    ("text", "call", "tool", "arguments"),
    [
        ("subtract -5 from 1/3", "sub n1 n0", "calculator", {"expression": "(1/3) - (-5)"}),
        (
            "3 cups in ml",
            "convert n0 u0 u1",
            "units",
            {"value": "3", "from_unit": "cup", "to_unit": "milliliter"},
        ),
        ("mean of 1, 2.5 and 3", "mean l0", "statistics", {"operation": "mean", "values": ["1", "2.5", "3"]}),
        ("spell Potato", "spell w0", "text", {"text": "Potato"}),
        ("what time is it", "now", "time", {"operation": "now"}),
    ],
)
def test_fill(text: str, call: str, tool: str, arguments: dict[str, object]) -> None:
    filled = fill(call, find(text), OPS)
    assert filled is not None
    assert (filled.name, dict(filled.arguments)) == (tool, arguments)


def test_a_refusal_is_no_tool_call() -> None:
    assert fill(REFUSE, find("help me"), OPS) is None


@pytest.mark.parametrize(
    "call",
    ["", "fly n0", "sub n0", "sub n0 n0", "sub n0 n1", "convert n0 u0 u0", "convert n0 u0 u2",
     "convert u0 n0 u1", "now n0", "solve n0", "n0", "convert n0 u1 u0 extra"],
)  # fmt: skip
def test_what_is_not_legal_is_an_error(call: str) -> None:
    with pytest.raises(ToolError):
        fill(call, find("3 cups in ml or grams"), OPS)


def test_units_of_one_call_share_a_dimension() -> None:
    assert "convert_one u0 u1" in legal_calls(find("cups in a liter"), OPS)
    assert legal_calls(find("cups in a pound"), OPS) == ["now", REFUSE]


def test_sorts_narrow_what_a_place_takes() -> None:
    assert "later n0 u0" in legal_calls(find("in 3 weeks"), OPS)
    assert "later n0 u0" not in legal_calls(find("in 3 hours"), OPS)
    assert "solve e0" in legal_calls(find("3x = 6"), OPS)
    assert "solve e0" not in legal_calls(find("3 + 6"), OPS)


def test_every_legal_call_can_be_filled() -> None:
    slots = find("3 cups and 2 pints in ml, 4 weeks")
    calls = legal_calls(slots, OPS)
    assert len(calls) == len(set(calls)) > 20
    for call in calls:
        fill(call, slots, OPS)


def test_the_grammar_speaks_exactly_the_legal_calls() -> None:
    slots = find("3 cups and 2 pints in ml")
    text = grammar(slots, OPS)
    assert text.startswith("root ::= ")
    spoken = set()
    for rule in re.split(r" \| (?![^(]*\))", text.removeprefix("root ::= ")):
        heads, *rest = re.findall(r'\([^)]*\)|"[^"]+"', rule)
        tails = re.findall(r'"([^"]+)"', rest[0]) if rest else [""]
        spoken |= {head + tail for head in re.findall(r'"([^"]+)"', heads) for tail in tails}
    assert spoken == set(legal_calls(slots, OPS))


@pytest.mark.parametrize(
    ("text", "literals", "call"),
    [
        ("subtract 100 from 12", ("sub", "12", "100"), "sub n1 n0"),
        ("what is 12 minus 100", ("sub", "12", "100"), "calc e0"),
        ("78 times 81 minus 5", ("calc", "78*81-5"), "calc e0"),
        ("half a cup in tablespoons", ("convert", "1/2", "cup", "tablespoons"), "convert n0 u0 u1"),
        ("one inch in cm", ("convert_one", "inch", "centimeter"), "convert n0 u0 u1"),
        ("an inch in cm", ("convert_one", "inch", "centimeter"), "convert_one u0 u1"),
        ("average 3 7 9", ("mean", "3, 7, 9"), "mean l0"),
        ("solve 2 x plus 1 equals 5", ("solve", "2*x + 1 = 5"), "solve e0"),
        ("SPELL POTATO", ("spell", "potato"), "spell w0"),
        ("help me", (REFUSE,), REFUSE),
        ("subtract 100 from 12", ("sub", "12", "99"), None),
        ("3 cups in grams", ("convert", "3", "cup", "gram"), None),
    ],
)
def test_point(text: str, literals: tuple[str, ...], call: str | None) -> None:
    assert point(literals, find(text), OPS) == call


def test_a_literal_call_needs_no_request() -> None:
    made = literal_call(("sub", "1/3", "-5"), OPS)
    assert made is not None
    assert made.arguments == {"expression": "(1/3) - (-5)"}
    assert literal_call((REFUSE,), OPS) is None
    with pytest.raises(ToolError):
        literal_call(("sub", "1"), OPS)


@pytest.mark.parametrize(
    ("text", "legal"),
    [
        ("double 7", True),
        ("which one is double 7", True),  # a number in words may be none
        ("double 7 for 1 time", True),
        ("double 7, then 9", False),
        ("double 7 and 3*4", False),
        ("double 7 of 1, 2, 3", False),
    ],
)
def test_a_whole_call_leaves_no_figure_out(text: str, legal: bool) -> None:
    slots = find(text)
    name = next(name for name, slot in slots.values.items() if slot.value == "7")
    call = f"double {name}"
    assert (call in legal_calls(slots, OPS)) == legal
    assert bool(re.search(r'"double"', grammar(slots, OPS))) == legal
    if legal:
        assert fill(call, slots, OPS)
    else:
        with pytest.raises(ToolError, match="leaves out"):
            fill(call, slots, OPS)


@pytest.mark.parametrize(
    ("text", "legal"),
    [
        ("halve 7", True),
        ("halve 7 twice", False),
        ("halve 7, spell 'twice'", False),
        ("halve 7 cubed", True),
        ("halve -7 cubed", False),
        ("halve (-7) cubed", True),
    ],
)
def test_a_call_passes_over_no_word_that_forbids_it(text: str, legal: bool) -> None:
    slots = find(text)
    assert ("halve n0" in legal_calls(slots, OPS)) == legal
    assert ('"halve"' in grammar(slots, OPS)) == legal
    if not legal:
        with pytest.raises(ToolError, match=r"leaves out|passes over"):
            fill("halve n0", slots, OPS)


def test_requests_of_one_outline_have_the_same_legal_calls() -> None:
    texts = [
        "halve 7",
        "double 9",
        "halve 1",
        "halve 7 twice",
        "halve nine",
        "halve -7 cubed",
        "spell 'twice', 7",
    ]
    texts += [
        "in 3 weeks",
        "in 3 days",
        "in 4 weeks",
        "3 cups in ml",
        "3 cups in grams",
        "which one is 7",
        "7, 8",
    ]
    legal: dict[Hashable, list[str]] = {}
    for slots in map(find, texts):
        assert legal.setdefault(outline(slots, OPS), legal_calls(slots, OPS)) == legal_calls(slots, OPS)
    assert len(legal) < len(texts)


@pytest.mark.parametrize(
    ("call", "written"),
    [
        ("add n1 n0", "add n0 n1"),
        ("add n0 n1", "add n0 n1"),
        ("sub n1 n0", "sub n1 n0"),
        ("refuse", "refuse"),
    ],
)
def test_a_call_that_means_the_same_in_any_order_is_written_in_one(call: str, written: str) -> None:
    table = {**OPS, "add": Op("add", ("n", "n"), "calculator", {"expression": "{0} + {1}"}, symmetric=True)}
    assert canonical(call, table) == written
