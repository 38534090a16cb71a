"""TinyLLM: a network of small language models that answers like a larger one at a fraction of its cost."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinyllm.api import load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    if name == "load":  # imported when first used: `tinyllm --help` needs none of it
        from tinyllm.api import load

        return load
    raise AttributeError(f"module 'tinyllm' has no attribute {name!r}")
