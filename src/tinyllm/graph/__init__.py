"""A network as a value: its specification, its legality, how it is read and how it is edited."""

from tinyllm.graph.edit import Difference, change, diff, patch, put_nodes, put_prompt, redirect, unrouted
from tinyllm.graph.legal import Problem, join_of, nearest, problems
from tinyllm.graph.load import dump, parse
from tinyllm.graph.spec import (
    Edge,
    Entry,
    Exit,
    Gate,
    Graph,
    Human,
    MemoryNode,
    Model,
    NodeSpec,
    Pace,
    RouterNode,
    Specialist,
    Test,
    ToolNode,
    successors,
)

__all__ = [
    "Difference",
    "Edge",
    "Entry",
    "Exit",
    "Gate",
    "Graph",
    "Human",
    "MemoryNode",
    "Model",
    "NodeSpec",
    "Pace",
    "Problem",
    "RouterNode",
    "Specialist",
    "Test",
    "ToolNode",
    "change",
    "diff",
    "dump",
    "join_of",
    "nearest",
    "parse",
    "patch",
    "problems",
    "put_nodes",
    "put_prompt",
    "redirect",
    "successors",
    "unrouted",
]
