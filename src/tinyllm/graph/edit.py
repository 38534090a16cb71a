"""Pure edits: each returns a new legal graph and leaves the old one as it was.

The learning loop and people change a network through these alone, so a protected node cannot vanish and an
illegal graph cannot come into being.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tinyllm.errors import GraphError
from tinyllm.graph.legal import nearest, problems
from tinyllm.graph.spec import Gate, Graph, NodeSpec, PromptText, RouterNode, successors

_FIRST = re.compile(r'"(?:[^"\\]|\\.)*"|[^.]+')  # name of a path


def change(graph: Graph, *, tools: Iterable[str] = (), **fields: Any) -> Graph:
    """The graph with these top-level fields replaced. Raises GraphError if the result is not legal."""
    lost = [name for name in graph.protected if name not in fields.get("nodes", graph.nodes)]
    if lost:
        raise GraphError(f"node {lost[0]!r} is protected and cannot be removed", hint="choose another node")
    data = graph.as_json() | {name: _plain(value) for name, value in fields.items()}
    edited = Graph.model_validate(data)
    faults = problems(edited, {*tools, *_tools_of(graph)})
    if faults:
        lines = tuple(f"{'.'.join(fault.path)}: {fault.message}" for fault in faults)
        raise GraphError("the edit makes an illegal graph:\n" + "\n".join(lines), problems=lines)
    return edited


def put_nodes(graph: Graph, nodes: Mapping[str, NodeSpec | None], **fields: Any) -> Graph:
    """The graph with nodes added, replaced or (None) removed: several at once; one alone may be illegal."""
    for name, node in nodes.items():
        if node is None and name not in graph.nodes:
            raise GraphError(f"no node is called {name!r}: {nearest(name, graph.nodes)}")
    merged = {**graph.nodes, **nodes}
    return change(graph, nodes={name: node for name, node in merged.items() if node is not None}, **fields)


def redirect(graph: Graph, old: str, new: str) -> dict[str, NodeSpec]:
    """The nodes that lead to `old`, changed so that they lead to `new`; what would lead to itself leads nowhere."""
    changed: dict[str, NodeSpec] = {}
    for name, node in graph.nodes.items():
        update: dict[str, Any] = {}
        if old in (following := successors(node)):
            ways = tuple(dict.fromkeys(new if way == old else way for way in following))
            update["next"] = ways[0] if len(ways) == 1 else ways
        for field in ("otherwise", "simpler", "larger"):
            if getattr(node, field, None) == old:
                update[field] = None if name == new else new
        if isinstance(node, RouterNode) and any(route.to == old for route in node.routes.values()):
            update["routes"] = {
                label: route.model_copy(update={"to": new}) if route.to == old else route
                for label, route in node.routes.items()
            }
        if isinstance(node, Gate) and node.retry is not None and node.retry.to == old:
            update["retry"] = node.retry.model_copy(update={"to": new})
        if update:
            changed[name] = node.model_copy(update=update)
    return changed


def unrouted(graph: Graph, router: str) -> Graph:
    """The graph without a router whose ways all lead to one node; as it is where a choice is left."""
    spec = graph.nodes[router]
    assert isinstance(spec, RouterNode)
    ways = [route.to for route in spec.routes.values()]
    if {*ways, spec.otherwise or ways[0]} != {ways[0]} or router in graph.protected:
        return graph
    return put_nodes(graph, {**redirect(graph, router, ways[0]), router: None})


def put_prompt(graph: Graph, name: str, text: str) -> Graph:
    """The graph with a new version of a prompt, or with its first."""
    old = graph.prompts.get(name)
    version = old.version + 1 if old else 1
    return change(graph, prompts={**graph.prompts, name: PromptText(version=version, text=text)})


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that differs between two graphs. None is a side that `kind` says is absent, or else a null.

    A name in the path is quoted as in JSON where it holds a dot or could be taken for a place in a list.
    """

    path: str
    before: Any
    after: Any
    kind: Literal["added", "removed", "changed"] = "changed"


def diff(before: Graph, after: Graph) -> list[Difference]:
    """Every value that differs, in the order of the path. Empty exactly when the content ids are equal."""
    old, new = _flat(before.as_json()), _flat(after.as_json())
    return [
        Difference(
            path,
            old.get(path),
            new.get(path),
            "added" if path not in old else "removed" if path not in new else "changed",
        )
        for path in sorted({*old, *new})
        if path not in old or path not in new or _differ(old[path], new[path])
    ]


def patch(graph: Graph, changes: Iterable[Mapping[str, Any]]) -> Graph:
    """The graph after the differences that `diff` found, each as plain data (`dataclasses.asdict`).

    Raises GraphError where they were found on another graph.
    """
    values = _flat(graph.as_json())
    for change in changes:
        path, kind = change["path"], change["kind"]
        if (path in values) == (kind == "added") or _differ(values.pop(path, None), change["before"]):
            raise GraphError(
                f"the change of {path!r} does not fit graph {graph.id!r}",
                hint="apply changes to the graph on which they were found",
            )
        if kind != "removed":
            values[path] = change["after"]
    return Graph.model_validate(_unflat(values))


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Every plain value, and every empty mapping or list, by its path."""
    if isinstance(value, Mapping) and value:
        items = [(_quoted(name), item) for name, item in value.items()]
    elif isinstance(value, list) and value:
        items = [(str(place), item) for place, item in enumerate(value)]
    else:
        return {path: value}
    return {
        key: leaf for name, item in items for key, leaf in _flat(item, f"{path}.{name}".lstrip(".")).items()
    }


def _unflat(values: Mapping[str, Any]) -> Any:
    """What `_flat` took apart."""
    if "" in values:
        return values[""]
    parts: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        first = _FIRST.match(path)
        assert first is not None
        parts.setdefault(first[0], {})[path[first.end() + 1 :]] = value
    if all(name.isascii() and name.isdecimal() for name in parts):
        return [_unflat(parts[place]) for place in sorted(parts, key=int)]
    return {json.loads(name) if name[0] == '"' else name: _unflat(part) for name, part in parts.items()}


def _quoted(name: str) -> str:
    plain = re.fullmatch(r"[\w:-]+", name) and not name.isdecimal()
    return name if plain else json.dumps(name, ensure_ascii=False)


def _differ(a: Any, b: Any) -> bool:
    return json.dumps(a) != json.dumps(b)  # to Python 1, 1.0 and True are equal


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return (
        value.model_dump(mode="json", exclude_defaults=True) | _kind(value)
        if hasattr(value, "model_dump")
        else value
    )


def _kind(value: Any) -> dict[str, str]:
    return {"kind": value.kind} if hasattr(value, "kind") else {}


def _tools_of(graph: Graph) -> set[str]:
    """The tools that the legal graph uses already: they exist, whoever provides them."""
    used: set[str] = set()
    for node in graph.nodes.values():
        used |= set(getattr(node, "tools", ())) | ({node.tool} if node.kind == "tool" else set())
    return used
