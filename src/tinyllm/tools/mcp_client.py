"""A connection to one server that speaks the Model Context Protocol: opened at the first call, and again after it
broke; every call ends in bounded time. Knows nothing about what its tools are for.
"""

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tinyllm.errors import SettingsError, ToolError, ToolTimeout, ToolUnavailable
from tinyllm.tools.mcp_trust import Offered, digest
from tinyllm.types import JSON

if TYPE_CHECKING:
    from mcp import Client
    from mcp_types import CallToolResult

FRESH = 60.0  # seconds after which a server is asked again whether its tools are still the same
MOST_TOOLS = 200
_CLOSING = 8.0  # seconds: the client waits for a process to end, then ends it


@dataclass(frozen=True, slots=True)
class Server:
    """A program started with `command` in `folder` (its environment is little more than `env`), or the `url` of
    one that runs. A call may take `seconds`; `after_untrusted` permits calls once a run has read strangers' text."""

    name: str
    command: Sequence[str] = ()
    url: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    folder: Path = Path()
    seconds: float = 30.0
    after_untrusted: bool = False

    @property
    def where(self) -> str:
        """How it is reached, in a line."""
        return self.url or " ".join(self.command)

    @property
    def reached(self) -> str:
        """A digest of all that says which server this is."""
        # A program named by a relative path is another one in another folder.
        folder = str(self.folder.absolute()) if self.command else ""
        said = [list(self.command), self.url, dict(self.env), dict(self.headers), folder]
        return sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


class _Link:
    """An open connection. It is opened and closed in one task, as the client library wants it."""

    def __init__(self, server: Server, loud: bool) -> None:
        self.client: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()
        self.checked: float | None = None
        self.owner = asyncio.create_task(self._own(server, loud))

    async def _own(self, server: Server, loud: bool) -> None:
        fault: BaseException = ConnectionError("the connection was closed")
        try:
            async with _opened(server, loud) as client:
                self.client.set_result(client)
                await self.over.wait()
        except Exception as error:  # whatever a stranger's server makes the client library raise
            fault = error
        finally:
            if not self.client.done():
                self.client.set_exception(_first(fault))
                self.client.exception()  # looked at: perhaps nobody waits for it any more


class Connection:
    """Calls the tools of a server, which must still be `tools`; where there are none, it lists them.

    With `loud`, what its program writes to standard error is shown. Raises SettingsError without the `mcp` package.
    """

    def __init__(self, server: Server, tools: Sequence[Offered] = (), *, loud: bool = False) -> None:
        if find_spec("mcp") is None:
            raise SettingsError("tools over MCP need mcp", hint="pip install 'tinyllm-network[mcp]'")
        self.server = server
        self.tools = tools
        self._loud = loud
        self._link: _Link | None = None
        self._owners: set[asyncio.Task[None]] = set()
        self._running = 0

    async def listed(self) -> Sequence[Offered]:
        """What the server offers now. Raises ToolTimeout, ToolUnavailable."""
        async with self._bounded() as link:
            return await _listed(link.client.result())

    async def call(self, tool: str, arguments: Mapping[str, JSON]) -> "CallToolResult":
        """The server's answer. Raises ToolError for a call that it does not take, ToolTimeout, ToolUnavailable."""
        async with self._bounded() as link:
            await self._check(link)
            return await link.client.result().call_tool(tool, dict(arguments))

    @asynccontextmanager
    async def _bounded(self) -> AsyncIterator[_Link]:
        """The open connection, for as long as one call may take; what it raises becomes a ToolError."""
        from mcp import MCPError
        from mcp_types import CONNECTION_CLOSED, REQUEST_TIMEOUT

        name, seconds = self.server.name, self.server.seconds
        hint = f"`tinyllm mcp trust {name}` starts it and shows what it says"
        self._running += 1
        try:
            async with asyncio.timeout(seconds):
                if self._link is None or self._link.owner.done():
                    self._link = _Link(self.server, self._loud)
                    self._owners.add(self._link.owner)
                    self._link.owner.add_done_callback(self._owners.discard)
                link = self._link
                await asyncio.shield(link.client)
                yield link
        except ToolError:
            raise
        except Exception as error:  # the same boundary as above
            code = error.code if isinstance(error, MCPError) else None
            told = str(error)[:500] or type(error).__name__
            if code == REQUEST_TIMEOUT or isinstance(error, TimeoutError):
                if self._running == 1:  # else it may be only this call that hangs
                    self._let_go()
                raise ToolTimeout(f"MCP server {name!r} took longer than {seconds:g} s", hint=hint) from None
            if code is not None and code != CONNECTION_CLOSED:
                raise ToolError(f"MCP server {name!r}: {told}") from None
            self._let_go()
            raise ToolUnavailable(f"MCP server {name!r} cannot be used: {told}", hint=hint) from None
        finally:
            self._running -= 1

    async def _check(self, link: _Link) -> None:
        """Make sure, once in a while, that the tools are those that are trusted. Raises ToolUnavailable."""
        if link.checked is not None and time.monotonic() - link.checked < FRESH:
            return
        if (now := await _listed(link.client.result())) != list(self.tools):
            name = self.server.name
            raise ToolUnavailable(
                f"the tools of MCP server {name!r} are not those that you trusted ({digest(now)})",
                hint=f"tinyllm mcp trust {name}",
            )
        link.checked = time.monotonic()

    def _let_go(self) -> None:
        if self._link is not None:
            self._link.over.set()
            self._link = None

    async def close(self) -> None:
        """End the server's programs, those too that hung and were let go."""
        if self._link is not None and not self._link.client.done():
            self._link.owner.cancel()
        self._let_go()
        if self._owners:  # were the event loop to end before them, it would wait for a program that hangs
            await asyncio.wait(self._owners, timeout=_CLOSING)


def _first(error: BaseException) -> BaseException:
    """The error itself, of groups of errors the first."""
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


@asynccontextmanager
async def _opened(server: Server, loud: bool) -> "AsyncIterator[Client]":
    from httpx2 import AsyncClient, Timeout
    from mcp import Client, StdioServerParameters, stdio_client
    from mcp.client.streamable_http import streamable_http_client

    log = logging.getLogger("mcp")
    if not log.handlers:  # else every broken line of a server is a traceback on the screen
        log.addHandler(logging.NullHandler())
    bound = server.seconds
    if server.url is not None:
        # A stream that waits for news may be silent for longer than a call may take.
        async with AsyncClient(headers=dict(server.headers), timeout=Timeout(bound, read=300)) as http:
            transport = streamable_http_client(server.url, http_client=http)
            async with Client(transport, read_timeout_seconds=bound, cache=None) as client:
                yield client
        return
    program, *arguments = server.command
    started = StdioServerParameters(
        command=program, args=arguments, env=dict(server.env), cwd=server.folder.absolute()
    )
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: ASYNC230, PTH123 - nothing is there to wait for
        errors = sys.__stderr__ if loud and sys.__stderr__ is not None else nowhere
        transport = stdio_client(started, errlog=errors)
        async with Client(transport, read_timeout_seconds=bound, cache=None) as client:
            yield client


async def _listed(client: "Client") -> list[Offered]:
    found: list[Offered] = []
    cursor: str | None = None
    while len(found) <= MOST_TOOLS:
        page = await client.list_tools(cursor=cursor)
        found += [
            Offered(name=t.name, description=t.description or "", parameters=t.input_schema)
            for t in page.tools
        ]
        cursor = page.next_cursor
        if cursor is None:
            return sorted(found, key=lambda tool: tool.name)
    raise ToolUnavailable(f"the server has more than {MOST_TOOLS} tools")
