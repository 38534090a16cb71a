"""Blocking work under a time limit, in a thread that cannot keep the process alive.

asyncio's own thread pool is waited for when the process ends, so a function that hangs there hangs the exit.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from tinyllm.errors import ToolTimeout

R = TypeVar("R")


async def run_in_thread(work: Callable[[], R], *, seconds: float, what: str) -> R:
    """The result of `work`. Raises what it raises, or ToolTimeout, and then leaves the thread behind."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Callable[[], R]] = loop.create_future()

    def settle(outcome: Callable[[], R]) -> None:
        if not done.done():
            done.set_result(outcome)

    def target() -> None:
        outcome = _attempt(work)
        try:
            loop.call_soon_threadsafe(settle, outcome)
        except RuntimeError:
            pass  # the loop closed while an abandoned thread still ran

    threading.Thread(target=target, name=what, daemon=True).start()
    try:
        outcome = await asyncio.wait_for(done, seconds)
    except TimeoutError:
        raise ToolTimeout(
            f"{what} took longer than {seconds:g} s", hint="ask for less work in one call"
        ) from None
    return outcome()


def _attempt(work: Callable[[], R]) -> Callable[[], R]:
    """The outcome as a function that returns or raises it: a future cannot hold every exception."""
    try:
        result = work()
    except BaseException as error:  # also SystemExit: nobody else would hear of it in a thread
        raised = error

        def fail() -> R:
            raise raised

        return fail
    return lambda: result
