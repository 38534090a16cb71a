"""One question over HTTP: read its body, wait for a turn, run it, and write the answer whole or piece by piece.

A turn is held while the network runs, not while the client reads: what is said lies in a box until it is
taken. A client that goes away cancels its run. Knows no dialect; a `Writer` speaks it.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from tinyllm.errors import RequestTooLarge, TinyLLMError
from tinyllm.server.access import Caller
from tinyllm.server.admission import Admission
from tinyllm.server.answer import Answer, broken_by, of_event, of_reply
from tinyllm.server.service import Service
from tinyllm.types import Request

T = TypeVar("T")

_UNBUFFERED = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))
_DRAIN = 5.0  # seconds in which a body that is too large may still arrive, so that its sender hears why


class Writer(Protocol):
    """Tells answers in one dialect. `index` numbers the answers that one request asked for."""

    media: bytes

    def whole(self, answers: Sequence[Answer]) -> bytes:
        """The body of a response that does not stream."""
        ...

    def piece(self, index: int, text: str) -> bytes:
        """Some more text."""
        ...

    def end(self, index: int, answer: Answer) -> bytes:
        """What follows the last text of an answer."""
        ...

    def close(self) -> bytes:
        """What ends the stream after the last answer."""
        ...

    def fault(self, error: TinyLLMError) -> bytes:
        """An error in the middle of a stream."""
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """What a request comes to: one run for each answer that is wanted."""

    requests: tuple[Request, ...]
    stream: bool
    writer: Writer


Read = Callable[[bytes, Caller, Service], Job]
Item = tuple[int, str | Answer]


class Box:
    """What was said and not yet taken. None of what is in it is lost when the sayer ends."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.ready = asyncio.Event()
        self.closed = False

    def put(self, index: int, said: str | Answer) -> None:
        self.items.append((index, said))
        self.ready.set()

    def close(self) -> None:
        self.closed = True
        self.ready.set()

    async def take(self) -> list[Item]:
        """All that has gathered; nothing only after the end."""
        await self.ready.wait()
        items, self.items = self.items, []
        if not self.closed:
            self.ready.clear()
        return items


class Endpoint:
    """An ASGI application for one path: `read` turns a body into a job."""

    def __init__(self, service: Service, admission: Admission, read: Read) -> None:
        self.service = service
        self.admission = admission
        self.read = read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await whole_body(receive, self.service.limits.body)
            job = self.read(body, scope["caller"], self.service)
            if job.stream:
                await self._stream(job, receive, send)
            else:
                await self._whole(job, receive, send)
        except ClientDisconnect:
            return  # nobody is there to be told

    async def _whole(self, job: Job, receive: Receive, send: Send) -> None:
        run = self.service.engine.run
        async with _while_there(receive), self.admission.turn():
            answers = [of_reply(reply) for reply in await together([run(each) for each in job.requests])]
        for answer in answers:
            if answer.error is not None:
                raise answer.error
        body = job.writer.whole(answers)
        await _start(send, b"application/json", (b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.body", "body": body})

    async def _stream(self, job: Job, receive: Receive, send: Send) -> None:
        """Begin when there is something to tell: until then a fault can still have its own status."""
        box, begun = Box(), False
        async with (
            _while_there(receive),
            _meanwhile(self._say(job, box)) as work,
            aclosing(_told(job, box, work)) as told,
        ):
            try:
                async for data in told:
                    if not begun:
                        await _start(send, job.writer.media, *_UNBUFFERED)
                        begun = True
                    await self._send(send, data)
            except TinyLLMError as error:
                if not begun:
                    raise
                await self._send(send, job.writer.fault(error))
            await send({"type": "http.response.body", "body": b""})

    async def _say(self, job: Job, box: Box) -> None:
        """Run everything, putting what is said into the box."""
        try:
            async with self.admission.turn():
                await together([self._run(place, each, box) for place, each in enumerate(job.requests)])
        finally:
            box.close()

    async def _run(self, index: int, request: Request, box: Box) -> None:
        broken: TinyLLMError | None = None
        async with aclosing(self.service.engine.stream(request)) as events:
            async for event in events:
                if event.kind == "token":
                    if event.data["final"]:  # what a gate may reject is not shown
                        box.put(index, event.data["text"])
                elif event.kind == "node_failed":
                    broken = broken or broken_by(event.data)
                elif event.kind == "run_finished":
                    box.put(index, of_event(event.data, broken))

    async def _send(self, send: Send, data: bytes) -> None:
        """Hand data to the client. Raises ClientDisconnect where it takes nothing for too long."""
        try:
            async with asyncio.timeout(self.service.limits.stall):
                await send({"type": "http.response.body", "body": data, "more_body": True})
        except TimeoutError:
            raise ClientDisconnect from None


async def _told(job: Job, box: Box, work: asyncio.Task[None]) -> AsyncGenerator[bytes, None]:
    """What is sent, as it is said. Raises the error of an answer that failed."""
    said = [""] * len(job.requests)
    while items := await box.take():
        data = b""
        for index, item in items:
            if isinstance(item, str):
                said[index] += item
                data += job.writer.piece(index, item)
                continue
            if item.error is not None:
                if data:
                    yield data
                raise item.error
            if rest := left(said[index], item.text):
                data += job.writer.piece(index, rest)
            data += job.writer.end(index, item)
        yield data
    await work  # raises what it raised
    yield job.writer.close()


def left(said: str, text: str) -> str:
    """What of an answer is still to be said after its tokens.

    Where another node answered in the end, the tokens of the first are out already, and the answer follows.
    """
    said = said.strip()
    if text.startswith(said):
        return text[len(said) :]
    return "" if said.endswith(text) else f"\n\n{text}"


async def whole_body(receive: Receive, most: int) -> bytes:
    """The body of a request. Raises RequestTooLarge, and ClientDisconnect where the client left."""
    parts: list[bytes] = []
    size, more = 0, True
    give_up = time.monotonic() + _DRAIN
    while more and (size <= most or time.monotonic() < give_up):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part = message.get("body", b"")
        size += len(part)
        if size <= most:
            parts.append(part)
        more = message.get("more_body", False)
    if size > most:
        raise RequestTooLarge(f"the body is larger than {most} bytes", hint="send the part that matters")
    return b"".join(parts)


async def together(runs: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """What all of them come to. One that raises stops the others."""
    if len(runs) == 1:
        return [await runs[0]]
    tasks = [asyncio.create_task(run) for run in runs]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def _meanwhile(run: Coroutine[Any, Any, T]) -> AsyncGenerator[asyncio.Task[T], None]:
    """The run as a task, which ends with the block."""
    work = asyncio.create_task(run)
    try:
        yield work
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


@asynccontextmanager
async def _while_there(receive: Receive) -> AsyncGenerator[None, None]:
    """Cancels what is done inside when the client leaves. Raises ClientDisconnect then."""
    task = asyncio.current_task()
    assert task is not None
    inside, left = True, False

    def leave(gone: asyncio.Task[None]) -> None:
        nonlocal left
        if inside and not gone.cancelled():
            left = True
            task.cancel()

    gone = asyncio.create_task(_gone(receive))
    gone.add_done_callback(leave)
    try:
        yield
    except asyncio.CancelledError:
        if left and task.uncancel() == 0:
            raise ClientDisconnect from None
        raise
    finally:
        inside = False
        gone.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _start(send: Send, media: bytes, *headers: tuple[bytes, bytes]) -> None:
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-type", media), *headers]}
    )
