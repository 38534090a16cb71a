"""Reads a network from YAML; every error names the line, what is wrong and what to write instead.

Knows nothing about files beyond their text, and nothing about which tools exist: the caller says.
"""

from collections.abc import Iterable
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from tinyllm.errors import GraphError
from tinyllm.graph.legal import nearest, problems
from tinyllm.graph.spec import SCHEMA, Graph, NodeSpec

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 40
MAX_VALUES = 200_000  # aliases count each time they are used, so a file cannot unfold without bound

Path = tuple[str | int, ...]


def parse(text: str, *, source: str = "network", tools: Iterable[str] = ()) -> Graph:
    """The legal graph that the YAML text describes.

    `source` names the file in messages; `tools` are the shipped tools a node may use. Raises GraphError
    listing every problem as `source:line: what is wrong`.
    """
    if len(text) > MAX_CHARACTERS:
        raise _error([f"{source}:1: {len(text)} characters; a network file has at most {MAX_CHARACTERS}"])
    reader = _Reader(source)
    data = reader.read(text)
    if not isinstance(data, dict):
        raise _error([f"{source}:1: a network file is a mapping: start it with `schema: {SCHEMA}`"])
    if data.get("schema") != SCHEMA:
        given = f"this file says {data['schema']!r}" if "schema" in data else "this file has none"
        line = reader.line(("schema",))
        raise _error([f"{source}:{line}: this version reads `schema: {SCHEMA}`, and {given}"])
    try:
        graph = Graph.model_validate(data)
    except ValidationError as error:
        raise _error(
            [
                f"{source}:{reader.line(tuple(fault['loc']))}: {_explain(fault)}"
                for fault in error.errors()
                if _is_meant(fault)
            ]
        ) from None
    faults = problems(graph, tools)
    if faults:
        raise _error([f"{source}:{reader.line(fault.path)}: {fault.message}" for fault in faults])
    return graph


def dump(graph: Graph) -> str:
    """The graph as YAML that `parse` reads back to an equal graph."""
    return str(yaml.safe_dump(graph.as_json(), sort_keys=False, allow_unicode=True, width=100))


def _error(lines: list[str]) -> GraphError:
    return GraphError(
        "\n".join(lines), hint="mend the file, then run `tinyllm graph check FILE`", problems=tuple(lines)
    )


class _Reader:
    """Turns YAML into plain data and remembers on which line each value stands."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.lines: dict[Path, int] = {(): 1}
        self.count = 0

    def read(self, text: str) -> Any:
        try:
            loader = yaml.CSafeLoader(text) if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader(text)
            root = loader.get_single_node()
            return {} if root is None else self._value(root, (), loader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = mark.line + 1 if mark else 1
            detail = getattr(error, "problem", None) or str(error).splitlines()[0]
            message = (
                f"{self.source}:{line}: this is not YAML: {detail}; check indentation, quotes and colons"
            )
            raise _error([message]) from None

    def line(self, path: Path) -> int:
        """The line of the deepest part of the path that stands in the file."""
        here: Path = ()
        for part in path:
            if (*here, part) in self.lines:
                here = (*here, part)
        return self.lines[here]

    def _value(self, node: yaml.Node, path: Path, loader: Any) -> Any:
        self.count += 1
        if self.count > MAX_VALUES or len(path) > MAX_DEPTH:
            raise _error([f"{self.source}:{node.start_mark.line + 1}: too many or too deeply nested values"])
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            mapping: dict[str, Any] = {}
            for key_node, value_node in node.value:
                line = key_node.start_mark.line + 1
                if not isinstance(key_node, yaml.ScalarNode):
                    raise _error([f"{self.source}:{line}: a key must be plain text"])
                key = str(key_node.value)  # as written: `no:` stays "no", not false
                if key in mapping:
                    raise _error([f"{self.source}:{line}: {key!r} stands twice: keep one of them"])
                self.lines[(*path, key)] = line
                mapping[key] = self._value(value_node, (*path, key), loader)
            return mapping
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*path, index), loader) for index, item in enumerate(node.value)]
        return loader.construct_object(node)


def _is_meant(fault: Any) -> bool:
    """Pydantic tries `next` as a name and as a list, and reports both: keep the one that was written."""
    form = str(fault["loc"][-1])
    is_list = isinstance(fault["input"], list)
    return not (is_list if form.startswith("function-") else form.startswith("tuple[") and not is_list)


def _explain(fault: Any) -> str:
    """A pydantic fault in the words of the file."""
    kinds = list(_kinds())
    # pydantic puts the node's kind and the types that it tries into the path, where the file has none.
    where = ".".join(
        str(part)
        for i, part in enumerate(fault["loc"])
        if "[" not in str(part) and not (i == 2 and part in kinds)
    )
    match fault["type"]:
        case "extra_forbidden":
            return f"{where!r} is not a field here: {nearest(str(fault['loc'][-1]), _fields(fault['loc']))}"
        case "missing":
            return f"{where!r} is missing: write `{fault['loc'][-1]}: ...`"
        case "union_tag_invalid" | "union_tag_not_found":
            given = fault.get("ctx", {}).get("tag")
            if given is None:
                return f"{where!r} says no kind: write `kind:` and one of {', '.join(kinds)}"
            return f"{where!r} is of unknown kind {given!r}: {nearest(str(given), kinds)}"
        case _:
            shown = repr(fault["input"])
            shown = shown if len(shown) <= 60 else shown[:57] + "..."
            return f"{where!r} is {shown}: {fault['msg'].removeprefix('Value error, ')}"


def _kinds() -> dict[str, type[BaseModel]]:
    members: tuple[type[BaseModel], ...] = get_args(get_args(NodeSpec)[0])
    return {get_args(member.model_fields["kind"].annotation)[0]: member for member in members}


def _fields(path: Path) -> list[str]:
    """The fields that could stand where an unknown one was found."""
    if len(path) >= 4 and path[0] == "nodes" and str(path[2]) in _kinds() and len(path) == 4:
        return list(_kinds()[str(path[2])].model_fields)
    if len(path) == 1:
        return ["schema", *(name for name in Graph.model_fields if name != "schema_")]
    sections = {
        "models": "backend model parameters options",
        "prompts": "version text",
        "budgets": "seconds tokens money steps",
    }
    return sections.get(str(path[0]), "").split()
