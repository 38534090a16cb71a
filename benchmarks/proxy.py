"""What `tinyllm serve` costs as a proxy: CPU a request and latency, beside the bare upstream and LiteLLM.

python benchmarks/proxy.py [--litellm BIN]     prints a table and writes benchmarks/proxy.json (Linux)

A mock of OpenAI's chat API in a process of its own answers every question with the same WORDS words, streamed
or whole as it is asked. Clients in another process ask it directly, through `tinyllm serve` with a network of
one node and with one of eight (linear router, four specialists, schema gate; each question calls the mock
once), the store on, and through LiteLLM's proxy (`pip install 'litellm[proxy]'` in an environment of its own;
BIN is its `litellm`). Each server is one process, and they are asked in turns. CPU is the server's own, user and
system, after a warm-up, divided by the requests; latency is from sending a question to the end of its answer.
"""

import argparse
import asyncio
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WORDS = 200
SAID = [f"word{number} " for number in range(WORDS)]  # LiteLLM gives up on a word said a hundred times
CLIENTS = (1, 16, 200)
REQUESTS = {
    False: {1: 30, 16: 100, 200: 200},
    True: {1: 10, 16: 32, 200: 200},
}  # in each round: whole, streamed
ROUNDS = 3
SLOW = (1, 16)  # clients of LiteLLM, which 200 at once would keep busy for minutes
WARM = 20
TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
QUESTIONS = ("how many cups are 3 liters", "what is 30% off 279", "847*392", "days until 25 December")

ONE = """\
schema: 1
name: one
models: {up: {backend: openai, model: mock, options: {base_url: "URL", key: any}}}
nodes:
  start: {kind: entry, next: ask}
  ask: {kind: specialist, model: up, next: end}
  end: {kind: exit}
"""
EIGHT = """\
schema: 1
name: eight
models:
  up: {backend: openai, model: mock, options: {base_url: "URL", key: any}}
  skills: {backend: builtin, model: router.linear}
nodes:
  start: {kind: entry, next: router}
  router:
    kind: router
    model: skills
    routes: {calculator: {to: a}, numbers: {to: b}, measures: {to: c}, everyday: {to: d}}
  a: {kind: specialist, model: up, next: gate}
  b: {kind: specialist, model: up, next: gate}
  c: {kind: specialist, model: up, next: gate}
  d: {kind: specialist, model: up, next: gate}
  gate: {kind: gate, checks: [{check: schema}], next: end}
  end: {kind: exit}
"""
LITELLM = """\
model_list:
  - model_name: mock
    litellm_params: {model: openai/mock, api_base: "URL", api_key: any}
"""


async def mock(scope: Any, receive: Any, send: Any) -> None:
    """The upstream: an ASGI application."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    streams = json.loads(body or b"{}").get("stream", False)
    head = {"id": "chatcmpl-mock", "created": 1, "model": "mock"}
    usage = {"prompt_tokens": 20, "completion_tokens": WORDS, "total_tokens": WORDS + 20}
    kind = b"text/event-stream" if streams else b"application/json"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})

    async def out(data: bytes, more: bool = True) -> None:
        await send({"type": "http.response.body", "body": data, "more_body": more})

    if not streams:
        answer = {"role": "assistant", "content": "".join(SAID)}
        choice = {"index": 0, "message": answer, "finish_reason": "stop"}
        whole = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
        await out(json.dumps(whole).encode(), more=False)
        return

    def chunk(choices: Sequence[Any], **more: Any) -> bytes:
        data = {**head, "object": "chat.completion.chunk", "choices": choices, **more}
        return b"data: " + json.dumps(data).encode() + b"\n\n"

    await out(chunk([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]))
    for word in SAID:
        await out(chunk([{"index": 0, "delta": {"content": word}, "finish_reason": None}]))
    await out(chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}]))
    await out(chunk([], usage=usage) + b"data: [DONE]\n\n", more=False)


def run_mock(port: int) -> None:
    import uvicorn

    uvicorn.run(mock, port=port, log_level="error", access_log=False, lifespan="off")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@contextmanager
def process(command: Sequence[str], port: int, folder: str, **environ: str) -> Iterator[int]:
    """The process id of a server, once its port answers."""
    with (Path(folder) / "log.txt").open("ab") as log:
        started = subprocess.Popen(command, cwd=folder, env=os.environ | environ, stdout=log, stderr=log)
        try:
            give_up = time.monotonic() + 180
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    if started.poll() is not None or time.monotonic() > give_up:
                        raise SystemExit((Path(folder) / "log.txt").read_text()[-3000:]) from None
                    time.sleep(0.1)
            yield started.pid
        finally:
            started.terminate()
            started.wait(60)


def cpu(pid: int) -> float:
    """The CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


@asynccontextmanager
async def session(clients: int) -> AsyncIterator[Any]:
    import aiohttp

    connector = aiohttp.TCPConnector(limit=clients)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(300)) as opened:
        yield opened


