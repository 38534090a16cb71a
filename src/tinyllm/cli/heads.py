"""What networks are by now: each the head that its versions in the store lead to, or else its file; and for a share
of the conversations the version that is on its way up.

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
from tinyllm.types import Request

FRESH = 1.0  # seconds
CANNOT_RUN = (GraphError, ModelFileError, NotFound, SettingsError)


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
    rising: tuple[Version, Graph] | None
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
        return (await self._look(network, tenant)).graph

    async def resolve(self, network: str, request: Request) -> Graph:
        """What answers the request: the head, or for a share of the conversations what is on its way up."""
        seen = await self._look(network, request.tenant)
        if seen.rising is not None:
            from tinyllm.learning.versions import takes

            version, graph = seen.rising
            if takes(version, request):
                return graph
        return seen.graph

    async def _look(self, network: str, tenant: str) -> _Seen:
        seen, now = self._seen.get((network, tenant)), time.monotonic()
        if seen is None:
            versions = await self._store.versions(network, tenant=tenant)
            graph = await self._head(network, versions, tenant)
            seen = _Seen(graph, await self._rising(network, versions, tenant), versions, now)
            self._seen[network, tenant] = seen
        elif now - seen.looked >= FRESH:
            seen.looked = now  # nobody else needs to look meanwhile
            known = seen.versions
            last = known[-1].revision if known else -1
            if new := await self._store.versions(network, after=last, tenant=tenant):
                seen.versions = [*known, *new]
                graph, rising = seen.graph, None
                with suppress(*CANNOT_RUN):
                    self._bases[network] = self._sources[network].read()  # they may follow a new file
                    graph = await self._head(network, seen.versions, tenant)
                    rising = await self._rising(network, seen.versions, tenant)
                seen.graph, seen.rising = graph, rising
        return seen

    async def _head(self, network: str, versions: Sequence[Version], tenant: str) -> Graph:
        base = self._bases[network]
        if not versions:
            return await self._ready(base, tenant)
        from tinyllm.learning.versions import answering, in_force, stored

        version = answering(in_force(versions, base))
        return await self._ready(
            await stored(self._store, version.graph, tenant) if version else base, tenant
        )

    async def _rising(
        self, network: str, versions: Sequence[Version], tenant: str
    ) -> tuple[Version, Graph] | None:
        if not versions:
            return None
        from tinyllm.learning.versions import in_force, rising, stored

        version = rising(in_force(versions, self._bases[network]))
        if version is not None:
            with suppress(*CANNOT_RUN):
                return version, await self._ready(await stored(self._store, version.graph, tenant), tenant)
        return None

    async def _ready(self, head: Graph, tenant: str) -> Graph:
        """The graph as it runs under the settings, all that it needs at hand."""
        source = self._sources[head.name]
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
