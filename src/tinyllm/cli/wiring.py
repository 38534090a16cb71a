"""Joins settings, networks and implementations: the only place that builds objects."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyllm.api import Network
from tinyllm.engine import Engine
from tinyllm.errors import GraphError, SettingsError
from tinyllm.graph import Entry, Gate, Graph, Model, Specialist, change, nearest, parse, put_nodes, successors
from tinyllm.protocols import Backend, Grader, Parts, Router, Store, Tool
from tinyllm.settings import Settings, read_settings
from tinyllm.starter import shipped as shipped_files
from tinyllm.store import open_store
from tinyllm.tools.table import TOOLS
from tinyllm.types import Request

if TYPE_CHECKING:
    from tinyllm.backends.reading import ReaderBackend
    from tinyllm.server import Limits, Service

BUILTIN = "builtin"
NODE_TOOLS = sorted(set(TOOLS) - {"function"})


def shipped() -> tuple[str, ...]:
    """The names of the networks that ship."""
    return tuple(shipped_files.networks())


def load_graph(name: str, settings: Settings) -> Graph:
    """The graph of a shipped name or a YAML file; a larger model of the settings joins it as a node.

    Raises GraphError for neither, and for a file that is not legal.
    """
    graph = parse(read_network(name), source=name, tools=NODE_TOOLS)
    return connect_larger(graph, settings.larger) if settings.larger else graph


def read_network(name: str) -> str:
    """The YAML text behind a shipped name or a path."""
    if name in shipped_files.networks():
        return shipped_files.network(name).read_text(encoding="utf-8")
    path = Path(name)
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        known = nearest(name, shipped())
        raise GraphError(
            f"there is no network and no file {name!r}",
            hint=f"{known} (`tinyllm graph init` writes a new one)",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise GraphError(f"{name}: cannot be read: {error}", hint="give a YAML file in UTF-8") from None


def connect_larger(graph: Graph, larger: str) -> Graph:
    """The graph with a node `larger` that takes over what its specialists cannot answer; an edit like any other."""
    if "larger" in graph.nodes:
        return graph
    backend, _, model = larger.partition("/")
    exits = [name for name, spec in graph.nodes.items() if spec.kind == "exit"]
    nodes: dict[str, Any] = {"larger": Specialist(kind="specialist", model="larger", next=exits[0])}
    for name, spec in graph.nodes.items():
        if spec.kind in ("specialist", "tool") and spec.larger is None and successors(spec):
            nodes[name] = spec.model_copy(update={"larger": "larger"})
        elif spec.kind == "router" and spec.otherwise is None:
            nodes[name] = spec.model_copy(update={"otherwise": "larger"})
    models = {**graph.models, "larger": Model(backend=backend, model=model)}
    return put_nodes(graph, nodes, models=models, tools=NODE_TOOLS)


def build_parts(graph: Graph, settings: Settings, folder: Path) -> Parts:
    """The implementations behind the names of the graph; nothing is loaded or connected before it is used."""
    backends: dict[str, Backend] = {}
    routers: dict[str, Router] = {}
    for name, model in graph.models.items():
        if model.backend != BUILTIN:
            backends[name] = _backend(name, model, settings)
        elif model.model.startswith("router"):
            from tinyllm.backends.reader import LinearRouter

            routers[name] = LinearRouter(*shipped_files.weights(model.model))
        else:
            backends[name] = _reader(name, model.model)
    return Parts(backends, _tools(graph, settings, folder), routers)


def _folder(network: str) -> Path:
    """The folder that the relative paths of a network are meant from."""
    return Path() if network in shipped() else Path(network).parent


def _reader(name: str, model: str) -> "ReaderBackend":
    """A built-in reader: the linear one, the neuron, or both in turn."""
    from tinyllm.starter.calls import OPS

    if model in shipped_files.TOGETHER:
        from tinyllm.backends.reading import Cascade

        first, second = (_reader(name, part) for part in shipped_files.TOGETHER[model])
        return Cascade(name, first, second, OPS)
    path, sha256 = shipped_files.weights(model)
    if path.suffix == ".gguf":
        from tinyllm.backends.llamacpp import LlamaCpp, Options
        from tinyllm.backends.neuron import NeuronBackend

        options = Options(path=path, sha256=sha256, template="raw", context=256)
        return NeuronBackend(name, LlamaCpp(name, options), OPS)
    from tinyllm.backends.reader import LinearBackend

    return LinearBackend(name, path, OPS, sha256)


def _backend(name: str, model: Model, settings: Settings) -> Backend:
    from tinyllm.backends import KINDS, build

    options: dict[str, Any] = dict(model.options)
    kind = model.backend
    if kind in settings.backends:
        known = settings.backends[kind]
        kind, options = known.kind, {**known.options, **options}
    elif kind not in KINDS:
        near = nearest(kind, [*settings.backends, *KINDS, BUILTIN])
        raise SettingsError(
            f"model {name!r} runs on the backend {kind!r}, which the settings do not have",
            hint=f"{near} (or add [backends.{kind}] to tinyllm.toml)",
        )
    if model.model:
        options["path" if kind == "llamacpp" else "model"] = model.model
    if model.parameters:
        options["parameters"] = model.parameters
    return build(name, kind, options)


def _tools(graph: Graph, settings: Settings, folder: Path) -> Mapping[str, Tool]:
    used: set[str] = set()
    for node in graph.nodes.values():
        used |= set(getattr(node, "tools", ())) | ({node.tool} if node.kind == "tool" else set())
    return {name: _tool(name, graph, settings, folder) for name in sorted(used)}


def _tool(name: str, graph: Graph, settings: Settings, folder: Path) -> Tool:
    if name in graph.tools:
        return TOOLS["function"](graph.tools[name], name=name, folder=folder)
    if name == "lookup":
        if settings.docs_dir is None:
            raise SettingsError(
                "the tool 'lookup' has no folder to read", hint="set docs_dir in tinyllm.toml"
            )
        return TOOLS[name](settings.docs_dir)
    return TOOLS[name]()


async def open_settings_store(settings: Settings) -> Store:
    """The store of the settings, with their retention."""
    days = settings.retention_days
    return await open_store(settings.store, retention=days * 86400 if days else None)


@asynccontextmanager
async def open_graders(settings: Settings) -> AsyncIterator[Sequence[Grader]]:
    """What can grade runs: references, the network's tools and second reader, and the judge of the settings."""
    from tinyllm.backends.folding import complete
    from tinyllm.grading import Judge, Recompute, Reference

    graph = load_graph(settings.network, settings)
    parts = build_parts(graph, settings, _folder(settings.network))
    gates = [node for node in graph.nodes.values() if isinstance(node, Gate)]
    readers = [test.model for gate in gates for test in gate.checks if test.check == "agreement"]
    second = partial(complete, parts.backends[str(readers[0])]) if readers else None
    graders: list[Grader] = [Reference("ticket"), Recompute(graph.name, parts.tools, second)]
    backends = list(parts.backends.values())
    if settings.judge:
        backend, _, model = settings.judge.partition("/")
        backends.append(_backend("judge", Model(backend=backend, model=model), settings))
        graders.append(Judge(settings.judge, partial(complete, backends[-1])))
    try:
        yield graders
    finally:
        await _close(backends, parts.tools)


