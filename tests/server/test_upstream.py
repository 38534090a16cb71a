"""What the server asks of the models behind it."""

from collections.abc import Iterator

import httpx
import pytest

from tests.support.chat_server import Chat, chat_server, says
from tests.support.serving import serving
from tinyllm.backends import build
from tinyllm.protocols import Backend

NETWORK = """
schema: 1
name: remote
models: {m: {backend: openai}}
nodes:
  start: {kind: entry, next: ask}
  ask: {kind: specialist, model: m, next: end}
  end: {kind: exit}
"""


@pytest.fixture
def upstream() -> Iterator[Chat]:
    with chat_server(lambda body: says("fine"), "m") as chat:
        yield chat


@pytest.mark.parametrize(
    ("gate", "stream", "asked"), [("", True, True), ("", False, False), ("gate", True, False)]
)
def test_a_model_streams_only_where_somebody_reads_along(
    upstream: Chat, gate: str, stream: bool, asked: bool
) -> None:
    network = NETWORK
    if gate:
        network = network.replace("m, next: end}", "m, next: gate}").replace(
            "  end:", "  gate: {kind: gate, checks: [{check: schema}], next: end}\n  end:"
        )
    model: Backend = build("m", "openai", {"base_url": upstream.url, "model": "m"})
    with serving(network, {"m": model}) as running:
        body = {"messages": [{"role": "user", "content": "hi"}], "stream": stream}
        assert "fine" in httpx.post(f"{running.url}/v1/chat/completions", json=body, timeout=30).text
    assert upstream.bodies[0]["stream"] is asked
    assert ("stream_options" in upstream.bodies[0]) is asked
