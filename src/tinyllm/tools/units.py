"""Units: an amount in one unit told in another, or two amounts compared.

Everyday units are converted exactly by the table of `measures`; what it does not hold goes to pint, whose
registry is built once, when it is first needed (0.8 CPU-seconds).
"""

import asyncio
import re
from collections.abc import Mapping
from fractions import Fraction
from functools import cached_property
from typing import Any, ClassVar, Literal

from pydantic import Field

from tinyllm.errors import ToolError
from tinyllm.protocols import ToolContext
from tinyllm.tools.arguments import Arguments, check, describe, example_of, nearest, need, quoted
from tinyllm.tools.measures import Measures, Unit, convert
from tinyllm.tools.number import as_json, digits, exact, is_terminating, rounded, to_decimal
from tinyllm.types import JSON, ToolResult

_Number = int | float | str
_UNIT = Field(None, max_length=60)
# pint evaluates what it is given as an expression: only names joined by * and /, with small whole powers
_SAFE = re.compile(r"[^\W\d]+(?:(?:\^|\*\*)-?\d)?(?:[ */]+(?:per )?[^\W\d]+(?:(?:\^|\*\*)-?\d)?){0,5}")


class UnitsArguments(Arguments):
    operation: Literal["convert", "compare"] = "convert"
    value: _Number = Field(1, description='a number, or a fraction such as "1/2"')
    from_unit: str = Field(max_length=60, description="such as kilometer, cup, fluid ounce, mile per hour")
    to_unit: str | None = _UNIT
    also_to: str | None = Field(None, max_length=60, description="a second unit to convert into")
    second_value: _Number | None = Field(None, description="added to value, or compared with it")
    second_unit: str | None = _UNIT
    examples: ClassVar = (
        {"value": 50, "from_unit": "kilometer", "to_unit": "millimeter"},
        {"value": 5, "from_unit": "foot", "second_value": 3, "second_unit": "inch", "to_unit": "centimeter"},
        {"operation": "compare", "value": 3, "from_unit": "cup", "second_value": 1, "second_unit": "pint"},
    )


class Units:
    """Converts and compares amounts. Ambiguous names are US customary; an ounce beside a volume is fluid.

    A conversion's value is an int or an exact decimal string, a float where it was rounded, or a list of two
    for two targets; a comparison's value is "more", "less" or "equal" (the first, against the second).
    """

    def __init__(self) -> None:
        self.spec = describe(
            "units",
            "Convert an amount between units (length, mass, volume, time, temperature, speed, ...), "
            "add a second amount first (5 foot 3 inch), or compare two amounts.",
            UnitsArguments,
        )

    @cached_property
    def _measures(self) -> Measures:
        return Measures()

    @cached_property
    def _pint(self) -> Any:
        from pint import UnitRegistry

        return UnitRegistry()

    async def call(self, arguments: Mapping[str, JSON], context: ToolContext) -> ToolResult:
        """Convert or compare. Raises ToolError for an unknown unit or units of different dimensions."""
        asked = check(UnitsArguments, arguments)
        names = [name for name in (asked.from_unit, asked.second_unit, asked.to_unit, asked.also_to) if name]
        units = await self._find(names)
        for name in names:
            _need_same_kind(units[asked.from_unit], units[name])
        amounts = [_sensible(asked.value, units[asked.from_unit])]
        if asked.second_unit:
            second = 1 if asked.second_value is None else asked.second_value
            amounts.append(_sensible(second, units[asked.second_unit]))
        if asked.operation == "compare":
            need(
                len(amounts) == 2, "argument 'second_unit' is missing", example_of(UnitsArguments, "compare")
            )
            return _compare(*amounts)
        need(asked.to_unit, "argument 'to_unit' is missing", example_of(UnitsArguments))
        return _convert(amounts, [units[name] for name in (asked.to_unit, asked.also_to) if name])

    async def _find(self, names: list[str]) -> dict[str, Unit]:
        """The units of these names: of the table, else of pint. Raises ToolError for an unknown one."""
        fluid = self._measures.find("fluid ounce")
        found: dict[str, Unit] = {}
        for name in names:
            unit = self._measures.find(name)
            found[name] = await asyncio.to_thread(self._from_pint, name) if unit is None else unit
        if fluid and any(unit.kind == "volume" for unit in found.values()):
            return {name: fluid if unit.name == "ounce" else unit for name, unit in found.items()}
        return found

    def _from_pint(self, name: str) -> Unit:
        """The unit as pint defines it. Raises ToolError where it is unknown or not linear."""
        text = name.strip().replace(" per ", "/").replace(" ", "_")
        unknown = ToolError(
            f"unknown unit {quoted(name)}{nearest(name.replace('_', ' '), self._measures.names)}",
            hint="name the unit in full, such as kilometer, pound, cup or mile per hour",
        )
        if not _SAFE.fullmatch(text):
            raise unknown
        from pint import PintError

        try:
            unit = self._pint.parse_units(text)
            zero, one, two = (self._pint.Quantity(n, unit).to_base_units() for n in (0, 1, 2))
        except (PintError, ValueError, TypeError, ArithmeticError):
            raise unknown from None
        size, origin = exact(float(one.magnitude - zero.magnitude)), exact(float(zero.magnitude))
        if abs(exact(float(two.magnitude)) - origin - 2 * size) > abs(size) / 10**9 or not size:
            raise unknown
        powers = []
        for base, exponent in one.unit_items():
            if exponent != int(exponent):
                raise unknown
            own = self._measures.find(base)
            size *= own.factor ** int(exponent) if own else 1
            powers.append((own.powers[0][0] if own else base, int(exponent)))
        shown = str(unit).replace("_", " ").replace(" / ", " per ").replace(" ** ", "^")
        return Unit(shown, f"{shown}s", size, tuple(sorted(powers)), origin)


