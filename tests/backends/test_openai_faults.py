"""A server that fails in every way a server can, and what the person who asked gets to read."""

import asyncio
import json
import socket

import pytest

from tests.backends.conformance import SPEC, ask
from tests.support.fault_server import (
    DONE,
    END,
    STREAM,
    Log,
    Script,
    answer,
    chunk,
    drip,
    event,
    fault_server,
    send,
    stream,
)
from tinyllm.backends.folding import complete
from tinyllm.backends.openai_api import OpenAI, Options
from tinyllm.errors import BackendBusy, BackendError, BackendTimeout, BackendUnreachable, BadReply
from tinyllm.types import JSON, Completion, Prompt

KEY = "sk-secret-1234"
HELLO = stream(event(content="Hel"), event(content="lo"), event(finish="stop"), DONE)


def model(log: Log, **options: JSON) -> OpenAI:
    return OpenAI("m", Options(base_url=log.url, model="tiny", **options))


async def asked(*scripts: Script, prompt: Prompt | None = None, **options: JSON) -> Completion:
    """The answer of a fresh backend to one question, put to a server that plays these scripts."""
    async with fault_server(*scripts) as log:
        backend = model(log, **options)
        try:
            return await complete(backend, prompt or ask())
        finally:
            await backend.close()


async def test_a_refused_connection_is_unreachable_and_says_how_to_start_the_server() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    backend = OpenAI("m", Options(base_url=url, model="tiny"))
    for call in (complete(backend, ask()), backend.probe()):
        with pytest.raises(BackendUnreachable, match="'m' cannot be reached at " + url) as error:
            await call
        assert error.value.exit_code == 3
        assert "Connect call" not in error.value.message
        assert "`ollama serve`" in error.value.hint
    await backend.close()


@pytest.mark.parametrize(
    ("script", "kind", "message", "hint"),
    [
        (answer({"error": {"message": "out of memory"}}, 500), BadReply, "500: out of memory", "log"),
        (answer("<html>Bad gateway</html>", 502, "text/html"), BadReply, "502", "log"),
        (
            answer({"error": "model 'tiny' not found"}, 404),
            BackendError,
            "no model 'tiny'",
            "`ollama pull tiny`",
        ),
        (answer("404 page not found", 404, "text/plain"), BackendError, "answered 404", "/v1"),
        (answer({"detail": "no"}, 401), BackendError, "401: no", "`key`"),
        (answer({"error": {"message": "max context is 2048"}}, 400), BackendError, "2048", "shorten"),
        (answer("", 301, headers=("Location: http://127.0.0.1:1/",)), BackendError, "301", "options"),
        (answer("{nonsense"), BadReply, "not JSON", "base_url"),
        (answer("[1]"), BadReply, "not JSON", "base_url"),
        (answer("[" * 100_000), BadReply, "not JSON", "base_url"),
        (answer({"choices": [7]}), BadReply, "OpenAI's format", "again"),
        (answer({"hello": "world"}), BadReply, "middle of its answer", "again"),
        (send(b"SSH-2.0-OpenSSH_9.9\r\n\r\n", cut=True), BadReply, "broke off", "log"),
        (send(cut=True), BadReply, "broke off", "log"),
        (stream(b"data: {nonsense\n\n"), BadReply, "not JSON", "base_url"),
        (
            stream(event(content="a"), b'data: {"error": {"message": "GPU lost"}}\n\n'),
            BadReply,
            "GPU lost",
            "again",
        ),
        (stream(event(content="a"), b'{"error": "GPU lost"}\n'), BadReply, "GPU lost", "again"),
        (stream(event(content="a"), DONE), BadReply, "middle of its answer", "again"),
        (stream(event(content="a")), BadReply, "middle of its answer", "again"),
        (send(STREAM, chunk(event(content="a")), cut=True), BadReply, "broke off", "again"),
        (send(STREAM, b"5\r\nabc", cut=True), BadReply, "broke off", "again"),
        (stream(event(content=["a"])), BadReply, "OpenAI's format", "again"),
    ],
)
async def test_each_fault_is_an_error_with_a_next_step(
    script: Script, kind: type[BackendError], message: str, hint: str
) -> None:
    with pytest.raises(kind) as error:
        await asked(script)
    assert type(error.value) is kind
    assert message in error.value.message
    assert hint in error.value.hint
    assert "'m'" in error.value.message + error.value.hint


