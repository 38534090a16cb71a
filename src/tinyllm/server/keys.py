"""API keys, in one file of the user's that holds their hashes only. Knows nothing about HTTP.

A key stands for a tenant: what it asks, and what that costs, is the tenant's. A key is 256 random bits, so
one round of SHA-256 is as good as a slow hash.
"""

import hashlib
import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from tinyllm.errors import SettingsError

Right = Literal["answer", "feedback", "admin"]
RIGHTS: tuple[Right, ...] = ("answer", "feedback", "admin")

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$")]

_PREFIX = "tl-"
_FRESH = 1.0  # seconds for which the file is not looked at again


class Key(BaseModel):
    """Who may do what, and how much. `rate` is in requests a minute; `tokens` and `money` are what its tenant
    may spend in a day (UTC); None is no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    sha256: str
    tenant: Name
    rights: tuple[Right, ...] = ("answer",)
    rate: int | None = Field(default=None, gt=0)
    tokens: int | None = Field(default=None, gt=0)
    money: float | None = Field(default=None, gt=0)
    created: float = 0.0


_File = TypeAdapter(tuple[Key, ...])


def new_secret() -> str:
    """What a client sends as its key; only its hash is kept."""
    return _PREFIX + secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def read_keys(path: Path) -> tuple[Key, ...]:
    """The keys in a file; none where there is no file. Raises SettingsError."""
    try:
        return _File.validate_json(path.read_bytes())
    except FileNotFoundError:
        return ()
    except (OSError, ValidationError) as error:
        told = str(error).splitlines()[0]
        hint = "mend the file, or move it away and make new keys with `tinyllm keys add`"
        raise SettingsError(f"{path}: the keys cannot be read: {told}", hint=hint) from None


def write_keys(path: Path, keys: Sequence[Key]) -> None:
    """Put the keys into the file, whole or not at all; nobody else may read it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    beside.touch(mode=0o600)
    beside.write_bytes(_File.dump_json(tuple(keys), indent=1))
    beside.replace(path)


class Keyring:
    """The keys of a file as they are now: a change of the file counts within a second."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._keys: dict[str, Key] = {}
        self._stamp: tuple[float, int] | None = None
        self._looked = -_FRESH

    def find(self, secret: str) -> Key | None:
        """The key behind what a client sent."""
        return self._fresh().get(digest(secret))

    @property
    def empty(self) -> bool:
        return not self._fresh()

    def _fresh(self) -> dict[str, Key]:
        if time.monotonic() - self._looked < _FRESH:
            return self._keys
        try:
            found = self.path.stat()
            stamp = found.st_mtime, found.st_ino
        except OSError:
            stamp = None
        if stamp is None or stamp != self._stamp:
            self._keys = {key.sha256: key for key in read_keys(self.path)}
            self._stamp = stamp
        self._looked = time.monotonic()
        return self._keys
