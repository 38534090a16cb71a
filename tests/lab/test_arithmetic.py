"""How sums are written for a language model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm.lab.folder import Folder
from tinyllm.lab.runs import RUNS, arithmetic


def test_the_formats_write_what_they_say():
    assert arithmetic.plain(57, 968, 3) == ("057+968=", "1025")
    assert arithmetic.reverse(57, 968, 3) == ("057+968=", "5201")
    assert arithmetic.scratchpad(57, 968, 3) == ("057+968=", "780+15561+12091+10=1025")


@pytest.mark.parametrize("name", arithmetic.FORMATS)
@given(one=st.integers(0, 999), other=st.integers(0, 999))
def test_every_format_spells_every_sum_at_one_length(name, one, other):
    asked, wanted = arithmetic.FORMATS[name](one, other, 3)
    shortest = arithmetic.FORMATS[name](0, 0, 3)
    assert len(asked) == len(shortest[0]) and len(wanted) == len(shortest[1])
    answer = wanted.split("=")[-1]
    assert int(answer[::-1] if name == "reversed" else answer) == one + other
    assert arithmetic.LETTERS.decode(arithmetic.LETTERS.encode(asked + wanted)) == asked + wanted


def test_long_sums_are_learned_from_short_ones(tmp_path):
    config = {**RUNS["arithmetic-length"].config, "steps": 200, "batch": 32, "width": 32, "hidden": 64}
    config |= {"places": 3, "asked": 6, "tested": 40, "lr": 2e-2}
    figures = arithmetic.length(Folder(tmp_path, "arithmetic-length", config))
    assert figures["accuracy_3"] > 0.5 and figures["accuracy_6"] > 0.3
