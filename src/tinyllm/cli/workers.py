"""Several processes that do the same work: started, watched, replaced where one dies, and stopped together.

A worker is told to end by its line to this process, which breaks too when this process dies; so none is left
behind, on any platform. Knows nothing about the work.
"""

import multiprocessing
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any

from tinyllm.errors import TinyLLMError

Ended = Callable[[int, TinyLLMError | None], None]
"""Told of the process that died, and why."""

_LOOK = 0.2  # seconds
_AGAIN = 1.0  # seconds before a place is filled again


class Line:
    """A worker's end of its line: tells that it is ready, and calls back when it is to end."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def ready(self) -> None:
        with suppress(OSError):  # it is over already
            self._connection.send(None)

    def when_over(self, stop: Callable[[], None]) -> None:
        """Call `stop` in a thread of its own once the line is closed."""

        def listen() -> None:
            try:
                self._connection.recv()
            except (EOFError, OSError):
                stop()

        threading.Thread(target=listen, daemon=True).start()


class Workers:
    """`count` processes that each run `work(line, *args)`. Both must be known to a fresh interpreter."""

    def __init__(self, count: int, work: Callable[..., None], args: tuple[Any, ...], ended: Ended) -> None:
        self.count = count
        self.work = work
        self.args = args
        self.ended = ended
        self.running: dict[BaseProcess, Connection] = {}
        self.caught: list[int] = []

    def run(self, begun: Callable[[], None], ending: Callable[[], None]) -> bool:
        """Work until a signal comes; says whether it was Ctrl-C. `begun` is called once all are ready, `ending`
        before they are stopped, and `ended` where one died. Raises what kept the first ones from
        getting ready.
        """
        before = {each: signal.signal(each, self._catch) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            for _ in range(self.count):
                self._start()
            for line in list(self.running.values()):
                self._await(line)
            if not self.caught:
                begun()
            while not self.caught:
                self._watch()
        finally:
            ending()
            for line in self.running.values():
                line.close()
            for process in self.running:
                process.join()
            for each, handler in before.items():
                signal.signal(each, handler)
        return signal.SIGINT in self.caught

    def _catch(self, number: int, frame: FrameType | None) -> None:
        self.caught.append(number)

    def _start(self) -> None:
        # Not forked: threads and event loops do not survive that.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_live, args=(theirs, self.work, self.args))
        process.start()
        theirs.close()
        self.running[process] = ours

    def _await(self, line: Connection) -> None:
        """Wait until that worker is ready. Raises what it could not do."""
        while not self.caught:
            if line.poll(_LOOK):
                told = _told(line)
                if told is not None:
                    raise told
                return

    def _watch(self) -> None:
        wait([process.sentinel for process in self.running], timeout=_LOOK)
        for process in [process for process in self.running if not process.is_alive()]:
            line = self.running.pop(process)
            error = _told(line) or _told(line)  # where it was ready, that comes first
            self.ended(process.pid or 0, error)
            line.close()
            time.sleep(_AGAIN)
            self._start()


def _told(line: Connection) -> TinyLLMError | None:
    """What a worker says: why it ends, or None that it is ready."""
    try:
        told: TinyLLMError | None = line.recv()
    except (EOFError, OSError):
        return TinyLLMError("a worker ended by itself", hint="see what it wrote")
    return told


def _live(connection: Connection, work: Callable[..., None], args: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the line says when to end
    try:
        work(Line(connection), *args)
    except TinyLLMError as error:
        with suppress(OSError):  # another was first, and all is over
            connection.send(error)
