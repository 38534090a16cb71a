"""The Python API: `net = tinyllm.load("starter"); reply = net.ask("...")`.

A network lives in an event loop of its own, in a thread, so that its connections outlast single questions;
the synchronous and the asynchronous methods are the same calls into that loop.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from tinyllm.errors import RequestError
from tinyllm.events import Event
from tinyllm.types import Budget, Message, Reply, Request, SamplingWish, ToolSpec

if TYPE_CHECKING:
    from concurrent.futures import Future

    from tinyllm.cli.wiring import Wired
    from tinyllm.settings import Settings

T = TypeVar("T")

PATIENCE = 5.0  # seconds that closing waits for runs


def load(
    name: str | None = None, *, settings: "Settings | None" = None, store: str | None = "default"
) -> "Network":
    """The network of that name (`starter`, `ollama`) or YAML file, ready to answer.

    `store` is the URL of the store, "default" for the one of the settings, None to keep nothing on disk.
    Raises GraphError for a file that is not legal, SettingsError, ModelFileError, StoreError.
    """
    from tinyllm.cli.wiring import build_network

    return build_network(name, settings, store)


class Network:
    """A running network. Close it, or use it as a context manager, to give back threads and connections."""

    def __init__(self, make: "Coroutine[Any, Any, Wired]") -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tinyllm", daemon=True)
        self._thread.start()
        try:
            self._wired = self.call(make)
        except BaseException:
            self._stop()
            raise
        self.graph = self._wired.graph
        self.store = self._wired.store

    def ask(self, question: str | Sequence[Message], **options: Any) -> Reply:
        """The answer to a question or a conversation. Options are those of `request`."""
        return self.call(self._wired.engine.run(self.request(question, **options)))

    async def aask(self, question: str | Sequence[Message], **options: Any) -> Reply:
        """`ask` for code that runs in an event loop itself; cancelling it cancels the run."""
        work = self._wired.engine.run(self.request(question, **options))
        return await asyncio.wrap_future(self._begin(work))

    async def stream(self, question: str | Sequence[Message], **options: Any) -> AsyncGenerator[Event, None]:
        """The events of a run as they happen; the last is `run_finished`, after the commit."""
        here = asyncio.get_running_loop()
        events: asyncio.Queue[Event | None] = asyncio.Queue()

        async def pump() -> None:
            try:
                async for event in self._wired.engine.stream(self.request(question, **options)):
                    here.call_soon_threadsafe(events.put_nowait, event)
            finally:
                here.call_soon_threadsafe(events.put_nowait, None)

        pumping = asyncio.wrap_future(self._begin(pump()))
        try:
            while (event := await events.get()) is not None:
                yield event
            await pumping  # raises what the run raised
        finally:
            pumping.cancel()

    def replay(self, run_id: str, forced: Mapping[str, str] | None = None) -> Reply:
        """A stored run once more with the same seed and clock, or with the choices of some nodes changed."""
        return self.call(self._wired.engine.replay(run_id, forced=forced))

    @staticmethod
    def request(
        question: str | Sequence[Message],
        *,
        tools: Sequence[ToolSpec] = (),
        sampling: SamplingWish | None = None,
        user: str = "local",
        session: str | None = None,
        budget: Budget | None = None,
        quality: float | None = None,
        right: float | None = None,
        seed: int | None = None,
        clock: float | None = None,
        forced: Mapping[str, str] | None = None,
    ) -> Request:
        """The request that `ask` runs: see `tinyllm.types.Request` for what each field means."""
        messages = (Message("user", question),) if isinstance(question, str) else tuple(question)
        if not all(isinstance(message, Message) for message in messages):
            hint = 'ask with text, or with messages: [Message("user", "what is 2 + 2?")]'
            raise RequestError("a conversation is a list of tinyllm.types.Message", hint=hint)
        return Request(
            messages,
            tools=tuple(tools),
            sampling=sampling or SamplingWish(),
            user=user,
            session=session,
            budget=budget or Budget(),
            quality=quality,
            right=right,
            seed=seed,
            clock=clock,
            forced=forced or {},
        )

    def call(self, work: "Coroutine[Any, Any, T]") -> T:
        """Run a coroutine in the network's loop and wait for its value; Ctrl-C cancels it."""
        future = self._begin(work)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise

    def _begin(self, work: "Coroutine[Any, Any, T]") -> "Future[T]":
        if self._loop.is_closed():
            work.close()
            raise RequestError("this network is closed", hint="load it again, or ask before it is closed")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Let what still runs come to its end, and give back every thread, connection and file.

        Safe to call twice.
        """
        if self._loop.is_closed():
            return
        self.call(self._wind_up())
        self._stop()

    async def _wind_up(self) -> None:
        running = asyncio.all_tasks() - {asyncio.current_task()}
        if running:  # runs that Ctrl-C cancelled have yet to be recorded
            _, late = await asyncio.wait(running, timeout=PATIENCE)
            for task in late:
                task.cancel()
        await self._wired.close()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> "Network":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
