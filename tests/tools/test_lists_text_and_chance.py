"""Statistics of lists, the letters of texts, and seeded chance."""

import asyncio
import statistics
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tools.asking import answer, refusal
from tinyllm.protocols import ToolContext
from tinyllm.tools.chance import Chance
from tinyllm.tools.statistics import Statistics
from tinyllm.tools.text import Text
from tinyllm.types import JSON

STATISTICS = Statistics()
TEXT = Text()
CHANCE = Chance()
NUMBERS = [3, 7, 9, 24, 7, "1/2"]


@pytest.mark.parametrize(
    ("operation", "value"),
    [
        ("mean", "101/12"),
        ("median", 7),
        ("mode", 7),
        ("total", "50.5"),
        ("product", 15876),
        ("range", "23.5"),
        ("largest", 24),
        ("smallest", "0.5"),
        ("sort_up", ["0.5", 3, 7, 7, 9, 24]),
        ("sort_down", [24, 9, 7, 7, 3, "0.5"]),
        ("how_many", 6),
    ],
)
def test_statistics(operation: str, value: JSON) -> None:
    assert answer(STATISTICS, operation=operation, values=NUMBERS).value == value


def test_statistics_in_words() -> None:
    assert (
        answer(STATISTICS, operation="mean", values=[3, 7, 9, 24]).text
        == "The mean of 3, 7, 9 and 24 is 10.75."
    )
    assert answer(STATISTICS, operation="mode", values=[1, 1, 2, 2, 3]).value == [1, 2]
    assert answer(STATISTICS, operation="mode", values=[1, 2, 3]).value == []
    assert answer(STATISTICS, operation="population_stdev", values=[2, 4, 4, 4, 5, 5, 7, 9]).value == 2
    assert "1000 numbers" in answer(STATISTICS, operation="total", values=[1] * 1000).text


@given(st.lists(st.fractions(-1000, 1000, max_denominator=1000), min_size=2, max_size=20))
def test_statistics_as_python_has_them(numbers: list[Fraction]) -> None:
    values = [str(number) for number in numbers]
    for operation, expected in (
        ("mean", statistics.mean(numbers)),
        ("median", statistics.median(numbers)),
        ("total", sum(numbers)),
    ):
        assert Fraction(answer(STATISTICS, operation=operation, values=values).value) == expected
    spread = float(Fraction(answer(STATISTICS, operation="stdev", values=values).value))
    assert spread == pytest.approx(statistics.stdev(map(float, numbers)), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"operation": "avg", "values": [1]}, "use one of mean, median"),
        ({"operation": "mean", "values": []}, "'values' is wrong"),
        ({"operation": "mean", "values": ["x"]}, "'x' is not a number"),
        ({"operation": "mean", "values": [float("nan")]}, "'values' is wrong"),
        ({"operation": "mean", "values": [1] * 1001}, "more than 1000"),
        ({"operation": "product", "values": [10**300] * 1000}, "digits"),
        ({"operation": "mean", "values": ["1e999999999"]}, "not a number"),
        ({"operation": "mean", "values": ["9" * 10**6]}, "too long"),
        ({"operation": "total", "values": [f"1/{10**300 + i}" for i in range(1000)]}, "digits"),
        ({"operation": "stdev", "values": [1]}, "no standard deviation"),
    ],
)
def test_statistics_refused(arguments: dict[str, JSON], said: str) -> None:
    assert said in refusal(STATISTICS, **arguments).message


@pytest.mark.parametrize(
    ("operation", "text", "value"),
    [
        ("spell", "potato", "p-o-t-a-t-o"),
        ("letters", "don't stop!", 8),
        ("words", " one  two\nthree ", 3),
        ("vowels", "Déjà vu", 3),
        ("reverse", "hello world", "dlrow olleh"),
        ("reverse", "cafe\u0301", "éfac"),
        ("upper", "straße", "STRASSE"),
        ("lower", "HELLO", "hello"),
        ("title", "don't panic", "Don't Panic"),
        ("sort_letters", "Banana 7", "aaaBnn"),
        ("palindrome", "A man, a plan, a canal: Panama", True),
        ("palindrome", "banana", False),
        ("palindrome", "?!", False),
    ],
)
def test_text(operation: str, text: str, value: JSON) -> None:
    assert answer(TEXT, operation=operation, text=text).value == value


def test_letters_counted() -> None:
    result = answer(TEXT, operation="count_letter", text="Strawberry", letter="R")
    assert (result.value, result.text) == (3, "The letter R occurs 3 times in Strawberry.")
    assert "argument 'letter' is missing" in refusal(TEXT, operation="count_letter", text="a").message
    assert "not one letter" in refusal(TEXT, operation="count_letter", text="a", letter="ab").message
    assert "longer than 5000" in refusal(TEXT, operation="spell", text="x" * 1_000_000).message


def test_chance_follows_the_seed() -> None:
    def draw(seed: int, **arguments: JSON) -> JSON:
        return asyncio.run(CHANCE.call(arguments, ToolContext(clock=0, seed=seed))).value

    for call in ({"operation": "roll", "count": 9}, {"operation": "flip", "count": "9"}):
        assert draw(1, **call) == draw(1, **call)
        assert len({str(draw(seed, **call)) for seed in range(20)}) > 10
    assert {draw(seed, operation="roll") for seed in range(100)} == {1, 2, 3, 4, 5, 6}
    assert {draw(seed, operation="flip") for seed in range(20)} == {"heads", "tails"}
    assert {draw(seed, operation="random_between", low=3, high=1) for seed in range(50)} == {1, 2, 3}


def test_chance_refused() -> None:
    assert "less than or equal to 100" in refusal(CHANCE, operation="roll", count=10**9).message
    assert "'low' and 'high'" in refusal(CHANCE, operation="random_between", low=1).message
    assert "greater than or equal to 2" in refusal(CHANCE, operation="roll", sides=1).message
