"""Which grade counts, which judge may, and how the graded runs went."""

import pytest

from tests.grading.fakes import a_span, a_trace
from tinyllm.grading import TRUST, calibrate, calibrations, sampled, trends, verdicts
from tinyllm.types import Grade, GradeKind, Trace


def a_grade(
    score: float | None,
    kind: GradeKind = "reference",
    grader: str = "x",
    run_id: str = "r1",
    created: float = 0.0,
) -> Grade:
    return Grade(run_id, kind, grader, score, created=created)


def test_the_most_trusted_grade_counts() -> None:
    given = [a_grade(float(place % 2), kind) for place, kind in enumerate(TRUST)]
    for place, kind in enumerate(TRUST):
        assert verdicts(given[place:][::-1], ["x"])["r1"].kind == kind


def test_an_abstention_and_a_judge_that_is_not_calibrated_do_not_count() -> None:
    given = [a_grade(None), a_grade(0.0, "judge"), a_grade(1.0, "thumb")]
    assert verdicts(given)["r1"].kind == "thumb"
    assert verdicts(given, ["x"])["r1"].kind == "judge"
    assert verdicts([a_grade(None), a_grade(0.0, "judge")]) == {}


def test_users_who_contradict_each_other_have_said_nothing() -> None:
    given = [a_grade(0.0, "correction", "eve"), a_grade(1.0, "correction", "ann"), a_grade(1.0, "recompute")]
    assert verdicts(given)["r1"].kind == "recompute"
    assert verdicts(given[:2]) == {}


def test_kappa_is_agreement_beyond_chance() -> None:
    # Cohen's own kind of table: 20 and 15 agreed, 5 and 10 not.
    pairs = [(1.0, 1.0)] * 20 + [(0.0, 1.0)] * 5 + [(1.0, 0.0)] * 10 + [(0.0, 0.0)] * 15 + [(None, 1.0)] * 3
    judge = calibrate("j", pairs)
    assert (judge.right_as_right, judge.right_as_wrong, judge.wrong_as_right, judge.wrong_as_wrong) == (
        20,
        5,
        10,
        15,
    )
    assert (judge.pairs, judge.abstained, judge.agreement) == (50, 3, 0.7)
    assert judge.kappa == pytest.approx(0.4)
    assert "kappa is 0.40" in judge.refused


@pytest.mark.parametrize(
    ("pairs", "why"),
    [
        ([], "0 runs, 30 are needed"),
        ([(1.0, 1.0)] * 29, "29 runs, 30 are needed"),
        ([(1.0, 1.0)] * 40, "40 right and 0 wrong"),
        ([(1.0, 1.0), (0.0, 1.0), (1.0, 0.0), (0.0, 0.0)] * 10, "kappa is 0.00"),
        ([(1.0, 1.0)] * 20 + [(0.0, 0.0)] * 10, ""),
    ],
)
def test_a_judge_must_show_that_it_can_judge(pairs: list[tuple[float | None, float]], why: str) -> None:
    refused = calibrate("j", pairs).refused
    assert why in refused and bool(refused) == bool(why)


def test_a_judge_is_held_against_better_graders_of_the_same_runs_alone() -> None:
    given = [
        a_grade(1.0, "judge", "j", "r1"), a_grade(1.0, "reference", run_id="r1"),
        a_grade(1.0, "judge", "j", "r2"), a_grade(0.0, "correction", run_id="r2"),
        a_grade(1.0, "judge", "j", "r3"), a_grade(0.0, "thumb", run_id="r3"),
        a_grade(1.0, "judge", "j", "r4"), a_grade(0.0, "judge", "other", "r4"),
    ]  # fmt: skip
    found = calibrations(given)
    assert (found["j"].right_as_right, found["j"].wrong_as_right, found["j"].pairs) == (1, 1, 2)
    assert found["other"].pairs == 0


def test_a_sample_is_a_share_and_a_larger_one_holds_it() -> None:
    runs = [f"r{number}" for number in range(4000)]
    tenth, half = ({run for run in runs if sampled(run, share)} for share in (0.1, 0.5))
    assert tenth < half and 300 < len(tenth) < 500 and 1850 < len(half) < 2150
    assert not any(sampled(run, 0.0) for run in runs) and all(sampled(run, 1.0) for run in runs)


def routed(label: str | None, node: str, run_id: str, *, refused: bool = False) -> Trace:
    spans = [
        a_span("router", "router", choice=label),
        *([a_span(node, text="4", error="no" if refused else None)] if node else []),
        a_span("end", "exit", text="4"),
    ]
    return a_trace("4", spans=spans, run_id=run_id, status="refused" if refused else "answered")


def test_trends_are_told_by_node_category_and_grader() -> None:
    traces = {
        "r1": routed("sums", "solver", "r1"),
        "r2": routed("sums", "solver", "r2"),
        "r3": routed("sums", "solver", "r3", refused=True),
        "r4": routed(None, "", "r4", refused=True),
    }
    scores = {"r1": 0.0, "r2": 1.0, "r3": 1.0, "r4": 0.0}
    given = [a_grade(score, run_id=run, created=float(run[1])) for run, score in scores.items()]
    found = {(trend.by, trend.name): trend for trend in trends(verdicts(given), traces, given)}
    assert found.keys() == {
        ("node", "solver"), ("node", "router"), ("category", "sums"), ("category", "unknown"),
        ("grader", "reference: x"),
    }  # fmt: skip
    solver = found["node", "solver"]
    assert (solver.graded, solver.earlier, solver.later) == (3, 0.0, 1.0)
    assert solver.right == pytest.approx(2 / 3)
    assert solver.interval[0] < 2 / 3 < solver.interval[1]
    assert found["node", "router"].earlier is None
    assert trends({}, {}) == []
