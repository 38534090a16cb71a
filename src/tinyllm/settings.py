"""Settings, and where each one came from: flag, environment, ./tinyllm.toml, user folder, default.

Only the command line and the Python API read them; everything below is handed what it needs. Knows nothing
about how a backend is built: its own options are checked there.
"""

import difflib
import os
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from tinyllm.errors import SettingsError
from tinyllm.types import JSON

FILE = "tinyllm.toml"
PREFIX = "TINYLLM_"
MASK = "********"

_PATHS = ("data_dir", "docs_dir", "keys_file")
_SECRET = ("key", "headers", "env")
_TABLES = ("backends", "mcp")

Tree = dict[str, Any]


class BackendSettings(BaseModel):
    """One engine that models run on. What stands beside `kind` are the options of that kind."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: Literal["openai", "llamacpp", "checkpoint", "recorded", "scripted"]

    @property
    def options(self) -> Mapping[str, JSON]:
        return self.model_extra or {}


class McpSettings(BaseModel):
    """A server whose tools networks may use: a program that is started in `folder`, or the `url` of one that runs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: tuple[str, ...] = ()
    url: str | None = None
    env: Mapping[str, str] = Field(default_factory=dict)
    headers: Mapping[str, str] = Field(default_factory=dict)
    folder: Path = Path()
    seconds: float = Field(default=30.0, gt=0, le=55)  # a run gives up on any tool after 60
    after_untrusted: bool = False

    @model_validator(mode="after")
    def _one_way(self) -> "McpSettings":
        if bool(self.command) == bool(self.url):
            raise ValueError("give either its `command`, as a list, or its `url`")
        return self


def _optional(value: Any) -> Any:
    return None if value == "" else value


def _backend_and_model(value: Any) -> Any:
    if isinstance(value, str) and value and not all(value.partition("/")):
        raise ValueError("write it as BACKEND/MODEL, such as ollama/qwen2.5:3b")
    return _optional(value)


class Settings(BaseModel):
    """What a user may set. `store` is a URL, `retention_days` None keeps runs for ever, `keys_file` holds the keys
    of the server, `data_dir` data sets, `docs_dir` the texts that lookup reads. `larger` is the BACKEND/MODEL
    that recovery may ask, `judge` the one that grades answers, and `grade_share` the share of runs that are
    graded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: str = Field(default="starter", min_length=1)
    store: str = Field(min_length=1, default_factory=lambda: default_store(os.environ))
    retention_days: Annotated[float | None, BeforeValidator(_optional)] = Field(default=None, gt=0)
    data_dir: Annotated[Path | None, BeforeValidator(_optional)] = None
    docs_dir: Annotated[Path | None, BeforeValidator(_optional)] = None
    keys_file: Path = Field(default_factory=lambda: default_keys(os.environ))
    color: Literal["auto", "always", "never"] = "auto"
    larger: Annotated[str | None, BeforeValidator(_backend_and_model)] = None
    judge: Annotated[str | None, BeforeValidator(_backend_and_model)] = None
    grade_share: float = Field(default=1.0, ge=0, le=1)
    backends: Mapping[str, BackendSettings] = Field(
        default_factory=lambda: {
            name: BackendSettings.model_validate(value) for name, value in _PREDEFINED.items()
        }
    )
    mcp: Mapping[str, McpSettings] = Field(default_factory=dict)


_PREDEFINED: Mapping[str, Tree] = {"ollama": {"kind": "openai", "base_url": "http://127.0.0.1:11434/v1"}}


@dataclass(frozen=True, slots=True)
class Resolved:
    """Settings, and for each dotted name that some source set, which source that was."""

    settings: Settings
    origins: Mapping[str, str]

    def rows(self) -> Iterator[tuple[str, JSON, str]]:
        """Yield each setting as dotted name, value (secrets masked) and origin."""
        for name, value in _leaves(self.settings.model_dump(mode="json")):
            secret = value is not None and any(part in _SECRET for part in name.split("."))
            shown = without_password(value) if name == "store" else value
            yield name, MASK if secret else shown, self.origins.get(name, "default")


def without_password(url: str) -> str:
    """The URL of a store as it may be shown."""
    return re.sub(r"(?<=://)([^/:@]*:)[^/@]*(?=@)|([?&]password=)[^&]*", rf"\1\2{MASK}", url)


def user_config(environ: Mapping[str, str]) -> Path:
    """The user's own settings file on this platform, whether or not it exists."""
    return _user_folder(environ, "XDG_CONFIG_HOME", ".config") / "config.toml"


