"""Joins settings, networks and implementations: the only place that builds objects."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyllm.api import Network
from tinyllm.cli.changes import Changes
from tinyllm.cli.heads import Heads, Source
from tinyllm.cli.workshop import Workshop
from tinyllm.engine import Engine, fold
from tinyllm.errors import GraphError, NotFound
from tinyllm.graph import Entry, Gate, Graph, Model, Specialist, change, nearest, parse, put_nodes, successors
from tinyllm.protocols import Grader, Store
from tinyllm.settings import Settings, read_settings
from tinyllm.starter import shipped as shipped_files
from tinyllm.store import open_store
from tinyllm.store.recall import Recall
from tinyllm.tools.mcp import withheld
from tinyllm.tools.table import TOOLS
from tinyllm.types import Reply, Request, Trace

if TYPE_CHECKING:
    from tinyllm.backends.collation import Turns
    from tinyllm.grading import Run
    from tinyllm.learning.cycle import Learner
    from tinyllm.learning.proof import Consent
    from tinyllm.learning.proposal import Ask, Bench, Proposer
    from tinyllm.learning.tryout import Tell
    from tinyllm.server import Limits, Service

NODE_TOOLS = sorted(set(TOOLS) - {"function"})


def shipped() -> tuple[str, ...]:
    """The names of the networks that ship."""
    return tuple(shipped_files.networks())


def load_graph(name: str, settings: Settings) -> Graph:
    """The graph of a shipped name or a YAML file as it runs under the settings.

    Raises GraphError for neither, and for a file that is not legal.
    """
    return effective(load_file(name), settings)


def load_file(name: str) -> Graph:
    """The graph of a shipped name or a YAML file. Raises GraphError."""
    return parse(read_network(name), source=name, tools=NODE_TOOLS)


def effective(graph: Graph, settings: Settings) -> Graph:
    """The graph as it runs under the settings: a larger model of theirs joins it as a node."""
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


def workshop_of(network: str, settings: Settings, turns: dict[str, "Turns"] | None = None) -> Workshop:
    """Who builds the parts of a network; its relative paths are meant from the folder of its file."""
    return Workshop(settings, Path() if network in shipped() else Path(network).parent, turns)


async def open_settings_store(settings: Settings) -> Store:
    """The store of the settings, with their retention."""
    days = settings.retention_days
    return await open_store(settings.store, retention=days * 86400 if days else None)


def sandbox() -> "Run":
    """Runs the unit tests of references."""
    from tinyllm.tools.python import Python

    return Python().errors


@asynccontextmanager
async def open_graders(settings: Settings) -> AsyncIterator[Sequence[Grader]]:
    """What can grade runs: references, the network's tools and second reader, and the judge of the settings."""
    from tinyllm.backends.folding import complete
    from tinyllm.grading import Judge, Recompute, Reference

    graph = load_graph(settings.network, settings)
    workshop = workshop_of(settings.network, settings)
    parts = workshop.parts(graph)
    gates = [node for node in graph.nodes.values() if isinstance(node, Gate)]
    readers = [test.model for gate in gates for test in gate.checks if test.check == "agreement"]
    second = partial(complete, parts.backends[str(readers[0])]) if readers else None
    graders: list[Grader] = [Reference("ticket", run=sandbox()), Recompute(graph.name, parts.tools, second)]
    if settings.judge:
        graders.append(Judge(settings.judge, partial(complete, workshop.model("judge", settings.judge))))
    try:
        yield graders
    finally:
        await workshop.close()


@dataclass(frozen=True, slots=True)
class Wired:
    """A network's objects, joined."""

    graph: Graph
    engine: Engine
    store: Store
    heads: Heads

    async def close(self) -> None:
        await self.heads.close()
        await self.store.close()


def build_network(name: str | None, settings: Settings | None, store: str | None) -> Network:
    """The running network of `tinyllm.load`."""
    settings = settings or read_settings().settings
    name = name or settings.network
    return Network(_wire(name, settings, store))


async def _wire(name: str, settings: Settings, store: str | None) -> Wired:
    source = source_of(name, settings)
    opened = await (open_settings_store(settings) if store == "default" else open_store(store or "memory:"))
    heads = Heads(opened)
    try:
        graph = await heads.add(source)
    except BaseException:
        await opened.close()
        raise

    async def resolve(request: Request) -> Graph:
        return await heads.resolve(graph.name, request)

    return Wired(graph, Engine(resolve, heads.parts, opened), opened, heads)


def source_of(name: str, settings: Settings, turns: dict[str, "Turns"] | None = None) -> Source:
    """A shipped name or a YAML file as a source of a network."""
    read = partial(load_file, name)
    return Source(read(), read, partial(effective, settings=settings), workshop_of(name, settings, turns))


@dataclass(frozen=True, slots=True)
class _Bench:
    """Tries graphs of one network in this process; their runs are kept nowhere."""

    workshop: Workshop
    settings: Settings
    store: Store
    tenant: str

    def effective(self, graph: Graph) -> Graph:
        return effective(graph, self.settings)

    @asynccontextmanager
    async def open(self, graph: Graph, files: Mapping[str, bytes]) -> AsyncIterator["Ask"]:
        tried = self.effective(graph)
        await self.workshop.fetch(tried, self.store, tenant=self.tenant, files=files)
        parts = self.workshop.parts(tried)
        parts = replace(parts, tools=withheld(parts.tools), memory=Recall(self.store))
        runs = await open_store("memory:")

        async def resolve(request: Request) -> Graph:
            return tried

        engine = Engine(resolve, lambda _: parts, runs, paced=False)

        async def ask(request: Request) -> Trace:
            reply = await engine.run(request)
            return fold(await runs.events(reply.run_id, request.tenant))

        try:
            yield ask
        finally:
            await self.workshop.drop(files)
            await runs.close()


