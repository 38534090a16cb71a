"""The tool that the chat model calls: exact sums with + - * / and brackets. Knows nothing about models.

It says its results as the network's calculator does, so that a model reads both alike.
"""

import ast
import operator
import re
from decimal import Decimal
from fractions import Fraction

_OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
_SUM = re.compile(r"[\d\s.()+*/-]+")
ERROR = "error: "  # how a result begins that is none
_LONGEST = 200  # characters; no sum of this length is slow


def value(expression: str) -> Fraction:
    """The value of `expression`. Raises ValueError, saying why, where it is no sum or has no value."""
    try:
        if len(expression) > _LONGEST:
            raise ValueError("the sum is too long")
        if not _SUM.fullmatch(expression):
            raise ValueError(f"cannot read {expression!r}")
        return _value(ast.parse(expression.strip(), mode="eval").body)
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError(f"cannot read {expression!r}") from None
    except ZeroDivisionError:
        raise ValueError("cannot divide by zero") from None


def _value(node: ast.expr) -> Fraction:
    match node:
        case ast.Constant(value=int() | float() as number):
            return Fraction(repr(number))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(left), _value(right))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
    raise ValueError(f"cannot compute {ast.unparse(node)!r}")


def said(number: Fraction) -> str:
    """`number` as a decimal: exact where it ends within 28 digits, else to seven digits."""
    decimal = Decimal(number.numerator) / number.denominator
    return f"{decimal.normalize():f}" if Fraction(decimal) == number else f"{float(number):.7g}"


def result(expression: str) -> str:
    """What the tool answers: `12 * 3 = 36`, or an error."""
    try:
        number = value(expression)
    except ValueError as error:
        return f"{ERROR}{error}"
    text = said(number)
    return f"{expression} {'=' if Fraction(text) == number else '≈'} {text}"