def default_store(environ: Mapping[str, str]) -> str:
    """The URL of the store in the user's data folder on this platform."""
    folder = _user_folder(environ, "XDG_DATA_HOME", ".local/share")
    return f"sqlite:///{(folder / 'store.db').as_posix()}"


def default_keys(environ: Mapping[str, str]) -> Path:
    """The file with the server's keys, beside the user's own settings."""
    return user_config(environ).with_name("keys.json")


def trusted_servers(environ: Mapping[str, str]) -> Path:
    """The file with what the user trusts of MCP servers. No setting says where: a folder's own file could lie."""
    return user_config(environ).with_name("mcp.json")


def _user_folder(environ: Mapping[str, str], variable: str, fallback: str) -> Path:
    if sys.platform == "win32":
        base = Path(environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(environ.get(variable) or Path.home() / fallback)
    return base / "tinyllm"


def read_settings(
    flags: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Resolved:
    """The settings in force, each with its origin. `flags` that are None were not given.

    `TINYLLM_STORE` sets `store`, and two underscores go a level down: `TINYLLM_BACKENDS__OLLAMA__BASE_URL`.
    Raises SettingsError naming the file and the field.
    """
    environ = os.environ if environ is None else environ
    defaults: Tree = {"store": default_store(environ), "backends": _PREDEFINED}
    defaults["keys_file"] = default_keys(environ)
    sources = [("default", defaults)]
    for path in (user_config(environ), (folder or Path.cwd()) / FILE):
        sources.append((str(path), _from_file(path)))
    sources += [(f"{PREFIX}{name}", tree) for name, tree in _from_environment(environ)]
    sources.append(("flag", {name: value for name, value in (flags or {}).items() if value is not None}))
    merged: Tree = {}
    origins: dict[str, str] = {}
    for origin, tree in sources:
        for name, value in _leaves(tree):
            _put(merged, name.split("."), value)
            origins[name] = origin
    try:
        return Resolved(Settings.model_validate(merged), origins)
    except ValidationError as error:
        raise _explain(error, origins) from None


def _from_file(path: Path) -> Tree:
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path}: cannot be read: {error}", hint="mend the file or move it away"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            f"{path}: this is not TOML: {error}", hint='write lines like `network = "starter"`'
        ) from None
    # A relative path in a file means: beside that file, wherever the command is run.
    for name in _PATHS:
        if isinstance(tree.get(name), str) and tree[name]:
            tree[name] = str(path.parent / tree[name])
    backends = tree.get("backends")
    for backend in backends.values() if isinstance(backends, dict) else ():
        if isinstance(backend, dict) and isinstance(backend.get("path"), str):
            backend["path"] = str(path.parent / backend["path"])
    servers = tree.get("mcp")
    for server in servers.values() if isinstance(servers, dict) else ():
        if isinstance(server, dict) and isinstance(server.get("folder", ""), str):
            server["folder"] = str(path.parent / server.get("folder", ""))
    return tree


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, Tree]]:
    """Variables that name no setting are left alone: they may be another program's."""
    for variable, value in sorted(environ.items()):
        if not variable.startswith(PREFIX):
            continue
        name = variable.removeprefix(PREFIX)
        parts = name.lower().split("__")
        if parts[0] in Settings.model_fields and (parts[0] in _TABLES) == (len(parts) > 1):
            tree: Tree = {}
            _put(tree, parts, value)
            yield name, tree


def _leaves(tree: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _put(tree: Tree, parts: list[str], value: Any) -> None:
    for part in parts[:-1]:
        below = tree.get(part)
        if not isinstance(below, dict):
            below = tree[part] = {}
        tree = below
    tree[parts[-1]] = value


def _explain(error: ValidationError, origins: Mapping[str, str]) -> SettingsError:
    fault = error.errors(include_url=False, include_input=False)[0]
    name = ".".join(map(str, fault["loc"]))
    below = (o for n, o in reversed(list(origins.items())) if n.startswith(f"{name}."))
    origin = origins.get(name) or next(below, "")
    if fault["type"] == "missing" and not origin:  # the source that began the table
        above = name.rpartition(".")[0]
        origin = next((o for n, o in origins.items() if n.startswith(f"{above}.")), "settings")
    if fault["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, Settings.model_fields, 1, cutoff=0.0)
        hint = f"did you mean {near[0]!r}? `tinyllm config show` lists all of them"
        return SettingsError(f"{origin}: {name!r} is not a setting", hint=hint)
    hint = "`tinyllm config show --origin` says where each value comes from"
    message = fault["msg"].removeprefix("Value error, ")
    return SettingsError(f"{origin}: {name!r}: {message}", hint=hint)
