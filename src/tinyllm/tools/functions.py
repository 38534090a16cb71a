"""The calculator's functions and operators by name, and the evaluation of a syntax tree with them.

A percentage after + or - is taken of the left operand: 80 + 10% is 88. Knows nothing about syntax.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, DecimalException
from fractions import Fraction

from tinyllm.errors import ToolError
from tinyllm.tools import arithmetic, integers
from tinyllm.tools.arguments import nearest, need, quoted
from tinyllm.tools.arithmetic import Value
from tinyllm.tools.expression import Apply, Name, Node, Number, Text
from tinyllm.tools.number import Real, bounded, too_large

_CONSTANTS: Mapping[str, Decimal] = {"pi": arithmetic.PI, "π": arithmetic.PI, "e": arithmetic.E}


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
            return _call("percent_more" if sign == "+" else "percent_off", (evaluate(part), evaluate(left)))
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


def _all_integers(run: Callable[..., int]) -> Callable[..., Value]:
    return lambda *values: Fraction(run(*map(arithmetic.integer, values)))


def _in_base(base: int) -> Callable[[Value], str]:
    return lambda a: integers.to_base(arithmetic.integer(a), base)


def _from_base(value: Value, base: Value) -> Fraction:
    if isinstance(value, Fraction):
        value = str(arithmetic.integer(value))
    need(
        isinstance(value, str), "the digits to read are missing", "write them in quotes: from_base('ff', 16)"
    )
    return Fraction(integers.from_base(str(value), arithmetic.integer(base)))


def _from(base: int) -> Callable[[Value], Fraction]:
    return lambda value: _from_base(value, Fraction(base))


def _off(share: Value, whole: Value) -> Real:
    """`30% off 279`: the left operand is already a hundredth."""
    return arithmetic.multiply(whole, arithmetic.add(Fraction(1), arithmetic.negative(share)))


MANY = 200
_SQUARE = Function(lambda a: arithmetic.power(a, Fraction(2)), 1, 1, "{0} squared is {result}")
_CUBE = Function(lambda a: arithmetic.power(a, Fraction(3)), 1, 1, "{0} cubed is {result}")
_PRIME = Function(lambda a: integers.is_prime(arithmetic.integer(a)), 1, 1, "{0} is {result}a prime number")
_BIN = Function(_in_base(2), 1, 1, "{0} in binary is {result}")
_OCT = Function(_in_base(8), 1, 1, "{0} in octal is {result}")
_HEX = Function(_in_base(16), 1, 1, "{0} in hexadecimal is {result}")
_ROMAN = Function(
    lambda a: integers.to_roman(arithmetic.integer(a)), 1, 1, "{0} in Roman numerals is {result}"
)
_BASE = Function(
    lambda a, b: integers.to_base(arithmetic.integer(a), arithmetic.integer(b)),
    2,
    2,
    "{0} in base {1} is {result}",
)

FUNCTIONS: Mapping[str, Function] = {
    "+": Function(arithmetic.add, 2, 2),
    "-": Function(lambda a, b: arithmetic.add(a, arithmetic.negative(b)), 2, 2),
    "*": Function(arithmetic.multiply, 2, 2),
    "/": Function(arithmetic.divide, 2, 2),
    "//": Function(lambda a, b: arithmetic.floor(arithmetic.divide(a, b)), 2, 2),
    "^": Function(arithmetic.power, 2, 2),
    "% off": Function(_off, 2, 2),
    "-a": Function(arithmetic.negative, 1, 1),
    "a%": Function(arithmetic.percent, 1, 1),
    "mod": Function(arithmetic.mod, 2, 2),
    "divides": Function(arithmetic.divides, 2, 2, "{0} is {result}divisible by {1}"),
    "square": _SQUARE,
    "cube": _CUBE,
    "sqrt": Function(lambda a: arithmetic.root(Fraction(2), a), 1, 1),
    "cbrt": Function(lambda a: arithmetic.root(Fraction(3), a), 1, 1),
    "root": Function(arithmetic.root, 2, 2),
    "exp": Function(arithmetic.exp, 1, 1),
    "ln": Function(arithmetic.ln, 1, 1),
    "log": Function(arithmetic.log, 1, 2),
    "log2": Function(lambda a: arithmetic.log(a, Fraction(2)), 1, 1),
    "log10": Function(arithmetic.log, 1, 1),
    "antilog": Function(lambda a: arithmetic.power(Fraction(10), a), 1, 1),
    "sin": Function(arithmetic.trigonometric(math.sin), 1, 1),
    "cos": Function(arithmetic.trigonometric(math.cos), 1, 1),
    "tan": Function(arithmetic.trigonometric(math.tan), 1, 1),
    "factorial": Function(arithmetic.factorial, 1, 1),
    "gcd": Function(_all_integers(math.gcd), 1, MANY),
    "lcm": Function(_all_integers(integers.lcm), 1, MANY),
    "is_prime": _PRIME,
    "prime": _PRIME,
    "factors": Function(
        lambda a: integers.factors(arithmetic.integer(a, 1)), 1, 1, "the prime factors of {0} are {result}"
    ),
    "divisors": Function(
        lambda a: integers.divisors(arithmetic.integer(a, 1)), 1, 1, "the divisors of {0} are {result}"
    ),
    "abs": Function(arithmetic.size, 1, 1),
    "min": Function(lambda *values: min(map(arithmetic.real, values)), 1, MANY),
    "max": Function(lambda *values: max(map(arithmetic.real, values)), 1, MANY),
    "floor": Function(arithmetic.floor, 1, 1),
    "ceil": Function(lambda a: Fraction(math.ceil(arithmetic.measured(a))), 1, 1),
    "round": Function(arithmetic.round_to, 1, 2),
    "reciprocal": Function(lambda a: arithmetic.divide(Fraction(1), a), 1, 1),
    "double": Function(lambda a: arithmetic.multiply(a, Fraction(2)), 1, 1),
    "triple": Function(lambda a: arithmetic.multiply(a, Fraction(3)), 1, 1),
    "halve": Function(lambda a: arithmetic.divide(a, Fraction(2)), 1, 1),
    "percent_of": Function(arithmetic.percent_of, 2, 2, "{0}% of {1} is {result}"),
    "percent_off": Function(arithmetic.percent_off, 2, 2, "{0}% off {1} is {result}"),
    "percent_more": Function(arithmetic.percent_more, 2, 2, "{1} plus {0}% is {result}"),
    "what_percent": Function(arithmetic.what_percent, 2, 2, "{0} is {result}% of {1}"),
    "percent_change": Function(arithmetic.percent_change, 2, 2, "from {0} to {1} is a change of {result}%"),
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
        lambda a, b: arithmetic.multiply(Fraction(2), arithmetic.add(a, b)),
        2,
        2,
        "the perimeter of a {0} by {1} rectangle is {result}",
    ),
    "circle_area": Function(
        lambda r: arithmetic.multiply(arithmetic.PI, arithmetic.power(r, Fraction(2))),
        1,
        1,
        "the area of a circle of radius {0} is {result}",
    ),
    "circle_circumference": Function(
        lambda r: arithmetic.multiply(arithmetic.multiply(Fraction(2), arithmetic.PI), r),
        1,
        1,
        "the circumference of a circle of radius {0} is {result}",
    ),
}
_KNOWN = "use numbers, + - * / ^ % !, pi, e and functions: " + ", ".join(
    n for n in FUNCTIONS if n.isidentifier()
)
