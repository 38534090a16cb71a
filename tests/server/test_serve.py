"""`tinyllm serve` as a process: it starts, answers, lets what runs come to its end, and says what is wrong."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest
from openai import OpenAI

import tinyllm
from tests.cli.conftest import Run, home, run
from tests.support.chat_server import Body, Message, chat_server, says

__all__ = ["home", "run"]  # fixtures

MAIN = "from tinyllm.cli.main import main; main()"
NETWORK = """\
schema: 1
name: remote
models: {m: {backend: openai, model: any, options: {base_url: URL}}}
nodes:
  start: {kind: entry, next: ask}
  ask: {kind: specialist, model: m, next: end}
  end: {kind: exit}
"""


@contextmanager
def served(*args: str) -> Iterator[tuple[subprocess.Popen[str], OpenAI]]:
    """A serving process and a client of it."""
    command = [sys.executable, "-c", MAIN, "serve", "--port", "0", *args]
    environ = os.environ | {"PYTHONPATH": str(Path(tinyllm.__file__).parents[1])}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ
    )
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        url = re.search(r"http://\S+/v1", line)
        assert url, line + process.stderr.read()
        with OpenAI(base_url=url[0], api_key="any", max_retries=0) as client:
            yield process, client
    finally:
        process.kill()
        process.communicate()


def ask(client: OpenAI, question: str) -> str | None:
    messages = [{"role": "user", "content": question}]
    return client.chat.completions.create(model="any", messages=messages).choices[0].message.content  # type: ignore[arg-type]


def test_the_starter_network_answers_and_keeps_its_runs(home: Path, run: Run) -> None:
    with served("--network", "starter", "--log") as (process, client):
        assert ask(client, "what is 30% off 279") == "30% off 279 is 195.3"
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        assert (line["tenant"], line["network"], line["status"]) == ("local", "starter", "answered")
        assert line["run"] in run("trace", "last").stdout and "off" not in str(line)
        assert "195.3" in run("trace", "last").stdout, "another process sees the run at once"
        assert [model.id for model in client.models.list()][:2] == ["starter", "starter/calculator"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to send")
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_what_runs_comes_to_its_end_before_the_server_does(
    home: Path, run: Run, sent: signal.Signals, code: int
) -> None:
    asked, go = threading.Event(), threading.Event()

    def answer(body: Body) -> Message:
        asked.set()
        go.wait(30)
        return says("worth the wait")

    with chat_server(answer, "any") as upstream, ThreadPoolExecutor() as pool:
        (home / "remote.yaml").write_text(NETWORK.replace("URL", upstream.url), encoding="utf-8")
        with served("--network", "remote.yaml") as (process, client):
            waiting = pool.submit(ask, client, "take your time")
            assert asked.wait(30)
            process.send_signal(sent)
            go.set()
            assert waiting.result(30) == "worth the wait"
            assert process.wait(30) == code
    assert "worth the wait" in run("trace", "last").stdout


def test_what_was_answered_outlives_a_kill(home: Path) -> None:
    answered: list[str] = []

    def asking(client: OpenAI) -> None:
        with contextlib.suppress(openai.APIError, json.JSONDecodeError):  # the kill
            while True:
                messages = [{"role": "user", "content": "12 * 12"}]
                reply = client.chat.completions.create(model="any", messages=messages)  # type: ignore[arg-type]
                answered.append((reply.model_extra or {})["tinyllm"]["run_id"])

    with served("--network", "starter") as (process, client), ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(asking, client) for _ in range(8)]
        while len(answered) < 40:
            assert not all(each.done() for each in asked)
            time.sleep(0.01)
        process.kill()
        for each in asked:
            each.result(30)
    with tinyllm.load("starter") as net:
        rows = net.call(net.store.runs(limit=10_000))
    kept = {row.run_id for row in rows if row.status == "answered"}
    assert len(rows) == len({row.run_id for row in rows}) and set(answered) <= kept


def test_what_cannot_be_served_is_told(home: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run("serve", "--port", str(taken.getsockname()[1]))
    assert result.exit_code == 2 and "cannot listen on" in result.stderr
    assert "others can reach" in run("serve", "--host", "0.0.0.0").stderr
    result = run("serve", "--port", "0", "--network", "tiny.yaml", "--network", "tiny.yaml")
    assert result.exit_code == 2 and "two networks are called 'tiny'" in result.stderr
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.setattr("tinyllm.cli.serve.find_spec", lambda name: None)
    result = run("serve")
    assert result.exit_code == 2 and "tinyllm-network[serve]" in result.stderr
