"""`tinyllm serve`: the network over HTTP."""

import asyncio
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from tinyllm.cli.output import no_store_flag, note, settings
from tinyllm.errors import SettingsError

if TYPE_CHECKING:
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
    limits = Limits(running=running, waiting=waiting)
    with listening(host, port) as sock:
        work = _serve(sock, networks or [chosen.network], chosen, access, limits, keep=not no_store, log=log)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            if runner.run(work):
                raise click.Abort


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


async def _serve(
    sock: socket.socket,
    networks: Sequence[str],
    chosen: "Settings",
    access: "Access",
    limits: "Limits",
    *,
    keep: bool,
    log: bool,
) -> bool:
    """Serve until a signal comes; says whether it was Ctrl-C."""
    from tinyllm.cli.wiring import open_service
    from tinyllm.server import build_app
    from tinyllm.server.log import logging

    async with open_service(networks, chosen, limits, keep=keep) as service:
        host, port = sock.getsockname()[:2]
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        app = build_app(service, access, started=time.time())
        if log:
            service.watchers.append(logging(click.echo))
        return await _run(app, sock, lambda: note(f"{service.default} answers at {url}/v1"), service.stopping)


async def _run(
    app: "ASGIApp", sock: socket.socket, begun: Callable[[], None], stopping: asyncio.Event
) -> bool:
    import uvicorn

    from tinyllm.server.protocol import bounded

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            begun()

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
