"""The network as an MCP server, asked by the official client over HTTP and over standard input and output."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from tests.cli.conftest import home
from tests.server.conftest import NETWORK, big, small
from tests.server.test_keys import key
from tests.support.serving import Running, serving
from tinyllm.backends.scripted import Scripted
from tinyllm.protocols import ToolContext
from tinyllm.server import Access, Keyring
from tinyllm.server.keys import write_keys
from tinyllm.tools.mcp import McpTool
from tinyllm.tools.mcp_client import Connection, Server

__all__ = ["home"]  # fixtures

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
ACCEPT = {"Accept": "application/json, text/event-stream"}


def text(result: Any) -> str:
    return str(result.content[0].text)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_asks_over_http_and_says_how_good_it_was(pair: Running, mode: str) -> None:
    async with Client(f"{pair.url}/mcp", mode=mode) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert names == ["ask", "feedback", "calculator"]
        asked = await client.call_tool("ask", {"question": "sum"})
        told = asked.structured_content
        assert text(asked) == "the tool said 40 + 2 = 42" and not asked.is_error
        assert told is not None and told["status"] == "answered" and "work" in told["route"]
        kept = await client.call_tool("feedback", {"run_id": told["run_id"], "good": True})
        assert not kept.is_error and kept.structured_content is not None
        assert kept.structured_content["kind"] == "thumb"
    assert [grade.score for grade in await pair.store.grades(run_id=told["run_id"])] == [1.0]


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("ask", {}, "question: Field required"),
    ("ask", {"question": "hi", "colour": 1}, "colour"),
    ("ask", {"question": "hi", "quality": 7}, "quality"),
    ("ask", {"question": "hi", "right": 1}, "right"),
    ("ask", {"question": "break"}, "the model is gone"),
    ("feedback", {"run_id": "r1", "good": True}, "r1"),
    ("feedback", {"run_id": "r1"}, "good"),
    ("calculator", {"expression": "1 / 0"}, "zero"),
    ("lookup", {}, "there is no tool 'lookup'"),
]


async def test_what_is_wrong_is_told_to_the_model_that_called(pair: Running) -> None:
    async with Client(f"{pair.url}/mcp") as client:
        for name, arguments, told in WRONG:
            result = await client.call_tool(name, arguments)
            assert result.is_error and told in text(result), (name, arguments)
        assert text(await client.call_tool("calculator", {"expression": "6 * 7"})) == "6 * 7 = 42"


async def test_the_network_is_a_server_for_networks(pair: Running) -> None:
    connection = Connection(Server("pair", url=f"{pair.url}/mcp"))
    try:
        connection.tools = await connection.listed()
        tool = McpTool("colleague", "ask", connection)
        result = await tool.call({"question": "hello"}, ToolContext(0.0, 0))
        assert result.text == "one two three"
    finally:
        await connection.close()


def test_over_http_there_is_one_way_in(pair: Running) -> None:
    assert httpx.get(f"{pair.url}/mcp").status_code == 405
    assert httpx.post(f"{pair.url}/mcp", content=b"{", headers=ACCEPT).status_code == 400
    rebound = pair.post("/mcp", INITIALIZE, Host="evil.example", **ACCEPT)
    assert rebound.status_code == 403
    foreign = pair.post("/mcp", INITIALIZE, Origin="http://evil.example", **ACCEPT)
    assert foreign.status_code == 403
    assert pair.post("/mcp", INITIALIZE, **ACCEPT).json()["result"]["serverInfo"]["name"] == "tinyllm"


CALL = {"jsonrpc": "2.0", "id": 3, "method": "tools/call"}
MALFORMED: list[bytes] = [
    b"",
    b"[" * 20_000,
    b"[]",
    b"\xff\xfe",
    b'{"jsonrpc": "2.0"}',
    json.dumps({**INITIALIZE, "params": {"protocolVersion": [], "capabilities": 7}}).encode(),
    json.dumps({**CALL, "params": {"name": None}}).encode(),
    json.dumps({**CALL, "params": {"name": "ask", "arguments": []}}).encode(),
    json.dumps({**CALL, "params": {"name": "ask", "arguments": {"question": {}}}}).encode(),
    json.dumps({**CALL, "params": {"name": "calculator", "arguments": {"expression": "\ud800"}}}).encode(),
    json.dumps({**CALL, "params": {"name": "x" * 5000}}).encode(),
]


@pytest.mark.parametrize("version", ["2025-06-18", "2026-07-28", "none"])
def test_malformed_messages_break_nothing(pair: Running, version: str) -> None:
    for body in MALFORMED:
        headers = {**ACCEPT, "Content-Type": "application/json", "MCP-Protocol-Version": version}
        assert httpx.post(f"{pair.url}/mcp", content=body, headers=headers, timeout=30).status_code < 500, (
            body
        )
    assert httpx.get(f"{pair.url}/health").status_code == 200


@pytest.fixture
def keyed(tmp_path: Path) -> Iterator[Running]:
    path = tmp_path / "keys.json"
    write_keys(path, [key("ann", rights=["answer", "feedback"]), key("bob")])
    models = {"small": Scripted("small", small), "big": Scripted("big", big)}
    with serving(NETWORK, models, Access(keys=Keyring(path))) as running:
        yield running


async def test_with_keys_everybody_asks_in_their_own_name(keyed: Running) -> None:
    assert keyed.post("/mcp", INITIALIZE, **ACCEPT).status_code == 401

    async def asked(name: str, tool: str, arguments: dict[str, Any]) -> Any:
        headers = {"Authorization": f"Bearer secret of {name}"}
        async with (
            httpx2.AsyncClient(headers=headers) as http,
            Client(streamable_http_client(f"{keyed.url}/mcp", http_client=http)) as client,
        ):
            return await client.call_tool(tool, arguments)

    run_id = (await asked("ann", "ask", {"question": "hello"})).structured_content["run_id"]
    assert [row.run_id for row in await keyed.store.runs(tenant="ann")] == [run_id]
    judged = {"run_id": run_id, "good": False}
    assert "lacks the right" in text(await asked("bob", "feedback", judged))
    assert not (await asked("ann", "feedback", judged)).is_error


async def test_a_client_starts_it_over_standard_input_and_output(home: Path) -> None:
    program = "from tinyllm.cli.main import main; main()"
    env = {
        "TINYLLM_STORE": f"sqlite:///{(home / 'store.db').as_posix()}",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    started = StdioServerParameters(
        command=sys.executable,
        args=["-c", program, "mcp", "serve", "--network", "tiny.yaml"],
        env=env,
        cwd=home,
    )
    async with Client(started) as client:
        asked = await client.call_tool("ask", {"question": "hello"})
        assert text(asked) == "forty <b>two</b>"
        assert asked.structured_content is not None
        judged = {"run_id": asked.structured_content["run_id"], "answer": "forty-two"}
        assert not (await client.call_tool("feedback", judged)).is_error
