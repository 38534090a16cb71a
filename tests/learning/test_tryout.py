"""Graphs tried on graded requests: what counts as a gain."""

from dataclasses import replace

from tests.learning.things import an_item
from tinyllm.evidence import Tally
from tinyllm.learning.tryout import outcome
from tinyllm.types import Status, Trace


def test_an_answer_is_best_when_right_and_worst_when_wrong() -> None:
    item = an_item("how many cups in a litre", passed=False)

    def answer(right: bool, status: Status) -> tuple[bool, Trace]:
        return right, replace(item.trace, status=status)

    def changed(before: tuple[bool, Trace], after: tuple[bool, Trace]) -> Tally:
        return outcome([item], {item.trace.run_id: before}, {item.trace.run_id: after}).tally

    right, refused, wrong = answer(True, "answered"), answer(False, "refused"), answer(False, "answered")
    for better, worse in ((right, refused), (refused, wrong), (right, wrong)):
        assert changed(worse, better) == Tally(1, 0, 0)
        assert changed(better, worse) == Tally(0, 1, 0)
        assert changed(better, better) == changed(worse, worse) == Tally(0, 0, 1)
    # What was to be refused is right when it is refused.
    assert changed(answer(True, "refused"), wrong) == Tally(0, 1, 0)
