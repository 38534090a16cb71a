"""What happens, told as it happens: server-sent events of committed runs, which a reader can take up again.

A run is told once it is committed, so that nothing is told that could still be lost. `Last-Event-ID` is
answered from the store. Where several processes serve, all is told from the store, at most a second late.
Runs of programs that serve nothing are told only in answer to `Last-Event-ID`.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, suppress

from pydantic_core import to_json

from tinyllm.errors import NotFound
from tinyllm.events import Event
from tinyllm.protocols import Store

TOPICS = {
    "run": ("run_started", "run_finished", "parked"),
    "node": ("node_started", "node_finished", "node_failed", "recovered"),
    "choice": ("choice_made", "check_made"),
    "model": ("model_called",),
    "tool": ("tool_called",),
}
MOST_MISSED = 1000  # runs
_WAITING = 256  # runs that a reader may lag behind before it has to come again
_FEW = 20  # runs that are looked at first
_POLL = 0.5  # seconds
_ALL_OF_IT = 2**31  # a sequence that no run comes to
_SILENCE = 15.0  # seconds after which a sign of life is given


class Live:
    """Tells readers of their tenant's runs, until `stopping` is set; where `several` processes serve, of all of
    them."""

    def __init__(self, store: Store, stopping: asyncio.Event, *, several: bool = False) -> None:
        self.store = store
        self.stopping = stopping
        self.several = several
        self.readers: dict[asyncio.Queue[Sequence[Event]], str] = {}

    def watch(self, tenant: str, events: Sequence[Event]) -> None:
        """Hand a committed run to its readers; one who lags too far behind is let go, and may resume."""
        for queue, theirs in list(self.readers.items()):
            if theirs == tenant:
                if queue.full():
                    del self.readers[queue]
                else:
                    queue.put_nowait(events)

    async def tell(self, tenant: str, topics: Sequence[str], last: str | None) -> AsyncGenerator[bytes, None]:
        """Yield what was missed since the event `last`, then what happens; ends when the server stops."""
        kinds = frozenset(kind for topic in topics for kind in TOPICS[topic])
        async with aclosing((self._kept if self.several else self._seen)(tenant, kinds, last)) as told:
            async for data in told:
                yield data

    async def _kept(
        self, tenant: str, kinds: frozenset[str], last: str | None
    ) -> AsyncGenerator[bytes, None]:
        """The same from what comes into the store, whoever keeps it there."""
        yield b": hello\n\n"
        if last is None:
            rows = await self.store.runs(tenant=tenant, limit=1)
            last = f"{rows[0].run_id}/{_ALL_OF_IT}" if rows else ""
        silent = time.monotonic()
        while not self.stopping.is_set():
            async for events in self._missed(tenant, last):
                last, silent = f"{events[0].run_id}/{_ALL_OF_IT}", time.monotonic()
                yield b"".join(frames(events, kinds))
            if time.monotonic() - silent > _SILENCE:
                silent = time.monotonic()
                yield b": still here\n\n"
            with suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), _POLL)

    async def _seen(
        self, tenant: str, kinds: frozenset[str], last: str | None
    ) -> AsyncGenerator[bytes, None]:
        """The same from what this process commits."""
        queue: asyncio.Queue[Sequence[Event]] = asyncio.Queue(_WAITING)
        self.readers[queue] = tenant
        told: set[str] = set()
        try:
            yield b": hello\n\n"
            if last is not None:
                async for events in self._missed(tenant, last):
                    told.add(events[0].run_id)
                    yield b"".join(frames(events, kinds))
            while queue in self.readers or not queue.empty():
                events_ = await self._next(queue)
                if self.stopping.is_set():
                    return
                if events_ is None:
                    yield b": still here\n\n"
                elif events_[0].run_id not in told:
                    yield b"".join(frames(events_, kinds))
        finally:
            self.readers.pop(queue, None)

    async def _next(self, queue: asyncio.Queue[Sequence[Event]]) -> Sequence[Event] | None:
        """The next run; None where none came for a while, or the server stops."""
        get, stop = asyncio.create_task(queue.get()), asyncio.create_task(self.stopping.wait())
        try:
            await asyncio.wait((get, stop), timeout=_SILENCE, return_when=asyncio.FIRST_COMPLETED)
            return get.result() if get.done() else None
        finally:
            get.cancel()
            stop.cancel()

    async def _missed(self, tenant: str, last: str) -> AsyncGenerator[Sequence[Event], None]:
        """The events after `last`: of the rest of its run, and of the runs that came later."""
        run_id, _, sequence = last.partition("/")
        for limit in (_FEW, MOST_MISSED):
            later = [row.run_id for row in await self.store.runs(tenant=tenant, limit=limit)]
            if run_id in later:
                del later[later.index(run_id) + 1 :]
                break
        for found in reversed(later):
            try:
                events = await self.store.events(found, tenant)
            except NotFound:  # purged meanwhile
                continue
            after = int(sequence) if found == run_id and sequence.isdecimal() else -1
            if rest := [event for event in events if event.sequence > after]:
                yield rest


def frames(events: Sequence[Event], kinds: frozenset[str]) -> Iterator[bytes]:
    """The server-sent events of those kinds."""
    for event in events:
        if event.kind in kinds:
            told = {"run_id": event.run_id, "at_ms": event.at_ms, "node": event.node, "data": event.data}
            name = f"id: {event.run_id}/{event.sequence}\nevent: {event.kind}\ndata: "
            yield name.encode() + to_json(told, inf_nan_mode="null") + b"\n\n"
