"""The tools that ship, by name: one plain table of factories, each importing its module when it is called."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from tinyllm.protocols import Tool


def _factory(module: str, name: str) -> Callable[..., Tool]:
    def build(*args: Any, **options: Any) -> Tool:
        tool: Tool = getattr(import_module(f"tinyllm.tools.{module}"), name)(*args, **options)
        return tool

    return build


# What a factory takes is what its class takes: dates and time a zone, lookup a folder, function a target.
TOOLS: Mapping[str, Callable[..., Tool]] = {
    "calculator": _factory("calculator", "Calculator"),
    "units": _factory("units", "Units"),
    "dates": _factory("dates", "Dates"),
    "time": _factory("time", "Time"),
    "algebra": _factory("algebra", "Algebra"),
    "statistics": _factory("statistics", "Statistics"),
    "text": _factory("text", "Text"),
    "chance": _factory("chance", "Chance"),
    "lookup": _factory("lookup", "Lookup"),
    "python": _factory("python", "Python"),
    "function": _factory("function", "Function"),
}
