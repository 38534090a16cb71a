"""Coroutines on a clock of their own, which jumps to the next moment at which something is due."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Jump(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += timeout or 0.0
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, selector: _Jump) -> None:
        super().__init__(selector)
        self.selector = selector

    def time(self) -> float:
        return self.selector.now


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of work that sleeps and waits, but needs no network. The loop's own `time()` is its clock."""
    with asyncio.Runner(loop_factory=lambda: _Loop(_Jump())) as runner:
        return runner.run(work)
