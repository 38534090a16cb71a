"""Which graphs are legal, as code. Each rule yields the path of what is wrong and what to write instead."""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import NamedTuple

from tinyllm.graph.spec import Entry, Exit, Gate, Graph, Human, RouterNode, Specialist, ToolNode, successors


class Problem(NamedTuple):
    """One fault: where it is in the file (keys from the top), and what to write instead."""

    path: tuple[str, ...]
    message: str


def problems(graph: Graph, shipped_tools: Iterable[str]) -> list[Problem]:
    """Every reason why the graph cannot run; empty for a legal one."""
    found = [*_references(graph, set(shipped_tools) | set(graph.tools)), *_ends(graph)]
    # Each rule leans on those before it: an edge to nowhere, or a cycle, would only be reported again.
    for rule in (_cycles, _reachability, _joins, _gates):
        found = found or list(rule(graph))
    return found


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest existing one, or all of them."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"there is {', '.join(map(repr, names[:12]))}" if names else "there is none"


def _references(graph: Graph, tools: set[str]) -> Iterator[Problem]:
    for edge in graph.edges:
        if edge.target not in graph.nodes and edge.role != "human":
            field = ("routes", edge.label, "to") if edge.role == "route" else (edge.role,)
            path = ("nodes", edge.source, *field)
            yield Problem(path, f"no node is called {edge.target!r}: {nearest(edge.target, graph.nodes)}")
    for name, node in graph.nodes.items():
        yield from _names_of(graph, ("nodes", name), node, tools)
    for name in graph.protected:
        if name not in graph.nodes:
            yield Problem(
                ("protected",), f"protected node {name!r} does not exist: {nearest(name, graph.nodes)}"
            )
    if graph.human is not None:
        if graph.human not in graph.nodes:
            yield Problem(
                ("human",), f"no node is called {graph.human!r}: {nearest(graph.human, graph.nodes)}"
            )
        elif not isinstance(graph.nodes[graph.human], Human):
            yield Problem(("human",), f"{graph.human!r} is not of kind human: name a node that is")


def _names_of(graph: Graph, path: tuple[str, ...], node: object, tools: set[str]) -> Iterator[Problem]:
    used_models: list[tuple[tuple[str, ...], str | None]] = []
    used_prompts: list[tuple[tuple[str, ...], str | None]] = []
    match node:
        case Specialist():
            used_models, used_prompts = [((*path, "model"), node.model)], [((*path, "prompt"), node.prompt)]
            for tool in node.tools:
                if tool not in tools:
                    yield Problem((*path, "tools"), f"no tool is called {tool!r}: {nearest(tool, tools)}")
        case RouterNode():
            used_models = [((*path, "model"), node.model), ((*path, "by_text"), node.by_text)]
            used_prompts = [((*path, "prompt"), node.prompt)]
        case ToolNode():
            if node.tool not in tools:
                message = f"no tool is called {node.tool!r}: {nearest(node.tool, tools)}"
                yield Problem((*path, "tool"), message)
            if (node.argument is None) == (node.call is None):
                message = "give `argument:`, which the question becomes, or `call:`, which it fills in"
                yield Problem((*path, "tool"), message)
        case Gate():
            used_models = [((*path, "checks"), test.model) for test in node.checks]
            used_prompts = [((*path, "checks"), test.prompt) for test in node.checks]
    for where, model in used_models:
        if model is not None and model not in graph.models:
            yield Problem(where, f"no model is called {model!r}: {nearest(model, graph.models)}")
    for where, prompt in used_prompts:
        if prompt is not None and prompt not in graph.prompts:
            yield Problem(where, f"no prompt is called {prompt!r}: {nearest(prompt, graph.prompts)}")


def _ends(graph: Graph) -> Iterator[Problem]:
    entries = [name for name, node in graph.nodes.items() if isinstance(node, Entry)]
    if not entries:
        yield Problem(("nodes",), "there is no entry: add a node `entry: {kind: entry, next: ...}`")
    for extra in entries[1:]:
        yield Problem(("nodes", extra), f"{extra!r} is a second entry beside {entries[0]!r}: keep one")
    if not any(isinstance(node, Exit) for node in graph.nodes.values()):
        yield Problem(("nodes",), "there is no exit: add a node `exit: {kind: exit}`")