async def test_a_rate_limit_says_when_to_come_back() -> None:
    with pytest.raises(BackendBusy, match="429: slow down") as error:
        await asked(answer({"error": {"message": "slow down"}}, 429, headers=("Retry-After: 7",)))
    assert error.value.retry_after == 7
    with pytest.raises(BackendBusy) as error:
        await asked(answer({}, 429, headers=("Retry-After: Thu, 01 Jan 2015 00:00:00 GMT",)))
    assert error.value.retry_after == 0
    with pytest.raises(BackendBusy, match="Loading model") as error:
        await asked(answer({"error": {"message": "Loading model"}}, 503))
    assert error.value.retry_after is None


@pytest.mark.parametrize(
    ("script", "options", "message"),
    [
        (send(hang=True), {"first_token_timeout": 0.05}, "did not begin to answer within 0.05 seconds"),
        (send(STREAM, hang=True), {"first_token_timeout": 0.05}, "said nothing within 0.05 seconds"),
        (
            send(STREAM, chunk(event(content="a")), hang=True),
            {"token_timeout": 0.05},
            "said nothing more within 0.05 seconds",
        ),
        (drip(STREAM, chunk(event(content="a")), 0.001), {}, "did not finish within 0.5 seconds"),
        (
            send(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n", hang=True
            ),
            {"first_token_timeout": 0.05},
            "said nothing within 0.05 seconds",
        ),
    ],
)
async def test_each_kind_of_waiting_has_an_end(
    script: Script, options: dict[str, JSON], message: str
) -> None:
    with pytest.raises(BackendTimeout, match=message):
        await asked(script, prompt=ask(timeout=0.5), **options)


async def test_an_endless_body_is_cut_off() -> None:
    with pytest.raises(BadReply, match="more than 2,000 bytes"):
        await asked(drip(STREAM, chunk(event(content="a" * 500)), 0), prompt=ask(timeout=5), max_bytes=2000)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
    with pytest.raises(BadReply, match="more than 2,000 bytes"):
        await asked(drip(head, b" " * 500, 0), prompt=ask(timeout=5), max_bytes=2000)


async def test_no_secret_is_ever_shown() -> None:
    echo = answer({"error": {"message": f"bad key {KEY}, bad header token-5678"}}, 401)
    async with fault_server(echo) as log:
        options = Options(base_url=log.url, model="tiny", key=KEY, headers={"X-Token": "token-5678"})
        backend = OpenAI("m", options)
        with pytest.raises(BackendError, match="bad key") as error:
            await complete(backend, ask())
        await backend.close()
    for shown in (str(error.value), repr(options)):
        assert KEY not in shown
        assert "token-5678" not in shown


async def test_key_and_headers_reach_the_server() -> None:
    async with fault_server(HELLO) as log:
        backend = model(log, key=KEY, headers={"X-Token": "t"}, extra={"keep_alive": "5m"})
        await complete(backend, ask(seed=3, stop=("x",), max_tokens=9))
        await backend.close()
    assert f"Authorization: Bearer {KEY}" in log.heads[0]
    assert "X-Token: t" in log.heads[0]
    sent = {"model": "tiny", "keep_alive": "5m", "seed": 3, "stop": ["x"], "max_tokens": 9, "stream": True}
    assert sent.items() <= log.bodies[0].items()


async def test_what_a_server_does_not_know_is_left_out_and_remembered() -> None:
    refusal = answer({"error": {"message": "Unrecognized request argument supplied: logprobs"}}, 400)
    async with fault_server(refusal, HELLO) as log:
        backend = model(log)
        assert (await complete(backend, ask(scores=True))).text == "Hello"
        assert (await complete(backend, ask(scores=True))).text == "Hello"
        await backend.close()
    assert ["logprobs" in body for body in log.bodies] == [True, False, False]


async def test_tools_are_never_left_out_in_silence() -> None:
    refusal = answer({"error": {"message": "tiny does not support tools"}}, 400)
    with pytest.raises(BackendError, match="does not support tools"):
        await asked(refusal, HELLO, prompt=ask(tools=(SPEC,)))


async def test_a_connection_is_used_again_and_a_stale_one_is_no_fault() -> None:
    async def closes(writer: asyncio.StreamWriter) -> None:
        await HELLO(writer)
        await writer.drain()
        writer.close()

    for script, connections in ((HELLO, 1), (closes, 3)):
        async with fault_server(script) as log:
            backend = model(log)
            for _ in range(3):
                assert (await complete(backend, ask())).text == "Hello"
            await backend.close()
        assert log.connections == connections


async def test_leaving_early_hangs_up_so_that_the_server_stops() -> None:
    async with fault_server(drip(STREAM, chunk(event(content="a")), 0.001)) as log:
        backend = model(log)
        begun = asyncio.Event()
        task = asyncio.create_task(complete(backend, ask(), lambda _: begun.set()))
        await begun.wait()
        assert not log.hung_up.is_set()
        task.cancel()
        await asyncio.wait([asyncio.create_task(log.hung_up.wait())], timeout=5)
        assert log.hung_up.is_set()
        await backend.close()


