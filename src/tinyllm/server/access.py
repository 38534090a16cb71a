"""Who may ask: Host and Origin, and the caller behind a request. Knows nothing about what is asked."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tinyllm.errors import Forbidden
from tinyllm.server.faults import response_of

Right = Literal["answer", "feedback", "admin"]
RIGHTS: tuple[Right, ...] = ("answer", "feedback", "admin")

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]]+)(?::\d+)?")

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sent a request. Everything is done in the name of `tenant` and `user`."""

    tenant: str = "local"
    user: str = "local"
    rights: frozenset[Right] = frozenset(RIGHTS)


@dataclass(frozen=True, slots=True)
class Access:
    """`hosts` are the names under which the server may be called, None any; `origins` the web pages that may."""

    hosts: frozenset[str] | None = LOOPBACK
    origins: frozenset[str] = frozenset()


class Guard:
    """Lets through what is called by a known name and from no foreign web page.

    A page that makes a browser ask under a name of its own (DNS rebinding) fails on the name, one that asks
    straight away on its origin.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app = app
        self.access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        host, origin = headers.get(b"host", b"").decode("latin-1"), headers.get(b"origin")
        if self.access.hosts is not None and name_of(host) not in self.access.hosts:
            error = Forbidden(f"this server is not called {host!r}", hint="start it with --allow-host NAME")
            await response_of(error, scope["path"])(scope, receive, send)
            return
        if origin is not None:
            page = origin.decode("latin-1")
            if page not in self.access.origins and page not in (f"http://{host}", f"https://{host}"):
                error = Forbidden(f"the page {page!r} may not ask", hint="start with --allow-origin ORIGIN")
                await response_of(error, scope["path"])(scope, receive, send)
                return
            send = _sharing(send, page)
            if scope["method"] == "OPTIONS":
                await _preflight(send)
                return
        scope["caller"] = Caller()
        await self.app(scope, receive, send)


def name_of(host: str) -> str:
    """The name in a Host header, without port and brackets; nothing where it is malformed."""
    found = _HOST.fullmatch(host)
    return found[1].strip("[]").lower() if found else ""


def is_loopback(host: str) -> bool:
    return host in LOOPBACK or host.startswith("127.")


def _sharing(send: Send, origin: str) -> Send:
    """`send` with the headers that let the page read the answer."""
    shared = [(b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"Origin")]

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *shared]
        await send(message)

    return sending


async def _preflight(send: Send) -> None:
    allowed: Mapping[bytes, bytes] = {
        b"access-control-allow-methods": b"GET, POST, DELETE",
        b"access-control-allow-headers": b"*, authorization",
        b"access-control-max-age": b"600",
    }
    headers: Iterable[tuple[bytes, bytes]] = allowed.items()
    await send({"type": "http.response.start", "status": 204, "headers": list(headers)})
    await send({"type": "http.response.body", "body": b""})
