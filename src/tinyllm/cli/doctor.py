"""`tinyllm doctor`: what works, what does not, and how to mend it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from tinyllm.cli.output import json_flag, network_flag, print_json
from tinyllm.errors import BackendUnreachable, TinyLLMError

if TYPE_CHECKING:
    from tinyllm.graph import Graph, Model
    from tinyllm.settings import Resolved, Settings

_REBUILD = "install this package again, or rebuild the file with `tinyllm starter train`"
_PACKAGES = (
    "aiohttp", "alembic", "numpy", "pint", "pydantic", "pydantic_monty", "yaml", "scipy", "sqlalchemy", "sympy",
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
    from tinyllm.cli.wiring import load_graph

    yield await _store(resolved)
    settings, graph = resolved.settings, None
    try:
        graph = load_graph(settings.network, settings)
        yield Finding(f"network {graph.name}", True, f"{len(graph.nodes)} nodes, {graph.id}")
    except TinyLLMError as error:
        yield _fault(f"network {settings.network}", error)
    models = graph.models if graph else {}
    for finding in _neurons(models.values()):
        yield finding
    servers = await _servers(resolved, models)
    for finding in servers.values():
        yield finding
    if graph:
        silent = {name for name, finding in servers.items() if not finding.ok}
        async for finding in _models(settings, graph, silent):
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
    from tinyllm.settings import without_password

    try:
        store = await open_settings_store(resolved.settings)
        try:
            size = await store.size()
        finally:
            await store.close()
    except TinyLLMError as error:
        return _fault("store", error)
    where = without_password(resolved.settings.store)
    return Finding("store", True, f"{size['runs']} runs, {size['bytes']} bytes in {where}")


def _neurons(models: Iterable["Model"]) -> Iterator[Finding]:
    """The shipped model files: needed where the network in use runs on them."""
    from hashlib import sha256

    from tinyllm.cli.workshop import BUILTIN
    from tinyllm.starter.shipped import TOGETHER, files, weights

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


async def _servers(resolved: "Resolved", models: Mapping[str, "Model"]) -> Mapping[str, Finding]:
    """Servers of the settings: those that the user named or the network uses are needed, the others are not."""
    from tinyllm.backends import build

    found: dict[str, Finding] = {}
    for name, known in resolved.settings.backends.items():
        if known.kind != "openai":
            continue
        origins = (o for n, o in resolved.origins.items() if n.startswith(f"backends.{name}."))
        used = [model for model, spec in models.items() if spec.backend == name]
        needed = bool(used) or any(origin != "default" for origin in origins)
        what = f"backend {name}"
        try:
            asked = next((models[model].model for model in used), "") or "any"
            backend = build(name, known.kind, {"model": asked, **known.options})
        except TinyLLMError as error:
            found[name] = _fault(what, error, needed=needed)
            continue
        try:
            found[name] = Finding(what, True, await backend.probe(), needed=needed)
        except BackendUnreachable as error:
            without = f"; without it: {', '.join(used)}" if used else ""
            found[name] = Finding(what, False, error.message + without, error.hint, needed)
        except TinyLLMError as error:  # it answers, if only that it has no model called "any"
            found[name] = Finding(what, True, f"answers: {error.message}", needed=needed)
        finally:
            await backend.close()
    return found


async def _models(settings: "Settings", graph: "Graph", silent: Collection[str]) -> AsyncIterator[Finding]:
    """The network's models, but not those on a silent server: that has been told."""
    from tinyllm.cli.wiring import workshop_of

    try:
        parts = workshop_of(settings.network, settings).parts(graph)
    except TinyLLMError as error:
        yield _fault("models", error)
        return
    for name, router in parts.routers.items():
        try:
            await router.choose("", ())
            yield Finding(f"model {name}", True, f"{name}: routes by {graph.models[name].model}")
        except TinyLLMError as error:
            yield _fault(f"model {name}", error)
    for name, backend in parts.backends.items():
        try:
            if graph.models[name].backend not in silent:
                yield Finding(f"model {name}", True, await backend.probe())
        except TinyLLMError as error:
            yield _fault(f"model {name}", error)
        finally:
            await backend.close()
    for tool in parts.tools.values():
        if hasattr(tool, "close"):
            tool.close()
