"""`tinyllm failures`: which graded answers were wrong, by kind and node, and which requests they were."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from tinyllm.cli.output import json_flag, network_flag, note, plain, print_json, settings, terminal
from tinyllm.errors import SettingsError
from tinyllm.types import JSON

if TYPE_CHECKING:
    from tinyllm.graph import Graph
    from tinyllm.learning.blame import Blame
    from tinyllm.learning.failures import Failure
    from tinyllm.learning.proposal import Cluster
    from tinyllm.protocols import Store
    from tinyllm.settings import Settings

_WIDTH = 100  # characters of a reason or an example
_COUNTED = ("runs", "repaired", "beyond", "healed", "untold", "skipped", "settled")


@dataclass(frozen=True, slots=True)
class Report:
    """What the command shows; `now` are the graded runs that the network as it is answered."""

    graded: int
    now: "Collection[str]"
    failures: "Sequence[Failure]"
    clusters: "Sequence[Cluster]"
    blame: "Blame | None" = None


@click.command()
@click.option("--blame", "replay", is_flag=True, help="Run failures again, with other choices on their way.")
@click.option(
    "--judge", "ask", is_flag=True, help="Ask the judge of the settings about what no rule can name."
)
@click.option("--most", type=click.IntRange(1), default=200, show_default=True, help="Runs, for --blame.")
@click.option("--last", type=click.IntRange(1), default=1000, show_default=True, help="Runs to look at.")
@click.option("--limit", type=click.IntRange(0), default=10, show_default=True, help="Clusters to list.")
@click.option("--seed", default=0, show_default=True, help="Whatever is drawn, is drawn from it.")
@network_flag
@json_flag
def failures(
    replay: bool, ask: bool, most: int, last: int, limit: int, seed: int, network: str | None, as_json: bool
) -> None:
    """Example: tinyllm failures --blame

    Shows the graded answers that were wrong, by kind and by the node at fault, and the kinds of requests among
    which they are; `now` counts those of the network as it is, without its earlier versions. With --blame the
    network answers some of them again, each time with one node's choice changed: the node whose change makes the
    answer right is at fault. With --judge a model names the kind of those of which the rules can only say that they
    are wrong.
    """
    import asyncio

    report = asyncio.run(_work(settings(network=network), most if replay else 0, ask, last, seed))
    if as_json:
        print_json(_json(report, limit))
    else:
        _show(report, limit)


async def _work(chosen: "Settings", most: int, ask: bool, last: int, seed: int) -> Report:
    from tinyllm.cli.wiring import effective, load_file, open_settings_store
    from tinyllm.learning.clusters import clusters
    from tinyllm.learning.failures import failures
    from tinyllm.learning.items import gather
    from tinyllm.learning.versions import head_of

    store = await open_settings_store(chosen)
    try:
        items = await gather(store, limit=last)
        head = await head_of(store, load_file(chosen.network))
        now = {item.trace.run_id for item in items if item.trace.graph == effective(head.graph, chosen).id}
        found, kinds = failures(items), clusters(items, seed=seed)
        if ask:
            found = await _judged(found, chosen)
        if not (found and most):
            return Report(len(items), now, found, kinds)
        told = await _replayed(found, head.graph, chosen, store, most, seed)
        return Report(len(items), now, told.failures, kinds, told)
    finally:
        await store.close()


async def _judged(found: "Sequence[Failure]", chosen: "Settings") -> "list[Failure]":
    from tinyllm.cli.wiring import open_graders
    from tinyllm.grading import Judge
    from tinyllm.learning.failures import judged

    async with open_graders(chosen) as graders:
        judge = next((grader for grader in graders if isinstance(grader, Judge)), None)
        if judge is None:
            hint = 'name one in tinyllm.toml: judge = "ollama/qwen2.5:14b"'
            raise SettingsError("there is no judge to ask", hint=hint)
        return await judged(found, judge.fault)


async def _replayed(
    found: "Sequence[Failure]", head: "Graph", chosen: "Settings", store: "Store", most: int, seed: int
) -> "Blame":
    from tinyllm.cli.wiring import open_bench, open_graders
    from tinyllm.learning.blame import blame
    from tinyllm.learning.right import Right

    async with open_bench(chosen, store) as bench, open_graders(chosen) as graders:
        right = Right(graders)
        return await blame(found, head, bench, right, most=most, seed=seed, progress=_progress)


def _progress(done: int, most: int) -> None:
    if terminal():
        click.echo(f"\rruns {done}, at most {most}", err=True, nl=False)


def _show(report: Report, limit: int) -> None:
    if not report.failures:
        graded = f"of {report.graded} graded answers" if report.graded else "no answer is graded yet, and so"
        note(f"{graded} none is known to be wrong: `tinyllm feedback last bad`, or `tinyllm grades --run`")
        return
    wrong = len(report.failures)
    click.echo(f"graded answers: {report.graded}, wrong: {wrong} ({wrong / report.graded:.0%})")
    changed = len(report.now) < report.graded
    if changed:
        still = _still(report.failures, report.now)
        click.echo(f"by the network as it is now: {len(report.now)}, wrong: {still}")
    groups: defaultdict[tuple[str, str], list[Failure]] = defaultdict(list)
    for failure in report.failures:
        groups[failure.kind, failure.node].append(failure)
    width = max(len(f"{kind}, at {node}") for kind, node in groups)
    for (kind, node), own in sorted(groups.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        latest = own[-1]
        now = f"{f'({_still(own, report.now)} now)':>11}" if changed else ""
        click.echo(f"{len(own):6}{now}  {f'{kind}, at {plain(node)}':{width}}  {latest.item.trace.run_id}")
        click.echo(f"{'':8}{_short(latest.why)}")
    if report.blame is not None:
        click.echo(_replays(report.blame))
    failing = [cluster for cluster in report.clusters if cluster.failing]
    click.echo(f"\nkinds of requests with failures: {len(failing)}")
    for cluster in failing[:limit]:
        size = f"{cluster.failing:.0%} wrong of {len(cluster.items)}"
        if changed:
            today = [item.passed for item in cluster.items if item.trace.run_id in report.now]
            size += f", now {today.count(False)} of {len(today)}"
        click.echo(f"{plain(cluster.name)}, at {plain(cluster.node)}: {size}")
        for example in cluster.examples:
            click.echo(f"{'':8}{_short(example)}")


def _still(found: "Sequence[Failure]", now: "Collection[str]") -> int:
    """How many of the failures are the present network's."""
    return sum(failure.item.trace.run_id in now for failure in found)


