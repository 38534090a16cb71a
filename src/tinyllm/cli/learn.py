"""`tinyllm learn`: cycles of learning from the graded traffic, told step by step."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinyllm.cli.output import (
    json_flag,
    making_line,
    network_flag,
    note,
    plain,
    print_json,
    settings,
    terminal,
)
from tinyllm.types import JSON

if TYPE_CHECKING:
    from tinyllm.cli.wiring import Learning
    from tinyllm.learning.cycle import Report
    from tinyllm.learning.lessons import Lessons
    from tinyllm.learning.proposal import Proposal
    from tinyllm.learning.rounds import Round
    from tinyllm.learning.trial import Verdict

SAMPLE = "sample"
PAUSE = 10.0  # seconds between two looks at the store, for --watch
BAR = 24  # characters
SHOWN = 6  # clusters that are listed


@click.command()
@click.option("--replay", metavar="FILE", help="Ask what FILE holds, and learn; `sample` ships.")
@click.option("--watch", is_flag=True, help="Go on: a cycle whenever enough new answers are graded.")
@click.option("--every", default=250, show_default=True, type=click.IntRange(20), help="Requests a cycle.")
@click.option("--last", default=1000, show_default=True, type=click.IntRange(1), help="Runs to learn from.")
@click.option("--dry-run", is_flag=True, help="Show what would be tried and why; adopt nothing.")
@click.option("-y", "--yes", is_flag=True, help="Adopt what is proven without asking.")
@click.option("--seed", default=0, show_default=True, help="Whatever is drawn, is drawn from it.")
@network_flag
@json_flag
@click.pass_context
def learn(
    context: click.Context,
    replay: str | None,
    watch: bool,
    every: int,
    last: int,
    dry_run: bool,
    yes: bool,
    seed: int,
    network: str | None,
    as_json: bool,
) -> None:
    """Example: tinyllm learn --replay sample

    Looks at the graded answers, finds what fails, tries changes of the network, and adopts one only where it
    is proven on requests that it was not made from. Without --replay it learns from what was asked so far;
    `tinyllm feedback` and `tinyllm grades --run` give it grades.

    FILE has one JSON object a line with `query` and `answer` (null: to be refused).

    With --json the cycles are one list at the end, and with --watch one object a line, as each ends.
    """
    if watch and (replay or dry_run):
        raise click.UsageError("--watch goes on by itself: leave --replay and --dry-run out", context)
    from tinyllm.cli.wiring import open_learning
    from tinyllm.learning.lessons import read_lessons
    from tinyllm.starter import shipped

    lessons = None
    if replay is not None:
        lessons = read_lessons(shipped.TRAFFIC if replay == SAMPLE else Path(replay))
        for number, why in lessons.bad:
            note(f"line {number} is no lesson and is left out: {why}")
    chosen = settings(network=network)
    told = Told(as_json, dry_run, lines=watch)

    async def work() -> None:
        async with open_learning(chosen, Consent(yes, as_json), progress, seed=seed, limit=last) as learning:
            async for title in _moments(learning, lessons, watch, every, seed, chosen.grade_share):
                told.hear(title, await learning.learner.cycle(dry=dry_run))

    try:
        asyncio.run(work())
    except KeyboardInterrupt:
        told.close()
        note("what was asked, graded and adopted is kept; the same command goes on from there")
        raise
    told.close()


async def _moments(
    learning: "Learning", lessons: "Lessons | None", watch: bool, every: int, seed: int, share: float
) -> AsyncIterator[str]:
    """Yields a title each time that a cycle is due. Of what nobody graded the `share` is graded."""
    from tinyllm.learning.collect import collect
    from tinyllm.learning.lessons import study

    store = learning.learner.store
    if lessons is not None:
        total = len(lessons.rows)
        for first in range(0, total, every):
            rows = lessons.rows[first : first + every]

            def tell(done: int, of: int, first: int = first) -> None:
                progress("asking", first + done, total)

            await study(lessons, rows, learning.ask, store, seed=seed, tell=tell, run=learning.run)
            yield f"after {first + len(rows)} of {total} requests"
        return
    collected = await collect(store, learning.graders, share=share, progress=partial(progress, "grading"))
    for fault in {str(error): None for error in collected.errors}:
        note(f"an answer could not be graded: {fault}")
    yield "now"
    if watch:
        note(f"waiting for {every} more graded answers; Ctrl-C ends it")

    async def graded() -> int:
        return len({grade.run_id for grade in await store.grades() if grade.score is not None})

    while watch:
        known = await graded()
        while await graded() < known + every:
            await asyncio.sleep(PAUSE)
            await collect(store, learning.graders, share=share, progress=partial(progress, "grading"))
        yield time.strftime("%H:%M")


def progress(what: str, done: int, of: int) -> None:
    """Shows a bar, and takes it away when all is done."""
    if terminal():
        filled = BAR * done // max(1, of)
        bar = "#" * filled + "-" * (BAR - filled)
        click.echo(f"\r\x1b[K[{bar}] {done}/{of} {what}", err=True, nl=False)
        if done == of:
            click.echo("\r\x1b[K", err=True, nl=False)


@dataclass(frozen=True, slots=True)
class Consent:
    """Whether a proven change may be adopted: as the network says, or as the person at the terminal.

    A network that says `never` is left as it is, whoever agrees. Nobody is asked for --json, or without a terminal.
    """

    yes: bool
    as_json: bool
    again: str = "tinyllm learn --yes"

    async def __call__(self, proposal: "Proposal", verdict: "Verdict") -> bool:
        adopt = proposal.graph.learning.adopt
        if adopt == "never" or self.yes or adopt == "auto":
            return adopt != "never"
        if self.as_json or not (terminal() and terminal(sys.stdin)):
            note(f"a change is ready, and nobody can be asked here: `{self.again}` adopts it")
            return False
        note(f"{plain(proposal.reason)}. {plain(verdict.reason)}")
        # The event loop's own handler would let a Ctrl-C pass while this waits.
        loops = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return click.confirm("adopt it?", err=True)
        except click.Abort:
            raise KeyboardInterrupt from None
        finally:
            signal.signal(signal.SIGINT, loops)


class Told:
    """What is said of the cycles, as text when they end, or as JSON: a list at the end, or `lines` as they end."""

    def __init__(self, as_json: bool, dry: bool, lines: bool = False) -> None:
        self.as_json = as_json
        self.dry = dry
        self.lines = lines
        self.reports: list[tuple[str, Report]] = []

    def hear(self, title: str, report: "Report") -> None:
        self.reports.append((title, report))
        if not self.as_json:
            _show(title, report, self.dry)
        elif self.lines:
            print_json({"when": title, **_json(report)}, indent=None)

    def close(self) -> None:
        if self.as_json:
            if not self.lines:
                print_json([{"when": title, **_json(report)} for title, report in self.reports])
            return
        versions = [done.version for _, report in self.reports for done in report.rounds if done.version]
        if versions:
            click.echo(
                f"adopted: {len(versions)}. See `tinyllm history` and `tinyllm trials`; "
                f"`tinyllm rollback {versions[0].revision - 1}` takes {'it' if len(versions) == 1 else 'all'} back"
            )
        elif self.dry:
            click.echo("nothing was adopted: this was a dry run")


def _show(title: str, report: "Report", dry: bool) -> None:
    from tinyllm.learning.traffic import SHARES

    right = report.graded - report.failed
    click.echo(click.style(f"{title}: {report.graded} graded answers, {right} right", bold=True))
    for user, count in report.left_out.items():
        click.echo(f"  left out: {count} grades by {plain(user)!r}: one user's word weighs no more")
    if report.live is not None:
        click.echo(f"  {report.live.words}")
    for done in report.rounds:
        _show_round(done, dry)
    failing = sorted((one for one in report.clusters if one.failing), key=lambda one: -one.failed)
    if failing:
        share = f"of the {SHARES['propose']:.0%} of requests that changes are made from"
        click.echo(f"  the network as it is now fails at these, {share}:")
    for cluster in failing[:SHOWN]:
        example = next(f", such as {plain(i.request.text)!r}" for i in cluster.items if not i.passed)
        size = f"{cluster.failed} of {len(cluster.items)}"
        click.echo(f"    {size:>10}  {cluster.name} ({cluster.node}){example}")
    for rest in report.rests:
        click.echo(f"  {plain(rest)}")
    for fault in report.faults:
        click.echo(f"  could not be tried: {plain(fault)}")
    if not (report.rounds and report.rounds[-1].trial and not report.rounds[-1].version):  # said already
        click.echo(f"  {report.reason}")
    if not report.graded:
        click.echo("  say what is right (`tinyllm feedback last --answer TEXT`), or see it learn:")
        click.echo("  `tinyllm learn --replay sample`")


def _show_round(done: "Round", dry: bool) -> None:
    for name, proposal in done.proposals.items():
        tried = done.contest.evidence.get(name)
        gains = f" (on other requests: {_effect(tried, proposal.saves)})" if tried else ""
        click.echo(f"  {'would try' if dry else 'tried'} {name}: {proposal.reason}{gains}")
        if made := making_line(proposal.asked, proposal.cost):
            click.echo(f"    {made}")
    if done.version is not None:
        up = "" if done.version.share == 1 else f" ({done.version.stage})"
        click.echo(click.style(f"  adopted as version {done.version.revision}{up}: ", bold=True), nl=False)
        click.echo(done.trial.verdict.removeprefix("adopted: ") if done.trial else "")
    elif done.trial is not None:
        click.echo(f"  not adopted: {done.trial.verdict}")


def _effect(tried: Mapping[str, JSON], saves: bool) -> str:
    """What a change did on select."""
    from tinyllm.evidence import Tally

    tally, before, after = Tally(**tried["tally"]), tried["cost_before"], tried["cost_after"]
    change = after / before - 1 if before else 0.0
    costs = f"; an answer costs {abs(change):.0%} {'more' if change > 0 else 'less'}" if saves else ""
    return f"{tally}{costs}"


def _json(report: "Report") -> dict[str, JSON]:
    return {
        "graded": report.graded,
        "failed": report.failed,
        "reason": report.reason,
        "left_out": dict(report.left_out),
        "faults": list(report.faults),
        "rests": list(report.rests),
        "live": asdict(report.live) if report.live else None,
        "clusters": [
            {
                "name": cluster.name,
                "node": cluster.node,
                "size": len(cluster.items),
                "failing": cluster.failing,
                "examples": list(cluster.examples),
            }
            for cluster in report.clusters
        ],
        "rounds": [
            {
                "proposals": {
                    name: {"edit": p.edit, "node": p.node, "reason": p.reason, **p.price}
                    for name, p in done.proposals.items()
                },
                "winner": done.contest.winner,
                "why": done.contest.reason,
                "trial": asdict(done.trial) if done.trial else None,
                "version": asdict(done.version) if done.version else None,
            }
            for done in report.rounds
        ],
    }