def _reachability(graph: Graph) -> Iterator[Problem]:
    reached = _closure({graph.entry}, _adjacency(graph))
    for name in graph.nodes:
        if name not in reached:
            yield Problem(("nodes", name), f"{name!r} is an orphan: no path leads to it from {graph.entry!r}")
    backwards: dict[str, set[str]] = {name: set() for name in graph.nodes}
    for edge in graph.edges:
        if edge.role != "retry":
            backwards[edge.target].add(edge.source)
    exits = {name for name, node in graph.nodes.items() if isinstance(node, Exit)}
    ending = _closure(exits, backwards)
    for name in graph.nodes:
        if name in reached and name not in ending:
            yield Problem(("nodes", name), f"no path leads from {name!r} to an exit: give it a `next`")


def _cycles(graph: Graph) -> Iterator[Problem]:
    """Nodes that can come back to themselves without a bounded retry (Kahn's elimination finds them)."""
    adjacency = _adjacency(graph)
    degree = dict.fromkeys(graph.nodes, 0)
    for targets in adjacency.values():
        for target in targets:
            degree[target] += 1
    free = [name for name, count in degree.items() if count == 0]
    while free:
        for target in adjacency[free.pop()]:
            degree[target] -= 1
            if degree[target] == 0:
                free.append(target)
    circular = [name for name, count in degree.items() if count > 0]
    if circular:
        yield Problem(
            ("nodes", circular[0]),
            f"a cycle runs through {', '.join(map(repr, circular))}: "
            "the only way back is a gate's `retry: {to: NODE, limit: 1}`",
        )
    for name, node in graph.nodes.items():
        if isinstance(node, Gate) and node.retry and name not in _closure({node.retry.to}, adjacency):
            message = f"{node.retry.to!r} does not lead back to {name!r}: name one that does"
            yield Problem(("nodes", name, "retry"), message)


def _joins(graph: Graph) -> Iterator[Problem]:
    for name, node in graph.nodes.items():
        branches = successors(node)
        if len(branches) > 1 and join_of(graph, name) is None:
            yield Problem(
                ("nodes", name, "next"),
                f"the branches {', '.join(map(repr, branches))} never meet: lead them all to one gate",
            )


def _gates(graph: Graph) -> Iterator[Problem]:
    for name, node in graph.nodes.items():
        if isinstance(node, Gate):
            for test in node.checks:
                if test.check in ("agreement", "judge") and test.model is None:
                    message = f"check {test.check!r} needs `model:`, the one that checks"
                    yield Problem(("nodes", name, "checks"), message)
                if test.check == "schema" and test.json_schema is None and test.model is not None:
                    yield Problem(("nodes", name, "checks"), "check 'schema' takes no model: remove it")


def join_of(graph: Graph, name: str) -> str | None:
    """The first node, in the order of a walk, that every parallel branch after `name` passes through."""
    forward: dict[str, list[str]] = {node: [] for node in graph.nodes}
    for edge in graph.edges:
        if edge.role in ("next", "route", "otherwise"):
            forward[edge.source].append(edge.target)
    branches = successors(graph.nodes[name])
    shared = [_closure({branch}, forward) for branch in branches]
    common = set.intersection(*shared)
    # The nearest common node is the one from which all the other common ones can be reached.
    for node in sorted(common):
        if common <= _closure({node}, forward):
            return node
    return None


def _adjacency(graph: Graph) -> dict[str, list[str]]:
    adjacency: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for edge in graph.edges:
        if edge.role != "retry":
            adjacency[edge.source].append(edge.target)
    return adjacency


def _closure(start: set[str], adjacency: Mapping[str, Iterable[str]]) -> set[str]:
    seen, frontier = set(start), list(start)
    while frontier:
        for target in adjacency[frontier.pop()]:
            if target not in seen:
                seen.add(target)
                frontier.append(target)
    return seen
