"""A wanted share of right answers reaches the routers by every way in which a server can be asked."""

import math
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from mcp import Client

from tests.support.serving import Running, serving
from tinyllm.backends.scripted import Answer, Scripted
from tinyllm.types import TokenScore

NETWORK = """
schema: 1
name: two
models: {choice: {backend: s}, small: {backend: s}, large: {backend: s}}
nodes:
  entry: {kind: entry, next: choose}
  choose:
    kind: router
    model: choice
    routes: {cheap: {to: one}, dear: {to: two}}
    worth:
      cheap: {right: 0.8, seen: 1000, cost: 1}
      dear: {right: 0.97, seen: 1000, cost: 10}
  one: {kind: specialist, model: small, next: end}
  two: {kind: specialist, model: large, next: end}
  end: {kind: exit}
"""
TURN = [{"role": "user", "content": "anything"}]


@pytest.fixture(scope="module")
def two() -> Iterator[Running]:
    half = (TokenScore("cheap", math.log(0.5)),)
    models = {
        "choice": Scripted("choice", lambda prompt: Answer('{"route": "cheap"}', scores=half)),
        "small": Scripted("small", lambda prompt: "small"),
        "large": Scripted("large", lambda prompt: "large"),
    }
    with serving(NETWORK, models) as running:
        yield running


def run_of(running: Running, path: str, body: dict[str, Any], wish: dict[str, Any]) -> str:
    answer = running.post(path, {"model": "two", "stream": False, **body, "tinyllm": wish})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["tinyllm"]["run_id"])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": TURN}),
        ("/v1/completions", {"prompt": "anything"}),
        ("/v1/responses", {"input": "anything"}),
        ("/api/chat", {"messages": TURN}),
        ("/api/generate", {"prompt": "anything"}),
    ],
)
def test_a_share_is_wanted_by_request(two: Running, path: str, body: dict[str, Any]) -> None:
    for wish, taken in (({"right": 0.7}, "cheap"), ({"right": 0.9}, "dear"), ({"quality": 0.2}, "cheap")):
        run = run_of(two, path, body, wish)
        choose = httpx.get(f"{two.url}/api/runs/{run}").json()["spans"][1]
        assert (choose["choice"], choose["right"]) == (taken, wish.get("right"))


def test_what_is_no_share_is_told_with_its_field(two: Running) -> None:
    for wrong in (0, 1, "much"):
        body = {"model": "two", "messages": TURN, "tinyllm": {"right": wrong}}
        refused = two.post("/v1/chat/completions", body)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "tinyllm.right")


async def test_a_share_is_wanted_over_mcp(two: Running) -> None:
    async with Client(f"{two.url}/mcp") as client:
        for right, taken in ((0.7, "small"), (0.9, "large")):
            asked: Any = await client.call_tool("ask", {"question": "anything", "right": right})
            assert asked.content[0].text == taken