def _sensible(value: _Number, unit: Unit) -> tuple[Fraction, Unit]:
    amount = exact(value)
    need(abs(amount) < 10**40, "the amount is too large to convert", "give an amount of at most 40 digits")
    if unit.kind == "temperature":
        need(
            amount * unit.factor + unit.zero >= 0,
            f"{_amount(amount, unit)} is below absolute zero",
            "nothing is colder than -273.15 degrees Celsius",
        )
    return amount, unit


def _need_same_kind(first: Unit, other: Unit) -> None:
    need(
        first.powers == other.powers,
        lambda: f"cannot convert {first.plural} ({first.kind}) to {other.plural} ({other.kind})",
        f"name two units of {first.kind}",
    )


def _convert(amounts: list[tuple[Fraction, Unit]], targets: list[Unit]) -> ToolResult:
    given = " ".join(_amount(value, unit) for value, unit in amounts)
    base, source = amounts[0][1], amounts[-1][1]
    value = sum((convert(v, unit, base) for v, unit in amounts[1:]), amounts[0][0])
    if len(targets) == 2 and source in targets and targets[0].factor > targets[1].factor:
        # "100 inches in feet and inches" is 8 feet 4 inches
        whole = Fraction(int(convert(value, base, targets[0])))
        rest = convert(value - convert(whole, targets[0], base), base, targets[1])
        found = [(whole, targets[0]), (rest, targets[1])]
        return ToolResult(
            [_json(v) for v, _ in found], f"{given} = {' '.join(_amount(v, u) for v, u in found)}"
        )
    results = [(convert(value, base, unit), unit) for unit in targets]
    values = [_json(v) for v, _ in results]
    text = given + "".join(f" {'=' if _is_short(v) else '≈'} {_amount(v, u)}" for v, u in results)
    return ToolResult(values[0] if len(values) == 1 else values, text)


def _compare(first: tuple[Fraction, Unit], second: tuple[Fraction, Unit]) -> ToolResult:
    (a, unit), (b, other) = first, second
    same = convert(b, other, unit)
    word = "more" if a > same else "less" if a < same else "equal"
    phrase = {"more": "is more than", "less": "is less than", "equal": "is the same as"}[word]
    sign = "=" if _is_short(same) else "≈"
    return ToolResult(
        word,
        f"{_amount(a, unit)} {phrase} {_amount(b, other)} ({_amount(b, other)} {sign} {_amount(same, unit)})",
    )


def _is_short(value: Fraction) -> bool:
    """Whether the exact decimal is short enough to be shown: an integer, or up to 10 significant digits."""
    if value.denominator == 1:
        return True
    return is_terminating(value) and sum(map(str.isdigit, digits(value).lstrip("-0."))) <= 10


def _json(value: Fraction) -> int | str | float:
    return as_json(value) if _is_short(value) else as_json(to_decimal(value))


def _amount(value: Fraction, unit: Unit) -> str:
    """The value with its unit: exact where that is short, else to 6 significant digits or 2 decimals."""
    number = to_decimal(value)
    shown = digits(value) if _is_short(value) else rounded(number, min(max(6, number.adjusted() + 3), 22))
    return f"{shown} {unit.name if shown == '1' else unit.plural}"
