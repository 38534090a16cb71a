"""Whatever is sent, the server answers it or says what is wrong with it; it never breaks."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.serving import Running

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
GOOD: dict[str, Any] = {
    "model": "pair",
    "messages": [{"role": "user", "content": "hello"}],
    "prompt": "hello",
    "input": "hello",
    "run_id": "r1",
    "answer": "four",
}
FIELDS = (
    "messages", "prompt", "input", "model", "stream", "stream_options", "n", "stop", "seed", "tools",
    "tool_choice", "response_format", "format", "options", "text", "temperature", "max_tokens", "user", "tinyllm",
    "encoding_format", "dimensions", "good", "answer", "run_id",
)  # fmt: skip
PATHS = (
    "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings", "/api/chat", "/api/generate",
    "/api/show", "/api/feedback", "/api/tickets/t1",
)  # fmt: skip


@pytest.fixture(scope="module")
def http() -> httpx.Client:
    return httpx.Client(timeout=30)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(PATHS), changed=st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4))
def test_no_body_breaks_the_server(
    pair: Running, http: httpx.Client, path: str, changed: dict[str, Any]
) -> None:
    data = json.dumps({**GOOD, **changed}).encode()
    response = http.post(f"{pair.url}{path}", content=data)
    assert response.status_code < 500, (path, changed, response.text)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(PATHS), data=st.binary(max_size=60))
def test_no_bytes_break_the_server(pair: Running, http: httpx.Client, path: str, data: bytes) -> None:
    assert 400 <= http.post(f"{pair.url}{path}", content=data).status_code < 500
