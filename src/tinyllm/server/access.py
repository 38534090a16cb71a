"""Who may ask: Host and Origin, and the caller behind a request. Knows nothing about what is asked."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tinyllm.errors import AccessError, Forbidden, TinyLLMError
from tinyllm.server.faults import OLLAMA, response_of
from tinyllm.server.keys import RIGHTS, Keyring, Right
from tinyllm.server.ledger import Ledger
from tinyllm.types import Budget

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]]+)(?::\d+)?")

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sent a request. Everything is done in the name of `tenant` and `user`, within `budget`."""

    tenant: str = "local"
    user: str = "local"
    rights: frozenset[Right] = frozenset(RIGHTS)
    budget: Budget = field(default_factory=Budget)


@dataclass(frozen=True, slots=True)
class Access:
    """`hosts` are the names under which the server may be called, None any; `origins` the web pages that may ask.

    Without a key in `keys` anybody may ask where `trusting`: on an address that only this machine reaches.
    """

    hosts: frozenset[str] | None = LOOPBACK
    origins: frozenset[str] = frozenset()
    keys: Keyring | None = None
    trusting: bool = True


class Guard:
    """Lets through what is called by a known name, from no foreign web page, and with a key where one is needed.

    A page that makes a browser ask under a name of its own (DNS rebinding) fails on the name, one that asks
    straight away on its origin.
    """

    def __init__(self, app: ASGIApp, access: Access, ledger: Ledger) -> None:
        self.app = app
        self.access = access
        self.ledger = ledger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        try:
            page = self._page(headers)
            if page is not None:
                send = _sharing(send, page)
                if scope["method"] == "OPTIONS":
                    await _preflight(send)
                    return
            scope["caller"] = await self._caller(scope, headers)
        except TinyLLMError as error:
            await response_of(error, scope["path"])(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _page(self, headers: Mapping[bytes, bytes]) -> bytes | None:
        """The web page that asks, if it is one. Raises Forbidden."""
        host, page = headers.get(b"host", b"").decode("latin-1"), headers.get(b"origin")
        if self.access.hosts is not None and name_of(host) not in self.access.hosts:
            raise Forbidden(f"this server is not called {host!r}", hint="start it with --allow-host NAME")
        if page is None:
            return None
        origin = page.decode("latin-1")
        if origin not in (f"http://{host}", f"https://{host}") and origin not in self.access.origins:
            raise Forbidden(f"the page {origin!r} may not ask", hint="start with --allow-origin ORIGIN")
        return page

    async def _caller(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Caller:
        """Whoever asks. Raises AccessError, RateLimited, BudgetExceeded."""
        right = right_of(scope["path"])
        keys = self.access.keys
        if right is None:
            return Caller(rights=frozenset())
        if self.access.trusting and (keys is None or keys.empty):
            return Caller()
        secret = headers.get(b"authorization", b"").decode("latin-1").removeprefix("Bearer ").strip()
        key = keys.find(secret) if keys is not None and secret else None
        if key is None:
            hint = "send `Authorization: Bearer KEY`; `tinyllm keys add NAME` makes a key"
            raise AccessError("this key is not known" if secret else "this needs a key", hint=hint)
        if right not in key.rights:
            raise Forbidden(f"key {key.name!r} lacks the right {right!r}", hint="ask with another key")
        if right != "answer" or scope["method"] != "POST":
            return Caller(key.tenant, key.name, frozenset(key.rights))
        self.ledger.count(key)
        return Caller(key.tenant, key.name, frozenset(key.rights), await self.ledger.left(key))


def right_of(path: str) -> Right | None:
    """The right that a path needs; None for those that tell nothing."""
    if path in ("/health", "/ready", "/openapi.json"):
        return None
    if path.startswith("/v1/") or path == "/mcp" or path in OLLAMA:
        return "answer"
    return "feedback" if path == "/api/feedback" else "admin"


def name_of(host: str) -> str:
    """The name in a Host header, without port and brackets; nothing where it is malformed."""
    found = _HOST.fullmatch(host)
    return found[1].strip("[]").lower() if found else ""


def is_loopback(host: str) -> bool:
    return host in LOOPBACK or host.startswith("127.")


def _sharing(send: Send, origin: bytes) -> Send:
    """`send` with the headers that let the page read the answer."""
    shared = [(b"access-control-allow-origin", origin), (b"vary", b"Origin")]

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *shared]
        await send(message)

    return sending


async def _preflight(send: Send) -> None:
    allowed: Mapping[bytes, bytes] = {
        b"access-control-allow-methods": b"GET, POST, PUT, DELETE",
        b"access-control-allow-headers": b"*, authorization",
        b"access-control-max-age": b"600",
    }
    headers: Iterable[tuple[bytes, bytes]] = allowed.items()
    await send({"type": "http.response.start", "status": 204, "headers": list(headers)})
    await send({"type": "http.response.body", "body": b""})
