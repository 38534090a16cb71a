"""What networks are by now: each the head that its versions in the store lead to, or else its file.

A process that lives long looks again at most once a second, so that it answers with what was adopted
meanwhile. Knows nothing about how implementations are built, or how networks learn.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from tinyllm.cli.workshop import Workshop
from tinyllm.errors import GraphError, ModelFileError, NotFound, SettingsError
from tinyllm.graph import Graph
from tinyllm.protocols import Parts, Store, Version
from tinyllm.store.recall import Recall

FRESH = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class Source:
    """The graph of a network's file, how it is read again, what it becomes under the settings, and who builds
    its parts."""

    base: Graph
    read: Callable[[], Graph]
    effective: Callable[[Graph], Graph]
    workshop: Workshop


@dataclass(slots=True)
class _Seen:
    graph: Graph
    versions: Sequence[Version]
    looked: float


class Heads:
    """The heads of some networks in one store, for each tenant its own."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sources: dict[str, Source] = {}
        self._bases: dict[str, Graph] = {}
        self._seen: dict[tuple[str, str], _Seen] = {}

    async def add(self, source: Source) -> Graph:
        """The head of one more network, ready to run. Raises what building it raises, and SettingsError where
        another network has its name."""
        name = source.base.name
        if name in self._sources:
            raise SettingsError(f"two networks are called {name!r}", hint="give one another `name:`")
        self._sources[name], self._bases[name] = source, source.base
        return await self.graph(name)

    async def graph(self, network: str, tenant: str = "local") -> Graph:
        """What the network is for the tenant by now. A new head that cannot run here leaves the old one."""
        seen, now = self._seen.get((network, tenant)), time.monotonic()
        if seen is None:
            versions = await self._store.versions(network, tenant=tenant)
            seen = _Seen(await self._ready(network, versions, tenant), versions, now)
            self._seen[network, tenant] = seen
        elif now - seen.looked >= FRESH:
            seen.looked = now  # nobody else needs to look meanwhile
            known = seen.versions
            last = known[-1].revision if known else -1
            if new := await self._store.versions(network, after=last, tenant=tenant):
                seen.versions = [*known, *new]
                with suppress(GraphError, ModelFileError, NotFound, SettingsError):
                    self._bases[network] = self._sources[network].read()  # they may follow a new file
                    seen.graph = await self._ready(network, seen.versions, tenant)
        return seen.graph

    async def _ready(self, network: str, versions: Sequence[Version], tenant: str) -> Graph:
        source, head = self._sources[network], self._bases[network]
        if versions:
            from tinyllm.learning.versions import current

            head = await current(self._store, head, versions, tenant=tenant)
        graph = source.effective(head)
        await source.workshop.fetch(graph, self._store, tenant=tenant)
        source.workshop.parts(graph)  # what cannot be built is told now
        return graph

    def parts(self, graph: Graph) -> Parts:
        """The implementations of a graph of one of the networks; its memory is that of the store."""
        return replace(self._sources[graph.name].workshop.parts(graph), memory=Recall(self._store))

    async def close(self) -> None:
        """Give back all that was built."""
        for source in self._sources.values():
            await source.workshop.close()
