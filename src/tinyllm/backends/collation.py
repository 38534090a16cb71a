"""Requests to a server with memory for few of its models, let in model by model.

A model that another pushes out of memory has to be loaded again, which may take as long as many answers. So
the requests of a loaded model go first, for a turn, and one load serves many; turns are so short that every
request finds its own within its wait. Only `Collated` knows that the server is an Ollama.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

from tinyllm.backends.openai_api import OpenAI
from tinyllm.errors import BackendBusy, BackendError
from tinyllm.types import Chunk, Prompt

_RECENT = 0.2  # weight of the latest answer in a model's usual seconds


@dataclass(slots=True, eq=False)
class _Place:
    """A request in line. `loads` says that its model is to be loaded first."""

    model: str
    since: float
    let_in: asyncio.Event = field(default_factory=asyncio.Event)
    loads: bool = False


class Turns:
    """Who may ask a server that holds `slots` models at once, and is asked `parallel` things of each.

    Nobody stands in line for longer than `wait` seconds: who does is told that the server is busy. `now` is in
    seconds. Belongs to one event loop.
    """

    def __init__(
        self, slots: int, wait: float, parallel: int, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.slots = slots
        self.wait = wait
        self.parallel = parallel
        self.now = now
        self._running: dict[str, int] = {}  # requests of each model that has a slot, the longest there first
        self._began: dict[str, float] = {}
        self._loading: set[str] = set()
        self._line: list[_Place] = []
        self._load_seconds: dict[str, float] = {}
        self._answer_seconds: dict[str, float] = {}

    def price(self, model: str) -> float:
        """How many of its answers a model could give while it is loaded, were it asked now; 0 where it has a slot,
        and where it was never loaded yet."""
        if model in self._running or model not in self._answer_seconds:
            return 0.0
        return self._load_seconds.get(model, 0.0) / max(self._answer_seconds[model], 0.001)

    @asynccontextmanager
    async def turn(self, model: str, load: Callable[[], Awaitable[bool]]) -> AsyncIterator[None]:
        """Inside, the model may be asked; `load` brings it into memory, and says whether it was not there.

        Raises BackendBusy where the turn does not come in time.
        """
        place = _Place(model, self.now())
        self._line.append(place)
        self._let_in()
        try:
            await self._wait(place)
            if place.loads:
                await self._load(model, load)
            begun = self.now()
            yield
            usual, took = self._answer_seconds.get(model), self.now() - begun
            self._answer_seconds[model] = took if usual is None else usual + _RECENT * (took - usual)
        finally:
            if not place.let_in.is_set():
                self._line.remove(place)
            elif place.loads and model in self._loading:  # it left before the model was there
                self._loading.discard(model)
                del self._running[model]
            else:
                self._running[model] -= 1
            self._let_in()

    async def _wait(self, place: _Place) -> None:
        try:
            async with asyncio.timeout(self.wait):
                await place.let_in.wait()
        except TimeoutError:
            raise BackendBusy(
                f"the server of {place.model!r} was busy with other requests for {self.wait:g} seconds",
                hint="ask later, or raise `wait` of its backend",
                retry_after=self.wait,
            ) from None

    async def _load(self, model: str, load: Callable[[], Awaitable[bool]]) -> None:
        begun = self.now()
        if await load():
            self._load_seconds[model] = self.now() - begun
        self._loading.discard(model)
        self._began[model] = self.now()
        self._let_in()

    def _let_in(self) -> None:
        while (place := self._next()) is not None:
            self._line.remove(place)
            if place.model not in self._running:
                if len(self._running) >= self.slots:
                    del self._running[self._idle()[0]]
                self._running[place.model] = 0
                self._loading.add(place.model)
                place.loads = True
            self._running[place.model] += 1
            place.let_in.set()

    def _next(self) -> _Place | None:
        """Who goes in now: the first in line whose model still has its turn, else the first without a slot."""
        without = next((place for place in self._line if place.model not in self._running), None)
        for place in self._line:
            running = self._running.get(place.model, self.parallel)
            if running >= self.parallel or place.model in self._loading:
                continue
            if without is None or not self._over(place.model, without.since):
                return place
        free = len(self._running) < self.slots or self._idle()
        return without if free else None

    def _idle(self) -> list[str]:
        return [model for model, running in self._running.items() if not running]

    def _over(self, model: str, since: float) -> bool:
        """Whether the model's turn has ended, where another has waited since then.

        All models' turns, loads and last answers together fit into the wait, unless loads alone fill it: then a
        turn is as long as a load.
        """
        models = self._running.keys() | {place.model for place in self._line}
        load = max(self._load_seconds.values(), default=0.0)
        answer = max(self._answer_seconds.values(), default=0.0)
        turn = max(load, self.wait / len(models) - load - answer)
        return self.now() - max(self._began[model], since) >= turn


class Collated:
    """A model of an Ollama that holds few at once; those of one server share their `turns`."""

    def __init__(self, inner: OpenAI, turns: Turns) -> None:
        self.name = inner.name
        self.inner = inner
        self.turns = turns

    async def stream(self, prompt: Prompt) -> AsyncIterator[Chunk]:
        async with (
            self.turns.turn(self.inner.options.model, self._load),
            aclosing(self.inner.stream(prompt)) as chunks,
        ):
            async for chunk in chunks:
                yield chunk

    def load_price(self) -> float:
        return self.turns.price(self.inner.options.model)

    async def loaded(self) -> list[str]:
        """The models in the server's memory now. Raises BackendError, and so for a server that is no Ollama."""
        told = await self.inner.beside("GET", "/api/ps")
        return [str(row.get("name")) for row in told.get("models") or []]

    async def _load(self) -> bool:
        model = self.inner.options.model
        try:
            if {model, f"{model}:latest"} & set(await self.loaded()):
                return False
            await self.inner.beside("POST", "/api/generate", {"model": model, "stream": False})
        except BackendError:
            return False  # what is wrong the question itself will be told
        return True

    async def probe(self) -> str:
        return f"{await self.inner.probe()}; in memory: {', '.join(await self.loaded()) or 'no model'}"

    async def close(self) -> None:
        await self.inner.close()
