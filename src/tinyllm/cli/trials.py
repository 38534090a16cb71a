"""`tinyllm trials`: the changes that were tried, adopted or not, and what each showed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from tinyllm.cli.output import amount, json_flag, making_line, network_flag, note, plain, print_json, settings
from tinyllm.cli.stored import with_store
from tinyllm.cli.versions import when
from tinyllm.errors import NotFound
from tinyllm.types import JSON, Cost

if TYPE_CHECKING:
    from tinyllm.evidence import Ledger
    from tinyllm.protocols import Store, TrialRow, Version

# What a state means where there is no verdict yet.
_STATES = {"open": "its look is begun: `tinyllm learn` goes on with it", "waiting": "waits for more evidence"}


@click.command()
@click.argument("trial_id", metavar="[ID]", required=False)
@network_flag
@json_flag
def trials(trial_id: str | None, network: str | None, as_json: bool) -> None:
    """Example: tinyllm trials

    Shows every change of the network that was tried (of a contest that nobody won, the one that came nearest), with
    its verdict, what became of it, and what is left of the error budget: the chance that the network ever adopts a
    change that is no better. With ID (or its beginning), one trial in full.
    """
    from tinyllm.cli.wiring import load_file
    from tinyllm.learning.proof import ledger_of

    name = load_file(settings(network=network).network).name

    async def read(store: "Store") -> "tuple[Sequence[TrialRow], Sequence[Version]]":
        return await store.trials(name), await store.versions(name)

    found, versions = with_store(read)
    became = {trial.id: _became(trial, versions) for trial in found}
    ledger = ledger_of(found)
    levels = {entry.trial: entry.level for entry in ledger.entries}
    if trial_id is not None:
        one = _chosen(found, trial_id)
        if as_json:
            print_json(_json(one, levels, became))
        else:
            click.echo("\n".join(map(plain, _in_full(one, levels, became))))
    elif as_json:
        print_json(
            {
                "network": name,
                "budget": ledger.budget,
                "spent": ledger.spent,
                "next_level": ledger.next_level,
                "trials": [_json(trial, levels, became) for trial in found],
            }
        )
    elif found:
        _show(found, ledger, levels, became)
    else:
        note(
            f"nothing was tried on network {name!r} yet. `tinyllm learn --dry-run` says what would be, and what "
            "evidence is missing; `tinyllm learn --replay sample` shows how it goes"
        )


def _chosen(trials: "Sequence[TrialRow]", name: str) -> "TrialRow":
    found = [trial for trial in trials if trial.id.startswith(name)]
    if len(found) != 1:
        said = f"{len(found)} trials have ids that begin with" if found else "there is no trial"
        raise NotFound(f"{said} {name!r}", hint="`tinyllm trials` lists them")
    return found[0]


def _became(trial: "TrialRow", versions: "Sequence[Version]") -> str:
    """What became of an adopted change, in words; nothing where it was not adopted."""
    stages = [version for version in versions if version.trial == trial.id]
    if not stages:
        return ""
    first, last = stages[0], stages[-1]
    after = versions[versions.index(last) + 1 :]
    for version in after:
        if version.edit == "rollback" and version.trial == f"version {first.revision}":
            return f"taken back by itself, as version {version.revision}: {version.reason}"
    if last.share == 1:
        return f"it is version {last.revision}"
    if after:
        return f"called off, by version {after[0].revision}"
    return f"it is version {last.revision}, on its way up: {last.stage}"


def _show(
    trials: "Sequence[TrialRow]", ledger: "Ledger", levels: Mapping[str, float], became: Mapping[str, str]
) -> None:
    for trial in trials:
        level = f"level {levels[trial.id]:.2g}" if trial.id in levels else "no look"
        head = f"{trial.id[:12]:<12}  {when(trial.created)}  {trial.state:<8}  {level:<13}"
        click.echo(f"{head}  {trial.edit} {trial.node}: {plain(trial.reason)}")
        click.echo(f"  {plain(trial.verdict or _STATES.get(trial.state, ''))}")
        if became[trial.id]:
            click.echo(f"  {plain(became[trial.id])}")
    click.echo(
        f"\nerror budget: the chance that this network ever adopts a change that is no better is kept below "
        f"{ledger.budget:.0%}; {1 - ledger.spent / ledger.budget:.0%} of that is left for later trials, and the next "
        f"one is tested at the level {ledger.next_level:.2g}"
    )


def _in_full(trial: "TrialRow", levels: Mapping[str, float], became: Mapping[str, str]) -> Iterator[str]:
    yield f"trial {trial.id} of network {trial.network!r}, begun {when(trial.created)}: {trial.state}"
    yield f"change: {trial.edit} {trial.node}: {trial.reason}"
    made = trial.evidence.get("made")
    if made and (line := making_line(made["asked"], Cost(**made["cost"]))):
        yield f"price: {line}"
    yield f"verdict: {trial.verdict or _STATES.get(trial.state, '-')}"
    if became[trial.id]:
        yield f"since then: {became[trial.id]}"
    if trial.id in levels:
        yield f"ledger: number {trial.number}, tested at level {levels[trial.id]:.3g}"
    for name, outcome in trial.evidence.get("select", {}).items():
        yield from _outcome(f"select, {name}", outcome)
    for fault in trial.evidence.get("faults", ()):
        yield f"could not be tried: {fault}"
    if confirm := trial.evidence.get("confirm"):
        yield from _outcome("confirm", confirm)
        if "p_value" in confirm:
            yield f"  {confirm['test']}: p {confirm['p_value']:.3g}, level {confirm['level']:.3g}"
        for fault in confirm.get("faults", ()):
            yield f"  against it: {fault}"


def _outcome(name: str, outcome: Mapping[str, Any]) -> Iterator[str]:
    """What a candidate did against the head on one part of the traffic."""
    if "tally" not in outcome:
        return
    from tinyllm.evidence import Tally

    low, high = outcome["gain_interval"]
    yield (
        f"{name}: {Tally(**outcome['tally'])}, a gain of {outcome['gain']:+.1%} ({low:+.1%} to {high:+.1%})"
    )
    yield f"  an answer costs {_price(outcome['cost_after'])}, before {_price(outcome['cost_before'])}"
    for piece, tally in outcome["slices"].items():
        yield f"  {piece}: {Tally(**tally)}"


def _price(cost: float) -> str:
    return amount(cost) if cost >= 1 else f"{cost:.3g}"  # operations, or money


def _json(trial: "TrialRow", levels: Mapping[str, float], became: Mapping[str, str]) -> dict[str, JSON]:
    return {**asdict(trial), "level": levels.get(trial.id), "became": became[trial.id] or None}
