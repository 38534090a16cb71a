"""The neurons: one class for each kind of node, in one plain table.

A node sees the seams alone (backends, tools, routers, memory) and the scope that the engine gives it.
"""

from collections.abc import Callable, Mapping

from tinyllm.graph import Graph
from tinyllm.nodes.answering import Direct, SpecialistNode
from tinyllm.nodes.checking import GateNode
from tinyllm.nodes.flow import EntryNode, ExitNode, HumanNode, RecallNode
from tinyllm.nodes.routing import Routing
from tinyllm.protocols import Node, Parts

KINDS: Mapping[str, Callable[[str, Graph, Parts], Node]] = {
    "entry": EntryNode,
    "router": Routing,
    "specialist": SpecialistNode,
    "tool": Direct,
    "gate": GateNode,
    "memory": RecallNode,
    "human": HumanNode,
    "exit": ExitNode,
}


def build(graph: Graph, parts: Parts) -> Mapping[str, Node]:
    """Every node of the graph, ready to run."""
    return {name: KINDS[spec.kind](name, graph, parts) for name, spec in graph.nodes.items()}
