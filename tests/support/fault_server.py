"""A web server that misbehaves as told, byte by byte. Knows nothing about TinyLLM."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Script = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Log:
    """Where the server is and what it saw."""

    url: str = ""
    heads: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    connections: int = 0
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def fault_server(*scripts: Script) -> AsyncIterator[Log]:
    """Plays the scripts in turn, one per request, and the last one for ever."""
    log = Log()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        log.connections += 1
        try:
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
                body = await reader.readexactly(int(fields.get("content-length", "0")))
                log.heads.append(head)
                log.bodies.append(json.loads(body) if body else None)
                await scripts[min(len(log.bodies), len(scripts)) - 1](writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            log.hung_up.set()
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    log.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield log
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def send(*parts: bytes, hang: bool = False, cut: bool = False) -> Script:
    """Writes the parts, each in its own packet; then hangs, or cuts the connection."""

    async def script(writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        if hang:
            await asyncio.Event().wait()
        if cut:
            writer.transport.abort()

    return script


def drip(head: bytes, part: bytes, pause: float) -> Script:
    """Writes the head and then the part again and again until the client hangs up."""

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)

    return script


def answer(
    body: bytes | str | dict[str, Any],
    status: int = 200,
    kind: str = "application/json",
    headers: tuple[str, ...] = (),
) -> Script:
    """A whole response of known length."""
    data = (
        json.dumps(body).encode()
        if isinstance(body, dict)
        else body.encode()
        if isinstance(body, str)
        else body
    )
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(data)}", *headers]
    return send("\r\n".join(lines).encode() + b"\r\n\r\n" + data)


STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(data: bytes | str) -> bytes:
    """One piece of a chunked body."""
    raw = data.encode() if isinstance(data, str) else data
    return f"{len(raw):x}\r\n".encode() + raw + b"\r\n"


def event(finish: str | None = None, **delta: Any) -> bytes:
    """One chunk of a chat stream as a server-sent event."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def stream(*events: bytes, end: bytes = END) -> Script:
    """A chat stream of these events, each in its own chunk."""
    return send(STREAM, *(chunk(e) for e in events), end)
