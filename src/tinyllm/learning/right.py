"""Whether a run answers a graded request rightly: by the request's reference, or by whoever graded it first.

Knows nothing about how the run came about.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tinyllm.errors import BackendError, ModelFileError
from tinyllm.grading import Judge, Run, passed, prove
from tinyllm.learning.items import Item
from tinyllm.protocols import Grader, ToolContext
from tinyllm.types import Trace


@dataclass(frozen=True, slots=True)
class Right:
    """Judges traces of items. A grade without a reference is given again by the same kind of grader.

    A judge that calls an answer right where the graded one was wrong, or the other way round, must prefer the right
    one of the two as well, in whichever order it sees them; else it cannot tell.

    `run` is the sandbox of references that are unit tests.
    """

    graders: Sequence[Grader] = ()
    run: Run | None = None

    async def __call__(self, item: Item, trace: Trace) -> bool | None:
        """Whether the trace answers the item; None where nobody can tell. A grader that breaks cannot."""
        request = item.request
        context = ToolContext(request.clock or 0.0, request.seed or 0, request.user, request.tenant)
        if item.reference is not None:
            score = (await prove(trace, item.reference, self.run, context)).score
            return None if score is None else passed(score)
        if trace.run_id == item.trace.run_id or trace.answer == item.trace.answer:
            return item.passed
        for grader in self.graders:
            if grader.kind == item.grade.kind:
                try:
                    score = (await grader.grade(trace, context)).score
                    if score is None or not await self._stands(grader, item, trace, passed(score)):
                        continue
                except (BackendError, ModelFileError):
                    continue
                return passed(score)
        return None

    async def _stands(self, grader: Grader, item: Item, trace: Trace, right: bool) -> bool:
        """Whether a judge that turns the verdict on an item says so of the two answers side by side, too."""
        if right == item.passed or not isinstance(grader, Judge):
            return True
        better = await grader.prefer(trace.question, item.trace.answer, trace.answer)
        return better == ("two" if right else "one")
