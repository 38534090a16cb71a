"""The language of calls: an operation and the slots that it points at, such as `convert n0 u1 u0`.

A call holds names only; the values are filled in from the request, so nothing is ever spelled by a reader.
Which operations there are is the caller's table. Knows nothing about tools beyond their names.
"""

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product

from tinyllm.errors import ToolError
from tinyllm.slots.find import Slot, Slots
from tinyllm.slots.units import canonical
from tinyllm.types import JSON, ToolCall

REFUSE = "refuse"
MOST_OF_A_KIND = 5  # slots of one kind that calls may choose among
_MAX_BITS = 4_000


@dataclass(frozen=True, slots=True)
class Op:
    """An operation of a tool. Each of `kinds` lists the slot kinds taken at that place: "n", or "e:number n"
    (an expression of that sort, or a number), "u:day u:week" (these units), "e:!number" (of any other sort).
    The units of one call share a dimension.

    `arguments` are the tool's, with {0} for the first slot's value, {0:()} for it in brackets where it needs
    them, and the list ["{0}"] for the values of a list slot. `alike` are other ways to say the same with more
    slots, in literal form: ("power", "{0}", "2") for square. An operation without a tool refuses.

    `whole` are slot kinds of which a call may leave no figure of the request out: computed from a part of them
    it would answer another question. `unless` are words that say as much: "second" largest, "sqrt" 50 rounded.
    """

    name: str
    kinds: tuple[str, ...] = ()
    tool: str = ""
    arguments: Mapping[str, JSON] = field(default_factory=dict)
    alike: tuple[tuple[str, ...], ...] = ()
    whole: str = ""
    unless: frozenset[str] = frozenset()


Ops = Mapping[str, Op]


def read_call(call: str, slots: Slots, ops: Ops) -> tuple[Op, tuple[Slot, ...]]:
    """The operation of a call and the slots it points at. Raises ToolError where the call is not legal."""
    name, *names = call.split()[:20] or [""]
    op = ops.get(name)
    if op is None:
        raise ToolError(f"unknown operation {name!r}", hint="use an operation of the table")
    missing = [n for n in names if n not in slots.values]
    if missing:
        raise ToolError(f"{call!r} points at {missing[0]!r}, which the request does not hold")
    found = tuple(slots.values[n] for n in names)
    if len(names) != len(set(names)) or not _fits(op.kinds, found):
        raise ToolError(f"{call!r} does not fit", hint=f"{name} takes {' '.join(op.kinds) or 'nothing'}")
    if words := op.unless & set(slots.template.split()):
        raise ToolError(f"{call!r} passes over {min(words)!r}")
    if left := figures_of(slots, op.whole) - set(names):
        raise ToolError(f"{call!r} leaves out {slots.values[min(left)].text!r}")
    return op, found


def fill(call: str, slots: Slots, ops: Ops) -> ToolCall | None:
    """The tool call that a call stands for; None for a refusal. Raises ToolError where it is not legal."""
    return _tool_call(*read_call(call, slots, ops))


def literal_call(literals: Sequence[str], ops: Ops) -> ToolCall | None:
    """The tool call of a call in literal form; None for a refusal. Raises ToolError where it is not legal."""
    op = ops.get(literals[0])
    if op is None or len(literals) != len(op.kinds) + 1:
        raise ToolError(f"{' '.join(literals)!r} is no call", hint="give the operation and its values")
    values = zip(op.kinds, literals[1:], strict=True)
    return _tool_call(op, [Slot(kinds[0], literal, literal) for kinds, literal in values])


def legal_calls(slots: Slots, ops: Ops) -> list[str]:
    """Every call whose slots are present and of the right kinds, without using a slot twice."""
    ops = allowed(slots, ops)
    choices = _choices(slots, ops)
    return [" ".join((op.name, *names)) for op in ops.values() for names in choices[op.kinds, op.whole]]


def grammar(slots: Slots, ops: Ops) -> str:
    """A GBNF grammar of exactly the legal calls of a request."""
    ops = allowed(slots, ops)
    rules = []
    for (kinds, whole), choices in _choices(slots, ops).items():
        if choices:
            rule = _alternatives([op.name for op in ops.values() if (op.kinds, op.whole) == (kinds, whole)])
            tails = [" " + " ".join(choice) for choice in choices]
            rules.append(f"{rule} {_alternatives(tails)}" if kinds else rule)
    return "root ::= " + " | ".join(rules)


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


def _fits(kinds: Sequence[str], found: Sequence[Slot]) -> bool:
    if len(found) != len(kinds) or not all(map(_takes, kinds, found)):
        return False
    return len({slot.sort for slot in found if slot.kind == "u"}) <= 1


def _takes(kinds: str, slot: Slot) -> bool:
    for kind in kinds.split():
        letter, _, sort = kind.partition(":")
        refined = (sort in (slot.sort, slot.value)) if sort[:1] != "!" else sort[1:] != slot.sort
        if letter == slot.kind and (refined or not sort):
            return True
    return False


def _choices(slots: Slots, ops: Ops) -> Mapping[tuple[tuple[str, ...], str], Sequence[tuple[str, ...]]]:
    """The slots that may be pointed at, for each signature of the table: kinds taken, kinds that leave nothing."""
    names = [name for name in slots.values if int(name[1:]) < MOST_OF_A_KIND]
    choices: dict[tuple[tuple[str, ...], str], list[tuple[str, ...]]] = {}
    for kinds, whole in {(op.kinds, op.whole): None for op in ops.values()}:
        figures = figures_of(slots, whole)
        places = [[name for name in names if _takes(kind, slots.values[name])] for kind in kinds]
        choices[kinds, whole] = [
            choice
            for choice in product(*places)
            if len(set(choice)) == len(choice)
            and _fits(kinds, [slots.values[name] for name in choice])
            and not figures - set(choice)
        ]
    return choices


def allowed(slots: Slots, ops: Ops) -> Ops:
    """The operations that no word of the request forbids."""
    words = set(slots.template.split())
    return {name: op for name, op in ops.items() if not op.unless & words}


def figures_of(slots: Slots, kinds: str) -> set[str]:
    """The slots of these kinds that a calculation must not pass over. A number in words may be none ("which
    one"), nor is 1 always one ("for 1 year"); days are what dates are counted in anyway."""
    return {
        name
        for name, slot in slots.values.items()
        if slot.kind in kinds
        and (slot.kind != "n" or (slot.value != "1" and slot.text[:1].isdigit()))
        and (slot.kind != "u" or (slot.sort == "time" and slot.value != "day"))
    }


def _alternatives(options: Sequence[str]) -> str:
    quoted = [f'"{option}"' for option in options]
    return quoted[0] if len(quoted) == 1 else f"({' | '.join(quoted)})"


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
                if n not in names and _takes(kinds, s) and _is_same(s, literal)
            ),
            None,
        )
        if name is None:
            return None
        names.append(name)
    return " ".join((op.name, *names)) if _fits(op.kinds, [slots.values[name] for name in names]) else None


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
