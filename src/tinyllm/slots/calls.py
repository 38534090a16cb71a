"""What calls stand for: `convert n0 u1 u0` and a request become a tool call, a labelled call becomes slots.

A call holds names only; the values are filled in from the request, so nothing is ever spelled by a reader.
Which operations there are is the caller's table. Knows nothing about tools beyond their names.
"""

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from tinyllm.errors import ToolError
from tinyllm.slots.find import Slot, Slots, find
from tinyllm.slots.legal import Op, Ops, fits, read_call, takes
from tinyllm.slots.units import canonical
from tinyllm.types import JSON, ToolCall

_MAX_BITS = 4_000


def fill(call: str, slots: Slots, ops: Ops) -> ToolCall | None:
    """The tool call that a call stands for; None for a refusal. Raises ToolError where it is not legal."""
    return _tool_call(*read_call(call, slots, ops))


def call_in(call: str, text: str, ops: Ops) -> ToolCall | None:
    """The tool call that a call stands for in a request's text; None for a refusal. Raises ToolError where it is
    not legal there, or the text is too long to be read whole."""
    slots = find(text)
    if slots.cut:
        raise ToolError(f"the question is longer than the {len(slots.text)} characters that are read")
    return fill(call, slots, ops)


def literal_call(literals: Sequence[str], ops: Ops) -> ToolCall | None:
    """The tool call of a call in literal form; None for a refusal. Raises ToolError where it is not legal."""
    op = ops.get(literals[0])
    if op is None or len(literals) != len(op.kinds) + 1:
        raise ToolError(f"{' '.join(literals)!r} is no call", hint="give the operation and its values")
    values = zip(op.kinds, literals[1:], strict=True)
    return _tool_call(op, [Slot(kinds[0], literal, literal) for kinds, literal in values])


def point(literals: Sequence[str], slots: Slots, ops: Ops) -> str | None:
    """The call over the slots of a request that a call in literal form stands for: `percent_off n0 n1` for
    ("percent_off", "30", "279"). Of several ways to say it, the one that uses most slots; None where a value
    is missing."""
    op = ops[literals[0]]
    forms = [tuple(literals), *(tuple(part.format(*literals[1:]) for part in form) for form in op.alike)]
    calls = [call for form in forms if (call := _pointed(form, slots, ops))]
    return max(calls, key=lambda call: call.count(" "), default=None)


def _tool_call(op: Op, found: Sequence[Slot]) -> ToolCall | None:
    if not op.tool:
        return None
    return ToolCall(op.tool, {name: _filled(value, found) for name, value in op.arguments.items()})


class _Value(str):
    """A value that puts itself into brackets where an expression needs them."""

    __slots__ = ()

    def __format__(self, spec: str) -> str:
        bare = spec != "()" or self.replace(".", "", 1).isalnum()
        return str(self) if bare else f"({self})"


def _filled(template: JSON, found: Sequence[Slot]) -> JSON:
    if isinstance(template, list):
        return [
            item for part in template for item in part.format(*(slot.value for slot in found)).split(", ")
        ]
    return template.format(*(_Value(slot.value) for slot in found)) if isinstance(template, str) else template


def _pointed(literals: Sequence[str], slots: Slots, ops: Ops) -> str | None:
    op = ops[literals[0]]
    if len(literals) != len(op.kinds) + 1:
        return None
    names: list[str] = []
    for kinds, literal in zip(op.kinds, literals[1:], strict=True):
        name = next(
            (
                n
                for n, s in slots.values.items()
                if n not in names and takes(kinds, s) and _is_same(s, literal)
            ),
            None,
        )
        if name is None:
            return None
        names.append(name)
    return " ".join((op.name, *names)) if fits(op.kinds, [slots.values[name] for name in names]) else None


def _is_same(slot: Slot, literal: str) -> bool:
    """Whether a slot holds what a literal says: numbers by value, units by name, the rest by its letters."""
    match slot.kind:
        case "n" | "e":
            if slot.value.replace(" ", "") == literal.replace(" ", ""):
                return True
            value = evaluate(slot.value)
            return value is not None and value == evaluate(literal)
        case "u":
            return slot.value == canonical(literal)
        case "l":
            return list(map(evaluate, slot.value.split(", "))) == list(map(evaluate, literal.split(", ")))
        case _:
            return slot.value.casefold() == literal.casefold()


_OPERATORS: Mapping[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
}


def evaluate(text: str) -> Fraction | None:
    """The exact value of a plain expression of + - * / ** and mod; None for anything else."""
    try:
        return _value(ast.parse(text.replace(" mod ", "%").strip(), mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        return None


def _value(node: ast.expr) -> Fraction:
    match node:
        case ast.Constant(int() | float() as number):
            return Fraction(repr(number))
        case ast.UnaryOp(ast.USub(), operand):
            return -_value(operand)
        case ast.BinOp(left, ast.Pow(), right):
            base, exponent = _value(left), _value(right)
            bits = base.numerator.bit_length() + base.denominator.bit_length()
            if exponent.denominator != 1 or abs(exponent) * bits > _MAX_BITS:
                raise ValueError("not a plain expression, or one of large powers")
            return base ** int(exponent)
        case ast.BinOp(left, sign, right) if type(sign) in _OPERATORS:
            return _OPERATORS[type(sign)](_value(left), _value(right))
    raise ValueError("not a plain expression, or one of large powers")
