"""Operations, and which calls of them are legal in a request: those whose slots are there and leave nothing out.

A call names slots only: `convert n0 u1 u0`. Which operations there are is the caller's table. Knows nothing
about tools beyond their names.
"""

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from tinyllm.errors import ToolError
from tinyllm.slots.find import KINDS, Slot, Slots
from tinyllm.types import JSON

REFUSE = "refuse"
_OPERATOR = re.compile(r"\d( ?)%\1\d")
MOST_OF_A_KIND = 5  # slots of one kind that calls may choose among


@dataclass(frozen=True, slots=True)
class Op:
    """An operation of a tool. Each of `kinds` lists the slot kinds taken at that place: "n", or "e:number n"
    (an expression of that sort, or a number), "u:day u:week" (these units), "e:!number" (of any other sort).
    The units of one call share a dimension.

    `arguments` are the tool's, with {0} for the first slot's value, {0:()} for it in brackets where it needs
    them, and the list ["{0}"] for the values of a list slot. `alike` are other ways to say the same with more
    slots, in literal form: ("power", "{0}", "2") for square. An operation without a tool refuses.

    `whole` are slot kinds of which a call may leave no figure of the request out: computed from a part of them
    it would answer another question. `unless` are words that say as much where they are passed over ("second"
    largest, "sqrt" 50 rounded), and phrases in which "_" joins words and a slot is its kind ("-n_squared").

    What is `symmetric` means the same in any order of its slots.
    """

    name: str
    kinds: tuple[str, ...] = ()
    tool: str = ""
    arguments: Mapping[str, JSON] = field(default_factory=dict)
    alike: tuple[tuple[str, ...], ...] = ()
    whole: str = ""
    unless: frozenset[str] = frozenset()
    symmetric: bool = False


Ops = Mapping[str, Op]


def read_call(call: str, slots: Slots, ops: Ops) -> tuple[Op, tuple[Slot, ...]]:
    """The operation of a call and the slots it points at. Raises ToolError where the call is not legal."""
    op, found = fitting_call(call, slots, ops)
    if op.unless and (said := op.unless & _phrases(slots)):
        raise ToolError(f"{call!r} passes over {min(said)!r}")
    if left := _needed(op, slots) - set(call.split()[1:]):
        raise ToolError(f"{call!r} leaves out {slots.values[min(left)].text!r}")
    return op, found


def fitting_call(call: str, slots: Slots, ops: Ops) -> tuple[Op, tuple[Slot, ...]]:
    """The same of a call whose slots are there and of the right kinds, whatever it may pass over."""
    name, *names = call.split()[:20] or [""]
    op = ops.get(name)
    if op is None:
        raise ToolError(f"unknown operation {name!r}", hint="use an operation of the table")
    missing = [n for n in names if n not in slots.values]
    if missing:
        raise ToolError(f"{call!r} points at {missing[0]!r}, which the request does not hold")
    found = tuple(slots.values[n] for n in names)
    if len(names) != len(set(names)) or not fits(op.kinds, found):
        raise ToolError(f"{call!r} does not fit", hint=f"{name} takes {' '.join(op.kinds) or 'nothing'}")
    return op, found


def canonical(call: str, ops: Ops) -> str:
    """The call as it is written where several mean the same: slots in the order of the request."""
    name, *names = call.split()
    if ops[name].symmetric:
        names.sort(key=lambda slot: (slot[0], int(slot[1:])))
    return " ".join((name, *names))


def legal_calls(slots: Slots, ops: Ops) -> list[str]:
    """Every call whose slots are present and of the right kinds, without using a slot twice."""
    return [
        " ".join((op.name, *names))
        for group, choices in _groups(slots, ops)
        for op in group
        for names in choices
    ]


def grammar(slots: Slots, ops: Ops) -> str:
    """A GBNF grammar of exactly the legal calls of a request."""
    rules = []
    for group, choices in _groups(slots, ops):
        if choices:
            rule = _alternatives([op.name for op in group])
            tails = [" " + " ".join(choice) for choice in choices]
            rules.append(f"{rule} {_alternatives(tails)}" if group[0].kinds else rule)
    return "root ::= " + " | ".join(rules)


