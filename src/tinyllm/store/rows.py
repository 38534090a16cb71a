"""How values become rows and rows become values, alike for every store. Knows no database."""

import base64
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

import pydantic_core

from tinyllm.errors import Conflict, NotFound, RequestError, StoreError
from tinyllm.events import Event
from tinyllm.protocols import Fact, RunRow, Ticket, TrialRow, Version
from tinyllm.types import JSON, Cost, Grade

USER_KINDS = ("correction", "thumb")
LEEWAY = 60.0  # seconds that the clocks of two machines may differ
LONGEST_FACT = 300  # characters
MOST_FACTS = 200  # of one user

COSTS = tuple(field.name for field in fields(Cost))
_INTEGERS = ("macs", "tokens_in", "tokens_out")
SUMS = [
    # PostgreSQL's sum of integers is a decimal number.
    f"CAST(coalesce(sum({name}), 0) AS {'BIGINT' if name in _INTEGERS else 'DOUBLE PRECISION'})"
    for name in COSTS
]


def to_json(events: Sequence[Event]) -> str:
    """The events of one run as a JSON list; text that is not valid Unicode is kept, too. Raises StoreError."""
    facts = [(event.sequence, event.kind, event.at_ms, event.node, event.data) for event in events]
    try:
        # A third of json.dumps' time, which was the largest part of keeping a run.
        return pydantic_core.to_json(facts, inf_nan_mode="constants").decode()
    except ValueError:  # lone surrogates, which only an escape can carry, or something that JSON cannot hold
        pass
    try:
        return json.dumps(facts)
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"an event of run {events[0].run_id!r} holds what JSON cannot: {error}",
            hint="put only text, numbers, lists and mappings into an event's data",
        ) from error


def from_json(run_id: str, text: str) -> list[Event]:
    """The events of which `to_json` made this."""
    return [Event(run_id, *fact) for fact in json.loads(text)]


def plain(text: str) -> str:
    """Text that any database takes: what is not valid Unicode, or NUL, becomes a question mark."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "?").encode("utf-8", "replace").decode()


def begun(tenant: str, event: Event, created: float) -> RunRow:
    """The run that a `run_started` event begins."""
    data = event.data
    return RunRow(
        run_id=event.run_id,
        tenant=tenant,
        user=plain(data.get("user", "local")),
        session=plain(data["session"]) if data.get("session") else None,
        graph=data.get("graph", ""),
        seed=data.get("seed", 0),
        clock=data.get("clock", created),
        question=plain(data.get("question", "")),
        answer=None,
        status=None,
        created=created,
    )


def ended(event: Event) -> tuple[str, str | None, Cost]:
    """Answer, status and cost as a `run_finished` event tells them."""
    data = event.data
    cost: Mapping[str, JSON] = data.get("cost") or {}
    known = {name: cost[name] for name in COSTS if name in cost}
    return plain(data.get("answer") or ""), data.get("status"), Cost(**known)


def plain_ticket(ticket: Ticket) -> Ticket:
    """The ticket with texts that any database takes."""
    return replace(ticket, question=plain(ticket.question), reason=plain(ticket.reason))


_WHERE = {
    "run": "`tinyllm trace last` shows the latest run, `tinyllm store export` all of them",
    "ticket": "`tinyllm queue list --all` shows all tickets",
    "graph": "`tinyllm store export` shows all graphs",
    "fact": "`tinyllm memory list` shows what is remembered",
    "file": "a network needs the store in which it learned: name that one",
}


def unknown(what: str, name: str) -> NotFound:
    """The error for a row that does not exist, or belongs to another tenant."""
    return NotFound(f"no {what} {name!r} in the store", hint=_WHERE[what])


def settled(ticket_id: str, ticket: Ticket | None, now: bool) -> Ticket:
    """The ticket, if it exists and was settled just `now`. Raises NotFound or RequestError."""
    if ticket is None:
        raise unknown("ticket", ticket_id)
    if not now:
        raise RequestError(f"ticket {ticket_id!r} is settled already", hint=f"its answer: {ticket.answer}")
    return ticket


def plain_grade(grade: Grade, now: float) -> Grade:
    """The grade with its time and with texts that any database takes. Raises RequestError."""
    if grade.score is not None and not 0 <= grade.score <= 1:
        raise RequestError(f"{grade.score!r} is no score", hint="a score is from 0 to 1; None abstains")
    created = now if grade.created is None else grade.created
    if not created <= now + LEEWAY:
        raise RequestError(
            f"the grade of run {grade.run_id!r} comes from the future: {created:.0f}, and it is {now:.0f}",
            hint="leave its time out, or set the clock of the machine that sent it",
        )
    reference = None if grade.reference is None else plain(grade.reference)
    return replace(
        grade,
        grader=plain(grade.grader),
        reason=plain(grade.reason),
        reference=reference,
        created=created,
    )


def rivals(grade: Grade) -> tuple[str, ...]:
    """The kinds of its grader's grades of a run that it may replace: what is right says more than a thumb."""
    return USER_KINDS if grade.kind == "correction" else (grade.kind,)


