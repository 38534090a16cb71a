"""How values become rows and rows become values, alike for every store. Knows no database."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

import pydantic_core

from tinyllm.errors import NotFound, RequestError, StoreError
from tinyllm.events import Event
from tinyllm.protocols import RunRow, Ticket
from tinyllm.types import JSON, Cost, Grade

USER_KINDS = ("correction", "thumb")
LEEWAY = 60.0  # seconds that the clocks of two machines may differ

_COSTS = tuple(field.name for field in fields(Cost))


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
    known = {name: cost[name] for name in _COSTS if name in cost}
    return plain(data.get("answer") or ""), data.get("status"), Cost(**known)


def plain_ticket(ticket: Ticket) -> Ticket:
    """The ticket with texts that any database takes."""
    return replace(ticket, question=plain(ticket.question), reason=plain(ticket.reason))


_WHERE = {
    "run": "`tinyllm trace last` shows the latest run, `tinyllm store export` all of them",
    "ticket": "`tinyllm queue list --all` shows all tickets",
    "graph": "`tinyllm store export` shows all graphs",
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
    """The kinds of grade of which its grader has one a run: a thumb and a correction are both a user's word."""
    return USER_KINDS if grade.kind in USER_KINDS else (grade.kind,)


def gives_way(old: Grade, new: Grade) -> bool:
    """Whether a grader's earlier grade of a run is replaced by its new one."""
    if old.kind in USER_KINDS:
        return (old.kind, old.score, old.reference) != (new.kind, new.score, new.reference)
    return old.score is None and new.score is not None


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
