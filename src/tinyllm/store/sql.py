"""The store in SQL: one wording of each statement, which SQLite and PostgreSQL both read.

Knows tables and rows; `writer` knows when they are committed, and the database (`sqlite`, `postgres`)
everything that is its own. Statements are plain text rather than SQLAlchemy expressions because SQLAlchemy
alone would cost every command 0.17 s of CPU; `schema` holds the tables that they speak of.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import astuple
from functools import partial
from typing import Any, Protocol, TypeVar

from tinyllm.errors import StoreError
from tinyllm.events import SCHEMA_VERSION, Event
from tinyllm.protocols import Fact, RunRow, Ticket, TrialRow, Usage, Version
from tinyllm.store import facts, lineage, rows
from tinyllm.store.writer import Cursor, Writer
from tinyllm.types import JSON, Cost, Grade

T = TypeVar("T")

_BEGIN_RUN = """
INSERT INTO runs (tenant, run_id, user_id, session, graph, seed, clock, question, created, schema_version,
                  answer, status, macs, tokens_in, tokens_out, milliseconds, money)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, run_id) DO NOTHING"""
_ADD_EVENTS = """
INSERT INTO events (tenant, run_id, sequence, count, events, schema_version)
VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, run_id, sequence) DO NOTHING"""
_END_RUN = """
UPDATE runs SET answer = ?, status = ?, macs = ?, tokens_in = ?, tokens_out = ?, milliseconds = ?, money = ?
WHERE tenant = ? AND run_id = ? AND status IS NULL"""
_ADD_GRAPH = """
INSERT INTO graphs (tenant, graph_id, name, source, created)
VALUES (?, ?, ?, ?, ?) ON CONFLICT (tenant, graph_id) DO NOTHING"""
_ADD_TICKET = """
INSERT INTO tickets (ticket_id, run_id, tenant, question, reason, created, answer)
VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, ticket_id) DO NOTHING"""
_SETTLE = "UPDATE tickets SET answer = ? WHERE tenant = ? AND ticket_id = ? AND answer IS NULL"
_ADD_GRADE = """
INSERT INTO grades (run_id, kind, grader, score, reason, reference, created, tenant)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
_REPLACE = "UPDATE grades SET replaced = ? WHERE number = ?"

_RUNS = """
SELECT number, run_id, tenant, user_id, session, graph, seed, clock, question, answer, status, created,
       macs, tokens_in, tokens_out, milliseconds, money FROM runs"""
_USAGE = f"""
SELECT count(*), {", ".join(rows.SUMS)}
FROM runs WHERE tenant = ? AND created >= ?"""
_EVENTS = "SELECT events FROM events WHERE tenant = ? AND run_id = ? ORDER BY sequence"
_TICKETS = "SELECT ticket_id, run_id, tenant, question, reason, created, answer FROM tickets"
_GRAPHS = "SELECT tenant, graph_id, name, source FROM graphs"
_GRADES = """
SELECT number, tenant, replaced, run_id, kind, grader, score, reason, reference, created FROM grades"""

_TABLES = ("runs", "events", "graphs", "tickets", "grades", "versions", "trials", "files", "facts")
_SIZES = dict.fromkeys(_TABLES, "count(*)") | {"events": "coalesce(sum(count), 0)"}
_NOT_ENDED = (None,) * 7  # answer, status and cost