async def _close(backends: Iterable[Backend], tools: Mapping[str, Tool]) -> None:
    for backend in backends:
        await backend.close()
    for tool in tools.values():
        if hasattr(tool, "close"):
            tool.close()


@dataclass(frozen=True, slots=True)
class Wired:
    """A network's objects, joined."""

    graph: Graph
    engine: Engine
    store: Store
    parts: Parts

    async def close(self) -> None:
        await _close(self.parts.backends.values(), self.parts.tools)
        await self.store.close()


def build_network(name: str | None, settings: Settings | None, store: str | None) -> Network:
    """The running network of `tinyllm.load`."""
    settings = settings or read_settings().settings
    name = name or settings.network
    return Network(_wire(name, settings, store))


async def _wire(name: str, settings: Settings, store: str | None) -> Wired:
    graph = load_graph(name, settings)
    parts = build_parts(graph, settings, _folder(name))
    if store == "default":
        opened = await open_settings_store(settings)
    else:
        opened = await open_store(store or "memory:")

    async def resolve(request: Request) -> Graph:
        return graph

    return Wired(graph, Engine(resolve, lambda _: parts, opened), opened, parts)


@asynccontextmanager
async def open_service(
    names: Sequence[str], settings: Settings, limits: "Limits", *, keep: bool = True
) -> AsyncIterator["Service"]:
    """What the server serves: these networks, the first by default, and each of their answering nodes alone.

    All share one engine and one store. Raises the errors of `load_graph`, SettingsError where two networks
    have one name, StoreError.
    """
    from tinyllm.server import Service

    models: dict[str, Graph] = {}
    parts: dict[str, Parts] = {}
    for name in names:
        graph = load_graph(name, settings)
        if graph.name in models:
            raise SettingsError(f"two networks are called {graph.name!r}", hint="give one another `name:`")
        built = build_parts(graph, settings, _folder(name))
        served = {graph.name: graph}
        for node, spec in graph.nodes.items():
            if spec.kind in ("specialist", "tool") and successors(spec):
                served[f"{graph.name}/{node}"] = alone(graph, node)
        models |= served
        parts |= {each.id: built for each in served.values()}

    async def resolve(request: Request) -> Graph:
        return models[request.model]

    store = await (open_settings_store(settings) if keep else open_store("memory:"))
    try:
        yield Service(Engine(resolve, lambda graph: parts[graph.id], store), store, models, limits)
    finally:
        for built in parts.values():
            await _close(built.backends.values(), built.tools)
        await store.close()


def alone(graph: Graph, node: str) -> Graph:
    """The network in which one node answers, and nothing takes over from it."""
    entry = graph.nodes[graph.entry]
    end = next(name for name, spec in graph.nodes.items() if spec.kind == "exit")
    nodes = {
        graph.entry: Entry(kind="entry", next=node, carry=isinstance(entry, Entry) and entry.carry),
        node: graph.nodes[node].model_copy(update={"next": end, "simpler": None, "larger": None}),
        end: graph.nodes[end],
    }
    return change(change(graph, protected=()), nodes=nodes, human=None, tools=NODE_TOOLS)
