"""An answer against the right one."""

import pytest

from tests.grading.fakes import CONTEXT, a_trace
from tinyllm.grading import Reference, compare, correction, rule_for, thumb
from tinyllm.types import Status


@pytest.mark.parametrize(
    ("reference", "rule"),
    [
        ("48", "numeric"), ("-1,024.5", "numeric"), ("5/3", "numeric"), ("48 tablespoons", "numeric"),
        ("$12.50", "numeric"), ("15%", "numeric"), ("60 miles per hour", "numeric"), ("21 °C", "numeric"),
        ("B", "choice"), ("(C)", "choice"), ("d", "exact"), ("25 December 2026", "exact"),
        ("Shakespeare", "exact"), ("x = 3 or x = -3", "exact"),
    ],
)  # fmt: skip
def test_a_reference_says_how_it_is_compared(reference: str, rule: str) -> None:
    assert rule_for(reference) == rule


@pytest.mark.parametrize(
    ("answer", "reference", "score"),
    [
        ("3 cups = 48 tablespoons", "48", 1.0),
        ("3 cups = 48 tablespoons", "3", 0.0),  # a number of the question is no answer
        ("It is 48 because 3 * 16 = 48", "48", 1.0),
        ("The answer is 5, as 2 and 3 make it.", "5", 1.0),
        ("no idea", "48", 0.0),
        ("332,024", "332024", 1.0),
        ("331624", "332024", 0.0),
        ("332024.0", "332024", 1.0),
        ("1.61", "1.60934", 1.0),  # rounded to three digits
        ("1.6", "1.60934", 0.0),  # to two
        ("1.60934", "1.61", 1.0),
        ("1.62", "1.60934", 0.0),
        ("9.6", "9", 0.0),
        ("195.3", "195", 1.0),
        ("5/3", "5/3", 1.0),
        ("1.667", "5/3", 0.0),  # a fraction is exact
        ("The mean of 3, 9 and 62 is about 24.666667.", "74/3", 1.0),  # but nobody writes it out
        ("24.666668", "74/3", 0.0),
        ("99999", "300001/3", 0.0),
        ("9 ounces ≈ 255.146 grams", "255.145708125", 1.0),
        ("9 ounces ≈ 255.146 grams", "9", 0.0),
        ("From 3 boxes you take 12", "12", 1.0),  # nothing leads to the number: the last one counts
        ("From 3 boxes you take 12", "3", 0.0),
        ("−4", "-4", 1.0),
        ("4", "-4", 0.0),
    ],
)
def test_a_number_is_right_as_far_as_it_is_written(answer: str, reference: str, score: float) -> None:
    assert compare(answer, reference).score == score


@pytest.mark.parametrize(
    ("answer", "reference", "score"),
    [
        ("3 cups = 48 tablespoons", "48 tablespoons", 1.0),
        ("3 cups = 48 tablespoons", "48 tbsp", 1.0),
        ("48 tablespoons are 3 cups", "48 tablespoons", 1.0),  # the unit tells which number is meant
        ("3 cups = 48 tablespoons", "48 cups", 0.0),
        ("2 cups and 1 cup are 4 cups", "2 cups", 0.0),
        ("3 cups = 47 tablespoons", "48 tablespoons", 0.0),
        ("it is 48", "48 tablespoons", None),
        ("25 December", "25 December", 1.0),
    ],
)
def test_a_unit_belongs_to_its_number(answer: str, reference: str, score: float | None) -> None:
    assert compare(answer, reference).score == score


@pytest.mark.parametrize(
    ("answer", "reference", "score"),
    [
        ("104", "100", 0.0),
        ("104", "100 ± 5%", 1.0),
        ("104", "100±5 %", 1.0),
        ("104", "100 +/- 4", 1.0),
        ("106", "100 ± 5%", 0.0),
        ("106", "100 ± 5", 0.0),
        ("3 cups = 704 ml", "709.8 ml ± 1%", 1.0),
        ("3 cups = 704 litres", "709.8 ml ± 1%", 0.0),
        ("-0.3", "0 ± 0.5", 1.0),
        ("0.3", "0 ± 50%", 0.0),
        ("1,040", "1,000 ± 4%", 1.0),
        ("about ± 5%", "about ± 5%", 1.0),  # no number to be off from: words
    ],
)
def test_a_reference_says_how_far_a_number_may_be_off(answer: str, reference: str, score: float) -> None:
    assert compare(answer, reference).score == score


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("B", 1.0), ("(B)", 1.0), ("b", None), ("The answer is B.", 1.0), ("B) Paris", 1.0), ("**B**", 1.0),
        ("Option C", 0.0), ("A or B", None), ("(A), not (B)", None), ("Paris", None),
        ("A good question. The answer is B", 1.0),
    ],
)  # fmt: skip
def test_a_choice_is_the_one_letter_that_is_named(answer: str, score: float | None) -> None:
    assert compare(answer, "B").score == score


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("Shakespeare", 1.0),
        ("  *shakespeare*. ", 1.0),
        ("Hamlet was written by William Shakespeare.", 1.0),
        ("Shakespeare wrote it.", 1.0),
        ("It was not Shakespeare", None),
        ("Marlowe", 0.0),
        ("", 0.0),
        ("Marlowe, Shakespeare, Jonson", 0.0),  # naming everybody is no answer
    ],
)
def test_words_are_the_same_or_begin_or_end_the_answer(answer: str, score: float | None) -> None:
    assert compare(answer, "Shakespeare").score == score


@pytest.mark.parametrize("text", ["", " ", "\0", "9" * 10_000, "=" * 5_000, "((((A", "-", "1/0", "\ud800"])
def test_any_text_is_compared(text: str) -> None:
    for other in (text, "B", "48 tablespoons", "Shakespeare"):
        assert compare(text, other).score in (None, 0.0, 1.0)
        assert compare(other, text).score in (None, 0.0, 1.0)


@pytest.mark.parametrize("status", ["refused", "escalated", "failed"])
async def test_no_answer_where_there_is_one_fails(status: Status) -> None:
    grade = await Reference("ticket").grade(a_trace("4", status=status), CONTEXT, "4")
    assert (grade.kind, grade.grader, grade.score, grade.reference) == ("reference", "ticket", 0.0, "4")
    assert status in grade.reason


async def test_without_a_reference_there_is_no_grade() -> None:
    assert (await Reference("ticket").grade(a_trace(), CONTEXT)).score is None
    assert (await Reference("ticket").grade(a_trace(), CONTEXT, " ")).score is None


def test_what_a_user_says() -> None:
    assert (thumb(a_trace(), "ann", True).score, thumb(a_trace(), "ann", False).score) == (1.0, 0.0)
    confirmed, corrected = (correction(a_trace("2 + 2 = 4"), "ann", text) for text in ("4", "5"))
    assert (confirmed.score, corrected.score) == (1.0, 0.0)
    assert (corrected.kind, corrected.grader, corrected.reference) == ("correction", "ann", "5")
    # Who corrects an answer that cannot be compared says that it was wrong.
    assert correction(a_trace("it is 48"), "ann", "48 tablespoons").score == 0.0
