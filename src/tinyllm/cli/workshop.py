"""Builds the implementations behind the names of graphs, each once: the versions of a network share them.

Nothing is loaded or connected before it is used. Knows nothing about where graphs come from.
"""

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyllm.errors import SettingsError
from tinyllm.graph import Graph, Model, nearest
from tinyllm.protocols import Backend, Parts, Router, Store, Tool
from tinyllm.routing.bytext import ByText, from_bytes
from tinyllm.settings import Settings, trusted_servers
from tinyllm.starter import shipped
from tinyllm.tools.table import TOOLS
from tinyllm.types import JSON, Cost, ToolCall

if TYPE_CHECKING:
    from tinyllm.backends import Kind
    from tinyllm.backends.collation import Turns
    from tinyllm.backends.reading import ReaderBackend
    from tinyllm.tools.mcp_client import Connection, Server

BUILTIN = "builtin"  # models that ship
LEARNED = "learned"  # models in the store: `reader-`, `router-` or `bytext-`, and the SHA-256 of the file


class Workshop:
    """Makes parts under these settings; relative paths of a network are meant from its `folder`.

    Workshops with the same `turns` (by the URL of the server) take turns at servers with memory for few models.
    """

    def __init__(self, settings: Settings, folder: Path, turns: dict[str, "Turns"] | None = None) -> None:
        self._settings = settings
        self._folder = folder
        self._files: dict[str, bytes] = {}
        self._backends: dict[tuple[str, str], Backend] = {}
        self._routers: dict[str, Router] = {}
        self._by_text: dict[str, ByText] = {}
        self._tools: dict[tuple[str, str], Tool] = {}
        self._servers: dict[str, Connection] = {}
        self._turns = {} if turns is None else turns

    async def fetch(
        self, graph: Graph, store: Store, *, tenant: str = "local", files: Mapping[str, bytes] | None = None
    ) -> None:
        """Have at hand what the graph's learned models need, of these `files` by SHA-256 or of the store.

        Raises NotFound where neither has one.
        """
        for model in graph.models.values():
            sha256 = _sha256(model)
            if sha256 is not None and sha256 not in self._files:
                self._files[sha256] = (files or {}).get(sha256) or await store.file(sha256, tenant=tenant)

    def parts(self, graph: Graph) -> Parts:
        """The implementations behind the names of the graph, its learned models fetched before.

        Raises SettingsError or NotFound for a model or tool that cannot be made.
        """
        backends: dict[str, Backend] = {}
        routers: dict[str, Router] = {}
        by_text: dict[str, Callable[[str], tuple[Mapping[str, float], Cost]]] = {}
        for name, model in graph.models.items():
            if model.backend in (BUILTIN, LEARNED) and model.model.startswith("router"):
                if model.model not in self._routers:
                    self._routers[model.model] = self._router(model)
                routers[name] = self._routers[model.model]
            elif model.backend == LEARNED and model.model.startswith("bytext"):
                by_text[name] = partial(self._tell, str(_sha256(model)))
            else:
                key = name, model.model_dump_json()
                if key not in self._backends:
                    self._backends[key] = self._backend(name, model)
                backends[name] = self._backends[key]
        tools = {name: self._tool(name, graph) for name in tools_of(graph)}
        return Parts(backends, tools, routers, fill=_fill, by_text=by_text)

    def model(self, name: str, backend_and_model: str) -> Backend:
        """The model that a setting names as BACKEND/MODEL."""
        backend, _, model = backend_and_model.partition("/")
        spec = Model(backend=backend, model=model)
        return self._backends.setdefault((name, spec.model_dump_json()), self._backend(name, spec))

    async def drop(self, files: Collection[str]) -> None:
        """Forget the learned models of these files."""
        for sha256 in files:
            self._files.pop(sha256, None)
            self._routers.pop(f"router-{sha256}", None)
            self._by_text.pop(sha256, None)
            for key in [key for key in self._backends if f"-{sha256}" in key[1]]:
                await self._backends.pop(key).close()

    async def close(self) -> None:
        """Give back all that was made."""
        for backend in self._backends.values():
            await backend.close()
        for tool in self._tools.values():
            if hasattr(tool, "close"):
                tool.close()
        for server in self._servers.values():
            await server.close()

    def _router(self, model: Model) -> Router:
        from tinyllm.backends.reader import LinearRouter

        sha256 = _sha256(model)
        if sha256 is None:
            return LinearRouter(*shipped.weights(model.model))
        return LinearRouter(self._files[sha256], sha256)

    def _tell(self, sha256: str, text: str) -> tuple[Mapping[str, float], Cost]:
        if sha256 not in self._by_text:
            self._by_text[sha256] = from_bytes(self._files[sha256])
        return self._by_text[sha256](text)

    def _backend(self, name: str, model: Model) -> Backend:
        if model.backend == BUILTIN:
            return _reader(name, model.model)
        sha256 = _sha256(model)
        if sha256 is not None:
            from tinyllm.backends.reader import LinearBackend
            from tinyllm.starter.catalogue import CATALOGUE

            return LinearBackend(name, self._files[sha256], CATALOGUE, sha256)
        return _collated(_configured(name, model, self._settings, self._folder), self._turns)

    def _tool(self, name: str, graph: Graph) -> Tool:
        key = name, graph.tools.get(name, "")
        if key not in self._tools:
            self._tools[key] = self._made(name, graph)
        return self._tools[key]

    def _made(self, name: str, graph: Graph) -> Tool:
        if graph.tools.get(name, "").startswith("mcp:"):
            return self._remote(name, graph.tools[name])
        if name in graph.tools:
            return TOOLS["function"](graph.tools[name], name=name, folder=self._folder)
        if name == "lookup":
            if self._settings.docs_dir is None:
                raise SettingsError(
                    "the tool 'lookup' has no folder to read", hint="set docs_dir in tinyllm.toml"
                )
            return TOOLS[name](self._settings.docs_dir)
        return TOOLS[name]()

    def _remote(self, name: str, target: str) -> Tool:
        """A tool of an MCP server, named as `mcp:SERVER/TOOL`."""
        from tinyllm.tools.mcp import McpTool, trusted

        server, _, tool = target.removeprefix("mcp:").partition("/")
        if server not in self._servers:
            self._servers[server] = trusted(mcp_server(server, self._settings), trusted_servers(os.environ))
        return McpTool(name, tool, self._servers[server])


