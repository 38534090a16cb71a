"""The tools that ship, by name: one plain table of factories, each importing its module when it is called."""

from collections.abc import Callable, Mapping
from typing import Any

from tinyllm.protocols import Tool


def _calculator(**options: Any) -> Tool:
    from tinyllm.tools.calculator import Calculator

    return Calculator(**options)


def _units(**options: Any) -> Tool:
    from tinyllm.tools.units import Units

    return Units(**options)


TOOLS: Mapping[str, Callable[..., Tool]] = {
    "calculator": _calculator,
    "units": _units,
}
