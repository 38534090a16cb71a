"""Group commit: one thread that commits whatever is waiting in one transaction, and then tells each caller.

While the disk syncs one batch the next gathers, so batches grow with load and an idle store adds no delay.
Knows neither tables nor a database.
"""

import asyncio
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from tinyllm.errors import StoreError
from tinyllm.store.lock import StoreBusy

T = TypeVar("T")


class Cursor(Protocol):
    """What the store needs of a DB-API cursor, with `?` for parameters."""

    @property
    def rowcount(self) -> int: ...

    def execute(self, sql: str, values: Sequence[Any] = ..., /) -> Any: ...

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]], /) -> Any: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    work: Callable[[Cursor], Any]
    then: Callable[[], None] | None
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


class Writer:
    """Runs every write of a store on one thread.

    `transaction` begins and commits; `upkeep`, where given, runs on the same thread every `interval` seconds.
    """

    def __init__(
        self,
        transaction: Callable[[], AbstractContextManager[Cursor]],
        *,
        upkeep: Callable[[], None] | None = None,
        interval: float = 0.0,
    ) -> None:
        self._transaction = transaction
        self._upkeep = upkeep
        self._interval = interval
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    async def write(self, work: Callable[[Cursor], T], *, then: Callable[[], None] | None = None) -> T:
        """What `work` returned, once its transaction is committed; `then` runs after the commit.

        Cancelling the wait does not stop the work. Raises StoreError, or what `work` raised.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._gate:
            if self._closed:
                raise StoreError("the store is closed", hint="open it again")
            self._jobs.put(_Job(work, then, loop, future))
        return await future

    def close(self) -> None:
        """Finish what was asked for, and end the thread."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic() + self._interval
        running = True
        while running:
            batch: list[_Job] = []
            try:
                job = self._jobs.get(timeout=max(0.0, due - time.monotonic()) if self._upkeep else None)
                while job is not None:
                    batch.append(job)
                    job = self._jobs.get_nowait()
                running = False
            except queue.Empty:
                pass
            if batch:
                _tell(batch, self._commit(batch))
            if self._upkeep and time.monotonic() >= due:
                try:
                    self._upkeep()
                except StoreError:
                    pass  # nobody waits for upkeep; it is tried again at the next interval
                due = time.monotonic() + self._interval

    def _commit(self, batch: list[_Job]) -> list[Any]:
        """The outcome of each job: a value or an exception."""
        try:
            with self._transaction() as cursor:
                outcomes = [job.work(cursor) for job in batch]
        except StoreBusy as error:
            return [error] * len(batch)
        except Exception as error:  # whatever it is, its caller waits for it, and the thread must live on
            if len(batch) == 1:
                return [error]
            # One job must not fail its neighbours: each again in a transaction of its own.
            return [outcome for job in batch for outcome in self._commit([job])]
        for place, job in enumerate(batch):
            if job.then:
                try:
                    job.then()
                except StoreError as error:
                    outcomes[place] = error
        return outcomes


def _tell(batch: list[_Job], outcomes: list[Any]) -> None:
    """Wake each event loop once, not once a caller: waking costs more than the rows of a run."""
    by_loop: defaultdict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = defaultdict(list)
    for job, outcome in zip(batch, outcomes, strict=True):
        by_loop[job.loop].append((job.future, outcome))
    for loop, settled in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, settled)
        except RuntimeError:
            pass  # the loop was closed: nobody waits there any more


def _settle(settled: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, outcome in settled:
        if future.done():
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
