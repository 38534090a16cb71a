"""A server of a network with scripted models, on loopback in a thread of its own."""

import asyncio
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import uvicorn

from tinyllm.cli.changes import Changes
from tinyllm.cli.wiring import alone
from tinyllm.engine import Engine
from tinyllm.graph import Graph, parse
from tinyllm.protocols import Backend, Parts, Store
from tinyllm.server import Access, Limits, Service, Watchers, build_app
from tinyllm.server.protocol import bounded
from tinyllm.store import open_store
from tinyllm.tools.table import TOOLS
from tinyllm.types import Request


@dataclass(frozen=True, slots=True)
class Running:
    """A running server: its address, its store, and the models that answer."""

    url: str
    store: Store
    models: Mapping[str, Backend]

    def post(self, path: str, body: object, **headers: str) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", json=body, headers=headers, timeout=30)


@contextmanager
def serving(
    network: str, models: Mapping[str, Backend], access: Access | None = None, limits: Limits | None = None
) -> Iterator[Running]:
    """The server of a YAML text; its answering nodes are served alone, too."""
    graph = parse(network, tools=TOOLS)
    nodes = [name for name, spec in graph.nodes.items() if spec.kind == "specialist"]
    served = {graph.name: graph} | {f"{graph.name}/{name}": alone(graph, name) for name in nodes}
    parts = Parts(models, {"calculator": TOOLS["calculator"]()})
    store = asyncio.run(open_store("memory:"))

    async def resolve(request: Request) -> Graph:
        return served[request.model]

    watchers = Watchers()
    engine = Engine(resolve, lambda _: parts, store, watch=watchers)
    changes = Changes(store, {graph.name: lambda: graph})
    service = Service(engine, store, served, watchers, limits or Limits(), changes=changes)
    app = build_app(service, access or Access(), started=0.0)
    config = uvicorn.Config(
        app, http=bounded(), lifespan="off", log_level="critical", timeout_graceful_shutdown=5
    )

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            service.stopping.set()
            await super().shutdown(sockets)

    server = Server(config)

    async def serve(sock: socket.socket) -> None:
        await server.serve([sock])
        for model in models.values():
            await model.close()

    with socket.create_server(("127.0.0.1", 0)) as sock:
        thread = threading.Thread(target=asyncio.run, args=(serve(sock),))
        thread.start()
        try:
            yield Running(f"http://127.0.0.1:{sock.getsockname()[1]}", store, models)
        finally:
            server.should_exit = True
            thread.join()
