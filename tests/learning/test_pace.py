"""Savings have their pace: when they can be proven, and once in so much new traffic."""

from dataclasses import replace

import pytest

from tests.learning.things import an_item
from tinyllm.evidence import Ledger
from tinyllm.learning.items import Item
from tinyllm.learning.pace import EVERY, waits
from tinyllm.protocols import TrialRow

WORDS = ["river", "lake", "city", "bridge", "castle", "forest", "island", "desert", "valley", "harbor"]


def graded(count: int, created: float = 1.0) -> list[Item]:
    """So many items, each of another kind."""
    texts = [
        f"{one}{two} {one}{three}{four}"
        for one in WORDS
        for two in WORDS
        for three in WORDS
        for four in "xyz"
    ]
    return [replace(an_item(text, passed=True), created=created) for text in texts[:count]]


def trial(state: str, *, saves: bool = True, number: int | None = 1) -> TrialRow:
    evidence = {"saves": saves}
    return TrialRow("t", "net", "prune", "n", "", state, number=number, evidence=evidence, created=5.0)  # type: ignore[arg-type]


def why(trials: list[TrialRow], items: list[Item], margin: float = 0.1) -> str | None:
    return waits("net", trials, items, Ledger(), margin)


def test_what_could_not_be_proven_is_not_tried() -> None:
    assert why([], graded(600)) is None
    assert "about" in (why([], graded(50)) or "") and "more graded answers" in (why([], graded(50)) or "")
    assert why([], graded(600), margin=0.005) is not None, "a smaller margin takes more"
    spent = Ledger()
    for name in map(str, range(500)):
        spent = spent.opened(name).closed(name, proven=False)
    assert why([], graded(170)) is None
    assert waits("net", [], graded(170), spent, 0.1) is not None, "so does a budget that is spent"


@pytest.mark.parametrize("state", ["adopted", "rejected"])
def test_after_a_trial_so_much_new_traffic_must_come(state: str) -> None:
    old = graded(600)
    some = [*old[:400], *graded(EVERY - 1, 9.0)]
    assert why([trial(state)], old) == f"what only saves is tried again after {EVERY} more graded answers"
    assert "after 1 more" in (why([trial(state)], some) or "")
    assert why([trial(state)], [*some, *graded(1, 9.0)]) is None
    assert why([trial(state, saves=False)], old) is None, "what mends is no such trial"


def test_a_trial_that_is_paid_for_goes_on_at_once() -> None:
    assert why([trial("open")], graded(600)) is None
    assert why([trial("waiting")], graded(600)) is None
    assert why([trial("waiting", number=None)], graded(600)) is not None, "this one lacked evidence"
