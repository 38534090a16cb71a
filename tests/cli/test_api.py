"""The Python API: from a program, from an event loop, with mistakes, and closed in the middle."""

import asyncio
import sys
import threading
from pathlib import Path

import pytest

import tinyllm
from tinyllm.api import Network
from tinyllm.errors import GraphError, RequestError, StoreError
from tinyllm.types import Message


@pytest.fixture
def net(home: Path) -> Network:
    return tinyllm.load("tiny.yaml", store=None)


def test_a_question_and_a_conversation_are_answered(net: Network) -> None:
    with net:
        assert net.ask("hi").answer == "forty <b>two</b>"
        said = [Message("user", "hi"), Message("assistant", "forty"), Message("user", "sure?")]
        assert net.replay(net.ask(said).run_id).status == "answered"


def test_it_works_within_an_event_loop(net: Network) -> None:
    async def inside() -> list[str]:
        replies = await asyncio.gather(*(net.aask(str(number)) for number in range(50)))
        events = [event async for event in net.stream("hi")]
        return [str(reply.status) for reply in replies] + [events[-1].data["status"]]

    with net:
        assert asyncio.run(inside()) == ["answered"] * 51


async def _stream(net: Network, text: str) -> None:
    async for _ in net.stream(text):
        pass


def test_mistakes_are_errors_of_ours(home: Path, net: Network) -> None:
    with pytest.raises(GraphError, match="nope"):
        tinyllm.load("nope")
    with pytest.raises(StoreError, match="URL"):
        tinyllm.load("tiny.yaml", store="nope")
    with net:
        with pytest.raises(RequestError, match="list of"):
            net.ask([{"role": "user", "content": "hi"}])  # type: ignore[list-item]
        with pytest.raises(RequestError, match="empty"):
            net.ask([])
        with pytest.raises(RequestError, match="empty"):
            asyncio.run(_stream(net, ""))
        for wrong in ({"clock": float("nan")}, {"clock": 1e30}, {"quality": 7}, {"right": 1}):
            with pytest.raises(RequestError, match="is no "):
                net.ask("hi", **wrong)
        with pytest.raises(RequestError, match="'nope'"):
            net.ask("hi", forced={"nope": "x"})
    net.close()
    with pytest.raises(RequestError, match="closed"):
        net.ask("hi")
    with pytest.raises(RequestError, match="closed"):
        asyncio.run(_stream(net, "hi"))


SLOW = """\
schema: 1
name: slow
tools: {slow: "slow_tool:slow"}
nodes:
  start: {kind: entry, next: work}
  work: {kind: tool, tool: slow, argument: text, next: end}
  end: {kind: exit}
"""


def test_closing_waits_for_a_run_on_its_way(home: Path) -> None:
    (home / "slow.yaml").write_text(SLOW, encoding="utf-8")
    (home / "slow_tool.py").write_text(
        "import threading, time\nbegun = threading.Event()\n"
        "def slow(text: str) -> str:\n    begun.set()\n    time.sleep(0.2)\n    return text\n"
    )
    net = tinyllm.load("slow.yaml", store=None)
    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(net.ask("hi").answer))
    thread.start()
    assert sys.modules["slow_tool"].begun.wait(10)
    net.close()
    thread.join(10)
    assert answers == ["hi"]
