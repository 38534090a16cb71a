"""Which grade of a run counts. Knows nothing about how grades come about."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from tinyllm.types import Grade, GradeKind

# Most trusted first: an answer known to be right, a user's own right answer, a computation, a model, an opinion.
TRUST: tuple[GradeKind, ...] = ("reference", "correction", "recompute", "judge", "thumb")


def passed(score: float) -> bool:
    """Whether a score means right."""
    return score >= 0.5


def verdicts(grades: Iterable[Grade], judges: Collection[str] = ()) -> Mapping[str, Grade]:
    """The grade that counts for each run: the latest of its most trusted kind; `grades` are latest first.

    Abstentions do not count, nor judges other than `judges`, the calibrated ones. Where graders of one kind
    contradict each other the kind has said nothing, and the next one counts.
    """
    found: defaultdict[str, defaultdict[GradeKind, list[Grade]]] = defaultdict(lambda: defaultdict(list))
    for grade in grades:
        if grade.score is not None and (grade.kind != "judge" or grade.grader in judges):
            found[grade.run_id][grade.kind].append(grade)
    counting = {}
    for run_id, kinds in found.items():
        for kind in TRUST:
            if len({passed(grade.score or 0.0) for grade in kinds[kind]}) == 1:
                counting[run_id] = kinds[kind][0]
                break
    return counting