async def load(url: str, clients: int, requests: int, stream: bool) -> list[float]:
    """The seconds that each request took."""
    numbers = iter(range(requests))
    seconds: list[float] = []

    async def client(http: Any) -> None:
        for number in numbers:
            question = QUESTIONS[number % len(QUESTIONS)]
            body = {"model": "mock", "stream": stream, "messages": [{"role": "user", "content": question}]}
            begun = time.perf_counter()
            async with http.post(f"{url}/v1/chat/completions", json=body, headers=KEY) as response:
                said = await response.read()
            seconds.append(time.perf_counter() - begun)
            if response.status != 200 or said.count(b"word") < WORDS or (stream and b"[DONE]" not in said):
                raise SystemExit(f"{url}: {response.status} {said[:500]!r}")

    async with session(clients) as http:
        await asyncio.gather(*(client(http) for _ in range(clients)))
    return seconds


SECRET = "sk-0123456789abcdef0123456789abcdef0123456789abcdef"  # LiteLLM starts with no simpler one
KEY = {"Authorization": f"Bearer {SECRET}"}


@dataclass(slots=True)
class Server:
    name: str
    url: str
    pid: int
    many: Sequence[int] = CLIENTS


def measured(servers: Sequence[Server]) -> list[dict[str, Any]]:
    """The servers take turns, ROUNDS of them, so that what else the machine does strikes all alike."""
    rows = []
    for stream in (False, True):
        for server in servers:
            asyncio.run(load(server.url, 8, WARM, stream))
        for clients in CLIENTS:
            asked = [server for server in servers if clients in server.many]
            seconds: dict[str, list[float]] = {server.name: [] for server in asked}
            spent, took = Counter[str](), Counter[str]()
            for _ in range(ROUNDS):
                for server in asked:
                    before, begun = cpu(server.pid), time.perf_counter()
                    done = asyncio.run(load(server.url, clients, REQUESTS[stream][clients], stream))
                    took[server.name] += time.perf_counter() - begun
                    spent[server.name] += cpu(server.pid) - before
                    seconds[server.name] += done
            for server in asked:
                ordered = sorted(seconds[server.name])
                row = {
                    "server": server.name,
                    "stream": stream,
                    "clients": clients,
                    "requests": len(ordered),
                    "cpu_ms": round(1000 * spent[server.name] / len(ordered), 3),
                    "p50_ms": round(1000 * statistics.median(ordered), 2),
                    "p99_ms": round(1000 * ordered[int(len(ordered) * 0.99) - 1], 2),
                    "per_second": round(len(ordered) / took[server.name], 1),
                }
                rows.append(row)
                print("  ".join(f"{value!s:>12}" for value in row.values()), flush=True)
    return rows


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--litellm", help="the `litellm` of another environment")
    options.add_argument("--out", default=str(Path(__file__).with_suffix(".json")))
    options.add_argument("--mock", type=int, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.mock:
        run_mock(chosen.mock)
        return
    servers: list[Server] = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:

        def start(
            name: str, command: Sequence[str], port: int, many: Sequence[int] = CLIENTS, **environ: str
        ) -> None:
            pid = running.enter_context(process(command, port, folder, **environ))
            servers.append(Server(name, f"http://127.0.0.1:{port}", pid, many))

        port = free_port()
        start("upstream", [sys.executable, __file__, "--mock", str(port)], port)
        url = servers[0].url
        src = str(Path(__file__).parents[1] / "src")
        for name, text in (("one node", ONE), ("eight nodes", EIGHT)):
            file, port = f"{name.replace(' ', '-')}.yaml", free_port()
            (Path(folder) / file).write_text(text.replace("URL", f"{url}/v1"))
            command = [sys.executable, "-c", "from tinyllm.cli.main import main; main()", "serve"]
            command += ["--network", file, "--port", str(port)]
            start(name, command, port, PYTHONPATH=src, TINYLLM_STORE=f"sqlite:///{folder}/{file}.db")
        if chosen.litellm:
            (Path(folder) / "litellm.yaml").write_text(LITELLM.replace("URL", f"{url}/v1"))
            port = free_port()
            command = [chosen.litellm, "--config", "litellm.yaml", "--port", str(port), "--host", "127.0.0.1"]
            start("LiteLLM", command, port, SLOW, LITELLM_LOG="ERROR", LITELLM_MASTER_KEY=SECRET)
        rows = measured(servers)
    write(rows, chosen)


def write(rows: Sequence[Mapping[str, Any]], chosen: argparse.Namespace) -> None:
    version = None
    if chosen.litellm:
        code = "from importlib.metadata import version; print(version('litellm'))"
        python = Path(chosen.litellm).with_name("python")
        version = subprocess.run(
            [python, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
    report = {
        "command": f"python benchmarks/proxy.py{' --litellm BIN' if chosen.litellm else ''}",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "litellm": version,
        "words": WORDS,
        "rounds": ROUNDS,
        "load": round(os.getloadavg()[0], 2),
        "rows": rows,
    }
    Path(chosen.out).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
