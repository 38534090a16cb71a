"""`tinyllm serve`: the network over HTTP."""

import asyncio
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinyllm.cli.output import no_store_flag, note, settings
from tinyllm.cli.workers import Line, Workers
from tinyllm.errors import SettingsError, TinyLLMError

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

    from tinyllm.server import Access, Limits
    from tinyllm.settings import Settings

DRAIN = 30  # seconds that running answers have to end after SIGTERM or Ctrl-C


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0 takes any.")
@click.option(
    "--network", "networks", metavar="NAME|FILE", multiple=True, help="A network; may be given several times."
)
@no_store_flag
@click.option("--allow-host", "hosts", metavar="NAME", multiple=True, help="A further name of this server.")
@click.option("--allow-origin", "origins", metavar="URL", multiple=True, help="A web page that may ask.")
@click.option("--running", type=click.IntRange(1), default=64, show_default=True, help="Answers at a time.")
@click.option("--waiting", type=click.IntRange(0), default=256, show_default=True, help="Requests in line.")
@click.option(
    "--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes; needs PostgreSQL."
)
@click.option("--log", is_flag=True, help="Print a line of JSON for each run.")
def serve(
    host: str,
    port: int,
    networks: Sequence[str],
    no_store: bool,
    hosts: Sequence[str],
    origins: Sequence[str],
    running: int,
    waiting: int,
    workers: int,
    log: bool,
) -> None:
    """Example: tinyllm serve --port 8765

    Answers OpenAI's API under /v1. Clients need its URL, and any key while it listens on this machine alone.
    Ctrl-C or SIGTERM lets what runs come to its end.
    """
    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise SettingsError(
            f"serving needs {' and '.join(missing)}", hint="pip install 'tinyllm-network[serve]'"
        )
    from tinyllm.server import LOOPBACK, Access, Keyring, Limits, is_loopback

    chosen = settings()
    keys, local = Keyring(chosen.keys_file), is_loopback(host)
    if keys.empty and not local:
        raise SettingsError(
            f"others can reach {host!r}, and there is no key", hint="make one first: tinyllm keys add NAME"
        )
    # Under any name where a key is needed anyway: who has none gets nothing.
    known = LOOPBACK | {host, *hosts} if local or hosts else None
    access = Access(known, frozenset(origins), keys, trusting=local)
    what = _What(
        tuple(networks) or (chosen.network,), chosen, access, Limits(running, waiting), not no_store, log
    )
    if workers > 1 and (no_store or not chosen.store.startswith("postgres")):
        raise SettingsError(
            f"{workers} workers need a store that they can share",
            hint="set TINYLLM_STORE=postgresql://USER@HOST/DATABASE, or serve with one worker",
        )
    with listening(host, port) as sock:
        if workers > 1:
            interrupted = _several(workers, sock, what)
        else:
            interrupted = _one(sock, what, lambda server, model: note(_begun(sock, model)))
    if interrupted:
        raise click.Abort


@dataclass(frozen=True, slots=True)
class _What:
    """What is served, and how."""

    networks: Sequence[str]
    settings: "Settings"
    access: "Access"
    limits: "Limits"
    keep: bool
    log: bool


Begun = Callable[["uvicorn.Server", str], None]
"""Told of a server that is ready, and of its default model."""


def _begun(sock: socket.socket, model: str) -> str:
    host, port = sock.getsockname()[:2]
    return f"{model} answers at http://{f'[{host}]' if ':' in host else host}:{port}/v1"


def _one(sock: socket.socket, what: _What, begun: Begun, folder: Path | None = None) -> bool:
    """Serve in this process until it is told to end; says whether it was by Ctrl-C."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(sock, what, begun, folder))


def _several(count: int, sock: socket.socket, what: _What) -> bool:
    """Serve in several processes, which share the socket and a folder of what they know of each other."""
    from tinyllm.cli.wiring import load_file
    from tinyllm.server import retire

    def ended(process: int, error: TinyLLMError | None) -> None:
        note(f"{error}; another takes its place")
        retire(folder, process)

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        workers = Workers(count, _worker, (sock, what, folder), ended)
        model = load_file(what.networks[0]).name
        # Whoever knocks after the end is refused: the workers let go of the socket, and so must this process.
        return workers.run(lambda: note(f"{_begun(sock, model)} with {count} workers"), sock.close)


def _worker(line: Line, sock: socket.socket, what: _What, folder: Path) -> None:
    def begun(server: "uvicorn.Server", model: str) -> None:
        line.when_over(partial(setattr, server, "should_exit", True))
        line.ready()

    _one(sock, what, begun, folder)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The quicker event loop, where there is one for this platform."""
    if find_spec("uvloop") is None:
        return None
    import uvloop

    return uvloop.new_event_loop


def listening(host: str, port: int) -> socket.socket:
    """A socket bound to the address. Raises SettingsError where that cannot be."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, proto)
        try:
            if sys.platform != "win32":  # where it would let two programs have one port
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        message = f"cannot listen on {host}:{port}: {error.strerror or error}"
        raise SettingsError(message, hint="choose another --port or --host") from None
    return sock


async def _serve(sock: socket.socket, what: _What, begun: Begun, folder: Path | None) -> bool:
    """Serve until a signal comes; says whether it was Ctrl-C."""
    from tinyllm.cli.wiring import open_service
    from tinyllm.server import Peers, build_app
    from tinyllm.server.log import logging
    from tinyllm.server.spans import exporting

    with exporting(os.environ) as spans:
        async with open_service(what.networks, what.settings, what.limits, keep=what.keep) as service:
            if folder is not None:
                service = replace(service, peers=Peers(folder))
            app = build_app(service, what.access, started=time.time())
            if what.log:
                service.watchers.append(logging(click.echo))
            if spans is not None:
                service.watchers.append(spans)
            return await _run(app, sock, lambda server: begun(server, service.default), service.stopping)


async def _run(
    app: "ASGIApp", sock: socket.socket, begun: "Callable[[uvicorn.Server], None]", stopping: asyncio.Event
) -> bool:
    import uvicorn

    from tinyllm.server.protocol import bounded

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            begun(self)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            stopping.set()
            await super().shutdown(sockets)

    config = uvicorn.Config(
        app,
        access_log=False,
        http=bounded(),
        lifespan="off",
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN,
        timeout_keep_alive=30,
    )
    # The server raises its signals again when it is done; by then they have done their work.
    caught: list[int] = []
    before = {each: signal.signal(each, lambda number, _: caught.append(number)) for each in _SIGNALS}
    try:
        await Server(config).serve([sock])
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    return signal.SIGINT in caught


_SIGNALS = (signal.SIGINT, signal.SIGTERM)
