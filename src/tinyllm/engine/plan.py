"""A graph joined with its implementations: what a run walks through. Made once for each graph version."""

from collections.abc import Mapping
from dataclasses import dataclass

from tinyllm.graph import Graph, join_of, successors
from tinyllm.nodes import build
from tinyllm.protocols import Node, Parts


@dataclass(frozen=True, slots=True)
class Plan:
    """`joins` names where the parallel branches after a node meet; tokens of nodes in `final` reach the caller
    as they come, since nothing after these nodes can reject the answer."""

    graph: Graph
    nodes: Mapping[str, Node]
    joins: Mapping[str, str]
    final: frozenset[str]


def make_plan(graph: Graph, parts: Parts) -> Plan:
    """The executable plan. Raises the errors of the implementations that cannot be built."""
    joins = {
        name: join
        for name, spec in graph.nodes.items()
        if len(successors(spec)) > 1 and (join := join_of(graph, name)) is not None
    }
    exits = {name for name, spec in graph.nodes.items() if spec.kind == "exit"}
    final = frozenset(
        name
        for name, spec in graph.nodes.items()
        if spec.kind == "specialist" and set(successors(spec)) <= exits
    )
    return Plan(graph, build(graph, parts), joins, final)
