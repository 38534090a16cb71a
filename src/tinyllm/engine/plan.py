"""A graph joined with its implementations: what a run walks through. Made once for each graph version."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from tinyllm.engine.breaker import Breaker
from tinyllm.graph import Graph, join_of, successors
from tinyllm.nodes import build
from tinyllm.protocols import Node, Parts


@dataclass(frozen=True, slots=True)
class Plan:
    """`following` are a node's own next nodes, `joins` where the parallel branches after it meet, `exits` its
    nearest exit. Tokens of nodes in `final` reach the caller as they come, since nothing after these nodes can
    reject the answer. `breakers` go by the name of the model, which may be another model in another graph."""

    graph: Graph
    nodes: Mapping[str, Node]
    kinds: Mapping[str, str]
    following: Mapping[str, tuple[str, ...]]
    joins: Mapping[str, str]
    exits: Mapping[str, str]
    final: frozenset[str]
    breakers: Mapping[str, Breaker]


def make_plan(graph: Graph, parts: Parts) -> Plan:
    """The executable plan. Raises the errors of the implementations that cannot be built."""
    kinds = {name: spec.kind for name, spec in graph.nodes.items()}
    following = {name: successors(spec) for name, spec in graph.nodes.items()}
    joins = {
        name: join
        for name, branches in following.items()
        if len(branches) > 1 and (join := join_of(graph, name)) is not None
    }
    final = frozenset(
        name
        for name, kind in kinds.items()
        if kind == "specialist" and all(kinds[after] == "exit" for after in following[name])
    )
    breakers = {backend.name: Breaker(backend.name) for backend in parts.backends.values()}
    exits = _nearest_exits(graph)
    return Plan(graph, build(graph, parts), kinds, following, joins, exits, final, breakers)


def _nearest_exits(graph: Graph) -> dict[str, str]:
    """For each node the exit that the fewest edges lead to."""
    before: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for edge in graph.edges:
        before[edge.target].append(edge.source)
    found = {name: name for name, spec in graph.nodes.items() if spec.kind == "exit"}
    reached = deque(found)
    while reached:
        node = reached.popleft()
        for source in before[node]:
            if source not in found:
                found[source] = found[node]
                reached.append(source)
    return found
