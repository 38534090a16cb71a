"""What the user trusts of servers that speak MCP, in one file: how each is reached, and its tools word for word.

Models are shown these descriptions and no others, so a server cannot change them behind the user's back. Knows
nothing about how a server is asked.
"""

import os
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from tinyllm.errors import SettingsError
from tinyllm.types import JSON


class Offered(BaseModel):
    """A tool as its server describes it; `parameters` is a JSON schema."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    description: str
    parameters: Mapping[str, JSON]


class Trust(BaseModel):
    """`reached` is a digest of all that says which server it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reached: str
    tools: tuple[Offered, ...]


_File = TypeAdapter(dict[str, Trust])


def read_trust(path: Path) -> dict[str, Trust]:
    """What is trusted, by the server's name; nothing where there is no file. Raises SettingsError."""
    try:
        return _File.validate_json(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValidationError) as error:
        told = str(error).splitlines()[0]
        hint = "move the file away, and say `tinyllm mcp trust NAME` again"
        raise SettingsError(f"{path}: what is trusted cannot be read: {told}", hint=hint) from None


def write_trust(path: Path, trust: Mapping[str, Trust]) -> None:
    """Put it into the file, whole or not at all; nobody else may read it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    beside.touch(mode=0o600)
    beside.write_bytes(_File.dump_json(dict(trust), indent=1))
    beside.replace(path)


def digest(tools: Sequence[Offered]) -> str:
    """A short name of these tools as they are described: another one where a word of them changes."""
    return sha256(TypeAdapter(Sequence[Offered]).dump_json(tools)).hexdigest()[:12]
