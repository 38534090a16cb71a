"""A lock that processes share through a file, given back by the system when its holder dies."""

import os
import sys
import time
from pathlib import Path

from tinyllm.errors import StoreError


class StoreBusy(StoreError):
    """The store cannot be had now: another program did not let go of it in time, or its server is away."""


class FileLock:
    """Held by one open `FileLock` at a time, within a process as between processes.

    Windows locks a byte against reading and writing too: `byte` is one that nobody touches.
    """

    def __init__(self, path: Path, *, byte: int = 0) -> None:
        self._byte = byte
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def acquire(self, patience: float) -> bool:
        """Take the lock, waiting up to `patience` seconds; False where another kept it all that time."""
        give_up = time.monotonic() + patience
        pause = 0.0005
        while not self._try():
            if time.monotonic() > give_up:
                return False
            time.sleep(pause)
            pause = min(pause * 1.5, 0.02)
        return True

    def close(self) -> None:
        """Give back the lock and the file."""
        os.close(self._file)

    if sys.platform == "win32":

        def _try(self) -> bool:
            import msvcrt

            os.lseek(self._file, self._byte, os.SEEK_SET)
            try:
                msvcrt.locking(self._file, msvcrt.LK_NBLCK, 1)
            except OSError:
                return False
            return True

        def release(self) -> None:
            """Let the next one have the lock."""
            import msvcrt

            os.lseek(self._file, self._byte, os.SEEK_SET)
            msvcrt.locking(self._file, msvcrt.LK_UNLCK, 1)

    else:

        def _try(self) -> bool:
            import fcntl

            # flock, not fcntl locks: those vanish when any descriptor of the file is closed in this process.
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        def release(self) -> None:
            """Let the next one have the lock."""
            import fcntl

            fcntl.flock(self._file, fcntl.LOCK_UN)
