"""Who may run now, who waits, and who is told to come back later. Knows nothing about HTTP."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tinyllm.errors import RateLimited

_RETRY = 1.0  # seconds


class Admission:
    """At most `running` at a time, and at most `waiting` in line behind them, first come first served."""

    def __init__(self, running: int, waiting: int) -> None:
        self.places = self.free = running
        self.waiting = waiting
        self.line: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None, None]:
        """Hold a place while running. Raises RateLimited where the line is full."""
        if self.free:
            self.free -= 1
        else:
            if len(self.line) >= self.waiting:
                raise RateLimited(
                    f"the server is busy: {self.waiting} requests wait already",
                    hint="ask again in a moment",
                    retry_after=_RETRY,
                )
            await self._wait()
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.line.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._pass_on()  # the turn came in the very moment of leaving
            else:
                self.line.remove(place)
            raise

    def _pass_on(self) -> None:
        while self.line:
            place = self.line.popleft()
            if not place.done():
                place.set_result(None)
                return
        self.free += 1
