"""Graphs tried on graded requests: what counts as a gain."""

from dataclasses import replace

from tests.learning.things import an_item
from tinyllm.evidence import Tally
from tinyllm.learning.items import Item
from tinyllm.learning.tryout import outcome
from tinyllm.types import Status, Trace


def test_an_answer_is_best_when_right_and_worst_when_wrong() -> None:
    item = an_item("how many cups in a litre", passed=False)

    def changed(before: tuple[bool, Status], after: tuple[bool, Status]) -> Tally:
        def answer(right: bool, status: Status, item: Item) -> tuple[bool, Trace]:
            return right, replace(item.trace, status=status)

        run = item.trace.run_id
        return outcome([item], {run: answer(*before, item)}, {run: answer(*after, item)}).tally

    right, refused, wrong = (True, "answered"), (False, "refused"), (False, "answered")
    for better, worse in ((right, refused), (refused, wrong), (right, wrong)):
        assert changed(worse, better) == Tally(1, 0, 0)
        assert changed(better, worse) == Tally(0, 1, 0)
        assert changed(better, better) == changed(worse, worse) == Tally(0, 0, 1)
    # What was to be refused is right when it is refused.
    assert changed((True, "refused"), wrong) == Tally(0, 1, 0)