def gives_way(old: Grade, new: Grade) -> bool:
    """Whether a grader's earlier grade of a run is replaced by its new one."""
    if old.kind in USER_KINDS:
        return (old.kind, old.score, old.reference) != (new.kind, new.score, new.reference)
    return old.score is None and new.score is not None


def plain_fact(text: str) -> str:
    """The text as one line that any database takes, without control characters. Raises RequestError."""
    line = " ".join("".join(c if c.isprintable() else " " for c in plain(text)).split())
    if not line:
        raise RequestError("the fact is empty", hint='say something: "prefers Python over JavaScript"')
    if len(line) > LONGEST_FACT:
        raise RequestError(
            f"the fact has {len(line)} characters, the most is {LONGEST_FACT}", hint="split it into several"
        )
    return line


def new_fact(tenant: str, user: str, text: str, now: float) -> Fact:
    """The fact that a user tells now. Raises RequestError."""
    return Fact(f"f{secrets.token_hex(4)}", tenant, user, plain_fact(text), now)


def same_fact(known: Sequence[Fact], new: Fact) -> Fact | None:
    """The fact among the user's own that says the same. Raises RequestError where there is room for no more."""
    same = next((fact for fact in known if fact.text.casefold() == new.text.casefold()), None)
    if same is None and len(known) >= MOST_FACTS:
        raise RequestError(
            f"{MOST_FACTS} facts of user {new.user!r} are remembered already, and no more are kept",
            hint="forget some first",
        )
    return same


def plain_version(version: Version, revision: int, now: float) -> Version:
    """The version as any database takes it. Raises StoreError."""
    what = f"version {revision} of {version.network!r}"
    return replace(
        version,
        revision=revision,
        reason=plain(version.reason),
        changes=_plain_json(version.changes, what),
        created=now if version.created is None else version.created,
        evidence=_plain_json(version.evidence, what),
    )


def plain_trial(trial: TrialRow, now: float) -> TrialRow:
    """The trial as any database takes it. Raises StoreError."""
    return replace(
        trial,
        reason=plain(trial.reason),
        verdict=plain(trial.verdict),
        evidence=_plain_json(trial.evidence, f"trial {trial.id!r}"),
        created=now if trial.created is None else trial.created,
    )


def check_newest(network: str, newest: int | None, expected: int) -> None:
    """Raise Conflict where the newest version of a network is not the expected one (-1: that there is none)."""
    found = -1 if newest is None else newest
    if found != expected:
        now = f"at version {found}" if found >= 0 else "without a version"
        raise Conflict(
            f"network {network!r} is {now}, and version {expected + 1} was to be made",
            hint="somebody else changed it meanwhile: start over from what it is now",
        )


def latest_trial(old: TrialRow | None, new: TrialRow) -> TrialRow:
    """What is kept of a trial: it stays in its place of the ledger, and an adopted one stays as it is."""
    if old is None:
        return new
    if old.state == "adopted":
        return old
    return replace(new, number=new.number if old.number is None else old.number, created=old.created)


def taken(trial: TrialRow) -> Conflict:
    """The error for a trial whose place in the ledger another one has."""
    return Conflict(
        f"trial {trial.id!r} of network {trial.network!r} was to be number {trial.number}, and another is that",
        hint="somebody else is trying changes too: start over when they are done",
    )


def _plain_json(value: JSON, what: str) -> JSON:
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"{what} holds what JSON cannot: {error}",
            hint="put only text, numbers, lists and mappings into it",
        ) from error


def exported_run(run: RunRow, events: list[Event]) -> dict[str, Any]:
    """A run with its events as one JSON-able object."""
    shown = [
        {"sequence": e.sequence, "kind": e.kind, "node": e.node, "at_ms": e.at_ms, "data": e.data}
        for e in events
    ]
    return {"row": "run", **asdict(run), "events": shown}


def exported_ticket(ticket: Ticket) -> dict[str, Any]:
    """A ticket as one JSON-able object."""
    return {"row": "ticket", **asdict(ticket)}


def exported_graph(tenant: str, graph_id: str, name: str, source: str) -> dict[str, Any]:
    """A graph version as one JSON-able object."""
    return {"row": "graph", "tenant": tenant, "graph": graph_id, "name": name, "source": source}


def exported_grade(tenant: str, grade: Grade, replaced: float | None) -> dict[str, Any]:
    """A grade, with the time at which a later one took its place, as one JSON-able object."""
    return {"row": "grade", "tenant": tenant, **asdict(grade), "replaced": replaced}


def exported_version(tenant: str, version: Version) -> dict[str, Any]:
    """A network's version as one JSON-able object."""
    return {"row": "version", "tenant": tenant, **asdict(version)}


def exported_trial(tenant: str, trial: TrialRow) -> dict[str, Any]:
    """A trial as one JSON-able object."""
    return {"row": "trial", "tenant": tenant, **asdict(trial)}


def exported_fact(fact: Fact) -> dict[str, Any]:
    """A fact about a user as one JSON-able object."""
    return {"row": "fact", **asdict(fact)}


def exported_file(tenant: str, sha256: str, content: bytes) -> dict[str, Any]:
    """A model file, in base64, as one JSON-able object."""
    return {"row": "file", "tenant": tenant, "sha256": sha256, "content": base64.b64encode(content).decode()}
