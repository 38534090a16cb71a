"""The stream of what happens: live, by topic and tenant, taken up again, and over when the server ends."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.server.conftest import NETWORK, big, small
from tests.server.test_admin import ask
from tests.support.serving import Running, serving
from tinyllm.backends.scripted import Scripted


@pytest.fixture
def fresh() -> Iterator[Running]:
    models = {"small": Scripted("small", small), "big": Scripted("big", big)}
    with serving(NETWORK, models) as running:
        yield running


def read(running: Running, count: int, topics: str = "run", last: str | None = None) -> list[dict[str, Any]]:
    """The next events, each with its id and kind."""
    headers = {"Last-Event-ID": last} if last else {}
    found: list[dict[str, Any]] = []
    event: dict[str, Any] = {}
    with httpx.stream(
        "GET", f"{running.url}/api/events?topics={topics}", headers=headers, timeout=20
    ) as response:
        for line in response.iter_lines():
            name, _, value = line.partition(": ")
            if name == "data":
                found.append({**event, **json.loads(value)})
                if len(found) == count:
                    return found
            elif name:
                event[name] = value
    return found


def test_what_happens_is_told_and_taken_up_again(fresh: Running) -> None:
    heard: list[dict[str, Any]] = []
    reader = threading.Thread(target=lambda: heard.extend(read(fresh, 4)))
    reader.start()
    runs: list[str] = []
    give_up = time.monotonic() + 20
    while reader.is_alive():
        assert time.monotonic() < give_up
        runs.append(ask(fresh, "hello"))
        time.sleep(0.05)
    assert [event["event"] for event in heard] == ["run_started", "run_finished"] * 2
    first, second = heard[0]["run_id"], heard[2]["run_id"]
    assert runs.index(second) == runs.index(first) + 1
    again = read(fresh, 3, last=heard[0]["id"])
    assert [event["id"] for event in again] == [event["id"] for event in heard[1:]]


def test_topics_choose_what_is_told(fresh: Running) -> None:
    first, second = ask(fresh, "hello"), ask(fresh, "sum it")
    events = read(fresh, 3, "tool,model", last=f"{first}/999")
    assert [(event["event"], event["run_id"]) for event in events] == [
        ("model_called", second),
        ("tool_called", second),
        ("model_called", second),
    ]
    assert httpx.get(f"{fresh.url}/api/events?topics=all").status_code == 400


def test_readers_go_when_the_server_ends() -> None:
    begun, ended = threading.Event(), threading.Event()

    def watch() -> None:
        with httpx.stream("GET", f"{running.url}/api/events", timeout=20) as response:
            for _ in response.iter_lines():
                begun.set()
        ended.set()

    models = {"small": Scripted("small", small), "big": Scripted("big", big)}
    with serving(NETWORK, models) as running:
        threading.Thread(target=watch, daemon=True).start()
        assert begun.wait(10)
    assert ended.wait(4), "the server waits 5 seconds for answers, and readers must not make it wait"