class Database(Protocol):
    """One database with a connection that writes and one that reads, each for one thread at a time."""

    def open(self) -> None:
        """Make or migrate the tables where needed, and connect. Raises StoreError."""
        ...

    def transaction(self) -> AbstractContextManager[Cursor]:
        """A transaction that writes, the only one at a time: committed durably on leaving, rolled back on any error.

        Raises StoreBusy where the database cannot be had now, StoreError where the work cannot be carried out.
        """
        ...

    def read(self, query: Callable[[Cursor], T]) -> T:
        """What `query` finds in one unchanging view of the data. Raises StoreError."""
        ...

    def reclaim(self) -> None:
        """Give back the space of deleted rows."""
        ...

    def bytes(self, cursor: Cursor) -> int:
        """How much space the data takes."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...


class SqlStore:
    """A `Store` on a database. Making one connects, migrates and purges what has expired, and so blocks."""

    def __init__(self, database: Database, retention: float | None, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now
        database.open()
        if retention is None:
            self._writer = Writer(database.transaction)
        else:
            expire = partial(self._expire, retention)
            try:
                expire()
            except StoreError:
                database.close()
                raise
            interval = min(max(retention / 4, 0.05), 3600.0)
            self._writer = Writer(database.transaction, upkeep=expire, interval=interval)
        self._reads = ThreadPoolExecutor(1, "store-reader")
        self._closed = False

    async def append(self, tenant: str, events: Sequence[Event]) -> None:
        kept = [event for event in events if event.kind != "token"]
        if not kept:
            return
        first, last = kept[0], kept[-1]
        row = (tenant, first.run_id, first.sequence, len(kept), rows.to_json(kept), SCHEMA_VERSION)
        end = _ended(last) if last.kind == "run_finished" else None
        begin = None
        if first.kind == "run_started":
            begin = _begun(rows.begun(tenant, first, self._now())) + (end or _NOT_ENDED)

        def work(cursor: Cursor) -> None:
            if begin:
                cursor.execute(_BEGIN_RUN, begin)
            cursor.execute(_ADD_EVENTS, row)
            if end and not begin and cursor.rowcount:
                cursor.execute(_END_RUN, (*end, tenant, last.run_id))

        await self._writer.write(work)

    async def events(self, run_id: str, tenant: str = "local") -> Sequence[Event]:
        found = await self._read(lambda cursor: _events(cursor, tenant, run_id))
        if not found:
            raise rows.unknown("run", run_id)
        return found

    async def runs(self, *, tenant: str = "local", limit: int = 20) -> Sequence[RunRow]:
        sql = f"{_RUNS} WHERE tenant = ? ORDER BY number DESC LIMIT ?"
        return [_run(row) for row in await self._select(sql, tenant, limit)]

    async def usage(self, *, tenant: str = "local", since: float = 0.0) -> Usage:
        ((runs, *spent),) = await self._select(_USAGE, tenant, since)
        return Usage(runs, Cost(*spent))

    async def save_graph(self, graph_id: str, name: str, source: str, *, tenant: str = "local") -> None:
        values = (tenant, graph_id, name, source, self._now())
        await self._writer.write(lambda cursor: _do(cursor, _ADD_GRAPH, *values))

    async def graph(self, graph_id: str, *, tenant: str = "local") -> str:
        sql = f"{_GRAPHS} WHERE tenant = ? AND graph_id = ?"
        for *_, source in await self._select(sql, tenant, graph_id):
            return str(source)
        raise rows.unknown("graph", graph_id)

    async def park(self, ticket: Ticket) -> None:
        values = astuple(rows.plain_ticket(ticket))
        await self._writer.write(lambda cursor: _do(cursor, _ADD_TICKET, *values))

    async def tickets(self, *, tenant: str = "local", waiting: bool = True) -> Sequence[Ticket]:
        still = "AND answer IS NULL " if waiting else ""
        sql = f"{_TICKETS} WHERE tenant = ? {still}ORDER BY created, ticket_id"
        return [Ticket(*row) for row in await self._select(sql, tenant)]

    async def settle(self, ticket_id: str, answer: str, *, tenant: str = "local") -> Ticket:
        def work(cursor: Cursor) -> tuple[bool, list[Any]]:
            settled = _do(cursor, _SETTLE, rows.plain(answer), tenant, ticket_id) == 1
            cursor.execute(f"{_TICKETS} WHERE tenant = ? AND ticket_id = ?", (tenant, ticket_id))
            return settled, cursor.fetchall()

        settled, found = await self._writer.write(work)
        return rows.settled(ticket_id, Ticket(*found[0]) if found else None, settled)

    async def grade(self, grade: Grade, *, tenant: str = "local") -> bool:
        now = self._now()
        new = rows.plain_grade(grade, now)
        kept = await self._writer.write(partial(_keep_grade, tenant, new, now))
        if kept is None:
            raise rows.unknown("run", grade.run_id)
        return kept

    async def grades(
        self,
        *,
        run_id: str | None = None,
        tenant: str = "local",
        limit: int | None = None,
        history: bool = False,
    ) -> Sequence[Grade]:
        where, values = "tenant = ?", [tenant]
        if run_id is not None:
            where, values = f"{where} AND run_id = ?", [tenant, run_id]
        if not history:
            where += " AND replaced IS NULL"
        page = "" if limit is None else f" LIMIT {limit:d}"
        found = await self._select(f"{_GRADES} WHERE {where} ORDER BY number DESC{page}", *values)
        return [Grade(*row[3:]) for row in found]

    async def versions(self, network: str, *, after: int = -1, tenant: str = "local") -> Sequence[Version]:
        sql = f"{lineage.VERSIONS} WHERE tenant = ? AND network = ? AND revision > ? ORDER BY revision"
        return [lineage.version_of(row) for row in await self._select(sql, tenant, network, after)]

    async def promote(
        self,
        version: Version,
        *,
        expected: int,
        trial: TrialRow | None = None,
        files: Mapping[str, bytes] | None = None,
        tenant: str = "local",
    ) -> None:
        now = self._now()
        made = rows.plain_version(version, expected + 1, now)
        proof = None if trial is None else rows.plain_trial(trial, now)
        await self._writer.write(partial(lineage.promote, tenant, made, expected, proof, files or {}))

    async def put_trial(self, trial: TrialRow, *, tenant: str = "local") -> None:
        plain = rows.plain_trial(trial, self._now())
        await self._writer.write(partial(lineage.put_trial, tenant, plain))

    async def trials(self, network: str, *, tenant: str = "local") -> Sequence[TrialRow]:
        sql = f"{lineage.TRIALS} WHERE tenant = ? AND network = ? ORDER BY place"
        return [lineage.trial_of(row) for row in await self._select(sql, tenant, network)]

    async def file(self, sha256: str, *, tenant: str = "local") -> bytes:
        sql = "SELECT content FROM files WHERE tenant = ? AND sha256 = ?"
        for (content,) in await self._select(sql, tenant, sha256):
            return bytes(content)
        raise rows.unknown("file", sha256)

    async def remember(self, text: str, *, user: str = "local", tenant: str = "local") -> Fact:
        fact = rows.new_fact(tenant, user, text, self._now())
        return await self._writer.write(partial(facts.remember, fact))

    async def facts(self, *, user: str = "local", tenant: str = "local") -> Sequence[Fact]:
        return await self._read(partial(facts.of_user, tenant, user))

    async def edit(self, fact_id: str, text: str, *, user: str = "local", tenant: str = "local") -> Fact:
        work = partial(facts.edit, tenant, user, fact_id, rows.plain_fact(text))
        return await self._writer.write(work, then=self._database.reclaim)

    async def forget(self, fact_id: str, *, user: str = "local", tenant: str = "local") -> None:
        work = partial(facts.forget, tenant, user, fact_id)
        await self._writer.write(work, then=self._database.reclaim)

    async def size(self) -> Mapping[str, int]:
        counts = ", ".join(f"(SELECT {count} FROM {table})" for table, count in _SIZES.items())

        def measure(cursor: Cursor) -> tuple[int, ...]:
            return *_fetch(cursor, f"SELECT {counts}")[0], self._database.bytes(cursor)

        return dict(zip((*_SIZES, "bytes"), await self._read(measure), strict=True))

    async def export(self, *, tenant: str | None = None) -> AsyncIterator[Mapping[str, JSON]]:
        only, values = _of(tenant)
        last = -1
        while True:
            # A page at a time, so that a long export neither holds a snapshot nor fills the memory.
            page = await self._read(partial(_exported_page, only, values, last))
            if not page:
                break
            last = page[-1][0]
            for _, run, events in page:
                yield rows.exported_run(run, events)
        for row in await self._select(f"{_TICKETS} WHERE 1 = 1{only} ORDER BY created", *values):
            yield rows.exported_ticket(Ticket(*row))
        for row in await self._select(f"{_GRAPHS} WHERE 1 = 1{only} ORDER BY created", *values):
            yield rows.exported_graph(*row)
        for _, owner, replaced, *grade in await self._select(
            f"{_GRADES} WHERE 1 = 1{only} ORDER BY number", *values
        ):
            yield rows.exported_grade(owner, Grade(*grade), replaced)
        for row in await self._select(f"{lineage.VERSIONS} WHERE 1 = 1{only} ORDER BY created", *values):
            yield rows.exported_version(row[0], lineage.version_of(row))
        for row in await self._select(f"{lineage.TRIALS} WHERE 1 = 1{only} ORDER BY place", *values):
            yield rows.exported_trial(row[0], lineage.trial_of(row))
        for row in await self._select(f"{facts.FACTS} WHERE 1 = 1{only} ORDER BY number", *values):
            yield rows.exported_fact(Fact(*row))
        for owner, sha256 in await self._select(
            f"SELECT tenant, sha256 FROM files WHERE 1 = 1{only} ORDER BY created", *values
        ):
            yield rows.exported_file(owner, sha256, await self.file(sha256, tenant=owner))

    async def purge(self, older_than: float, *, tenant: str | None = None) -> int:
        return await self._writer.write(
            lambda cursor: _purge(cursor, older_than, tenant), then=self._database.reclaim
        )

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._writer.close)
        self._reads.shutdown()
        self._database.close()

    def _expire(self, retention: float) -> None:
        with self._database.transaction() as cursor:
            purged = _purge(cursor, self._now() - retention, None)
        if purged:
            self._database.reclaim()

    async def _read(self, query: Callable[[Cursor], T]) -> T:
        if self._closed:
            raise StoreError("the store is closed", hint="open it again")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reads, self._database.read, query)

    async def _select(self, sql: str, *values: Any) -> list[Any]:
        return await self._read(lambda cursor: _fetch(cursor, sql, *values))


def _do(cursor: Cursor, sql: str, *values: Any) -> int:
    """Execute, and return how many rows changed."""
    cursor.execute(sql, values)
    return cursor.rowcount


def _fetch(cursor: Cursor, sql: str, *values: Any) -> list[Any]:
    cursor.execute(sql, values)
    return cursor.fetchall()


def _of(tenant: str | None) -> tuple[str, tuple[str, ...]]:
    """A condition on the tenant with its value; none where every tenant is meant."""
    return (" AND tenant = ?", (tenant,)) if tenant is not None else ("", ())


def _purge(cursor: Cursor, older_than: float, tenant: str | None) -> int:
    only, values = _of(tenant)
    # A run takes its events and grades with it.
    return sum(
        _do(cursor, f"DELETE FROM {table} WHERE created < ?{only}", older_than, *values)
        for table in ("runs", "tickets")
    )


def _keep_grade(tenant: str, grade: Grade, now: float, cursor: Cursor) -> bool | None:
    """Whether the grade is new to its run; None where there is no such run."""
    if not _fetch(cursor, "SELECT 1 FROM runs WHERE tenant = ? AND run_id = ?", tenant, grade.run_id):
        return None
    kinds = rows.rivals(grade)
    places = ", ".join("?" * len(kinds))
    same = f"{_GRADES} WHERE tenant = ? AND run_id = ? AND grader = ? AND kind IN ({places}) AND replaced IS NULL"
    known = _fetch(cursor, same, tenant, grade.run_id, grade.grader, *kinds)
    if not all(rows.gives_way(Grade(*old), grade) for _, _, _, *old in known):
        return False
    for number, *_ in known:
        _do(cursor, _REPLACE, now, number)
    _do(cursor, _ADD_GRADE, *astuple(grade), tenant)
    return True


def _exported_page(
    only: str, values: tuple[str, ...], last: int, cursor: Cursor
) -> list[tuple[int, RunRow, list[Event]]]:
    page = _fetch(cursor, f"{_RUNS} WHERE number > ?{only} ORDER BY number LIMIT 50", last, *values)
    runs = [(row[0], _run(row)) for row in page]
    return [(number, run, _events(cursor, run.tenant, run.run_id)) for number, run in runs]


def _events(cursor: Cursor, tenant: str, run_id: str) -> list[Event]:
    found = _fetch(cursor, _EVENTS, tenant, run_id)
    return [event for (events,) in found for event in rows.from_json(run_id, events)]


def _run(row: Sequence[Any]) -> RunRow:
    cost = Cost(*row[12:]) if row[12] is not None else Cost()
    return RunRow(*(*row[1:6], int(row[6]), *row[7:12], cost))


def _begun(run: RunRow) -> tuple[Any, ...]:
    known = (run.tenant, run.run_id, run.user, run.session, run.graph)
    return (*known, str(run.seed), run.clock, run.question, run.created, SCHEMA_VERSION)


def _ended(event: Event) -> tuple[Any, ...]:
    answer, status, cost = rows.ended(event)
    return (answer, status, cost.macs, cost.tokens_in, cost.tokens_out, cost.milliseconds, cost.money)
