"""The figures that an answer tells, exactly and as rounded as they are written. Knows nothing about questions."""

import re
from fractions import Fraction
from typing import NamedTuple

from tinyllm.types import JSON

_NUMBER = re.compile(r"(?<![\d.])-?\d{1,400}(?:\.(?P<decimals>\d{1,400})|/(?P<over>0*[1-9]\d{0,399}))?")


class Told(NamedTuple):
    """A number of a text: `rounding` is half a unit of its last place, 0 for a fraction; `digits` are those
    before and after the point. It stands from `start` to `end` of the text without thousands separators."""

    value: Fraction
    rounding: Fraction
    digits: int
    start: int
    end: int


def ungrouped(text: str) -> str:
    """The text with numbers as Python writes them: no thousands separators, a hyphen for a minus sign."""
    return re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text.replace("−", "-"))


def told(text: str) -> list[Told]:
    """The numbers in an ungrouped text, in order."""
    return [_told(match) for match in _NUMBER.finditer(text)]


def figure(value: JSON) -> Fraction | None:
    """The number that a tool's value is. Exact ones are strings: `0.3`, `5/3`."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    return Fraction(str(value)) if _NUMBER.fullmatch(str(value)) else None


def tells(text: str, figure: Fraction) -> bool:
    """Whether a number of the text is the figure, exact or rounded to three digits at least."""
    for number in told(ungrouped(text)):
        rounding = number.rounding if figure.denominator != 1 else Fraction(0)
        if abs(number.value - figure) <= min(rounding, abs(figure) / 200):
            return True
    return False


def _told(match: re.Match[str]) -> Told:
    decimals = match["decimals"] or ""
    rounding = Fraction(0) if match["over"] else Fraction(1, 2 * 10 ** len(decimals))
    return Told(Fraction(match[0]), rounding, sum(map(str.isdigit, match[0])), *match.span())
