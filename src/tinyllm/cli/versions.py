"""`tinyllm history`, `diff` and `rollback`: what a network has become, in what it differs, and the way back."""

import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from tinyllm.cli.output import amount, json_flag, network_flag, note, plain, print_json, settings
from tinyllm.cli.stored import with_store
from tinyllm.errors import NotFound
from tinyllm.types import JSON

if TYPE_CHECKING:
    from tinyllm.graph import Difference, Graph
    from tinyllm.learning.history import Step
    from tinyllm.learning.versions import Head
    from tinyllm.protocols import Store, Version
    from tinyllm.settings import Settings


@click.command()
@click.option("--last", type=click.IntRange(1), default=10_000, show_default=True, help="Runs to look at.")
@click.option("--check", is_flag=True, help="Make the newest version anew from the log of changes.")
@network_flag
@json_flag
def history(last: int, check: bool, network: str | None, as_json: bool) -> None:
    """Example: tinyllm history

    Shows the versions of the network: how many nodes each has, how many of its graded answers failed (wrong or
    refused), what an answer cost, and what was changed. `*` marks the one that answers now, `+` one that is on its
    way up.
    """
    chosen = settings(network=network)
    head, steps = with_store(partial(_read, settings=chosen, last=last, check=check))
    if as_json:
        print_json(_json(head, steps))
        return
    if not steps:
        from tinyllm.learning.versions import LEARNS

        note(f"network {head.base.name!r} never changed: {LEARNS}")
        return
    _show(head, steps)
    if not head.lineage:
        note("the network's file was changed by hand: it answers, and all versions rest until that is undone")
    note_rising(head)
    if check:
        note("the log of changes leads from the first version to the newest")


async def _read(
    store: "Store", *, settings: "Settings", last: int, check: bool
) -> "tuple[Head, Sequence[Step]]":
    from tinyllm.cli.wiring import effective, load_file
    from tinyllm.learning.history import steps
    from tinyllm.learning.versions import head_of, replay

    head = await head_of(store, load_file(settings.network))
    name = head.base.name
    if check:
        await replay(store, name)
    return head, await steps(store, name, partial(effective, settings=settings), limit=last)


def _show(head: "Head", steps: "Sequence[Step]") -> None:
    click.echo(f"{'':>5}  {'since':<16}  {'nodes':>5}  {'failed':<20}  {'an answer costs':<16}  change")
    marks = {head.answering.revision: "*"} if head.answering else {}
    if head.rising:
        marks[head.revision] = "+"
    for step in steps:
        version = step.version
        now = marks.get(version.revision, "")
        nodes = "?" if step.nodes is None else step.nodes
        line = f"{now:<1}{version.revision:>4}  {when(version.created)}  {nodes:>5}  {_failed(step):<20}"
        click.echo(f"{line}  {_cost(step):<16}  {_change(version)}")


def _change(version: "Version") -> str:
    """What was changed and why, and for whom where that is not everybody."""
    whom = f", for {100 * version.share:g}%" if version.share else ", in the shadow"
    if version.share == 1:
        whom = ", for all" if version.edit == "rollout" else ""
    return f"{version.edit}{whom}: {plain(version.reason)}"


def note_rising(head: "Head") -> None:
    """Say which version is on its way up, if one is."""
    if head.rising:
        up = head.versions[-1]
        note(
            f"version {up.revision} is on its way up: {up.stage}. When {head.base.learning.answers} of its answers "
            "are graded, `tinyllm learn` moves it on, or takes it back"
        )


def when(created: float | None) -> str:
    """A time for people, to the minute."""
    return datetime.fromtimestamp(created or 0.0).isoformat(" ", "minutes")


def _failed(step: "Step") -> str:
    if step.failure is None:
        return "nothing graded"
    low, high = step.interval
    return f"{step.failure:.0%} ({math.floor(100 * low)}-{math.ceil(100 * high)}%) of {step.graded}"


def _cost(step: "Step") -> str:
    if not step.runs:
        return "-"
    return f"{amount(step.macs)} macs" + (f", {step.money:.6f}" if step.money else "")


def _json(head: "Head", steps: "Sequence[Step]") -> Mapping[str, JSON]:
    return {
        "network": head.base.name,
        "head": head.graph.id,
        "revision": head.answering.revision if head.answering else None,
        "rising": head.revision if head.rising else None,
        "versions": [
            {
                **{name: value for name, value in asdict(step.version).items() if name != "network"},
                "nodes": step.nodes,
                "runs": step.runs,
                "graded": step.graded,
                "wrong": step.wrong,
                "failure": step.failure,
                "interval": list(step.interval) if step.graded else None,
                "cost": {"macs": step.macs, "money": step.money} if step.runs else None,
            }
            for step in steps
        ],
    }


