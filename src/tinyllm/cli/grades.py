"""`tinyllm grades`: how the answers were graded, by whom, and whether they get better."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import click

from tinyllm.cli.output import cost_line, json_flag, note, plain, print_json, settings, terminal
from tinyllm.cli.stored import run_named
from tinyllm.types import JSON, Grade

if TYPE_CHECKING:
    from tinyllm.grading import Calibration, Trend
    from tinyllm.learning.collect import Collected
    from tinyllm.protocols import Store


@dataclass(slots=True)
class Report:
    """What the command shows."""

    grades: Sequence[Grade] = ()
    verdicts: Mapping[str, Grade] = field(default_factory=dict)
    trends: "Sequence[Trend]" = ()
    judges: "Mapping[str, Calibration]" = field(default_factory=dict)


@click.command()
@click.argument("run_id", metavar="[RUN_ID|last]", required=False)
@click.option("--run", "grade", is_flag=True, help="First grade the runs that are not graded yet.")
@click.option("--share", type=click.FloatRange(0, 1), help="Of the runs, for --run.  [default: grade_share]")
@click.option("--last", type=click.IntRange(1), default=1000, show_default=True, help="Runs to look at.")
@click.option("--limit", type=click.IntRange(0), default=10, show_default=True, help="Grades to list.")
@json_flag
@click.pass_context
def grades(
    context: click.Context,
    run_id: str | None,
    grade: bool,
    share: float | None,
    last: int,
    limit: int,
    as_json: bool,
) -> None:
    """Example: tinyllm grades --run

    Shows the latest grades, and how the graded runs went by node, category and grader. With RUN_ID, every
    grade that this run was ever given.
    """
    if run_id is not None and (grade or share is not None):
        raise click.UsageError("RUN_ID shows one run; --run and --share are for all of them", context)
    import asyncio

    report, collected = asyncio.run(_work(run_id, grade, share, last))
    if as_json:
        print_json(_json(report, collected, limit, run_id))
    else:
        _show(report, limit if run_id is None else None)
    if collected is not None and collected.errors:
        raise collected.errors[0]


async def _work(
    run_id: str | None, grade: bool, share: float | None, last: int
) -> "tuple[Report, Collected | None]":
    from tinyllm.cli.wiring import open_graders, open_settings_store
    from tinyllm.grading import Judge
    from tinyllm.learning.collect import collect

    chosen = settings(grade_share=share)
    store = await open_settings_store(chosen)
    collected = None
    try:
        if run_id is not None:
            return Report(await _of_run(store, run_id)), None
        if grade:
            async with open_graders(chosen) as graders:
                collected = await collect(
                    store, graders, share=chosen.grade_share, limit=last, progress=_progress
                )
            _tell(collected)
            for judge in (grader for grader in graders if isinstance(grader, Judge)):
                note(f"{judge.name}: {cost_line(judge.spent, judge.spent.milliseconds)}")
        return await _report(store, last), collected
    finally:
        await store.close()


async def _of_run(store: "Store", name: str) -> Sequence[Grade]:
    run_id = await run_named(store, name)
    await store.events(run_id)  # an unknown run is an error, and not a run without grades
    return await store.grades(run_id=run_id, history=True)


async def _report(store: "Store", last: int) -> Report:
    from tinyllm.engine.trace import fold
    from tinyllm.grading import calibrations, trends, verdicts

    looked_at = {run.run_id for run in await store.runs(limit=last)}
    given = [grade for grade in await store.grades() if grade.run_id in looked_at]
    judges = calibrations(given)
    counting = verdicts(given, [name for name, judge in judges.items() if not judge.refused])
    traces = {run_id: fold(await store.events(run_id)) for run_id in counting}
    scored = [grade for grade in given if grade.score is not None]
    return Report(scored, counting, trends(counting, traces, given), judges)


def _progress(done: int, total: int) -> None:
    if terminal():
        click.echo(f"\rgrading {done}/{total}", err=True, nl=done == total)


def _tell(collected: "Collected") -> None:
    by = ", ".join(f"{count} by {kind}" for kind, count in collected.graded.most_common())
    given = f"{collected.graded.total()}{f' ({by})' if by else ''}"
    note(f"grades given: {given}; abstentions: {collected.abstained.total()}")
    if collected.errors:
        note(f"a model did not answer {len(collected.errors)} times: those runs stay ungraded")


def _show(report: Report, limit: int | None) -> None:
    from tinyllm.grading import passed

    if not report.grades:
        note("no grade is kept yet: `tinyllm feedback last good`, or `tinyllm grades --run`")
        return
    for grade in report.grades[:limit]:
        given = datetime.fromtimestamp(grade.created or 0.0).isoformat(" ", "minutes")
        click.echo(f"{given}  {grade.run_id}  {_word(grade):<8}  {grade.kind}: {plain(grade.grader)}")
        if grade.reason:
            click.echo(f"  {plain(' '.join(grade.reason.split()))}")
    if report.verdicts:
        right = sum(passed(grade.score or 0.0) for grade in report.verdicts.values())
        click.echo(f"\nruns graded: {len(report.verdicts)}, right: {right}")
        names = [f"{trend.by} {plain(trend.name)}" for trend in report.trends]
        width = max(map(len, names))
        click.echo(f"{'':{width}} {'graded':>7} {'right':>6}  {'95%':<10} {'earlier':>7}  {'later':>6}")
        for name, trend in zip(names, report.trends, strict=True):
            low, high = trend.interval
            interval = f"{math.floor(100 * low)}-{math.ceil(100 * high)}%"
            halves = f"{_percent(trend.earlier):>7}  {_percent(trend.later):>6}"
            click.echo(f"{name:{width}} {trend.graded:7} {_percent(trend.right):>6}  {interval:<10} {halves}")
    for name, judge in report.judges.items():
        agrees = f"agrees with better graders on {_percent(judge.agreement)} of {judge.pairs} runs"
        kappa = f", kappa {judge.kappa:.2f}" if judge.kappa is not None else ""
        use = f"its grades do not count: {judge.refused}" if judge.refused else "its grades count"
        click.echo(f"judge {plain(name)} {agrees}{kappa}; {use}")


def _word(grade: Grade) -> str:
    from tinyllm.grading import passed

    return "no grade" if grade.score is None else "right" if passed(grade.score) else "wrong"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f}%"


def _json(report: Report, collected: "Collected | None", limit: int, run_id: str | None) -> JSON:
    if run_id is not None:
        return [asdict(grade) for grade in report.grades]
    from tinyllm.grading import passed

    right = sum(passed(grade.score or 0.0) for grade in report.verdicts.values())
    shown: dict[str, JSON] = {
        "grades": [asdict(grade) for grade in report.grades[:limit]],
        "runs": {"graded": len(report.verdicts), "right": right},
        "trends": [asdict(trend) for trend in report.trends],
        "judges": [
            {**asdict(judge), "agreement": judge.agreement, "kappa": judge.kappa, "refused": judge.refused}
            for judge in report.judges.values()
        ],
    }
    if collected is not None:
        shown["collected"] = {
            "graded": dict(collected.graded),
            "abstained": dict(collected.abstained),
            "errors": [error.message for error in collected.errors],
        }
    return shown
