"""Exact numbers in and out of text: what callers write -> Fraction -> plain digits.

Exact values are `Fraction`, irrational ones `Decimal` of 40 digits. Knows nothing about any operation.
"""

import re
from decimal import Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from fractions import Fraction

from tinyllm.errors import ToolError
from tinyllm.tools.arguments import quoted

Real = Fraction | Decimal

# 13,000 bits are 3,914 digits: safely below the 4,300 at which Python refuses to print an integer.
MAX_BITS = 13_000
MAX_DIGITS = 3_900
MAX_DECIMALS = 30  # a terminating decimal longer than this is shown as an approximation
REALS = Context(prec=40, Emax=99_999, Emin=-99_999, traps=[Overflow, DivisionByZero, InvalidOperation])

_NUMBER = re.compile(
    r"([+-]?)(?:(\d+)[ +])?(\d+(?:\.\d*)?|\.\d+)(?:e([+-]?\d{1,4}))?(?:/(\d+))?", re.IGNORECASE
)
_VULGAR = {
    "½": "1/2",
    "¼": "1/4",
    "¾": "3/4",
    "⅓": "1/3",
    "⅔": "2/3",
    "⅛": "1/8",
    "⅜": "3/8",
    "⅝": "5/8",
    "⅞": "7/8",
}


def exact(value: int | float | str | Fraction) -> Fraction:
    """The number that was written: 12, 0.1, "0.1", "1,000", "1/2", "2 1/2", "2½", "1e6". Raises ToolError.

    A float means the shortest decimal that prints as it, so that 0.1 is one tenth.
    """
    if isinstance(value, int | Fraction):
        return bounded(Fraction(value))
    text = repr(value) if isinstance(value, float) else value
    if len(text) > MAX_DIGITS:
        raise ToolError(
            f"a number of {len(text)} characters is too long", hint=f"use at most {MAX_DIGITS} digits"
        )
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text.strip().replace("−", "-"))
    text = re.sub(f"[{''.join(_VULGAR)}]", lambda m: f" {_VULGAR[m[0]]}", text).strip()
    found = _NUMBER.fullmatch(text)
    if not found:
        raise ToolError(f"{quoted(value)} is not a number", hint='write it as 12, "0.5", "1/2" or "2 1/2"')
    sign, whole, number, exponent, below = found.groups()
    if (whole and not below) or (below and ("." in number or exponent)):
        raise ToolError(f"{quoted(value)} is not a number", hint='write it as 12, "0.5", "1/2" or "2 1/2"')
    if abs(int(exponent or 0)) > MAX_DIGITS:
        raise ToolError(f"{quoted(value)} is too large to work with", hint=f"use at most {MAX_DIGITS} digits")
    if below and not int(below):
        raise ToolError(
            f"{quoted(value)} divides by zero", hint="give a number other than zero below the line"
        )
    size = Fraction(int(whole or 0)) + Fraction(number) * Fraction(10) ** int(exponent or 0) / int(below or 1)
    return bounded(-size if sign == "-" else size)


def bounded(value: Fraction) -> Fraction:
    """The value itself. Raises ToolError where it has more digits than are worked with."""
    if value.numerator.bit_length() > MAX_BITS or value.denominator.bit_length() > MAX_BITS:
        raise too_large()
    return value


def too_large() -> ToolError:
    return ToolError(
        f"the result would have more than {MAX_DIGITS} digits",
        hint="ask for a smaller power, factorial or number",
    )


def to_decimal(value: Real) -> Decimal:
    """The value to 40 significant digits."""
    if isinstance(value, Decimal):
        return value
    return REALS.divide(Decimal(value.numerator), Decimal(value.denominator))


def is_terminating(value: Fraction) -> bool:
    """Whether the value has a finite decimal expansion that is short enough to show."""
    return int(10**MAX_DECIMALS) % value.denominator == 0


def digits(value: Real) -> str:
    """The value in plain digits without separators: exact where it terminates, else rounded.

    A fraction is rounded to 6 decimals or 6 significant digits, whichever shows more; an irrational
    number to 12 significant digits. What is beyond 10^15 or below 10^-7 and not exact is `a × 10^b`.
    """
    if isinstance(value, Fraction) and is_terminating(value):
        if value.denominator == 1:
            return str(value.numerator)
        context = Context(prec=MAX_DIGITS + MAX_DECIMALS + 1)
        return _plain(context.divide(Decimal(value.numerator), Decimal(value.denominator)))
    number = to_decimal(value)
    precision = max(6, number.adjusted() + 7) if isinstance(value, Fraction) else 12
    return rounded(number, min(precision, 22))


def rounded(number: Decimal, precision: int) -> str:
    """The number to so many significant digits, in plain digits unless beyond 10^15 or below 10^-7."""
    short = Context(prec=precision).plus(number)
    if not short:
        return "0"
    if -7 <= short.adjusted() <= 15:
        return _plain(short)
    return f"{_plain(short.scaleb(-short.adjusted(), REALS))} × 10^{short.adjusted()}"


def is_shown_exactly(value: Real) -> bool:
    """Whether `digits` is the whole truth."""
    return isinstance(value, Fraction) and is_terminating(value)


def as_json(value: Real) -> int | str | float:
    """The value for programs: an int, an exact decimal or fraction as a string, or a float."""
    if isinstance(value, Decimal):
        return float(value) if abs(value.adjusted()) < 300 else digits(value)
    if value.denominator == 1:
        return value.numerator
    return digits(value) if is_terminating(value) else f"{value.numerator}/{value.denominator}"


def spoken(value: Real) -> str:
    """The value for people: exact digits, a fraction with its decimal ("3/7 ≈ 0.428571"), or ≈ digits."""
    if is_shown_exactly(value):
        return digits(value)
    if isinstance(value, Fraction) and len(str(value)) <= 24:
        return f"{value.numerator}/{value.denominator} ≈ {digits(value)}"
    return f"≈ {digits(value)}"


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
