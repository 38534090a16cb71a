"""Arithmetic on exact fractions; irrational results are decimals of 40 digits.

Every operation bounds the size of its result before it computes. The sign of a remainder is that of the
divisor (-7 mod 3 is 2), a half is rounded away from zero, log is to base 10 unless a base is given, angles
are in radians. Raises ToolError. Knows nothing about syntax, names or phrasing.
"""

import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

from tinyllm.errors import ToolError
from tinyllm.tools import integers
from tinyllm.tools.arguments import need, quoted
from tinyllm.tools.number import MAX_BITS, REALS, Real, digits, to_decimal, too_large

Value = Fraction | Decimal | bool | str | list[int]

PI = Decimal("3.141592653589793238462643383279502884197")
E = Decimal("2.718281828459045235360287471352662497757")


def real(value: Value) -> Real:
    if isinstance(value, bool | str | list):
        raise ToolError(
            f"{quoted(value)} is not a number to compute with", hint="ask for that part on its own"
        )
    return value


def integer(value: Value, least: int | None = None) -> int:
    number = real(value)
    if not isinstance(number, Fraction) or number.denominator != 1:
        raise ToolError(
            f"{digits(number)} is not a whole number", hint="give a whole number, or round it first"
        )
    if least is not None and number < least:
        raise ToolError(
            f"{digits(number)} is too small here", hint=f"give a whole number of at least {least}"
        )
    return number.numerator


def bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def add(a: Value, b: Value) -> Real:
    a, b = real(a), real(b)
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        return a + b
    return REALS.add(to_decimal(a), to_decimal(b))


def negative(a: Value) -> Real:
    # not -a: a sign on a Decimal rounds it to the caller's context
    return -real(a) if isinstance(a, Fraction) else REALS.minus(to_decimal(real(a)))


def size(a: Value) -> Real:
    return negative(a) if real(a) < 0 else real(a)


def multiply(a: Value, b: Value) -> Real:
    a, b = real(a), real(b)
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        return a * b
    return REALS.multiply(to_decimal(a), to_decimal(b))


def divide(a: Value, b: Value) -> Real:
    a, b = real(a), real(b)
    need(b != 0, lambda: f"cannot divide {digits(a)} by zero", "give a divisor other than zero")
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        return a / b
    return REALS.divide(to_decimal(a), to_decimal(b))


def floor(a: Value) -> Fraction:
    return Fraction(math.floor(measured(a)))


def measured(a: Value) -> Real:
    """A real that is small enough to become an integer."""
    number = real(a)
    need(isinstance(number, Fraction) or number.adjusted() < 3_000, str(too_large()))
    return number


def mod(a: Value, b: Value) -> Real:
    need(real(b) != 0, "there is no remainder of a division by zero", "give a divisor other than zero")
    return add(a, negative(multiply(b, floor(divide(a, b)))))


def power(a: Value, b: Value) -> Real:
    base, exponent = real(a), real(b)
    if isinstance(base, Fraction) and isinstance(exponent, Fraction):
        if exponent.denominator == 1:
            return integer_power(base, exponent.numerator)
        if base >= 0 or exponent.denominator % 2:
            # the root first: it keeps the numbers small, and is exact where the power is
            exact = root(Fraction(exponent.denominator), base)
            if isinstance(exact, Fraction):
                return integer_power(exact, exponent.numerator)
    if base == 0:
        need(exponent > 0, "zero cannot be raised to a negative power", "give a base other than zero")
        return Fraction(0)
    odd = isinstance(exponent, Fraction) and exponent.denominator % 2 == 1
    need(
        base > 0 or odd,
        lambda: f"{digits(base)}^({digits(exponent)}) is not a real number",
        "use a positive base",
    )
    found = REALS.power(to_decimal(size(base)), to_decimal(exponent))
    flipped = base < 0 and isinstance(exponent, Fraction) and exponent.numerator % 2
    return REALS.minus(found) if flipped else found


def integer_power(base: Fraction, exponent: int) -> Fraction:
    need(
        base != 0 or exponent >= 0, "zero cannot be raised to a negative power", "give a base other than zero"
    )
    if base in (0, 1, -1) and exponent:
        exponent = 2 + exponent % 2
    if (bits(base) - 1) * abs(exponent) > MAX_BITS:
        raise too_large()
    return Fraction(base**exponent)