async def test_closing_ends_an_answer_that_hangs() -> None:
    async with fault_server(send(STREAM, chunk(event(content="a")), hang=True)) as log:
        backend = model(log)
        begun = asyncio.Event()
        task = asyncio.create_task(complete(backend, ask(), lambda _: begun.set()))
        await begun.wait()
        await backend.close()
        with pytest.raises(BackendError):
            await asyncio.wait_for(task, 5)


async def test_a_server_that_does_not_stream_is_understood() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    body = {
        "choices": [{"message": {"content": "Hello", "tool_calls": [call]}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10},
    }
    whole = await asked(answer(body), parameters="2B", price_in=1.0, price_out=10.0)
    assert whole.text == "Hello"
    assert whole.finish == "tool_calls"
    assert whole.tool_calls[0].arguments == {"a": 1}
    assert (whole.cost.tokens_in, whole.cost.tokens_out) == (100, 10)
    assert whole.cost.macs == 110 * 2_000_000_000
    assert whole.cost.money == pytest.approx(0.0002)


async def test_tokens_are_counted_roughly_where_the_server_does_not_say() -> None:
    whole = await asked(HELLO, prompt=ask("x" * 40))
    assert whole.cost.tokens_in == 10
    assert whole.cost.tokens_out == 2


async def test_a_stream_without_its_end_mark_is_whole_if_it_says_why_it_ended() -> None:
    assert (await asked(stream(event(content="Hello"), event(finish="length")))).finish == "length"
    unfinished_line = event(finish="stop").rstrip()
    assert (await asked(stream(event(content="Hello"), unfinished_line))).text == "Hello"


async def test_a_stream_is_understood_however_it_was_cut() -> None:
    text = "grüße 🌍"
    raw = b": a comment\r\n\r\n" + event(content=text).replace(b"\n", b"\r\n") + event(finish="stop") + DONE
    raw = raw.replace(json.dumps(text).encode(), json.dumps(text, ensure_ascii=False).encode())
    assert text.encode() in raw
    script = send(STREAM, *(chunk(raw[i : i + 1]) for i in range(len(raw))), END)
    assert (await asked(script)).text == text


def call_part(
    index: int | None, name: str | None = None, arguments: JSON = "", call_id: str | None = None
) -> JSON:
    part = {"index": index, "id": call_id, "function": {"name": name, "arguments": arguments}}
    return {key: value for key, value in part.items() if value is not None}


@pytest.mark.parametrize(
    ("parts", "calls"),
    [
        (
            [
                call_part(0, "f", "", "x"),
                call_part(1, "g", '{"b"', "y"),
                call_part(0, None, '{"a": 1}'),
                call_part(1, None, ": 2}"),
            ],
            [("x", "f", {"a": 1}), ("y", "g", {"b": 2})],
        ),
        (
            [call_part(None, "f", '{"a":'), call_part(None, None, " 1}"), call_part(None, "g", {"b": 2})],
            [("call_0", "f", {"a": 1}), ("call_1", "g", {"b": 2})],
        ),
        ([call_part(0, "now", "")], [("call_0", "now", {})]),
    ],
)
async def test_tool_calls_are_put_together_from_their_pieces(
    parts: list[JSON], calls: list[tuple[str, str, JSON]]
) -> None:
    events = [event(tool_calls=[part]) for part in parts]
    whole = await asked(stream(*events, event(finish="tool_calls"), DONE))
    assert [(call.id, call.name, call.arguments) for call in whole.tool_calls] == calls
    assert whole.finish == "tool_calls"


@pytest.mark.parametrize(
    "part", [call_part(0, "f", "{nonsense"), call_part(0, "f", "[1]"), call_part(0, None, "{}")]
)
async def test_a_tool_call_that_cannot_be_read_is_a_bad_reply(part: JSON) -> None:
    with pytest.raises(BadReply, match="tool call that cannot be read"):
        await asked(stream(event(tool_calls=[part]), event(finish="tool_calls"), DONE))


async def test_probing_finds_a_model_that_the_server_does_not_have() -> None:
    other = [{"id": "other:3b", "owned_by": "library"}]
    for rows, missing in ((other, ", only other:3b"), (None, "\n"), ([{"id": "tiny:latest"}], "")):
        async with fault_server(answer({"object": "list", "data": rows})) as log:
            backend = model(log)
            if not missing:
                assert await backend.probe() == f"m: tiny at {log.url}"
            else:
                with pytest.raises(BackendError, match="no model 'tiny'" + missing) as error:
                    await backend.probe()
                assert "`ollama pull tiny`" in error.value.hint
            await backend.close()
