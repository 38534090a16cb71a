"""Headroom: there where kinds differ in what serves them best, and not where one choice is best or chance picks."""

from random import Random

import pytest

from tinyllm.evidence import best_of, headroom

ONE, OTHER, NEITHER = (True, False), (False, True), (False, False)


def test_kinds_that_want_different_choices_have_headroom() -> None:
    found = headroom([(0.5, [ONE] * 12), (0.3, [OTHER] * 12)])
    assert found.gain == pytest.approx(0.3 * 12 / 13), "one request more shows no difference"
    assert 0.2 < found.lower < found.gain


def test_where_one_choice_is_best_for_all_there_is_none() -> None:
    assert headroom([(0.5, [ONE] * 12), (0.5, [ONE] * 8 + [NEITHER] * 4)]).gain == 0
    assert headroom([(0.5, [OTHER] * 12), (0.5, [OTHER] * 12)]).lower == 0


def test_the_share_of_a_kind_weighs_what_it_gains() -> None:
    small = headroom([(0.9, [ONE] * 10), (0.02, [OTHER] * 10)])
    assert 0 < small.gain < 0.02


def test_choices_that_differ_by_chance_alone_seldom_show_headroom() -> None:
    random = Random(1)

    def kind(size: int) -> list[list[bool]]:
        return [[random.random() < 0.5 for _ in range(6)] for _ in range(size)]

    found = [headroom([(0.3, kind(20)), (0.3, kind(20)), (0.4, kind(20))]) for _ in range(400)]
    assert sum(one.lower > 0 for one in found) <= 28, "what its bound allows, and what chance adds"
    assert abs(sum(one.gain for one in found) / 400) < 0.02, "the halves that measure do not pick"


def test_more_requests_make_it_surer() -> None:
    mixed = [ONE, OTHER, OTHER]
    few, many = (headroom([(0.5, [ONE] * n), (0.5, mixed * (n // 3))]) for n in (12, 60))
    assert few.lower < many.lower


def test_of_equal_choices_the_favourite_is_taken() -> None:
    assert best_of([0.5, 0.7, 0.7]) == 1
    assert best_of([0.5, 0.7, 0.7], 2) == 2
    assert best_of([0.5, 0.7, 0.7], 0) == 1
