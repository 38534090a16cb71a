"""A circuit breaker: a backend that keeps failing is left alone for a while (Nygard, Release It!, 2007)."""

import time
from collections.abc import Callable

from tinyllm.errors import BackendBusy


class Breaker:
    """Opens after `failures` in a row; after `rest` seconds one call may try, and its outcome decides."""

    def __init__(
        self,
        name: str,
        *,
        failures: int = 5,
        rest: float = 10.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.failures = failures
        self.rest = rest
        self.now = now
        self.count = 0
        self.opened: float | None = None

    @property
    def open(self) -> bool:
        return self.opened is not None and self.now() - self.opened < self.rest

    def check(self) -> None:
        """Raise BackendBusy while the breaker is open."""
        if self.opened is None:
            return
        waiting = self.rest - (self.now() - self.opened)
        if waiting > 0:
            raise BackendBusy(
                f"backend {self.name!r} failed {self.count} times in a row and rests for {waiting:.0f} s",
                hint="wait, or mend the backend: `tinyllm doctor` says what is wrong",
                retry_after=waiting,
            )
        self.opened = self.now()  # half open: this call tries, the others go on waiting

    def succeeded(self) -> None:
        self.count, self.opened = 0, None

    def failed(self) -> None:
        self.count += 1
        if self.count >= self.failures:
            self.opened = self.now()
