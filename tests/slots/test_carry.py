"""A fragment is completed from the question before it, and nothing else is touched."""

from random import Random

import pytest

from tinyllm.slots import carry, leans


@pytest.mark.parametrize(
    ("before", "fragment", "whole"),
    [
        ("how many tablespoons in 3 cups?", "and in teaspoons?", "how many teaspoons in 3 cups?"),
        ("convert 3 pints to cups", "what about 5 pints?", "convert 5 pints to cups"),
        ("convert 3 pints to cups", "to liters", "convert 3 pints to liters"),
        ("what is 15% of 80", "what about 20%?", "what is 20% of 80"),
        ("what is 15% of 80", "and of 90?", "what is 15% of 90"),
        ("What is 20 Percent of 50", "and 30%?", "What is 30 Percent of 50"),
        ("is 5 prime", "and 7?", "is 7 prime"),
        ("what time is it in tokyo", "and in london?", "what time is it in london"),
        ("how many days until december 25", "how about january 1?", "how many days until january 1"),
    ],
)
def test_a_fragment_takes_its_place(before: str, fragment: str, whole: str) -> None:
    assert carry([before, fragment]) == whole


@pytest.mark.parametrize(
    ("before", "question"),
    [
        ("is 5 prime", "what is 3 plus 4"),
        ("is 5 prime", "5+7"),
        ("convert 3 pints to cups", "and in kilograms?"),
        ("what is 15% of 80", "and in cups?"),
        ("is 5 prime", "and who was Gauss?"),
        ("", "and 7?"),
    ],
)
def test_a_question_that_stands_alone_or_has_no_place_is_kept(before: str, question: str) -> None:
    assert carry([before, question]) == question


def test_fragments_build_on_each_other() -> None:
    assert carry(["convert 3 pints to cups", "and to liters?", "and 5 pints?"]) == "convert 5 pints to liters"
    assert carry(["order a pizza"]) == "order a pizza"
    assert carry([]) == ""


def test_any_text_is_taken() -> None:
    random = Random(0)
    words = [
        "and",
        "what about",
        "7",
        "20%",
        "percent",
        "İstanbul",
        "in",
        "cups",
        "½",
        "'a'",
        "5'3\"",
        "oz",
        ",",
    ]
    for _ in range(500):
        assert carry([" ".join(random.choices(words, k=6)) for _ in range(3)])


@pytest.mark.parametrize(
    ("question", "expected"),
    [(text, True) for text in ("and in cups?", "and 7?", "what about 20%", "and in foo?", "plus 7")]
    + [(text, False) for text in ("2 + 2", "add 2", "and so on and so forth without an end")],
)
def test_a_fragment_is_known_as_one(question: str, expected: bool) -> None:
    assert leans(question) is expected
