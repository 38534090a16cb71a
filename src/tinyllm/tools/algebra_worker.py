"""The process in which sympy works: reads one JSON request a line, writes one JSON answer a line.

Expressions come through the bounded parser of `expression`; sympy never parses text itself. Ends when its
input does, so it cannot outlive the process that started it.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

from tinyllm.errors import ToolError
from tinyllm.tools.arguments import nearest, need, quoted
from tinyllm.tools.expression import Apply, Name, Node, Number, parse
from tinyllm.tools.number import MAX_BITS

MAX_POWER = 100
MAX_SHOWN = 2_000
MAX_SOLUTION = 40  # characters; a solution in closed form that is longer is told as a decimal
MEMORY = 1 << 30
_FUNCTIONS = (
    "sqrt",
    "cbrt",
    "exp",
    "ln",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "abs",
)


def main() -> None:
    _limit_memory()
    import sympy  # noqa: F401  so that the first request does not pay for it

    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            value, text = _OPERATIONS[request["operation"]](request["expression"], request["variable"])
            answer = {"value": value, "text": text}
            need(len(text) <= MAX_SHOWN, "the result is too long to show", "ask for something simpler")
        except ToolError as error:
            answer = {"error": error.message, "hint": error.hint}
        except (
            ArithmeticError,
            ValueError,
            TypeError,
            NotImplementedError,
            AttributeError,
            RecursionError,
        ) as error:
            # sympy says in many ways that it has no method for a problem
            answer = {
                "error": f"no closed form was found ({type(error).__name__})",
                "hint": "ask for something simpler",
            }
        print(json.dumps(answer), flush=True)


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:
        return  # Windows has no such limit; there the time limit alone holds
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    except (ValueError, OSError):
        pass  # macOS refuses it at times; there the time limit alone holds


def build(node: Node) -> Any:
    """The sympy expression of a syntax tree. Raises ToolError."""
    import sympy

    match node:
        case Number(value):
            return sympy.Rational(value.numerator, value.denominator)
        case Name(name):
            return _named(name)
        case Apply("^", (base, exponent)):
            return _power(build(base), build(exponent))
        case Apply(op, args):
            operators: Mapping[str, Callable[..., Any]] = {
                "+": lambda a, b: a + b,
                "-": lambda a, b: a - b,
                "*": lambda a, b: a * b,
                "/": _divide,
                "-a": lambda a: -a,
                "a%": lambda a: a / 100,
                "square": lambda a: _power(a, sympy.Integer(2)),
                "cube": lambda a: _power(a, sympy.Integer(3)),
                "log": lambda a: sympy.log(a) / sympy.log(10),
                **{name: getattr(sympy, {"abs": "Abs"}.get(name, name)) for name in _FUNCTIONS},
            }
            if op not in operators:
                raise ToolError(
                    f"{quoted(op)} cannot be used in algebra{nearest(op, operators)}",
                    hint=f"use + - * / ^ and {', '.join(_FUNCTIONS)}, log",
                )
            try:
                return operators[op](*map(build, args))
            except TypeError:
                raise ToolError(f"{op} does not take {len(args)} arguments", hint=f"write {op}(x)") from None
    raise ToolError("quoted text has no place in algebra", hint="write an expression such as x^2 + 4x + 4")


def _named(name: str) -> Any:
    import sympy

    if name in ("pi", "π", "e"):
        return sympy.E if name == "e" else sympy.pi
    need(name.lower() not in (*_FUNCTIONS, "log"), f"{name} has no argument", f"write {name}(x)")
    near = nearest(name, _FUNCTIONS)
    need(len(name) <= 3, f"unknown name {quoted(name)}{near}", "variables are single letters, such as x")
    return sympy.Mul(*(sympy.Symbol(letter, real=True) for letter in name))  # ab is a times b


def _divide(above: Any, below: Any) -> Any:
    need(below != 0, "something is divided by zero", "give a divisor other than zero")
    return above / below


def _power(base: Any, exponent: Any) -> Any:
    if exponent.is_number:
        need(
            abs(exponent) <= MAX_POWER,
            f"powers above {MAX_POWER} are not worked on",
            "use a smaller exponent",
        )
        if base.is_Rational:
            bits = max(abs(int(base.p)).bit_length(), int(base.q).bit_length())
            need(bits * abs(exponent) <= MAX_BITS, "the number would be too large", "use a smaller exponent")
    need(
        not (base == 0 and exponent.is_negative), "something is divided by zero", "use a base other than zero"
    )
    return base**exponent


def _read(text: str) -> Any:
    """The expression. Raises ToolError for an equation."""
    tree = parse(text, variables=True)
    need(
        not (isinstance(tree, Apply) and tree.op == "="),
        "this takes an expression, not an equation",
        'leave out the =, or use {"operation": "solve"}',
    )
    return build(tree)


def _variable(expression: Any, wanted: str | None) -> Any:
    """The symbol to work on: the one asked for, else x, else the only one."""
    import sympy

    symbols = {str(symbol): symbol for symbol in sorted(expression.free_symbols, key=str)}
    if wanted:
        near = f"use one of {', '.join(symbols)}"
        need(wanted in symbols, f"there is no {quoted(wanted)} in the expression", near)
        return symbols[wanted]
    return symbols.get("x") or next(iter(symbols.values()), sympy.Symbol("x", real=True))


def _solve(text: str, wanted: str | None) -> tuple[Any, str]:
    import sympy

    tree = parse(text, variables=True)
    if isinstance(tree, Apply) and tree.op == "=":
        difference = build(tree.args[0]) - build(tree.args[1])
    else:
        difference = build(tree)
    difference = sympy.simplify(difference)
    need(
        difference.free_symbols or difference.is_number,
        "there is nothing to solve",
        "give an equation with x",
    )
    if not difference.free_symbols:
        true = difference == 0
        return (
            true,
            "That is true whatever the variables are." if true else "That has no solution: it is never true.",
        )
    variable = _variable(difference, wanted)
    found = _solutions(difference, variable)
    if not found:
        return [], f"{_tidy(text)} has no real solution."
    period = (
        " (of one period)"
        if difference.has(sympy.functions.elementary.trigonometric.TrigonometricFunction)
        else ""
    )
    return [_shown(solution) for solution in found], _or(variable, found) + period


def _solutions(difference: Any, variable: Any) -> list[Any]:
    """The real roots, in closed form where that is short, else as decimals."""
    import sympy

    above = sympy.fraction(sympy.together(difference))[0]
    if (
        above.is_polynomial(variable)
        and above.free_symbols == {variable}
        and sympy.degree(above, variable) > 2
    ):
        roots = sympy.real_roots(sympy.Poly(above, variable), multiple=False)
        found = [root for root, _ in roots if difference.subs(variable, root) not in (sympy.nan, sympy.zoo)]
    else:
        found = sympy.solve(difference, variable)
        need(
            found or sympy.solveset(difference, variable, sympy.S.Reals) == sympy.S.EmptySet,
            "no closed form was found",
        )
    return [
        solution
        if solution.free_symbols or (len(str(solution)) <= MAX_SOLUTION and not solution.has(sympy.CRootOf))
        else solution.evalf(12)
        for solution in found
    ]


def _or(variable: Any, solutions: list[Any]) -> str:
    parts = []
    for solution in solutions:
        if solution.is_Float:
            parts.append(f"{variable} ≈ {_shown(solution)}")
        elif solution.is_Rational or solution.free_symbols:
            parts.append(f"{variable} = {_shown(solution)}")
        else:
            parts.append(f"{variable} = {_shown(solution)} ≈ {_shown(solution.evalf(6))}")
    return " or ".join(parts)


def _derive(text: str, wanted: str | None) -> tuple[Any, str]:
    import sympy

    expression = _read(text)
    variable = _variable(expression, wanted)
    derivative = sympy.diff(expression, variable)
    shown = min(map(_shown, (derivative, sympy.cancel(derivative), sympy.factor(derivative))), key=len)
    return shown, f"The derivative of {_tidy(text)} with respect to {variable} is {shown}."


def _integrate(text: str, wanted: str | None) -> tuple[Any, str]:
    import sympy

    expression = _read(text)
    variable = _variable(expression, wanted)
    found = sympy.integrate(expression, variable)
    need(not found.has(sympy.Integral), "the integral has no closed form", "ask for another integral")
    shown = f"{_shown(found)} + C"
    return shown, f"The integral of {_tidy(text)} with respect to {variable} is {shown}."


def _rewritten(function: str, phrase: str) -> Callable[[str, str | None], tuple[Any, str]]:
    def run(text: str, wanted: str | None) -> tuple[Any, str]:
        import sympy

        shown = _shown(getattr(sympy, function)(_read(text)))
        return shown, f"{_tidy(text)} {phrase} {shown}."

    return run


_OPERATIONS: Mapping[str, Callable[[str, str | None], tuple[Any, str]]] = {
    "solve": _solve,
    "derive": _derive,
    "integrate": _integrate,
    "factor": _rewritten("factor", "factored is"),
    "expand": _rewritten("expand", "expanded is"),
    "simplify": _rewritten("simplify", "simplified is"),
}


def _tidy(text: str) -> str:
    return " ".join(text.replace("**", "^").split())


def _shown(expression: Any) -> str:
    """The expression as people type it: ^ for powers, ln for the natural logarithm, e."""
    text = str(expression).replace("**", "^").replace("log(", "ln(")
    return re.sub(r"\bE\b", "e", text)


if __name__ == "__main__":
    main()
