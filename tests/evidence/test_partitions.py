"""How far two labellings agree."""

import math

import pytest

from tinyllm.evidence import nmi


def test_names_of_kinds_do_not_matter() -> None:
    assert nmi([0, 0, 1, 1, 2], ["b", "b", "c", "c", "a"]) == pytest.approx(1.0)


def test_labels_that_know_nothing_of_each_other_share_nothing() -> None:
    assert nmi([0, 0, 1, 1], [0, 1, 0, 1]) == pytest.approx(0.0)
    assert nmi([0, 0, 0, 0], [0, 1, 0, 1]) == pytest.approx(0.0)


def test_a_kind_in_two_halves_loses_what_the_split_adds() -> None:
    # H(one) = ln 2, H(other) = 1.5 ln 2, and all of the first is known from the second.
    assert nmi([0, 0, 1, 1], [0, 0, 1, 2]) == pytest.approx(math.log(2) / (1.25 * math.log(2)))


def test_two_labellings_of_a_single_kind_are_the_same() -> None:
    assert nmi([1, 1], "xx") == 1.0
    with pytest.raises(ValueError, match="2 labels and 3"):
        nmi([1, 1], [1, 2, 3])
