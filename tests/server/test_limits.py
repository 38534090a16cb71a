"""What the server does not take, and what happens to those who leave."""

import asyncio
import json
import socket
import time
from collections.abc import Iterator

import httpx
import openai
import pytest
from openai import OpenAI

from tests.server.conftest import NETWORK, big, small
from tests.support.serving import Running, serving
from tinyllm.backends.scripted import Scripted
from tinyllm.protocols import RunRow
from tinyllm.server import Access, Limits
from tinyllm.server.messages import Chat, parsed


@pytest.fixture(scope="module")
def narrow() -> Iterator[Running]:
    """A server with one place to run in, and one to wait in."""
    models = {"small": Scripted("small", small), "big": Scripted("big", big)}
    access = Access(origins=frozenset({"http://chat.example"}))
    with serving(NETWORK, models, access, Limits(running=1, waiting=1, body=10_000)) as running:
        yield running


def ask(question: str, **options: object) -> dict[str, object]:
    return {"model": "pair", "messages": [{"role": "user", "content": question}], **options}


def finished(running: Running, question: str) -> RunRow:
    """The run of that question, once it has come to its end."""
    give_up = time.monotonic() + 10
    while time.monotonic() < give_up:
        for row in asyncio.run(running.store.runs(limit=50)):
            if row.question == question and row.status is not None:
                return row
        time.sleep(0.02)
    raise AssertionError(f"the run of {question!r} never ended")


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_cancels_its_run(pair: Running, stream: bool) -> None:
    question = f"slow {stream}"
    body = ask(question, stream=stream)
    try:
        with httpx.stream("POST", f"{pair.url}/v1/chat/completions", json=body, timeout=0.3) as response:
            next(response.iter_bytes())
    except httpx.ReadTimeout:
        assert not stream
    row = finished(pair, question)
    assert (row.status, row.answer) == ("failed", "the run was cancelled")


def test_a_fault_of_ours_is_told_without_its_details(pair: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*args: object) -> None:
        raise RuntimeError("a secret path")

    monkeypatch.setattr(pair.store, "append", broken)
    response = pair.post("/v1/chat/completions", ask("2 + 2"))
    assert response.status_code == 500 and response.json()["error"]["type"] == "server_error"
    assert "a secret path" not in response.text


def test_what_users_said_is_not_kept_in_memory() -> None:
    """A cache of texts that were read would give the same object twice, and grow for hours."""
    body = json.dumps(ask("a short text", user="the name of a user")).encode()
    one, two = parsed(Chat, body), parsed(Chat, body)
    assert one.user == two.user and one.user is not two.user
    assert one.messages[0].content is not two.messages[0].content


def test_those_beyond_the_line_are_told_to_come_again(narrow: Running) -> None:
    client = OpenAI(base_url=f"{narrow.url}/v1", api_key="any", max_retries=0)
    with client.chat.completions.create(
        model="pair", messages=[{"role": "user", "content": "slow one"}], stream=True
    ) as first:
        next(iter(first))
        with socket.create_connection(("127.0.0.1", httpx.URL(narrow.url).port or 0)) as second:
            second.sendall(raw(ask("hello, in line", stream=True)))
            give_up = time.monotonic() + 10
            while "tinyllm_waiting 1" not in httpx.get(f"{narrow.url}/metrics").text:
                assert time.monotonic() < give_up
                time.sleep(0.02)
            with pytest.raises(openai.RateLimitError) as refused:
                client.chat.completions.create(model="pair", messages=[{"role": "user", "content": "hello"}])
            assert refused.value.response.headers["retry-after"] == "1"
            assert refused.value.code == "rate_limit_exceeded"
            first.close()
            second.settimeout(10)
            said = b""
            while b"[DONE]" not in said:  # it has its turn as soon as the first is gone
                said += second.recv(100_000)


def raw(body: dict[str, object]) -> bytes:
    data = json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


def test_a_reader_who_takes_nothing_holds_no_place(narrow: Running) -> None:
    with socket.create_connection(("127.0.0.1", httpx.URL(narrow.url).port or 0)) as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.sendall(raw(ask("hello lazy", stream=True)))
        assert finished(narrow, "hello lazy").status == "answered"
        assert narrow.post("/v1/chat/completions", ask("hello")).status_code == 200


def test_a_body_that_is_too_large(narrow: Running) -> None:
    client = OpenAI(base_url=f"{narrow.url}/v1", api_key="any", max_retries=0)
    with pytest.raises(openai.APIStatusError, match="larger than 10000 bytes") as caught:
        client.chat.completions.create(model="pair", messages=[{"role": "user", "content": "x" * 3_000_000}])
    assert caught.value.status_code == 413


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.", "[::1].evil"])
def test_a_name_that_is_not_the_servers_is_turned_away(narrow: Running, host: str) -> None:
    response = httpx.get(f"{narrow.url}/v1/models", headers={"Host": host})
    assert response.status_code in (400, 403)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:9", "[::1]:8765"])
def test_the_names_of_this_machine_are_known(narrow: Running, host: str) -> None:
    assert httpx.get(f"{narrow.url}/v1/models", headers={"Host": host}).status_code == 200


def test_a_foreign_page_may_not_ask_and_a_named_one_may(narrow: Running) -> None:
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
        response = narrow.post("/v1/chat/completions", ask("hello"), Origin=origin)
        assert response.status_code == 403 and "access-control-allow-origin" not in response.headers
    named = {"Origin": "http://chat.example"}
    response = narrow.post("/v1/chat/completions", ask("hello"), **named)
    assert response.headers["access-control-allow-origin"] == named["Origin"]
    before = httpx.options(f"{narrow.url}/v1/chat/completions", headers=named)
    assert before.status_code == 204 and "authorization" in before.headers["access-control-allow-headers"]
    assert httpx.get(f"{narrow.url}/health", headers={"Origin": narrow.url}).status_code == 200
    assert "access-control-allow-origin" not in httpx.get(f"{narrow.url}/health").headers


def test_paths_and_methods_that_do_not_exist(narrow: Running) -> None:
    assert narrow.post("/v1/nothing", {}).json()["error"]["code"] == "not_found"
    response = httpx.get(f"{narrow.url}/v1/chat/completions")
    assert response.status_code == 405 and response.json()["error"]["message"]


@pytest.mark.parametrize("head", [b"X: " + b"a" * 1_000_000, b"X: a\r\n" * 100_000, b"a" * 100_000])
def test_a_head_without_end_is_cut_off(narrow: Running, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", httpx.URL(narrow.url).port or 0)) as endless:
        endless.settimeout(10)
        try:
            endless.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + head)
            said = endless.recv(100)
        except ConnectionError:
            said = b""  # cut off before it was said why
    assert not said or b" 431 " in said or b" 400 " in said
    with httpx.Client() as kept:
        for _ in range(30):  # many requests over one connection are no endless head
            assert kept.get(f"{narrow.url}/health", headers={"X": "a" * 8_000}).status_code == 200


def test_health_and_readiness(narrow: Running) -> None:
    assert httpx.get(f"{narrow.url}/health").json() == {"status": "ok"}
    assert httpx.get(f"{narrow.url}/ready").json() == {"status": "ready"}
