"""The store that keeps nothing: the latest runs, in this process, until it ends."""

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tinyllm.errors import StoreError
from tinyllm.events import Event
from tinyllm.protocols import Fact, RunRow, Ticket, TrialRow, Usage, Version
from tinyllm.store import rows
from tinyllm.types import JSON, Cost, Grade

_Key = tuple[str, str]


@dataclass(slots=True)
class _Graded:
    number: int
    grade: Grade
    replaced: float | None = None


@dataclass(slots=True)
class _Run:
    row: RunRow
    appends: dict[int, tuple[int, str]] = field(default_factory=dict)
    """How many events, and their JSON, by the sequence of the first."""
    grades: list[_Graded] = field(default_factory=list)


class MemoryStore:
    """A `Store` of at most `limit` runs, tickets and graphs each; the oldest make room. Versions and facts stay."""

    def __init__(
        self, *, limit: int = 1000, retention: float | None = None, now: Callable[[], float] = time.time
    ) -> None:
        self._limit = limit
        self._retention = retention
        self._now = now
        self._runs: dict[_Key, _Run] = {}
        self._graphs: dict[_Key, tuple[str, str]] = {}
        self._tickets: dict[_Key, Ticket] = {}
        self._versions: dict[_Key, list[Version]] = {}
        self._trials: dict[_Key, TrialRow] = {}
        self._files: dict[_Key, bytes] = {}
        self._facts: dict[tuple[str, str, str], Fact] = {}
        self._graded = 0
        self._closed = False

    async def append(self, tenant: str, events: Sequence[Event]) -> None:
        self._check_open()
        kept = [event for event in events if event.kind != "token"]
        if not kept:
            return
        first, last = kept[0], kept[-1]
        text = rows.to_json(kept)
        run = self._runs.get((tenant, first.run_id))
        if run is None and first.kind == "run_started":
            run = self._runs[tenant, first.run_id] = _Run(rows.begun(tenant, first, self._now()))
        if run is None:
            raise StoreError(
                f"run {first.run_id!r} is not in the store", hint="append its run_started event first"
            )
        if first.sequence in run.appends:
            return
        run.appends[first.sequence] = len(kept), text
        if last.kind == "run_finished" and run.row.status is None:
            answer, status, cost = rows.ended(last)
            run.row = replace(run.row, answer=answer, status=status, cost=cost)
        self._make_room()

    async def events(self, run_id: str, tenant: str = "local") -> Sequence[Event]:
        run = self._runs.get((tenant, run_id))
        if run is None:
            raise rows.unknown("run", run_id)
        return _events(run)

    async def runs(self, *, tenant: str = "local", limit: int = 20) -> Sequence[RunRow]:
        return [run.row for run in reversed(self._runs.values()) if run.row.tenant == tenant][:limit]

    async def usage(self, *, tenant: str = "local", since: float = 0.0) -> Usage:
        self._check_open()
        found = [
            run.row for run in self._runs.values() if run.row.tenant == tenant and run.row.created >= since
        ]
        return Usage(len(found), sum((row.cost for row in found), Cost()))

    async def save_graph(self, graph_id: str, name: str, source: str, *, tenant: str = "local") -> None:
        self._check_open()
        self._graphs.setdefault((tenant, graph_id), (name, source))
        self._make_room()

    async def graph(self, graph_id: str, *, tenant: str = "local") -> str:
        if (tenant, graph_id) not in self._graphs:
            raise rows.unknown("graph", graph_id)
        return self._graphs[tenant, graph_id][1]

    async def park(self, ticket: Ticket) -> None:
        self._check_open()
        self._tickets.setdefault((ticket.tenant, ticket.id), rows.plain_ticket(ticket))
        self._make_room()

    async def tickets(self, *, tenant: str = "local", waiting: bool = True) -> Sequence[Ticket]:
        mine = [
            t for t in self._tickets.values() if t.tenant == tenant and not (waiting and t.answer is not None)
        ]
        return sorted(mine, key=lambda ticket: (ticket.created, ticket.id))

    async def settle(self, ticket_id: str, answer: str, *, tenant: str = "local") -> Ticket:
        self._check_open()
        ticket = self._tickets.get((tenant, ticket_id))
        fresh = ticket is not None and ticket.answer is None
        if ticket is not None and fresh:
            ticket = replace(ticket, answer=rows.plain(answer))
            self._tickets[tenant, ticket_id] = ticket
        return rows.settled(ticket_id, ticket, fresh)

    async def grade(self, grade: Grade, *, tenant: str = "local") -> bool:
        self._check_open()
        now = self._now()
        new = rows.plain_grade(grade, now)
        run = self._runs.get((tenant, grade.run_id))
        if run is None:
            raise rows.unknown("run", grade.run_id)
        known = [
            kept
            for kept in run.grades
            if kept.replaced is None
            and kept.grade.grader == new.grader
            and kept.grade.kind in rows.rivals(new)
        ]
        if not all(rows.gives_way(kept.grade, new) for kept in known):
            return False
        for kept in known:
            kept.replaced = now
        self._graded += 1
        run.grades.append(_Graded(self._graded, new))
        return True

    async def grades(
        self,
        *,
        run_id: str | None = None,
        tenant: str = "local",
        limit: int | None = None,
        history: bool = False,
    ) -> Sequence[Grade]:
        found = [
            kept
            for (owner, id_), run in self._runs.items()
            if owner == tenant and run_id in (None, id_)
            for kept in run.grades
            if history or kept.replaced is None
        ]
        return [kept.grade for kept in sorted(found, key=lambda kept: -kept.number)[:limit]]

    async def versions(self, network: str, *, after: int = -1, tenant: str = "local") -> Sequence[Version]:
        return [made for made in self._versions.get((tenant, network), ()) if made.revision > after]

    async def promote(
        self,
        version: Version,
        *,
        expected: int,
        trial: TrialRow | None = None,
        files: Mapping[str, bytes] | None = None,
        tenant: str = "local",
    ) -> None:
        self._check_open()
        now = self._now()
        made = rows.plain_version(version, expected + 1, now)
        known = self._versions.get((tenant, version.network), [])
        rows.check_newest(version.network, known[-1].revision if known else None, expected)
        if trial is not None:
            await self.put_trial(trial, tenant=tenant)
        self._versions[tenant, version.network] = [*known, made]
        for sha256, data in (files or {}).items():
            self._files.setdefault((tenant, sha256), data)

    async def put_trial(self, trial: TrialRow, *, tenant: str = "local") -> None:
        self._check_open()
        plain = rows.plain_trial(trial, self._now())
        kept = rows.latest_trial(self._trials.get((tenant, trial.id)), plain)
        numbers = {
            other.number for other in await self.trials(kept.network, tenant=tenant) if other.id != kept.id
        }
        if kept.number in numbers - {None}:
            raise rows.taken(kept)
        self._trials[tenant, kept.id] = kept

    async def trials(self, network: str, *, tenant: str = "local") -> Sequence[TrialRow]:
        mine = [trial for (owner, _), trial in self._trials.items() if owner == tenant]
        return [trial for trial in mine if trial.network == network]

    async def file(self, sha256: str, *, tenant: str = "local") -> bytes:
        if (tenant, sha256) not in self._files:
            raise rows.unknown("file", sha256)
        return self._files[tenant, sha256]

    async def remember(self, text: str, *, user: str = "local", tenant: str = "local") -> Fact:
        self._check_open()
        fact = rows.new_fact(tenant, user, text, self._now())
        same = rows.same_fact(await self.facts(user=user, tenant=tenant), fact)
        if same is None:
            self._facts[tenant, user, fact.id] = fact
        return same or fact

    async def facts(self, *, user: str = "local", tenant: str = "local") -> Sequence[Fact]:
        return [fact for fact in self._facts.values() if (fact.tenant, fact.user) == (tenant, user)]

    async def edit(self, fact_id: str, text: str, *, user: str = "local", tenant: str = "local") -> Fact:
        self._check_open()
        line = rows.plain_fact(text)
        if (tenant, user, fact_id) not in self._facts:
            raise rows.unknown("fact", fact_id)
        edited = replace(self._facts[tenant, user, fact_id], text=line)
        self._facts[tenant, user, fact_id] = edited
        return edited

    async def forget(self, fact_id: str, *, user: str = "local", tenant: str = "local") -> None:
        self._check_open()
        if self._facts.pop((tenant, user, fact_id), None) is None:
            raise rows.unknown("fact", fact_id)

    async def size(self) -> Mapping[str, int]:
        texts = [
            *(text for run in self._runs.values() for _, text in run.appends.values()),
            *(source for _, source in self._graphs.values()),
            *(fact.text for fact in self._facts.values()),
        ]
        return {
            "runs": len(self._runs),
            "events": sum(count for run in self._runs.values() for count, _ in run.appends.values()),
            "graphs": len(self._graphs),
            "tickets": len(self._tickets),
            "grades": sum(len(run.grades) for run in self._runs.values()),
            "versions": sum(map(len, self._versions.values())),
            "trials": len(self._trials),
            "files": len(self._files),
            "facts": len(self._facts),
            "bytes": sum(map(len, texts)) + sum(map(len, self._files.values())),
        }

    async def export(self, *, tenant: str | None = None) -> AsyncIterator[Mapping[str, JSON]]:
        for run in list(self._runs.values()):
            if tenant in (None, run.row.tenant):
                yield rows.exported_run(run.row, _events(run))
        for ticket in list(self._tickets.values()):
            if tenant in (None, ticket.tenant):
                yield rows.exported_ticket(ticket)
        for (owner, graph_id), (name, source) in list(self._graphs.items()):
            if tenant in (None, owner):
                yield rows.exported_graph(owner, graph_id, name, source)
        graded = [(kept, run.row.tenant) for run in self._runs.values() for kept in run.grades]
        for kept, owner in sorted(graded, key=lambda pair: pair[0].number):
            if tenant in (None, owner):
                yield rows.exported_grade(owner, kept.grade, kept.replaced)
        for (owner, _), versions in list(self._versions.items()):
            for version in versions if tenant in (None, owner) else ():
                yield rows.exported_version(owner, version)
        for (owner, _), trial in list(self._trials.items()):
            if tenant in (None, owner):
                yield rows.exported_trial(owner, trial)
        for fact in list(self._facts.values()):
            if tenant in (None, fact.tenant):
                yield rows.exported_fact(fact)
        for (owner, sha256), content in list(self._files.items()):
            if tenant in (None, owner):
                yield rows.exported_file(owner, sha256, content)

    async def purge(self, older_than: float, *, tenant: str | None = None) -> int:
        self._check_open()
        return self._purge(older_than, tenant)

    async def close(self) -> None:
        self._closed = True

    def _purge(self, older_than: float, tenant: str | None) -> int:
        def is_old(row: RunRow | Ticket) -> bool:
            return row.created < older_than and tenant in (None, row.tenant)

        old_runs = [key for key, run in self._runs.items() if is_old(run.row)]
        old_tickets = [key for key, ticket in self._tickets.items() if is_old(ticket)]
        for key in old_runs:
            del self._runs[key]
        for key in old_tickets:
            del self._tickets[key]
        return len(old_runs) + len(old_tickets)

    def _make_room(self) -> None:
        if self._retention is not None:
            self._purge(self._now() - self._retention, None)
        for kept in (self._runs, self._graphs, self._tickets):
            while len(kept) > self._limit:
                del kept[next(iter(kept))]

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed", hint="open it again")


def _events(run: _Run) -> list[Event]:
    texts = [text for _, (_, text) in sorted(run.appends.items())]
    return [event for text in texts for event in rows.from_json(run.row.run_id, text)]