def root(degree: Value, radicand: Value) -> Real:
    """The real root: exact where it is rational."""
    k, a = integer(degree), real(radicand)
    need(k != 0, "there is no 0th root", "give a degree such as 2 or 3")
    if k < 0:
        return divide(Fraction(1), root(Fraction(-k), a))
    need(
        a >= 0 or k % 2,
        lambda: f"{digits(a)} has no real root of even degree",
        "use a number of at least zero",
    )
    if isinstance(a, Fraction):
        above, below = integers.root(abs(a.numerator), k), integers.root(a.denominator, k)
        if above is not None and below is not None:
            return Fraction(above if a >= 0 else -above, below)
    distance = to_decimal(size(a))
    found = REALS.sqrt(distance) if k == 2 else REALS.power(distance, REALS.divide(Decimal(1), Decimal(k)))
    return found if a > 0 else REALS.minus(found)


def exp(a: Value) -> Real:
    return Fraction(1) if a == 0 else REALS.exp(to_decimal(real(a)))


def ln(a: Value) -> Real:
    number = positive(a)
    return Fraction(0) if number == 1 else REALS.ln(to_decimal(number))


def positive(a: Value) -> Real:
    number = real(a)
    need(number > 0, lambda: f"{digits(number)} has no logarithm", "give a number greater than zero")
    return number


def log(a: Value, base: Value = Fraction(10)) -> Real:
    """The logarithm, exact where it is a fraction with a denominator up to 12 (log of 8 to base 4 is 3/2)."""
    number, to = positive(a), positive(base)
    need(to != 1, "there is no logarithm to base 1", "give another base, such as 2 or 10")
    if number == 1:
        return Fraction(0)
    ratio = REALS.divide(REALS.ln(to_decimal(number)), REALS.ln(to_decimal(to)))
    guess = Fraction(ratio).limit_denominator(12)
    if isinstance(number, Fraction) and isinstance(to, Fraction):
        small = abs(guess.numerator) * bits(to) <= MAX_BITS and guess.denominator * bits(number) <= MAX_BITS
        if small and to**guess.numerator == number**guess.denominator:
            return guess
    return ratio


def trigonometric(function: Callable[[float], float]) -> Callable[[Value], Decimal]:
    """Of radians, to 15 decimals: sin(pi) is 0."""

    def run(a: Value) -> Decimal:
        angle = real(a)
        need(size(angle) < 10**6, "the angle is too large", "give radians below 10^6")
        return Decimal(f"{function(float(angle)):.15f}")

    return run


def factorial(a: Value) -> Fraction:
    n = integer(a, 0)
    # Stirling: log2(n!) > n log2(n / e)
    if n > 5 and (n > MAX_BITS or n * math.log2(n / math.e) > MAX_BITS):
        raise too_large()
    return Fraction(math.factorial(n))


def round_to(a: Value, places: Value = Fraction(0)) -> Fraction:
    """Half away from zero, as taught at school."""
    number, shift = measured(a), integer(places)
    need(
        abs(shift) <= 1_000, "that many decimals cannot be rounded to", "give a number of decimals up to 1000"
    )
    unit = Fraction(10) ** shift
    found = math.floor(abs(Fraction(number)) * unit + Fraction(1, 2)) / unit
    return Fraction(found if number >= 0 else -found)


def divides(a: Value, b: Value) -> bool:
    need(real(b) != 0, "nothing is divisible by zero", "give a divisor other than zero")
    return integer(a) % integer(b) == 0


def percent(a: Value) -> Real:
    return divide(a, Fraction(100))


def percent_of(share: Value, whole: Value) -> Real:
    return multiply(percent(share), whole)


def percent_off(share: Value, whole: Value) -> Real:
    return add(whole, negative(percent_of(share, whole)))


def percent_more(share: Value, whole: Value) -> Real:
    return add(whole, percent_of(share, whole))


def what_percent(part: Value, whole: Value) -> Real:
    return multiply(divide(part, whole), Fraction(100))


def percent_change(before: Value, after: Value) -> Real:
    return multiply(divide(add(after, negative(before)), size(before)), Fraction(100))
