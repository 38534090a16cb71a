"""Every error that TinyLLM raises on purpose, as one tree.

    TinyLLMError
    ├── GraphError            the network file is wrong                 mend the file
    ├── SettingsError         a setting is wrong or missing             mend the setting
    ├── AccessError           no key, or one that may not do this       send the right key
    │   └── Forbidden
    ├── RequestError          the request cannot be taken               change the request
    │   ├── RequestTooLarge
    │   ├── RateLimited       too much at once                          wait, then ask again
    │   └── BudgetExceeded    time, tokens, money or steps are used up
    ├── NotFound              no such run, ticket, version or file      look up its name
    ├── Conflict              another learner, or the file, was first   start over
    ├── BackendError          a model did not answer as it should       retry, or another model
    │   ├── BackendUnreachable
    │   ├── BackendTimeout
    │   ├── BackendBusy       rate limit, queue full, breaker open
    │   └── BadReply          an answer that cannot be used
    ├── ModelFileError        a model file is missing or damaged        fetch or rebuild it
    ├── TrainingError         a training came to no usable model    give it more, or mend its recipe
    ├── ToolError             a call that the tool cannot run           tell the model
    │   ├── ToolTimeout
    │   └── ToolUnavailable
    └── StoreError            the store cannot keep or find the data    free the disk, mend the path

A message says what happened, to which name, and what to do next. Knows nothing about where it is shown.
"""

from typing import ClassVar


class TinyLLMError(Exception):
    """The root of the tree. `status` is for HTTP, `exit_code` for the command line, `hint` the next step."""

    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  next: {self.hint}" if self.hint else self.message


class GraphError(TinyLLMError):
    """A network file or an edit of it is not legal. `problems` lists every fault, not just the first."""

    status = 400
    exit_code = 2

    def __init__(self, message: str, *, hint: str = "", problems: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.problems = problems or (message,)


class SettingsError(TinyLLMError):
    status = 400
    exit_code = 2


class AccessError(TinyLLMError):
    status = 401


class Forbidden(AccessError):
    status = 403


class RequestError(TinyLLMError):
    status = 400
    exit_code = 2


class RequestTooLarge(RequestError):
    status = 413


class RateLimited(RequestError):
    """`retry_after` is in seconds."""

    status = 429
    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", retry_after: float = 1.0) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class BudgetExceeded(RequestError):
    status = 429
    exit_code = 1


class NotFound(TinyLLMError):
    status = 404


class Conflict(TinyLLMError):
    """What a change started from is no longer so."""

    status = 409


class BackendError(TinyLLMError):
    """A model did not answer. `retryable` is true where the same call may succeed a moment later."""

    status = 502
    retryable: ClassVar[bool] = False


class BackendUnreachable(BackendError):
    status = 503
    exit_code = 3
    retryable = True


class BackendTimeout(BackendError):
    status = 504
    retryable = True


class BackendBusy(BackendError):
    """`retry_after` is in seconds; None where the server did not say."""

    status = 503
    retryable = True

    def __init__(self, message: str, *, hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class BadReply(BackendError):
    retryable = True


class ModelFileError(TinyLLMError):
    status = 500


class TrainingError(TinyLLMError):
    """Out of time or memory, broken, or a model that is worse than was asked for; no file was put in place."""


class ToolError(TinyLLMError):
    """The message is written for the model that made the call: what was wrong and a call that would work."""

    status = 422


class ToolTimeout(ToolError):
    status = 504


class ToolUnavailable(ToolError):
    status = 503


class StoreError(TinyLLMError):
    status = 503


def named(name: str, message: str, hint: str = "") -> TinyLLMError:
    """The error of that class, as events tell it; one of the root class where the name is none of these."""
    kind = globals().get(name, TinyLLMError)
    ours = isinstance(kind, type) and issubclass(kind, TinyLLMError)
    return kind(message, hint=hint) if ours else TinyLLMError(message, hint=hint)
