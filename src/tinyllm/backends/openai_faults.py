"""What can go wrong between us and a model server, as errors with a next step. No key is ever shown."""

import json
import os
from collections.abc import Awaitable, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar
from urllib.parse import urlsplit

from tinyllm.errors import BackendBusy, BackendError, BackendUnreachable, BadReply
from tinyllm.types import JSON

T = TypeVar("T")


class Faults:
    """Errors about `model` of the server at `base_url`, for the backend called `name`.

    `secrets` are blotted out of everything that the server says.
    """

    def __init__(self, name: str, base_url: str, model: str, secrets: Iterable[str]) -> None:
        self.name = name
        self.url = base_url
        self.model = model
        self.local = urlsplit(base_url).hostname in ("localhost", "127.0.0.1", "::1")
        self._secrets = tuple(secret for secret in secrets if secret)

    async def watch(self, step: Awaitable[T]) -> T:
        """The result of `step`, its network errors turned into ours."""
        import aiohttp

        try:
            return await step
        except aiohttp.ConnectionTimeoutError:
            raise self._unreachable("no connection was accepted in time") from None
        except aiohttp.ClientConnectorError as error:
            raise self._unreachable(_why(error.os_error)) from None
        except aiohttp.InvalidURL:
            raise self._unreachable("that is not a URL") from None
        except aiohttp.ClientError as error:
            why = self._told(str(error)) or type(error).__name__
            raise BadReply(
                f"model {self.name!r} at {self.url} broke off: {why}",
                hint="ask again; if it happens often, look at the server's log",
            ) from None

    def _unreachable(self, why: str) -> BackendUnreachable:
        return BackendUnreachable(
            f"the server of {self.name!r} cannot be reached at {self.url}: {why}",
            hint="start the server (Ollama: `ollama serve`), or mend its `base_url` in tinyllm.toml or the network",
        )

    def of_status(self, status: int, headers: Mapping[str, str], body: str) -> BackendError:
        """The error for an answer that is not 200."""
        message = self._told(body)
        said = f"model {self.name!r} at {self.url} answered {status}" + (f": {message}" if message else "")
        if status in (401, 403):
            return BackendError(said, hint=f"set or renew `key` of model {self.name!r}")
        if status == 404 and "model" in message.lower():
            return self.no_model("")
        if status == 404:
            return BackendError(said, hint="mend `base_url`: it usually ends with /v1")
        if status == 429 or (status == 503 and ("Retry-After" in headers or "loading" in message.lower())):
            retry_after = _seconds(headers.get("Retry-After"))
            return BackendBusy(said, hint="wait a moment, then ask again", retry_after=retry_after)
        if status >= 500:
            return BadReply(said, hint="ask again; if it happens often, look at the server's log")
        if "context" in message.lower():
            return BackendError(said, hint="shorten the question, or give the model a longer context")
        return BackendError(said, hint=f"mend the options of model {self.name!r}")

    def no_model(self, known: str) -> BackendError:
        return BackendError(
            f"the server at {self.url} has no model {self.model!r}" + (f", only {known}" if known else ""),
            hint=f"fetch it (Ollama: `ollama pull {self.model}`), or mend `model` of model {self.name!r}",
        )

    def in_stream(self, data: Mapping[str, JSON]) -> BadReply:
        message = self._told(json.dumps(data))
        return BadReply(f"model {self.name!r} failed in mid-answer: {message}", hint="ask again")

    def not_json(self, text: str) -> BadReply:
        return BadReply(
            f"model {self.name!r} at {self.url} sent something that is not JSON: {self._told(text)!r}",
            hint="mend `base_url`: it must lead to an OpenAI-compatible API",
        )

    def too_large(self, limit: int) -> BadReply:
        return BadReply(
            f"model {self.name!r} sent more than {limit:,} bytes",
            hint="lower its token limit, or raise `max_bytes`",
        )

    def _told(self, text: str) -> str:
        """The server's own words, out of whichever field it keeps them in, short and without secrets."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            data = None
        while isinstance(data, dict):
            data = next((data[key] for key in ("error", "message", "detail") if data.get(key)), None)
        told = data if isinstance(data, str) else text
        for secret in self._secrets:
            told = told.replace(secret, "***")
        return " ".join(told.split())[:300]


def _seconds(value: str | None) -> float | None:
    """Seconds of a Retry-After header, which is a number or a date."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _why(error: OSError) -> str:
    """The system's words, for which asyncio has its own ("Connect call failed")."""
    number = error.errno or 0  # negative where a name has no address
    return os.strerror(number) if number > 0 else error.strerror or str(error)
