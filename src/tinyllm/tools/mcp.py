"""Tools of servers that speak the Model Context Protocol, as far as the user trusts them.

What a server says is data of strangers: it is marked as untrusted, cut to size, and never read as more.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tinyllm.errors import SettingsError, ToolError, ToolUnavailable
from tinyllm.protocols import Tool, ToolContext
from tinyllm.tools.arguments import nearest
from tinyllm.tools.mcp_client import Connection, Server
from tinyllm.tools.mcp_trust import read_trust
from tinyllm.types import JSON, ToolResult, ToolSpec

if TYPE_CHECKING:
    from mcp_types import CallToolResult

MAX_RESULT = 20_000  # characters
_DESCRIBED = 1_000  # characters of a description that a model is shown


class McpTool:
    """The tool `remote` of a server, called `name` here. Raises SettingsError where it has no such tool."""

    def __init__(self, name: str, remote: str, connection: Connection) -> None:
        self._connection, self._remote = connection, remote
        found = {tool.name: tool for tool in connection.tools}.get(remote)
        if found is None:
            raise SettingsError(
                f"MCP server {connection.server.name!r} has no tool {remote!r}"
                + nearest(remote, [tool.name for tool in connection.tools]),
                hint=f"`tinyllm mcp list` shows its tools; tool {name!r} of the network file names one",
            )
        self.spec = ToolSpec(
            name,
            found.description[:_DESCRIBED] or remote,
            found.parameters,
            repeatable=False,
            untrusted=True,
            guarded=not connection.server.after_untrusted,
        )

    async def call(self, arguments: Mapping[str, JSON], context: ToolContext) -> ToolResult:
        """What the server answers. Raises ToolError with its complaint, ToolTimeout, ToolUnavailable."""
        return _result(self.spec.name, await self._connection.call(self._remote, arguments))


class Withheld:
    """A tool that is not called where answers are only tried: to call it again could do things twice."""

    def __init__(self, spec: ToolSpec) -> None:
        self.spec = spec

    async def call(self, arguments: Mapping[str, JSON], context: ToolContext) -> ToolResult:
        raise ToolUnavailable(f"{self.spec.name!r} reaches outside and is not called to try a change")


def trusted(server: Server, path: Path) -> Connection:
    """A connection to the server, not yet opened, to what the user trusts of it. Raises SettingsError."""
    trust = read_trust(path).get(server.name)
    if trust is None or trust.reached != server.reached:
        reason = (
            "is not trusted" if trust is None else "is not the one that you trusted: its settings changed"
        )
        raise SettingsError(f"MCP server {server.name!r} {reason}", hint=f"tinyllm mcp trust {server.name}")
    return Connection(server, trust.tools)


def withheld(tools: Mapping[str, Tool]) -> dict[str, Tool]:
    """The tools, those that reach outside withheld."""
    return {name: Withheld(tool.spec) if tool.spec.untrusted else tool for name, tool in tools.items()}


def _result(name: str, answer: "CallToolResult") -> ToolResult:
    blocks = (block.text if block.type == "text" else f"[{block.type}]" for block in answer.content)
    text = _cut("\n".join(blocks))
    if answer.is_error:
        raise ToolError(f"{name} failed: {text[:500]}")
    value = answer.structured_content
    if value is None or len(json.dumps(value)) > MAX_RESULT:
        value = text
    return ToolResult(value, text or _cut(json.dumps(value, ensure_ascii=False)))


def _cut(text: str) -> str:
    if len(text) <= MAX_RESULT:
        return text
    return f"{text[:MAX_RESULT]} [cut: {len(text)} characters in all]"
