"""What a proposer sees, and what it returns: a changed graph with its reason. The seams of the learning loop.

Knows nothing about how proposals are made or tried.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, field
from typing import Literal, Protocol

from tinyllm.graph import Graph, Specialist
from tinyllm.learning.items import Item
from tinyllm.types import JSON, Cost, Request, Trace

Edit = Literal["expand", "prompt", "tool", "model", "cascade", "merge", "prune", "harden", "weights"]

READERS = ("builtin", "learned")  # backends whose models read no prompt and say when they do not know

Ask = Callable[[Request], Awaitable[Trace]]
"""Runs a request on one graph, keeping nothing, and returns what happened."""


class Bench(Protocol):
    """Where graphs are tried, apart from the network that answers."""

    def open(self, graph: Graph, files: Mapping[str, bytes]) -> AbstractAsyncContextManager[Ask]:
        """The graph ready to answer. `files` are the model files by SHA-256 that no store holds yet.

        Raises GraphError, SettingsError or ModelFileError for a graph that cannot be built.
        """
        ...

    def effective(self, graph: Graph) -> Graph:
        """The graph as it runs under the settings (a larger model of theirs joins it): its id is the runs'."""
        ...


@dataclass(frozen=True, slots=True)
class Cluster:
    """Requests of one node that are alike. `failed` of them failed, the share `failing`; `items` are all of them.

    A `taught` one holds what a person brought and the node got wrong: it is worth a proposal at any size.
    """

    name: str
    node: str
    items: tuple[Item, ...]
    examples: tuple[str, ...] = ()
    taught: bool = False

    @property
    def failed(self) -> int:
        return sum(not item.passed for item in self.items)

    @property
    def failing(self) -> float:
        return self.failed / len(self.items)


@dataclass(frozen=True, slots=True)
class Findings:
    """What a cycle knows when proposals are made: of the traffic the propose part alone."""

    head: Graph
    items: Sequence[Item]
    clusters: Sequence[Cluster]
    seed: int = 0

    def of_prompted(self) -> list[tuple[str, Specialist, list[Cluster]]]:
        """The nodes of the clusters whose models read a prompt, by name, each with its own clusters."""
        kinds: dict[str, list[Cluster]] = {}
        for cluster in sorted(self.clusters, key=lambda one: one.node):
            kinds.setdefault(cluster.node, []).append(cluster)
        return [
            (node, spec, own)
            for node, own in kinds.items()
            if isinstance(spec := self.head.nodes.get(node), Specialist)
            and self.head.models[spec.model].backend not in READERS
        ]


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change of the head and why. `files` are the new model files by SHA-256; `saves` marks a change that is
    to cost less rather than to be right more often, `spare` one that may cost the same, since it takes out what
    nothing misses; `cost` is what making it took, of which `asked` requests that were asked another way."""

    edit: Edit
    node: str
    reason: str
    graph: Graph
    files: Mapping[str, bytes] = field(default_factory=dict)
    saves: bool = False
    spare: bool = False
    cost: Cost = field(default_factory=Cost)
    asked: int = 0

    @property
    def price(self) -> dict[str, JSON]:
        """What making it took, as plain data."""
        return {"asked": self.asked, "cost": asdict(self.cost)}


Proposer = Callable[[Findings], Awaitable[Sequence[Proposal]]]
