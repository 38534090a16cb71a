"""What the processes of one server know of each other: how often keys asked, and what each has counted.

They share a folder for as long as they live. Knows nothing about how they are started.
"""

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tinyllm.store.lock import FileLock
from tinyllm.types import JSON

_FRESH = 1.0  # seconds by which what the others tell may be late
_PATIENCE = 1.0  # seconds

Asked = dict[str, tuple[float, float]]


class Peers:
    """The other processes, seen from this one."""

    def __init__(self, folder: Path) -> None:
        self._mine = folder / f"{os.getpid()}.json"
        self._asked = folder / "asked"
        self._lock = FileLock(folder / "lock")
        self._due: asyncio.TimerHandle | None = None

    @contextmanager
    def asked(self) -> Iterator[Asked]:
        """What each key has left of its requests, and since when: for this process alone, until it is let go."""
        held = self._lock.acquire(_PATIENCE)
        try:
            asked: Asked = json.loads(self._asked.read_bytes() or b"{}") if self._asked.exists() else {}
            yield asked
            if held:
                self._asked.write_text(json.dumps(asked))
        finally:
            if held:
                self._lock.release()

    def tell_soon(self, told: Callable[[], JSON]) -> None:
        """Let the others know what this process has counted, within a second."""
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(_FRESH, self._tell, told)

    def _tell(self, told: Callable[[], JSON]) -> None:
        self._due = None
        _write(self._mine, told())

    def others(self) -> Iterator[JSON]:
        """Yield what each other process told last, those that have ended too."""
        for path in self._mine.parent.glob("*.json"):
            if path != self._mine:
                yield json.loads(path.read_bytes())


def retire(folder: Path, process: int) -> None:
    """Keep what a process that has ended counted, but nothing of what it was doing."""
    path = folder / f"{process}.json"
    if path.exists():
        _write(path, json.loads(path.read_bytes()) | {"gauges": []})


def _write(path: Path, told: JSON) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(told))
    beside.replace(path)