@asynccontextmanager
async def open_bench(settings: Settings, store: Store, *, tenant: str = "local") -> AsyncIterator["Bench"]:
    """Where changes of the settings' network are tried; the store has the model files that it learned before."""
    workshop = workshop_of(settings.network, settings)
    try:
        yield _Bench(workshop, settings, store, tenant)
    finally:
        await workshop.close()


@dataclass(frozen=True, slots=True)
class Learning:
    """What `tinyllm learn` works with: a learner, the network itself to be asked, its graders, and the sandbox
    in which unit tests run."""

    learner: "Learner"
    ask: "Callable[[Request], Awaitable[Reply]]"
    graders: Sequence[Grader]
    run: "Run"


@asynccontextmanager
async def open_learning(
    settings: Settings, consent: "Consent", tell: "Tell", *, seed: int = 0, limit: int = 1000
) -> AsyncIterator[Learning]:
    """The settings' network, and all that it learns with. Raises what `load_graph` raises, and StoreError."""
    from tinyllm.backends.folding import complete
    from tinyllm.cli.trainer import LabTrainer
    from tinyllm.learning.alternatives import alternatives
    from tinyllm.learning.cycle import Learner
    from tinyllm.learning.expand import Expansion
    from tinyllm.learning.grant import Grants
    from tinyllm.learning.harden import Hardening
    from tinyllm.learning.merge import Merging
    from tinyllm.learning.neuron import Neurons
    from tinyllm.learning.prompts import Writer
    from tinyllm.learning.right import Right
    from tinyllm.learning.split import Splits
    from tinyllm.learning.weights import Weights
    from tinyllm.starter.catalogue import CATALOGUE
    from tinyllm.starter.corpus import left_to_readers

    base = load_file(settings.network)
    # What the shipped readers know stays theirs: they read it better than what learns beside them.
    known = left_to_readers if any(model.backend == "builtin" for model in base.models.values()) else tuple
    tools = {name: TOOLS[name]() for name in sorted({op.tool for op in CATALOGUE.values() if op.tool})}
    expansion = Expansion(CATALOGUE, tools, known)

    def train(step: int, steps: int, loss: float) -> None:
        tell("training a neuron", step, steps)

    proposers: list[Proposer] = [expansion, Grants(CATALOGUE, tools), alternatives]
    writers = workshop_of(settings.network, settings)
    author = settings.judge or settings.larger
    writer = Writer(partial(complete, writers.model("writer", author))) if author else None
    proposers += [writer] if writer else []
    wired = await _wire(settings.network, settings, "default")
    try:
        async with open_bench(settings, wired.store) as bench, open_graders(settings) as graders:
            right = Right(graders, sandbox())
            learner = Learner(
                wired.store,
                base,
                bench,
                [
                    *proposers,
                    Splits(bench, right, writer.write if writer else None),
                    Weights(bench, right),
                    Neurons(expansion, LabTrainer(), train),
                ],
                right,
                consent,
                tell,
                seed=seed,
                limit=limit,
                read=partial(load_file, settings.network),
                savers=[Hardening(CATALOGUE, tools, known), Merging(CATALOGUE, bench, right, known)],
            )
            yield Learning(learner, wired.engine.run, graders, sandbox())
    finally:
        await wired.close()
        await writers.close()
        for tool in tools.values():
            if hasattr(tool, "close"):
                tool.close()


@asynccontextmanager
async def open_service(
    names: Sequence[str], settings: Settings, limits: "Limits", *, keep: bool = True
) -> AsyncIterator["Service"]:
    """What the server serves: these networks, the first by default, and each of their answering nodes alone.

    All share one engine and one store. Raises the errors of `load_graph`, SettingsError where two networks
    have one name, StoreError.
    """
    from tinyllm.server import Service, Watchers

    turns: dict[str, Turns] = {}
    sources = [source_of(name, settings, turns) for name in names]
    models: dict[str, Graph] = {}
    lone: dict[tuple[str, str], Graph] = {}
    watchers = Watchers()

    async def resolve(request: Request) -> Graph:
        network, _, node = request.model.partition("/")
        if not node:
            return await heads.resolve(network, request)
        graph = await heads.graph(network, request.tenant)
        if (graph.id, node) not in lone:
            lone[graph.id, node] = alone(graph, node)
        return lone[graph.id, node]

    store = await (open_settings_store(settings) if keep else open_store("memory:"))
    heads = Heads(store)
    try:
        for source in sources:
            graph = await heads.add(source)
            models[graph.name] = graph
            for node, spec in graph.nodes.items():
                if spec.kind in ("specialist", "tool") and successors(spec):
                    models[f"{graph.name}/{node}"] = alone(graph, node)
        engine = Engine(resolve, heads.parts, store, watch=watchers)
        changes = Changes(store, {source.base.name: source.read for source in sources})
        yield Service(engine, store, models, watchers, limits, changes=changes)
    finally:
        await heads.close()
        await store.close()


def alone(graph: Graph, node: str) -> Graph:
    """The network in which one node answers, and nothing takes over from it. Raises NotFound."""
    if node not in graph.nodes:
        raise NotFound(
            f"network {graph.name!r} has no node {node!r} any more", hint=nearest(node, graph.nodes)
        )
    entry = graph.nodes[graph.entry]
    end = next(name for name, spec in graph.nodes.items() if spec.kind == "exit")
    nodes = {
        graph.entry: Entry(kind="entry", next=node, carry=isinstance(entry, Entry) and entry.carry),
        node: graph.nodes[node].model_copy(update={"next": end, "simpler": None, "larger": None}),
        end: graph.nodes[end],
    }
    return change(change(graph, protected=()), nodes=nodes, human=None, tools=NODE_TOOLS)