def _replays(told: "Blame") -> str:
    """How the replays came out, for people."""
    if told.settled is None:
        why = (
            "--most is less than one of them takes"
            if told.skipped
            else "they are proven, or there is one way only"
        )
        return f"\nno failure was run again: {why}"
    ways = {
        "right with another choice": told.repaired,
        "wrong with every other one": told.beyond,
        "right as it was": told.healed,
        "that nobody can judge": told.untold,
        "left out": told.skipped,
    }
    parts = ", ".join(f"{count} {way}" for way, count in ways.items() if count)
    return f"\nrun again, {told.runs} times in all: {parts}; blame settled for {told.settled:.0%}"


def _short(text: str) -> str:
    line = plain(" ".join(text.split()))
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 3]}..."


def _json(report: Report, limit: int) -> JSON:
    return {
        "runs": {
            "graded": report.graded,
            "failed": len(report.failures),
            "graded_now": len(report.now),
            "failed_now": _still(report.failures, report.now),
        },
        "failures": [
            {
                "run_id": failure.item.trace.run_id,
                "question": failure.item.trace.question,
                "kind": failure.kind,
                "node": failure.node,
                "why": failure.why,
                "settled": failure.settled,
                "now": failure.item.trace.run_id in report.now,
            }
            for failure in report.failures
        ],
        "clusters": [
            {
                "name": cluster.name,
                "node": cluster.node,
                "size": len(cluster.items),
                "failing": cluster.failing,
                "examples": list(cluster.examples),
            }
            for cluster in report.clusters[:limit]
        ],
        **({"blame": {name: getattr(report.blame, name) for name in _COUNTED}} if report.blame else {}),
    }
