"""Models behind one seam: each module is one engine. Knows nothing about graphs, nodes or settings.

`KINDS` lists what a `models:` section may name; each entry imports its module only when it is used. The command
line adds what it joins (`cli/workshop.py`).
"""

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from tinyllm.errors import SettingsError
from tinyllm.protocols import Backend
from tinyllm.types import JSON

Kind = tuple[type[BaseModel], Callable[[str, Any], Backend]]


def _llamacpp() -> Kind:
    from tinyllm.backends.llamacpp import LlamaCpp, Options

    return Options, LlamaCpp


def _openai() -> Kind:
    from tinyllm.backends.openai_api import OpenAI, Options

    return Options, OpenAI


def _recorded() -> Kind:
    from tinyllm.backends.recorded import Options, Recorded

    return Options, Recorded


def _scripted() -> Kind:
    from tinyllm.backends.scripted import Options, Scripted

    return Options, lambda name, options: Scripted(name, options.answers, options)


# Name of the kind -> its options and how to build it from a name and them.
KINDS: Mapping[str, Callable[[], Kind]] = {
    "llamacpp": _llamacpp,
    "openai": _openai,
    "recorded": _recorded,
    "scripted": _scripted,
}


def build(
    name: str, kind: str, options: Mapping[str, JSON], kinds: Mapping[str, Callable[[], Kind]] = KINDS
) -> Backend:
    """The backend called `name`, not yet connected or loaded. Raises SettingsError naming the field."""
    if kind not in kinds:
        near = difflib.get_close_matches(kind, kinds, 1, cutoff=0.0)[0]
        raise SettingsError(
            f"model {name!r} has the unknown kind {kind!r}",
            hint=f"write {near!r}; the kinds are {', '.join(kinds)}",
        )
    schema, make = kinds[kind]()
    try:
        return make(name, schema.model_validate(options))
    except ValidationError as error:
        faults = [f"`{'.'.join(map(str, fault['loc']))}`: {fault['msg']}" for fault in error.errors()]
        raise SettingsError(
            f"the options of model {name!r} are wrong: {'; '.join(faults)}",
            hint=f"options of {kind!r}: {', '.join(schema.model_fields)}",
        ) from None
