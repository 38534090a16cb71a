"""`tinyllm mcp`: tools of other programs, and this network as a tool of theirs."""

import asyncio
import os
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import click

from tinyllm.cli.output import (
    json_flag,
    network_flag,
    no_store_flag,
    note,
    plain,
    print_json,
    settings,
)
from tinyllm.errors import SettingsError

if TYPE_CHECKING:
    from tinyllm.tools.mcp_client import Server
    from tinyllm.tools.mcp_trust import Offered


@click.group()
def mcp() -> None:
    """Example: tinyllm mcp list

    The Model Context Protocol joins programs with tools. Servers are named in tinyllm.toml.
    """


@mcp.command("list", short_help="List the servers of the settings, and what you trust of them.")
@json_flag
def list_(as_json: bool) -> None:
    """Example: tinyllm mcp list

    Starts none of them.
    """
    from tinyllm.cli.workshop import mcp_server
    from tinyllm.settings import trusted_servers
    from tinyllm.tools.mcp_trust import digest, read_trust

    chosen = settings()
    known = read_trust(trusted_servers(os.environ))
    rows: list[dict[str, Any]] = []
    for name in chosen.mcp:
        server, trust = mcp_server(name, chosen), known.get(name)
        same = trust is not None and trust.reached == server.reached
        tools = trust.tools if trust is not None and same else ()
        state = "trusted" if same else "not trusted" if trust is None else "changed"
        row: dict[str, Any] = {
            "name": name,
            "where": server.where,
            "state": state,
            "digest": digest(tools) if tools else None,
        }
        rows.append(row | {"tools": [tool.name for tool in tools]})
    if as_json:
        print_json(rows)
        return
    for row in rows:
        click.echo(plain(f"{row['name']}  {row['state']}  {row['where']}"))
        for tool in row["tools"]:
            click.echo(plain(f"  mcp:{row['name']}/{tool}"))
        if row["state"] != "trusted":
            click.echo(f"  next: tinyllm mcp trust {row['name']}")
    if not rows:
        note(
            'no server is named; one looks so in tinyllm.toml: [mcp.files] command = ["npx", "-y", "PACKAGE"]'
        )


@mcp.command(short_help="Start one, see its tools, and let networks use them.")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def trust(name: str, yes: bool) -> None:
    """Example: tinyllm mcp trust files

    Networks may use these tools until the server, or a word of how it describes them, changes.
    """
    from tinyllm.cli.workshop import mcp_server
    from tinyllm.settings import trusted_servers
    from tinyllm.tools.mcp_trust import Trust, digest, read_trust, write_trust

    path = trusted_servers(os.environ)
    server, known = mcp_server(name, settings()), read_trust(path)
    before = known.get(name)
    start = f"ask {server.where}" if server.url else f"start `{server.where}` in {server.folder.absolute()}"
    if not yes and (before is None or before.reached != server.reached):
        click.confirm(plain(f"May I {start}?"), abort=True)
    tools = asyncio.run(_listed(server))
    _show(tools, before.tools if before else ())
    if before is not None and before.reached == server.reached and list(before.tools) == list(tools):
        note(f"nothing changed: {digest(tools)}")
        return
    if not yes:
        click.confirm(f"May networks use the {len(tools)} tools of {name}?", abort=True)
    write_trust(path, known | {name: Trust(reached=server.reached, tools=tuple(tools))})
    note(f"trusted as {digest(tools)}; a network file names a tool so: tools: {{NAME: mcp:{name}/TOOL}}")


@mcp.command(short_help="Trust a server no more.")
@click.argument("name")
def distrust(name: str) -> None:
    """Example: tinyllm mcp distrust files"""
    from tinyllm.settings import trusted_servers
    from tinyllm.tools.mcp_trust import read_trust, write_trust

    path = trusted_servers(os.environ)
    known = read_trust(path)
    if known.pop(name, None) is None:
        note(f"{name!r} was not trusted")
    write_trust(path, known)


@mcp.command(short_help="Be an MCP server, over standard input and output.")
@network_flag
@no_store_flag
def serve(network: str | None, no_store: bool) -> None:
    """Example: tinyllm mcp serve --network starter

    For programs that start their servers themselves. It offers `ask`, `feedback` and the network's own tools;
    `tinyllm serve` offers the same at /mcp.
    """
    chosen = settings(network=network)
    if find_spec("mcp") is None:
        raise SettingsError("`tinyllm mcp serve` needs mcp", hint="pip install 'tinyllm-network[mcp]'")

    async def run() -> None:
        from tinyllm.cli.wiring import open_service
        from tinyllm.server import Limits
        from tinyllm.server.mcp import serve_stdio

        async with open_service([chosen.network], chosen, Limits(), keep=not no_store) as service:
            await serve_stdio(service)

    asyncio.run(run())


async def _listed(server: "Server") -> "Sequence[Offered]":
    from tinyllm.tools.mcp_client import Connection

    connection = Connection(server, loud=True)
    try:
        return await connection.listed()
    finally:
        await connection.close()


def _show(tools: "Sequence[Offered]", before: "Sequence[Offered]") -> None:
    """The tools as they describe themselves, each marked where it is new or changed."""
    was = {tool.name: tool for tool in before}
    for tool in tools:
        mark = (
            "" if not before or was.get(tool.name) == tool else " (changed)" if tool.name in was else " (new)"
        )
        takes = ", ".join(tool.parameters.get("properties", {}))
        click.echo(plain(f"{tool.name}({takes}){mark}"))
        click.echo(plain(f"  {tool.description}"))
    for gone in was.keys() - {tool.name for tool in tools}:
        click.echo(plain(f"{gone} (gone)"))