@click.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="[B]", required=False)
@network_flag
@json_flag
def diff(before: str, after: str | None, network: str | None, as_json: bool) -> None:
    """Example: tinyllm diff 0 1

    Shows in what two networks differ. A and B are versions (`tinyllm history`), ids of graphs (a run's trace names
    its own) or files; without B, what answers now.
    """
    chosen = settings(network=network)
    found = with_store(partial(_differences, before=before, after=after, settings=chosen))
    if as_json:
        print_json([asdict(difference) for difference in found])
        return
    for difference in found:
        click.echo(plain(_line(difference)))
    if not found:
        note("they are the same")


async def _differences(
    store: "Store", *, before: str, after: str | None, settings: "Settings"
) -> "list[Difference]":
    from tinyllm.cli.wiring import load_file
    from tinyllm.graph import diff as differences
    from tinyllm.learning.versions import head_of

    first = await graph_named(store, before, settings)
    if after is None:
        head = await head_of(store, load_file(settings.network))
        note_rising(head)
        return differences(first, head.graph)
    return differences(first, await graph_named(store, after, settings))


async def graph_named(store: "Store", name: str, settings: "Settings") -> "Graph":
    """The graph of a version, an id or a file. Raises NotFound, GraphError."""
    from tinyllm.cli.wiring import load_file
    from tinyllm.learning.versions import LEARNS, stored

    if not is_stored(name):
        return load_file(name)
    if not _is_revision(name):
        return await stored(store, name)
    network = load_file(settings.network).name
    versions = await store.versions(network)
    for version in versions:
        if version.revision == int(name):
            return await stored(store, version.graph)
    if not versions:
        raise NotFound(f"network {network!r} never changed: it has no versions yet", hint=LEARNS)
    raise NotFound(f"network {network!r} has no version {name}", hint="`tinyllm history` lists them")


def is_stored(name: str) -> bool:
    """Whether a name means a version or the id of a graph, rather than a file."""
    return _is_revision(name) or bool(re.fullmatch("[0-9a-f]{16}", name))


def _is_revision(name: str) -> bool:
    return name.isascii() and name.isdecimal() and len(name) < 10


def _line(difference: "Difference") -> str:
    def told(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)

    match difference.kind:
        case "added":
            return f"+ {difference.path}: {told(difference.after)}"
        case "removed":
            return f"- {difference.path}: {told(difference.before)}"
        case _:
            return f"~ {difference.path}: {told(difference.before)} -> {told(difference.after)}"


@click.command()
@click.argument("version")
@click.option("--reason", default="by hand", show_default=True, help="Kept in the history.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@network_flag
@json_flag
@click.pass_context
def rollback(
    context: click.Context, version: str, reason: str, yes: bool, network: str | None, as_json: bool
) -> None:
    """Example: tinyllm rollback 0

    Makes an earlier VERSION (its number in `tinyllm history`, or the id of its graph) answer again. Nothing is
    deleted: it is one more version, and a rollback to a later one brings that back.
    """
    if as_json and not yes:
        raise click.UsageError("--json asks nothing: say --yes too", context)
    from tinyllm.cli.wiring import load_file
    from tinyllm.learning.versions import earlier, head_of, roll_back

    base = load_file(settings(network=network).network)

    async def work(store: "Store") -> "tuple[Head, Version | None]":
        head = await head_of(store, base)
        target = earlier(head, int(version) if _is_revision(version) else version)
        if not yes:
            _announce(head, target)
            try:
                agreed = click.confirm("go back?", err=True)
            except click.Abort:
                if sys.stdin.isatty():
                    raise
                raise click.UsageError("nobody answers here: say --yes as well", context) from None
            if not agreed:
                return head, None
        return head, await roll_back(store, head, reason, to=target)

    head, made = with_store(work)
    if made is None:
        note("nothing was changed")
    elif as_json:
        print_json(asdict(made))
    else:
        click.echo(
            f"network {made.network!r} answers as in version {version} again, as version {made.revision}"
        )
        if head.rising:
            note(f"version {head.revision}, which was on its way up, is called off")
        else:
            note(f"`tinyllm rollback {made.revision - 1}` takes this back")


def _announce(head: "Head", target: "Version") -> None:
    name, now = head.base.name, head.answering or head.versions[-1]
    if now.graph == target.graph:
        note(f"network {name!r} goes on answering as in version {target.revision}:")
    else:
        note(f"network {name!r} answers as in version {now.revision}, and would as in {target.revision}:")
    if head.rising:
        note(f"  version {head.revision}, on its way up ({head.versions[-1].stage}), would be called off")
    done = (
        [version for version in head.lineage if version not in head.change] if head.rising else head.lineage
    )
    for version in reversed(done):
        if version.revision > target.revision and version.edit != "rollout":
            note(f"  without {version.revision}, {version.edit}: {plain(version.reason)}")
    note(
        "new questions get that at once, in programs that run already within a second; answers under way are "
        "finished as they began, and nothing is deleted"
    )
