"""What the benchmarks of reliability share: a server process, the model behind it, and a client that keeps count.

Run them from the root of the repository, as `python -m benchmarks.kill`.
"""

import asyncio
import json
import os
import platform
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import aiohttp

SRC = Path(__file__).parents[1] / "src"
COMMAND = [sys.executable, "-c", "from tinyllm.cli.main import main; main()", "serve", "--port", "0"]
WORDS = [f"word{number} " for number in range(20)]


class Upstream:
    """A model's server whose `behave` answers: it is handed whether to stream, and a writer, after each request."""

    def __init__(self, behave: "Callable[[bool, asyncio.StreamWriter], Awaitable[None]]") -> None:
        self.behave = behave
        self.port = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=500)
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Refuse connections, and cut those that are open."""
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
                body = json.loads(await reader.readexactly(length))
                await self.behave(bool(body.get("stream")), writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(text: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}
    return chunked(b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n")


def chunked(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def whole(status: int, data: bytes, kind: str = "application/json") -> bytes:
    return (
        f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data
    )


def good(pause: float = 0.0) -> "Callable[[bool, asyncio.StreamWriter], Awaitable[None]]":
    """Answers with WORDS, one every `pause` seconds."""

    async def behave(stream: bool, writer: asyncio.StreamWriter) -> None:
        if not stream:
            await asyncio.sleep(pause * len(WORDS))
            choice = {"message": {"role": "assistant", "content": "".join(WORDS)}, "finish_reason": "stop"}
            writer.write(whole(200, json.dumps({"choices": [choice]}).encode()))
            return
        writer.write(HEAD)
        for word in WORDS:
            writer.write(chunk(word))
            await writer.drain()
            await asyncio.sleep(pause)
        writer.write(chunk("", "stop") + chunked(b"data: [DONE]\n\n") + b"0\r\n\r\n")

    return behave


@dataclass
class Server:
    """`tinyllm serve` as a process."""

    process: asyncio.subprocess.Process
    begun: float
    url: str = ""
    errors: list[str] = field(default_factory=list)
    reading: asyncio.Task[None] | None = None

    async def ready(self) -> None:
        """Return once it answers. Raises RuntimeError where it ends instead."""
        assert self.process.stderr is not None
        while not self.url:
            line = (await self.process.stderr.readline()).decode()
            if not line:
                raise RuntimeError(f"the server ended: {''.join(self.errors)}")
            self.errors.append(line)
            if " answers at " in line:
                self.url = line.split(" answers at ")[1].split("/v1")[0]
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        """Keep on reading: a server whose lines nobody takes stands still."""
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.errors.append(line.decode())

    async def end(self, sent: signal.Signals) -> int:
        """Its exit code after a signal."""
        self.process.send_signal(sent)
        code = await self.process.wait()
        if self.reading:
            await self.reading
        return code


async def start(folder: str, network: str, store: str, *args: str) -> Server:
    """A server of a network's text, not yet ready."""
    path = Path(folder) / "net.yaml"
    path.write_text(network, encoding="utf-8")
    environ = os.environ | {"PYTHONPATH": str(SRC), "TINYLLM_STORE": store}
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "--network", str(path), *args, stdout=DEVNULL, stderr=PIPE, env=environ
    )
    return Server(process, time.monotonic())


@asynccontextmanager
async def client(timeout: float = 90.0, *, close: bool = False) -> "AsyncIterator[aiohttp.ClientSession]":
    import aiohttp

    connector = aiohttp.TCPConnector(limit=0, force_close=close)
    async with aiohttp.ClientSession(
        connector=connector, timeout=aiohttp.ClientTimeout(total=timeout)
    ) as session:
        yield session


@dataclass(frozen=True)
class Seen:
    """What a client saw of one request: the HTTP status (0: no response), the run that was acknowledged, the
    kind of error it was told, and the seconds it took."""

    status: int
    run: str | None
    error: str
    seconds: float


async def ask(http: "aiohttp.ClientSession", url: str, session: str, *, stream: bool) -> Seen:
    """Ask once, and never again."""
    import aiohttp

    body = {
        "messages": [{"role": "user", "content": f"question of {session}"}],
        "stream": stream,
        "tinyllm": {"session": session},
    }
    begun = time.monotonic()
    status, run, error = 0, None, ""
    try:
        async with http.post(f"{url}/v1/chat/completions", json=body) as response:
            status = response.status
            text = await response.text()
        if status != 200:
            error = str(json.loads(text)["error"]["code"])
        elif not stream:
            run = str(json.loads(text)["tinyllm"]["run_id"])
        elif "data: [DONE]" in text:
            found = [json.loads(line[6:]) for line in text.splitlines() if '"run_id"' in line]
            run = str(found[-1]["tinyllm"]["run_id"])
        else:
            error = next((line for line in text.splitlines() if '"error"' in line), "cut")
            error = "in the stream: " + (json.loads(error[6:])["error"]["code"] if error != "cut" else error)
    except TimeoutError:
        error = "timeout"
    except (aiohttp.ClientError, ConnectionError) as raised:
        error = type(raised).__name__
    return Seen(status, run, error, time.monotonic() - begun)


async def kept(store: str) -> list[dict[str, Any]]:
    """Every run in the store, with its events."""
    from tinyllm.store import open_store

    opened = await open_store(store)
    rows = [dict(row) async for row in opened.export() if row["row"] == "run"]
    await opened.close()
    return rows


def machine() -> dict[str, Any]:
    return {
        "system": platform.system(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Median, 99th percentile and maximum, in seconds."""
    ordered = sorted(seconds)
    if not ordered:
        return {}
    at = [len(ordered) // 2, min(len(ordered) - 1, int(len(ordered) * 0.99)), len(ordered) - 1]
    return dict(zip(("p50", "p99", "max"), (round(ordered[place], 3) for place in at), strict=True))


def write(name: str, report: dict[str, Any]) -> None:
    """Keep the results beside the benchmark."""
    path = Path(__file__).with_name(f"{name}.json")
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
