"""Several processes behind one address, on PostgreSQL: as one server to whoever asks."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import httpx
import pytest
from openai import OpenAI
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.conftest import Run, home, run
from tests.server.test_serve import ask, served
from tests.support.chat_server import chat_server, says
from tests.support.postgres import VARIABLE, schema
from tinyllm.cli.wiring import load_file
from tinyllm.graph import Exit, put_nodes
from tinyllm.learning.proposal import Proposal
from tinyllm.learning.versions import adopt, head_of
from tinyllm.server.keys import Key, digest
from tinyllm.server.ledger import Ledger
from tinyllm.server.peers import Peers
from tinyllm.store import open_store

__all__ = ["home", "run"]  # fixtures

NETWORK = """\
schema: 1
name: remote
models: {m: {backend: openai, model: any, options: {base_url: URL}}}
nodes:
  start: {kind: entry, next: ask}
  ask: {kind: specialist, model: m, next: end}
  end: {kind: exit, refusal: "no"}
"""


@pytest.fixture
def network(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A network's file in a folder of its own, with PostgreSQL as its store."""
    if not os.environ.get(VARIABLE):
        pytest.skip(f"{VARIABLE} names no PostgreSQL database")
    with schema(os.environ[VARIABLE]) as url, chat_server(lambda body: says("fine"), "any") as upstream:
        monkeypatch.setenv("TINYLLM_STORE", url)
        path = home / "remote.yaml"
        path.write_text(NETWORK.replace("URL", upstream.url), encoding="utf-8")
        yield path


def asked_by_many(client: OpenAI, questions: int) -> None:
    def once(number: int) -> None:
        # Each by a connection of its own, so that both workers get some.
        with OpenAI(base_url=client.base_url, api_key="any", max_retries=3) as mine:
            assert ask(mine, f"question {number}") == "fine"

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(once, range(questions)))


async def promote_with_another_refusal(network: Path) -> None:
    store = await open_store(os.environ["TINYLLM_STORE"])
    graph = load_file(str(network))
    head = await head_of(store, graph)
    changed = put_nodes(graph, {"end": Exit(kind="exit", refusal="never")})
    await adopt(store, head, Proposal("model", "end", "it is rude", changed))
    await store.close()


def children(process: "subprocess.Popen[str]") -> list[int]:
    """The workers of a serving process."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            worker = b"spawn_main" in (path / "cmdline").read_bytes()
        except OSError:  # it has ended meanwhile
            continue
        if parent == process.pid and worker:
            found.append(int(path.name))
    return found


def until(true: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 30
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def runs_counted(client: OpenAI) -> float:
    text = httpx.get(str(client.base_url).replace("/v1/", "/metrics")).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return sum(sample.value for sample in samples if sample.name == "tinyllm_runs_total")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="workers are found in /proc")
def test_two_workers_are_one_server(network: Path) -> None:
    with served("--workers", "2", "--network", str(network)) as (process, client):
        assert len(children(process)) == 2
        base = str(client.base_url).replace("/v1/", "")
        with httpx.stream("GET", f"{base}/api/events?topics=run", timeout=30) as events:
            lines = events.iter_lines()
            assert next(lines) == ": hello"
            asked_by_many(client, 12)
            told = list(islice((line for line in lines if line.startswith("event:")), 24))
        assert told == ["event: run_started", "event: run_finished"] * 12, "of both workers"
        until(lambda: runs_counted(client) == 12)

        # A version that another process makes head is what both answer with.
        before = httpx.get(f"{base}/api/runs?limit=1").json()[0]["graph"]
        asyncio.run(promote_with_another_refusal(network))

        def changed() -> bool:
            asked_by_many(client, 8)
            return before not in {row["graph"] for row in httpx.get(f"{base}/api/runs?limit=8").json()}

        until(changed)
        until(lambda: runs_counted(client) >= 20)
        os.kill(children(process)[0], signal.SIGKILL)
        asked_by_many(client, 4)
        until(lambda: len(children(process)) == 2)
        assert runs_counted(client) >= 20, "what the dead one counted stays"
        process.terminate()
        assert process.wait(30) == 0
    assert children(process) == []


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="workers are found in /proc")
def test_workers_end_with_the_process_that_started_them(network: Path) -> None:
    with served("--workers", "2", "--network", str(network)) as (process, _):
        until(lambda: len(children(process)) == 2)
        workers = children(process)
        process.kill()
        process.wait()
        until(lambda: not any(Path(f"/proc/{worker}/fd").exists() for worker in workers))


def test_workers_need_a_store_that_they_can_share(home: Path, run: Run) -> None:
    result = run("serve", "--workers", "2", "--port", "0")
    assert result.exit_code == 2 and "2 workers need a store" in result.stderr


def test_what_keeps_workers_from_starting_is_told(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYLLM_STORE", "postgresql://ann@127.0.0.1:1/none")
    command = [sys.executable, "-c", "from tinyllm.cli.main import main; main()", "serve", "--workers", "2"]
    done = subprocess.run(
        [*command, "--network", str(network), "--port", "0"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1 and "refused" in done.stderr and "Traceback" not in done.stderr


def test_processes_count_the_requests_of_a_key_together(tmp_path: Path) -> None:
    store = asyncio.run(open_store("memory:"))
    both = [Ledger(store, lambda: 100.0, Peers(tmp_path)) for _ in range(2)]
    key = Key(name="ann", sha256=digest("x"), tenant="ann", rate=5)
    for number in range(5):
        both[number % 2].count(key)
    for ledger in both:
        with pytest.raises(Exception, match="5 times a minute"):
            ledger.count(key)
