"""The calculator: an expression in, its exact value and a sentence out."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import ClassVar

from pydantic import Field

from tinyllm.protocols import ToolContext
from tinyllm.tools.arguments import Arguments, check, describe
from tinyllm.tools.arithmetic import Value
from tinyllm.tools.expression import MAX_LENGTH, Apply, Name, Node, Number, Text, parse
from tinyllm.tools.functions import FUNCTIONS, evaluate
from tinyllm.tools.number import Real, as_json, digits, is_shown_exactly, spoken
from tinyllm.types import JSON, ToolResult


class CalculatorArguments(Arguments):
    expression: str = Field(max_length=MAX_LENGTH, description="numbers, + - * / ^ % !, pi, e, and functions")
    examples: ClassVar = (
        {"expression": "847 * 392"},
        {"expression": "15% of 80"},
        {"expression": "sqrt(2)"},
        {"expression": "gcd(12, 18)"},
    )


class Calculator:
    """Computes exactly: integers, fractions and finite decimals as they are, irrational numbers to 12 digits.

    The result's value is an int, a string such as "0.3" or "3/7" where a float would lie, a float where the
    number is irrational, a bool (is_prime, divides), a list (factors, divisors) or a string (bases, roman).
    """

    def __init__(self) -> None:
        self.spec = describe(
            "calculator",
            "Exact arithmetic: + - * / ^ mod, percentages (15% of 80, 80 + 10%, 30% off 279), and the "
            "functions " + ", ".join(name for name in FUNCTIONS if name.isidentifier()),
            CalculatorArguments,
        )

    async def call(self, arguments: Mapping[str, JSON], context: ToolContext) -> ToolResult:
        """Evaluate the expression. Raises ToolError where it cannot be read or computed."""
        expression = check(CalculatorArguments, arguments).expression.strip().removesuffix("=")
        tree = parse(expression)
        value = evaluate(tree)
        if isinstance(value, Fraction | Decimal):
            return ToolResult(as_json(value), _sentence(tree, expression, value))
        return ToolResult(value, _sentence(tree, expression, value))


def _sentence(tree: Node, expression: str, value: Value) -> str:
    shown = " ".join(expression.replace("**", "^").split())
    match tree:
        case Apply(op, args) if f"{op}(" in shown.lower() and (phrase := FUNCTIONS[op].phrase):
            simple = [_operand(arg) for arg in args]
            if all(simple):
                return phrase.format(*simple, result=_words(value))
        case Apply("% off", _) if isinstance(value, Fraction | Decimal):
            return f"{shown} is {_words(value)}"
    if isinstance(value, Fraction | Decimal):
        return _equation(shown, value)
    return f"{shown} = {_words(value).strip()}"


def _equation(shown: str, value: Real) -> str:
    if is_shown_exactly(value):
        return f"{shown} = {digits(value)}"
    words = spoken(value)
    if words.startswith(("≈", f"{shown.replace(' ', '')} ≈")):  # "sqrt(2) ≈ 1.414...", "3/7 ≈ 0.428571"
        return f"{shown} ≈ {digits(value)}"
    return f"{shown} = {words}"


def _operand(node: Node) -> str:
    match node:
        case Number(value):
            return digits(value)
        case Apply("-a", (Number(value),)):
            return f"-{digits(value)}"
        case Name(name):
            return name
        case Text(text):
            return text
    return ""


def _words(value: Value) -> str:
    match value:
        case bool():
            return "" if value else "not "
        case list():
            return ", ".join(map(str, value))
        case str():
            return value
    return digits(value) if is_shown_exactly(value) else f"about {digits(value)}"