def outline(slots: Slots, ops: Ops) -> Hashable:
    """All of a request that decides which calls are legal, the same for requests that differ in other things."""
    said, figures = _phrases(slots), _figures(slots, KINDS)
    watched: frozenset[str] = frozenset().union(*(op.unless for op in ops.values()))
    return (
        watched & said,
        tuple(
            (name, slot.value if slot.sort == "time" else slot.sort, name in figures, watched & _words(slot))
            for name, slot in slots.values.items()
        ),
    )


def fits(kinds: Sequence[str], found: Sequence[Slot]) -> bool:
    """Whether slots are of the kinds that an operation takes, in this order."""
    if len(found) != len(kinds) or not all(map(takes, kinds, found)):
        return False
    return len({slot.sort for slot in found if slot.kind == "u"}) <= 1


def takes(kinds: str, slot: Slot) -> bool:
    """Whether a place of an operation, such as "e:number n", takes a slot."""
    for kind in kinds.split():
        letter, _, sort = kind.partition(":")
        refined = (sort in (slot.sort, slot.value)) if sort[:1] != "!" else sort[1:] != slot.sort
        if letter == slot.kind and (refined or not sort):
            return True
    return False


def _groups(slots: Slots, ops: Ops) -> Iterator[tuple[Sequence[Op], Sequence[tuple[str, ...]]]]:
    """Yield the operations that nothing forbids, those that may point at the same slots together, and at which."""
    said = _phrases(slots)
    names = [name for name in slots.values if int(name[1:]) < MOST_OF_A_KIND]
    groups: dict[tuple[tuple[str, ...], frozenset[str]], list[Op]] = {}
    for op in ops.values():
        if not op.unless & said:
            groups.setdefault((op.kinds, _needed(op, slots)), []).append(op)
    for (kinds, needed), group in groups.items():
        places = [[name for name in names if takes(kind, slots.values[name])] for kind in kinds]
        yield (
            group,
            [
                choice
                for choice in product(*places)
                if len(set(choice)) == len(choice)
                and fits(kinds, [slots.values[name] for name in choice])
                and needed <= set(choice)
            ],
        )


def _needed(op: Op, slots: Slots) -> frozenset[str]:
    """The slots that a call of an operation may not leave out."""
    held = (name for name, slot in slots.values.items() if op.unless and op.unless & _words(slot))
    return _figures(slots, op.whole) | frozenset(held)


def _figures(slots: Slots, kinds: str) -> frozenset[str]:
    """The slots of these kinds that a calculation must not pass over. A number in words may be none ("which
    one"), nor is 1 always one ("for 1 year"); today is the day that dates are counted from, and in days."""
    return frozenset(
        name
        for name, slot in slots.values.items()
        if slot.kind in kinds
        and (slot.kind != "n" or (slot.value != "1" and slot.text[:1].isdigit()))
        and (slot.kind != "d" or slot.value != "today")
        and (slot.kind != "u" or (slot.sort == "time" and slot.value != "day"))
    )


def _phrases(slots: Slots) -> frozenset[str]:
    """The words outside of the slots, and what stands in a row, two or three joined by "_": a slot there is its
    kind, with the sign of a negative number: "-n_squared". A percent sign that stands as an operator does, with
    spaces on both sides or on none, is "n%n"."""
    row = [_shown(slots.values[word]) if word in slots.values else word for word in slots.template.split()]
    said = {"_".join(row[at : at + size]) for size in (1, 2, 3) for at in range(len(row) - size + 1)}
    return frozenset(said | {"n%n"} if _OPERATOR.search(slots.text) else said)


def _shown(slot: Slot) -> str:
    return f"-{slot.kind}" if slot.kind == "n" and slot.value.startswith("-") else slot.kind


def _words(slot: Slot) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", slot.text.lower()))


def _alternatives(options: Sequence[str]) -> str:
    quoted = [f'"{option}"' for option in options]
    return quoted[0] if len(quoted) == 1 else f"({' | '.join(quoted)})"
