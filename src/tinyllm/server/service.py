"""What the server is given: the engine, the networks by the names that clients use, and its limits."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tinyllm.engine import Engine
from tinyllm.engine.breaker import Breaker
from tinyllm.engine.run import Watch
from tinyllm.errors import NotFound
from tinyllm.events import Event
from tinyllm.graph import Graph, nearest
from tinyllm.protocols import Store, Version
from tinyllm.server.peers import Peers


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is taken at once. `running` answers are made at a time and `waiting` requests stand in line for
    their turn; a body may have `body` bytes; a client that takes nothing for `stall` seconds is let go."""

    running: int = 64
    waiting: int = 256
    body: int = 4_000_000
    stall: float = 60.0


class Watchers(list[Watch]):
    """Those who are told of every run once it is committed; what an engine is given as its `watch`."""

    def __call__(self, tenant: str, events: Sequence[Event]) -> None:
        for watcher in self:
            watcher(tenant, events)


class Changes(Protocol):
    """What a person may decide about the versions of a network. Raises NotFound, RequestError, Conflict."""

    async def roll_back(self, network: str, to: int | str, reason: str, *, tenant: str) -> Version:
        """Make an earlier version answer again: a revision, or the id of a graph."""
        ...

    async def promote(self, network: str, reason: str, *, tenant: str) -> Version:
        """Let the version that is on its way up answer all conversations."""
        ...


@dataclass(frozen=True, slots=True)
class Service:
    """A running network, or several. The first of `models` is the default; `network/node` is one node alone.

    `peers` are the other processes that serve the same, where there are some; without `changes` no version can be
    decided on. `stopping` is set when the server is about to end: what runs may finish, what only watches must go.
    """

    engine: Engine
    store: Store
    models: Mapping[str, Graph]
    watchers: Watchers
    limits: Limits = field(default_factory=Limits)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    peers: Peers | None = None
    changes: Changes | None = None

    @property
    def default(self) -> str:
        return next(iter(self.models))

    def breakers(self) -> Mapping[tuple[str, str], Breaker]:
        """The breaker of each model that was asked, by network and model; of several, the one that fails most."""
        found: dict[tuple[str, str], Breaker] = {}
        for plan in self.engine.plans.values():
            for model, breaker in plan.breakers.items():
                key = plan.graph.name, model
                found[key] = max(found.get(key, breaker), breaker, key=lambda each: each.count)
        return found

    def model(self, asked: str) -> str:
        """The served name that is meant. A name of another provider's model means the default network, so that a
        client needs no other change than its base URL. Raises NotFound for a node that a network lacks.
        """
        name = asked.removesuffix(":latest")
        if name in self.models:
            return name
        if name.partition("/")[0] in self.models:
            raise NotFound(f"there is no model {asked!r}", hint=nearest(name, self.models))
        return self.default
