"""How the graded runs went, by node, grader and category, and whether that gets better."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from tinyllm.evidence import wilson
from tinyllm.grading.recompute import maker
from tinyllm.grading.trust import passed
from tinyllm.types import Grade, Trace

By = Literal["node", "category", "grader"]


@dataclass(frozen=True, slots=True)
class Trend:
    """The share of right answers in one group of graded runs, with its 95% interval; `earlier` and `later` are
    the shares in the two halves of the group by time, None where a half is empty."""

    by: By
    name: str
    graded: int
    right: float
    interval: tuple[float, float]
    earlier: float | None
    later: float | None


def trends(
    verdicts: Mapping[str, Grade], traces: Mapping[str, Trace], grades: Iterable[Grade] = ()
) -> list[Trend]:
    """The trends by node and category over the grade that counts for each run, and by grader over `grades`.

    `traces` are those of the graded runs, as far as they are at hand.
    """
    groups: defaultdict[tuple[By, str], list[Grade]] = defaultdict(list)
    for run_id, grade in verdicts.items():
        if run_id in traces:
            groups["node", node_of(traces[run_id])].append(grade)
            groups["category", category_of(traces[run_id])].append(grade)
    for grade in grades:
        if grade.score is not None:
            groups["grader", f"{grade.kind}: {grade.grader}"].append(grade)
    order: tuple[By, ...] = ("node", "category", "grader")
    keys = sorted(groups, key=lambda key: (order.index(key[0]), -len(groups[key]), key[1]))
    return [_trend(*key, groups[key]) for key in keys]


def node_of(trace: Trace) -> str:
    """The node that answers for a run: the one that made the answer, or the last that tried to."""
    span = maker(trace)
    kinds = ("specialist", "tool", "human", "router")
    tried = (s for kind in (kinds[:3], kinds[3:]) for s in reversed(trace.spans) if s.kind in kind)
    found = span or next(tried, None)
    return found.node if found else "-"


def category_of(trace: Trace) -> str:
    """What the first router took the question for."""
    routers = (span for span in trace.spans if span.kind == "router")
    first = next(routers, None)
    return (first.choice or "unknown") if first else "-"


def _trend(by: By, name: str, grades: list[Grade]) -> Trend:
    ordered = sorted(grades, key=lambda grade: grade.created or 0.0)
    outcomes = [passed(grade.score or 0.0) for grade in ordered]
    half = len(outcomes) // 2
    right, n = sum(outcomes), len(outcomes)
    return Trend(by, name, n, right / n, wilson(right, n), _share(outcomes[:half]), _share(outcomes[half:]))


def _share(outcomes: list[bool]) -> float | None:
    return sum(outcomes) / len(outcomes) if outcomes else None
