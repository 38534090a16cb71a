"""`tinyllm doctor`: what works, what does not, and how to mend it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinyllm.cli.output import json_flag, network_flag, print_json
from tinyllm.errors import BackendUnreachable, TinyLLMError

if TYPE_CHECKING:
    from tinyllm.settings import Resolved

_REBUILD = "install this package again, or rebuild the file with `tinyllm starter train`"
_PACKAGES = (
    "aiohttp", "alembic", "numpy", "pint", "pydantic", "pydantic_monty", "yaml", "sqlalchemy", "sympy",
    "tzdata", "xllamacpp",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `needed` is false where the network in use does without it."""

    what: str
    ok: bool
    detail: str
    mend: str = ""
    needed: bool = True


@click.command()
@network_flag
@json_flag
@click.pass_context
def doctor(context: click.Context, network: str | None, as_json: bool) -> None:
    """Example: tinyllm doctor

    Looks at Python, packages, settings, the network's models, the store and the backends; each fault is
    followed by its mend. Ends with 1 where something needed is broken.
    """

    async def look() -> list[Finding]:
        return [finding async for finding in findings(network)]

    found = asyncio.run(look())
    broken = any(finding.needed and not finding.ok for finding in found)
    if as_json:
        print_json({"ok": not broken, "findings": [asdict(finding) for finding in found]})
    else:
        for finding in found:
            mark = "ok  " if finding.ok else "FAIL" if finding.needed else "--  "
            click.echo(f"{mark} {finding.what:<20} {finding.detail}")
            if not finding.ok and finding.mend:
                click.echo(f"     next: {finding.mend}")
    context.exit(1 if broken else 0)


async def findings(network: str | None) -> AsyncIterator[Finding]:
    """Yield what is found, the foundations first; what rests on a broken one is not looked at."""
    from importlib.util import find_spec

    from tinyllm.settings import read_settings

    version = sys.version.split()[0]
    yield Finding("python", sys.version_info >= (3, 11), version, "install Python 3.11 or newer")
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    detail = f"missing: {', '.join(missing)}" if missing else f"{len(_PACKAGES)} there"
    yield Finding("packages", not missing, detail, "install this package again, into the same Python")
    try:
        resolved = read_settings({"network": network})
    except TinyLLMError as error:
        yield _fault("settings", error)
        return
    yield Finding("settings", True, f"network {resolved.settings.network}")
    for finding in _variables():
        yield finding
    if missing:
        return
    yield await _store(resolved)
    for finding in _neurons(resolved):
        yield finding
    async for finding in _models(resolved):
        yield finding
    async for finding in _backends(resolved):
        yield finding


def _variables() -> Iterator[Finding]:
    """Variables that look like a setting and are none; others may be another program's."""
    from difflib import get_close_matches

    from tinyllm.settings import PREFIX, Settings

    for variable in sorted(os.environ):
        name = variable.removeprefix(PREFIX).partition("__")[0].lower()
        if variable.startswith(PREFIX) and name not in Settings.model_fields:
            for near in get_close_matches(name, Settings.model_fields, 1, cutoff=0.75):
                mend = f"did you mean {PREFIX}{near.upper()}?"
                yield Finding(f"variable {variable}", False, "names no setting", mend, needed=False)


def _fault(what: str, error: TinyLLMError, *, needed: bool = True) -> Finding:
    return Finding(what, False, error.message, error.hint, needed)


async def _store(resolved: "Resolved") -> Finding:
    from tinyllm.cli.wiring import open_settings_store

    try:
        store = await open_settings_store(resolved.settings)
        try:
            size = await store.size()
        finally:
            await store.close()
    except TinyLLMError as error:
        return _fault("store", error)
    return Finding("store", True, f"{size['runs']} runs, {size['bytes']} bytes in {resolved.settings.store}")


def _neurons(resolved: "Resolved") -> Iterator[Finding]:
    """The shipped model files: needed where the network in use runs on them."""
    from hashlib import sha256

    from tinyllm.cli.wiring import BUILTIN, load_graph
    from tinyllm.starter.shipped import TOGETHER, files, weights

    try:
        models = [*load_graph(resolved.settings.network, resolved.settings).models.values()]
    except TinyLLMError:
        models = []  # told where the network's own turn comes
    named = [model.model for model in models if model.backend == BUILTIN]
    used = {file for name in named for file in TOGETHER.get(name, (name,))}
    for file in sorted({*files(), *used}):
        needed = file in used
        what = f"neuron {file}"
        try:
            path, expected = weights(file)
            found = sha256(path.read_bytes()).hexdigest()
        except TinyLLMError as error:
            yield _fault(what, error, needed=needed)
        except OSError as error:
            yield Finding(what, False, f"cannot be read: {error}", _REBUILD, needed)
        else:
            ok = found == expected
            detail = f"{path.stat().st_size} bytes, SHA-256 ok" if ok else "damaged: its SHA-256 is another"
            yield Finding(what, ok, detail, _REBUILD, needed)


async def _models(resolved: "Resolved") -> AsyncIterator[Finding]:
    from tinyllm.cli.wiring import build_parts, load_graph

    settings = resolved.settings
    try:
        graph = load_graph(settings.network, settings)
        parts = build_parts(graph, settings, Path(settings.network).parent)
    except TinyLLMError as error:
        yield _fault(f"network {settings.network}", error)
        return
    yield Finding(f"network {graph.name}", True, f"{len(graph.nodes)} nodes, {graph.id}")
    for name, backend in parts.backends.items():
        try:
            yield Finding(f"model {name}", True, await backend.probe())
        except TinyLLMError as error:
            yield _fault(f"model {name}", error)
        finally:
            await backend.close()
    for tool in parts.tools.values():
        if hasattr(tool, "close"):
            tool.close()


async def _backends(resolved: "Resolved") -> AsyncIterator[Finding]:
    """Servers of the settings: those that the user named are needed, the predefined ones are not."""
    from tinyllm.backends import build

    for name, known in resolved.settings.backends.items():
        if known.kind != "openai":
            continue
        origins = (o for n, o in resolved.origins.items() if n.startswith(f"backends.{name}."))
        needed = any(origin != "default" for origin in origins)
        what = f"backend {name}"
        try:
            backend = build(name, known.kind, {"model": "any", **known.options})
        except TinyLLMError as error:
            yield _fault(what, error, needed=needed)
            continue
        try:
            yield Finding(what, True, await backend.probe(), needed=needed)
        except BackendUnreachable as error:
            yield _fault(what, error, needed=needed)
        except TinyLLMError as error:  # it answers, if only that it has no model called "any"
            yield Finding(what, True, f"answers: {error.message}", needed=needed)
        finally:
            await backend.close()
