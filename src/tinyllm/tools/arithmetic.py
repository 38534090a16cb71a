"""Evaluates a syntax tree on exact fractions; irrational results are decimals of 40 digits.

Every operation bounds the size of its result before it computes. The sign of a remainder is that of the
divisor (-7 mod 3 is 2); a percentage after + or - is taken of the left operand (80 + 10% is 88); a half is
rounded away from zero; log is to base 10 unless a base is given. Knows nothing about syntax or phrasing.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, DecimalException
from fractions import Fraction

from tinyllm.errors import ToolError
from tinyllm.tools import integers
from tinyllm.tools.arguments import nearest, need, quoted
from tinyllm.tools.expression import Apply, Name, Node, Number, Text
from tinyllm.tools.number import MAX_BITS, REALS, Real, bounded, digits, to_decimal, too_large

Value = Fraction | Decimal | bool | str | list[int]

_PI = Decimal("3.141592653589793238462643383279502884197")
_CONSTANTS: Mapping[str, Decimal] = {
    "pi": _PI,
    "π": _PI,
    "e": Decimal("2.718281828459045235360287471352662497757"),
    "phi": Decimal("1.618033988749894848204586834365638117720"),
}


@dataclass(frozen=True, slots=True)
class Function:
    """An operation by name: how many operands it takes, and a sentence for people ({0}, {1}, {result})."""

    run: Callable[..., Value]
    least: int
    most: int
    phrase: str = ""


def evaluate(node: Node) -> Value:
    """The value of a syntax tree. Raises ToolError that says which part cannot be computed and why."""
    match node:
        case Number(value):
            return value
        case Text(text):
            return text
        case Name(name):
            if name.lower() not in _CONSTANTS:
                near = nearest(name, [*_CONSTANTS, *FUNCTIONS])
                raise ToolError(f"unknown name {quoted(name)}{near}", hint=_KNOWN)
            return _CONSTANTS[name.lower()]
        case Apply("+" | "-" as sign, (left, Apply("a%", (part,)))):
            base, share = _real(evaluate(left)), _real(evaluate(part))
            return _add(base, _multiply(base, _divide(share, Fraction(100 if sign == "+" else -100))))
        case Apply(op, args):
            return _call(op, tuple(map(evaluate, args)))


def _call(op: str, args: tuple[Value, ...]) -> Value:
    if op not in FUNCTIONS:
        raise ToolError(f"unknown function {quoted(op)}{nearest(op, FUNCTIONS)}", hint=_KNOWN)
    function = FUNCTIONS[op]
    if not function.least <= len(args) <= function.most:
        wanted = str(function.least) if function.least == function.most else f"at least {function.least}"
        raise ToolError(
            f"{op} takes {wanted} numbers, got {len(args)}", hint=f"write {op}(a, b) with numbers inside"
        )
    try:
        value = function.run(*args)
    except DecimalException:
        raise too_large() from None
    return bounded(value) if isinstance(value, Fraction) else value


def _real(value: Value) -> Real:
    if isinstance(value, bool | str | list):
        raise ToolError(
            f"{quoted(value)} is not a number to compute with", hint="ask for that part on its own"
        )
    return value


def _integer(value: Value, least: int | None = None) -> int:
    number = _real(value)
    if not isinstance(number, Fraction) or number.denominator != 1:
        raise ToolError(
            f"{digits(number)} is not a whole number", hint="give a whole number, or round it first"
        )
    if least is not None and number < least:
        raise ToolError(
            f"{digits(number)} is too small here", hint=f"give a whole number of at least {least}"
        )
    return number.numerator


def _bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def _add(a: Value, b: Value) -> Real:
    a, b = _real(a), _real(b)
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        return a + b
    return REALS.add(to_decimal(a), to_decimal(b))


def _negative(a: Value) -> Real:
    # not -a: a sign on a Decimal rounds it to the caller's context
    return -_real(a) if isinstance(a, Fraction) else REALS.minus(to_decimal(_real(a)))


def _size(a: Value) -> Real:
    return _negative(a) if _real(a) < 0 else _real(a)


def _multiply(a: Value, b: Value) -> Real:
    a, b = _real(a), _real(b)
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        return a * b
    return REALS.multiply(to_decimal(a), to_decimal(b))


def _divide(a: Value, b: Value) -> Real:
    a, b = _real(a), _real(b)
    need(b != 0, lambda: f"cannot divide {digits(a)} by zero", "give a divisor other than zero")
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        return a / b
    return REALS.divide(to_decimal(a), to_decimal(b))


def _floor(a: Value) -> Fraction:
    return Fraction(math.floor(_measured(a)))


def _measured(a: Value) -> Real:
    """A real that is small enough to become an integer."""
    number = _real(a)
    need(isinstance(number, Fraction) or number.adjusted() < 3_000, str(too_large()))
    return number


def _mod(a: Value, b: Value) -> Real:
    need(_real(b) != 0, "there is no remainder of a division by zero", "give a divisor other than zero")
    return _add(a, _negative(_multiply(b, _floor(_divide(a, b)))))


def _power(a: Value, b: Value) -> Real:
    base, exponent = _real(a), _real(b)
    if isinstance(base, Fraction) and isinstance(exponent, Fraction):
        if exponent.denominator == 1:
            return _integer_power(base, exponent.numerator)
        if base >= 0 or exponent.denominator % 2:
            # the root first: it keeps the numbers small, and is exact where the power is
            root = _root(Fraction(exponent.denominator), base)
            if isinstance(root, Fraction):
                return _integer_power(root, exponent.numerator)
    if base == 0:
        need(exponent > 0, "zero cannot be raised to a negative power", "give a base other than zero")
        return Fraction(0)
    odd = isinstance(exponent, Fraction) and exponent.denominator % 2 == 1
    need(
        base > 0 or odd,
        lambda: f"{digits(base)}^({digits(exponent)}) is not a real number",
        "use a positive base",
    )
    size = REALS.power(to_decimal(_size(base)), to_decimal(exponent))
    return (
        REALS.minus(size) if base < 0 and isinstance(exponent, Fraction) and exponent.numerator % 2 else size
    )


def _integer_power(base: Fraction, exponent: int) -> Fraction:
    need(
        base != 0 or exponent >= 0, "zero cannot be raised to a negative power", "give a base other than zero"
    )
    if base in (0, 1, -1):
        return Fraction(base ** (exponent % 2 if exponent else 0)) if base else Fraction(int(exponent == 0))
    if exponent.bit_length() > 20 or _bits(base) * abs(exponent) > MAX_BITS + abs(exponent):
        raise too_large()
    return Fraction(base**exponent)


def _root(degree: Value, radicand: Value) -> Real:
    """The real root: exact where it is rational."""
    k, a = _integer(degree), _real(radicand)
    need(k != 0, "there is no 0th root", "give a degree such as 2 or 3")
    if k < 0:
        return _divide(Fraction(1), _root(Fraction(-k), a))
    need(
        a >= 0 or k % 2,
        lambda: f"{digits(a)} has no real root of even degree",
        "use a number of at least zero",
    )
    if isinstance(a, Fraction):
        above, below = integers.root(abs(a.numerator), k), integers.root(a.denominator, k)
        if above is not None and below is not None:
            return Fraction(above if a >= 0 else -above, below)
    size = to_decimal(_size(a))
    found = REALS.sqrt(size) if k == 2 else REALS.power(size, REALS.divide(Decimal(1), Decimal(k)))
    return found if a > 0 else REALS.minus(found)


def _exp(a: Value) -> Real:
    return Fraction(1) if a == 0 else REALS.exp(to_decimal(_real(a)))


def _ln(a: Value) -> Real:
    number = _positive(a)
    return Fraction(0) if number == 1 else REALS.ln(to_decimal(number))


def _positive(a: Value) -> Real:
    number = _real(a)
    need(number > 0, lambda: f"{digits(number)} has no logarithm", "give a number greater than zero")
    return number


def _log(a: Value, base: Value = Fraction(10)) -> Real:
    """The logarithm, exact where it is a fraction with a denominator up to 12 (log of 8 to base 4 is 3/2)."""
    number, to = _positive(a), _positive(base)
    need(to != 1, "there is no logarithm to base 1", "give another base, such as 2 or 10")
    if number == 1:
        return Fraction(0)
    ratio = REALS.divide(REALS.ln(to_decimal(number)), REALS.ln(to_decimal(to)))
    guess = Fraction(ratio).limit_denominator(12)
    if isinstance(number, Fraction) and isinstance(to, Fraction):
        small = abs(guess.numerator) * _bits(to) <= MAX_BITS and guess.denominator * _bits(number) <= MAX_BITS
        if small and to**guess.numerator == number**guess.denominator:
            return guess
    return ratio


def _factorial(a: Value) -> Fraction:
    n = _integer(a, 0)
    # Stirling: log2(n!) > n log2(n / e)
    if n > 5 and (n > MAX_BITS or n * math.log2(n / math.e) > MAX_BITS):
        raise too_large()
    return Fraction(math.factorial(n))


def _round(a: Value, places: Value = Fraction(0)) -> Fraction:
    """Half away from zero, as taught at school."""
    number, shift = _measured(a), _integer(places)
    need(
        abs(shift) <= 1_000, "that many decimals cannot be rounded to", "give a number of decimals up to 1000"
    )
    unit = Fraction(10) ** shift
    size = math.floor(abs(Fraction(number)) * unit + Fraction(1, 2)) / unit
    return Fraction(size if number >= 0 else -size)


def _divides(a: Value, b: Value) -> bool:
    need(_real(b) != 0, "nothing is divisible by zero", "give a divisor other than zero")
    return _integer(a) % _integer(b) == 0


def _percent(a: Value) -> Real:
    return _divide(a, Fraction(100))


def _percent_of(share: Value, whole: Value) -> Real:
    return _multiply(_percent(share), whole)


def _percent_off(share: Value, whole: Value) -> Real:
    return _add(whole, _negative(_percent_of(share, whole)))


def _percent_more(share: Value, whole: Value) -> Real:
    return _add(whole, _percent_of(share, whole))


def _what_percent(part: Value, whole: Value) -> Real:
    return _multiply(_divide(part, whole), Fraction(100))


def _percent_change(before: Value, after: Value) -> Real:
    return _multiply(_divide(_add(after, _negative(before)), _size(before)), Fraction(100))


def _all_integers(run: Callable[..., int]) -> Callable[..., Value]:
    return lambda *values: Fraction(run(*map(_integer, values)))


def _in_base(base: int) -> Callable[[Value], str]:
    return lambda a: integers.to_base(_integer(a), base)


def _from_base(value: Value, base: Value) -> Fraction:
    if isinstance(value, Fraction):
        value = str(_integer(value))
    need(
        isinstance(value, str), "the digits to read are missing", "write them in quotes: from_base('ff', 16)"
    )
    return Fraction(integers.from_base(str(value), _integer(base)))


def _from(base: int) -> Callable[[Value], Fraction]:
    return lambda value: _from_base(value, Fraction(base))


def _off(share: Value, whole: Value) -> Real:
    """`30% off 279`: the left operand is already a hundredth."""
    return _multiply(whole, _add(Fraction(1), _negative(share)))


MANY = 200
_SQUARE = Function(lambda a: _power(a, Fraction(2)), 1, 1, "{0} squared")
_CUBE = Function(lambda a: _power(a, Fraction(3)), 1, 1, "{0} cubed")
_PRIME = Function(lambda a: integers.is_prime(_integer(a)), 1, 1, "{0} is {result}a prime number")
_BIN = Function(_in_base(2), 1, 1, "{0} in binary is {result}")
_OCT = Function(_in_base(8), 1, 1, "{0} in octal is {result}")
_HEX = Function(_in_base(16), 1, 1, "{0} in hexadecimal is {result}")
_ROMAN = Function(lambda a: integers.to_roman(_integer(a)), 1, 1, "{0} in Roman numerals is {result}")
_BASE = Function(lambda a, b: integers.to_base(_integer(a), _integer(b)), 2, 2, "{0} in base {1} is {result}")

FUNCTIONS: Mapping[str, Function] = {
    "+": Function(_add, 2, 2),
    "-": Function(lambda a, b: _add(a, _negative(b)), 2, 2),
    "*": Function(_multiply, 2, 2),
    "/": Function(_divide, 2, 2),
    "//": Function(lambda a, b: _floor(_divide(a, b)), 2, 2),
    "^": Function(_power, 2, 2),
    "% off": Function(_off, 2, 2),
    "-a": Function(_negative, 1, 1),
    "a%": Function(_percent, 1, 1),
    "mod": Function(_mod, 2, 2),
    "divides": Function(_divides, 2, 2, "{0} is {result}divisible by {1}"),
    "square": _SQUARE,
    "cube": _CUBE,
    "sqrt": Function(lambda a: _root(Fraction(2), a), 1, 1),
    "cbrt": Function(lambda a: _root(Fraction(3), a), 1, 1),
    "root": Function(_root, 2, 2),
    "exp": Function(_exp, 1, 1),
    "ln": Function(_ln, 1, 1),
    "log": Function(_log, 1, 2),
    "log2": Function(lambda a: _log(a, Fraction(2)), 1, 1),
    "log10": Function(_log, 1, 1),
    "antilog": Function(lambda a: _power(Fraction(10), a), 1, 1),
    "factorial": Function(_factorial, 1, 1),
    "gcd": Function(_all_integers(math.gcd), 1, MANY),
    "lcm": Function(_all_integers(integers.lcm), 1, MANY),
    "is_prime": _PRIME,
    "prime": _PRIME,
    "factors": Function(
        lambda a: integers.factors(_integer(a, 1)), 1, 1, "the prime factors of {0} are {result}"
    ),
    "divisors": Function(
        lambda a: integers.divisors(_integer(a, 1)), 1, 1, "the divisors of {0} are {result}"
    ),
    "abs": Function(_size, 1, 1),
    "min": Function(lambda *values: min(map(_real, values)), 1, MANY),
    "max": Function(lambda *values: max(map(_real, values)), 1, MANY),
    "floor": Function(_floor, 1, 1),
    "ceil": Function(lambda a: Fraction(math.ceil(_measured(a))), 1, 1),
    "round": Function(_round, 1, 2),
    "reciprocal": Function(lambda a: _divide(Fraction(1), a), 1, 1),
    "double": Function(lambda a: _multiply(a, Fraction(2)), 1, 1),
    "triple": Function(lambda a: _multiply(a, Fraction(3)), 1, 1),
    "halve": Function(lambda a: _divide(a, Fraction(2)), 1, 1),
    "percent_of": Function(_percent_of, 2, 2, "{0}% of {1} is {result}"),
    "percent_off": Function(_percent_off, 2, 2, "{0}% off {1} is {result}"),
    "percent_more": Function(_percent_more, 2, 2, "{1} plus {0}% is {result}"),
    "what_percent": Function(_what_percent, 2, 2, "{0} is {result}% of {1}"),
    "percent_change": Function(_percent_change, 2, 2, "from {0} to {1} is a change of {result}%"),
    "bin": _BIN,
    "to_binary": _BIN,
    "oct": _OCT,
    "to_octal": _OCT,
    "hex": _HEX,
    "to_hex": _HEX,
    "base": _BASE,
    "to_base": _BASE,
    "from_binary": Function(_from(2), 1, 1, "binary {0} is {result}"),
    "from_octal": Function(_from(8), 1, 1, "octal {0} is {result}"),
    "from_hex": Function(_from(16), 1, 1, "hexadecimal {0} is {result}"),
    "from_base": Function(_from_base, 2, 2, "{0} in base {1} is {result}"),
    "roman": _ROMAN,
    "to_roman": _ROMAN,
    "rect_perimeter": Function(
        lambda a, b: _multiply(Fraction(2), _add(a, b)),
        2,
        2,
        "the perimeter of a {0} by {1} rectangle is {result}",
    ),
    "circle_area": Function(
        lambda r: _multiply(_PI, _power(r, Fraction(2))),
        1,
        1,
        "the area of a circle of radius {0} is {result}",
    ),
    "circle_circumference": Function(
        lambda r: _multiply(_multiply(Fraction(2), _PI), r),
        1,
        1,
        "the circumference of a circle of radius {0} is {result}",
    ),
}
_KNOWN = "use numbers, + - * / ^ % !, pi, e and functions: " + ", ".join(
    n for n in FUNCTIONS if n.isidentifier()
)