def mcp_server(name: str, settings: Settings) -> "Server":
    """The MCP server of that name in the settings. Raises SettingsError."""
    from tinyllm.tools.mcp_client import Server

    if name not in settings.mcp:
        raise SettingsError(
            f"the settings have no MCP server {name!r}",
            hint=f"add [mcp.{name}] with its command or url to tinyllm.toml, then: tinyllm mcp trust {name}",
        )
    return Server(name, **settings.mcp[name].model_dump())


def _fill(call: str, text: str) -> ToolCall | None:
    """The tool call of a call of the catalogue in a question."""
    from tinyllm.slots import call_in
    from tinyllm.starter.catalogue import CATALOGUE

    return call_in(call, text, CATALOGUE)


def tools_of(graph: Graph) -> Iterable[str]:
    """The names of the tools that the graph uses."""
    used: set[str] = set()
    for node in graph.nodes.values():
        used |= set(getattr(node, "tools", ())) | ({node.tool} if node.kind == "tool" else set())
    return sorted(used)


def _sha256(model: Model) -> str | None:
    """The file of a learned model; None for any other."""
    return model.model.partition("-")[2] if model.backend == LEARNED else None


def _reader(name: str, model: str) -> "ReaderBackend":
    """A built-in reader: the linear one, the neuron, or both in turn."""
    from tinyllm.starter.calls import OPS

    if model in shipped.TOGETHER:
        from tinyllm.backends.reading import Cascade

        first, second = (_reader(name, part) for part in shipped.TOGETHER[model])
        return Cascade(name, first, second, OPS)
    path, sha256 = shipped.weights(model)
    if path.suffix == ".gguf":
        from tinyllm.backends.llamacpp import LlamaCpp, Options
        from tinyllm.backends.neuron import NeuronBackend

        options = Options(path=path, sha256=sha256, template="raw", context=256)
        return NeuronBackend(name, LlamaCpp(name, options), OPS)
    from tinyllm.backends.reader import LinearBackend

    return LinearBackend(name, path, OPS, sha256)


def require_backend(name: str, model: Model, settings: Settings) -> None:
    """Raises SettingsError for a model whose backend nobody knows."""
    known = [*settings.backends, *_kinds(), BUILTIN]
    if model.backend not in (*known, LEARNED):
        raise SettingsError(
            f"model {name!r} runs on the backend {model.backend!r}, which the settings do not have",
            hint=f"{nearest(model.backend, known)} (or add [backends.{model.backend}] to tinyllm.toml)",
        )


def _configured(name: str, model: Model, settings: Settings, folder: Path) -> Backend:
    from tinyllm.backends import build

    require_backend(name, model, settings)
    options: dict[str, Any] = dict(model.options)
    kind = model.backend
    if kind in settings.backends:
        known = settings.backends[kind]
        kind, options = known.kind, {**known.options, **options}
    if model.model:
        in_folder = kind in ("llamacpp", "checkpoint")
        options |= {"path": folder / model.model} if in_folder else {"model": model.model}
    if kind == "llamacpp" and isinstance(adapters := model.options.get("adapters"), dict):
        options["adapters"] = {name: _beside(folder, adapter) for name, adapter in adapters.items()}
    if model.parameters:
        options["parameters"] = model.parameters
    return build(name, kind, options, _kinds())


def _kinds() -> "Mapping[str, Callable[[], Kind]]":
    """Every kind of backend: those of the runtime, and the one in which the lab's models answer."""
    from tinyllm.backends import KINDS

    def checkpoint() -> "Kind":
        from tinyllm.cli.checkpoint import Checkpoint, Options

        return Options, Checkpoint

    return {**KINDS, "checkpoint": checkpoint}


def _beside(folder: Path, adapter: JSON) -> JSON:
    """A network's adapter with its path meant from the folder of the network's file."""
    if isinstance(adapter, dict) and isinstance(path := adapter.get("path"), str):
        return {**adapter, "path": str(folder / path)}
    return adapter


def _collated(backend: Backend, turns: dict[str, "Turns"]) -> Backend:
    """The backend, in turn with the others of its server where that has memory for few."""
    from tinyllm.backends.collation import Collated, Turns
    from tinyllm.backends.openai_api import OpenAI

    if not isinstance(backend, OpenAI) or (slots := backend.options.slots) is None:
        return backend
    options = backend.options
    return Collated(backend, turns.setdefault(options.base_url, Turns(slots, options.wait, options.parallel)))
