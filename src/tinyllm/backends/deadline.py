"""The moment by which an answer must be whole, shared by every backend. Knows nothing about models."""

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

from tinyllm.errors import BackendTimeout

T = TypeVar("T")


class Deadline:
    """Counts from its making: `seconds` for the whole answer of the backend called `name`."""

    def __init__(self, name: str, seconds: float) -> None:
        self.name = name
        self.began = time.perf_counter()
        self.seconds = seconds

    @property
    def spent_ms(self) -> float:
        return (time.perf_counter() - self.began) * 1000

    async def wait(self, step: Awaitable[T], missing: str = "", limit: float = float("inf")) -> T:
        """The result of `step`, which may take `limit` seconds and never longer than what is left.

        Raises BackendTimeout; `missing` completes the sentence "model 'x' ... within `limit` seconds".
        """
        left = self.seconds - self.spent_ms / 1000
        whole = left <= limit
        try:
            async with asyncio.timeout(max(0.0, min(left, limit))):
                return await step
        except TimeoutError:
            if whole:
                missing, limit = "did not finish", self.seconds
            raise BackendTimeout(
                f"model {self.name!r} {missing} within {limit:g} seconds",
                hint="raise its timeout, ask for fewer tokens, or choose a smaller model",
            ) from None
