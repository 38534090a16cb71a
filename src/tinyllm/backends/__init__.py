"""Models behind one seam: each module is one engine. Knows nothing about graphs, nodes or settings.

`KINDS` lists what a `models:` section may name; each entry imports its module only when it is used.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from tinyllm.protocols import Backend

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
