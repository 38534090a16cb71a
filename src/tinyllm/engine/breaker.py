"""A circuit breaker: a backend that keeps failing is left alone for a while (Nygard, Release It!, 2007)."""

import time
from collections.abc import Callable

from tinyllm.errors import BackendBusy, BackendError, BackendUnreachable


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
        self.unreachable = False

    @property
    def open(self) -> bool:
        return self.opened is not None and self.now() - self.opened < self.rest

    def check(self) -> None:
        """While the breaker is open, raise BackendUnreachable where that was the last failure, else BackendBusy."""
        if self.opened is None:
            return
        waiting = self.rest - (self.now() - self.opened)
        if waiting > 0:
            message = (
                f"backend {self.name!r} failed {self.count} times in a row and rests for {waiting:.0f} s"
            )
            hint = "wait, or mend the backend: `tinyllm doctor` says what is wrong"
            if self.unreachable:
                raise BackendUnreachable(message, hint=hint)
            raise BackendBusy(message, hint=hint, retry_after=waiting)
        self.opened = self.now()  # half open: this call tries, the others go on waiting

    def succeeded(self) -> None:
        self.count, self.opened = 0, None

    def failed(self, error: BackendError) -> None:
        self.count += 1
        self.unreachable = isinstance(error, BackendUnreachable)
        if self.count >= self.failures:
            self.opened = self.now()
