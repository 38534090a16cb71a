"""Training examples for the readers: request patterns filled in, and requests written by people.

Patterns (`patterns/*.txt`) cover every operation; human rows (CLINC150, not shipped) bring phrasing and the
requests that are to be refused. All is drawn from a seed. What is drawn around the words (case, punctuation,
slips, politeness) comes from one distribution for all operations, so that none of it tells them apart.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from random import Random

from tinyllm.slots import REFUSE, Slots, find, point
from tinyllm.slots.units import spellings
from tinyllm.starter import fillers, formulas
from tinyllm.starter.calls import OPS
from tinyllm.starter.human import SKILLS, Row

PATTERNS = 20_000  # examples drawn from patterns, for a model or for an epoch
COPIES = 8  # refilled copies of each human row of a skill
REHEARSED = 4_000
_PLACE = re.compile(r"\{([a-z])(\d)\}(th\b)?")
_MACRO = re.compile(r"\$([A-Z]+)")
_SINGULAR_AFTER = frozenset(("a", "an", "one", "per", "each", "every", "the"))
_BEFORE = (
    "hey ",
    "hi ",
    "ok ",
    "okay ",
    "so ",
    "please ",
    "um ",
    "hello ",
    "alright ",
    "quick question ",
)
_AFTER = (" please", " thanks", " thank you", " for me", " now", " ok", " real quick", " right now")
_ENDS = ("", "", "", "", "?", "?", "?", ".", " ?", "!")


@dataclass(frozen=True, slots=True)
class Example:
    """A request, its slots, and the call over them that answers it. `source` is "pattern" or "human"."""

    text: str
    slots: Slots
    call: str
    source: str


@dataclass(frozen=True, slots=True)
class Pattern:
    """One way to ask for a call: `line` holds placeholders such as {n1}, `places` those of the call."""

    op: str
    places: tuple[str, ...]
    line: str


@cache
def patterns() -> Mapping[str, Sequence[Pattern]]:
    """Every pattern that ships, by operation."""
    found: dict[str, list[Pattern]] = {}
    folder = resources.files("tinyllm.starter").joinpath("patterns")
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        if not file.name.endswith(".txt") or file.name == "macros.txt":
            continue
        op: list[str] = []
        for line in file.read_text(encoding="utf-8").splitlines():
            if re.match(r"= [a-z]\w*( [a-z]\d)*$", line):
                op = line[2:].split()
            elif line.strip() and not line.startswith("#"):
                found.setdefault(op[0], []).append(Pattern(op[0], tuple(op[1:]), line.strip()))
    return found


def examples(
    seed: int, n: int = PATTERNS, rows: Sequence[Row] = (), *, copies: int = COPIES
) -> list[Example]:
    """Everything that a reader is trained on, shuffled: `n` examples from patterns, the human rows of the
    skills with `copies` more of each, and every other human row as it was written."""
    skills = [row for row in rows if row.intent in SKILLS]
    others = [row for row in rows if row.intent not in SKILLS]
    drawn = from_patterns(seed, n)
    drawn += from_humans(seed + 1, skills, copies=copies)
    drawn += from_humans(seed + 2, others, copies=0)
    Random(seed).shuffle(drawn)
    return drawn


def from_patterns(seed: int, n: int, *, refusals: float = 0.15) -> list[Example]:
    """`n` examples from patterns, of which a share of about `refusals` are refused.

    An operation comes up in proportion to the patterns that were written for it. A filled pattern whose values
    cannot all be pointed at is drawn again.
    """
    random = Random(seed)
    table = patterns()
    names = sorted(name for name in table if name != REFUSE)
    shares = [len(table[name]) for name in names]
    examples: list[Example] = []
    while len(examples) < n:
        op = REFUSE if random.random() < refusals else random.choices(names, shares)[0]
        example = fill(random.choice(table[op]), random)
        if example:
            examples.append(example)
    return examples


@cache
def left_to_readers() -> Sequence[tuple[Slots, str]]:
    """Requests such as the shipped readers were trained on, as what learns beside these has to refuse them."""
    return [(example.slots, REFUSE) for example in from_patterns(0, REHEARSED)]


def from_humans(seed: int, rows: Iterable[Row], *, copies: int = COPIES) -> list[Example]:
    """Examples from human rows: each as it was written, and `copies` times with other values and dress.

    A row that is refused is only dressed. A row whose values the slots do not hold is left out.
    """
    random = Random(seed)
    examples: list[Example] = []
    for row in rows:
        slots = find(row.text)
        call = pointed(row, slots)
        if call is None:
            continue
        examples.append(Example(row.text, slots, call, "human"))
        for _ in range(copies):
            again = refill(slots, call, random) if call != REFUSE else row.text
            text = dress(again, random)
            found = find(text)
            if _same_slots(found, slots):
                examples.append(Example(text, found, call, "human"))
    return examples


def pointed(row: Row, slots: Slots) -> str | None:
    """The call over the slots that a row's label stands for, or None where they do not hold its values."""
    return next((call for literals in row.calls if (call := point(literals, slots, OPS))), None)


def fill(pattern: Pattern, random: Random) -> Example | None:
    """The pattern with fillers in its places, dressed; None where the slots found do not hold them."""
    line = _MACRO.sub(lambda match: random.choice(_macros()[match[1]]), pattern.line)
    line = slip(" ".join(line.split()), random, _PLACE)
    sort = fillers.sort_of_units(random, pattern.op)
    drawn: dict[str, fillers.Filler] = {}

    def draw(match: re.Match[str]) -> str:
        kind, name = match[1], match[1] + match[2]
        before, after = line[: match.start()], line[match.end() :]
        place = pattern.places.index(name) if name in pattern.places else 0
        touches = (before[-1:] or " ") not in " ," or (after[:1] or " ") not in " ,?"
        if kind == "n" and match[3]:
            filler = fillers.ordinal(random, pattern.op, place)
        elif kind == "n":
            filler = fillers.number(random, pattern.op, place, digits=touches)
        elif kind == "u":
            word = before.split()[-1] if before.strip() else ""
            single = word in _SINGULAR_AFTER or (bool(drawn) and word == "1")
            taken = [f.literal for n, f in drawn.items() if n[0] == "u"]
            filler = fillers.unit(random, sort, single=single, taken=taken)
        elif kind == "w":
            filler = fillers.word(random, pattern.op)
        else:
            filler = _OTHERS[kind](random, pattern.op)
        drawn[name] = filler
        return filler.text

    text = dress(_PLACE.sub(draw, line), random)
    slots = find(text)
    if pattern.op == REFUSE:
        return Example(text, slots, REFUSE, "pattern")
    literals = [drawn[name].literal for name in pattern.places]
    if len(set(literals)) < len(literals):
        return None
    call = point((pattern.op, *literals), slots, OPS)
    return Example(text, slots, call, "pattern") if call else None


_OTHERS: Mapping[str, Callable[[Random, str], fillers.Filler]] = {
    "d": lambda random, op: fillers.date(random, today=op == "days_between"),
    "t": lambda random, op: fillers.time_of_day(random),
    "z": lambda random, op: fillers.place(random),
    "c": lambda random, op: fillers.letter(random),
    "l": lambda random, op: fillers.row(random),
    "e": formulas.expression,
}


def refill(slots: Slots, call: str, random: Random) -> str:
    """The request with other values in its slots, of the same kinds and dimensions; words and lists stay."""
    op = call.split()[0]
    places = {name: place for place, name in enumerate(call.split()[1:])}
    pieces: list[str] = []
    done = 0
    taken: list[str] = []
    for name, slot in slots.values.items():
        at = slots.text.find(slot.text, done)
        if at < 0:
            break
        before, after = slots.text[:at], slots.text[at + len(slot.text) :]
        touches = (before[-1:] or " ") not in " ," or (after[:1] or " ") not in " ,?.!"
        new = slot.text
        if slot.kind == "n" and slot.value not in ("1", "pi") and slot.text[:1].isdigit() | (not touches):
            if after[:2] in ("th", "st", "nd", "rd"):
                new = (
                    str(random.choice((4, 5, 6, 7, 8, 9, 10, 11, 12, 15))) if after[:2] == "th" else slot.text
                )
            else:
                new = fillers.number(random, op, places.get(name, 0), digits=touches).text
        elif slot.kind == "u" and slot.sort in spellings():
            single = bool(before.split()) and before.split()[-1] in _SINGULAR_AFTER
            filler = fillers.unit(random, slot.sort, single=single, taken=taken)
            taken.append(filler.literal)
            new = filler.text
        elif slot.kind in "zd" and slot.value != "today":
            new = _OTHERS[slot.kind](random, op).text
        elif slot.kind == "w" and slot.text.isalpha():
            new = fillers.word(random, op).text
        elif slot.kind == "e" and slot.sort == "number" and op == "calc":
            new = formulas.expression(random, op).text
        pieces += [slots.text[done:at], new]
        done = at + len(slot.text)
    return "".join(pieces) + slots.text[done:]


def _same_slots(found: Slots, slots: Slots) -> bool:
    return [(n, s.kind, s.sort) for n, s in found.values.items()] == [
        (n, s.kind, s.sort) for n, s in slots.values.items()
    ]


def dress(text: str, random: Random) -> str:
    """The request as somebody might type it: with or without manners, capitals and punctuation."""
    if random.random() < 0.08:
        text = random.choice(_BEFORE) + text
    if random.random() < 0.08 and not text.endswith(("=", "?")):
        text += random.choice(_AFTER)
    if random.random() < 0.15:
        text = text.replace("'s ", "s ", 1) if random.random() < 0.6 else text.replace("'s ", "’s ", 1)
    draw = random.random()
    if draw < 0.2:
        text = text[:1].upper() + text[1:]
    elif draw < 0.23:
        text = text.upper()
    elif draw < 0.26:
        text = text.title()
    return text if text.endswith(("?", "!", "=")) else text + random.choice(_ENDS)


def slip(text: str, random: Random, spare: re.Pattern[str], share: float = 0.07) -> str:
    """The text, a `share` of times with a letter of a longer word wrong, but not in what `spare` matches."""
    if random.random() >= share:
        return text
    held = [range(*match.span()) for match in spare.finditer(text)]
    long = [
        m
        for m in re.finditer(r"[a-z]{4,}", text)
        if not any(m.start() in r or m.end() - 1 in r for r in held)
    ]
    if not long:
        return text
    word = random.choice(long)
    at = random.randint(word.start() + 1, word.end() - 2)
    match random.randrange(4):
        case 0:
            return text[:at] + text[at + 1 :]
        case 1:
            return text[:at] + text[at] + text[at:]
        case 2:
            return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
        case _:
            return text[:at] + random.choice("abcdefghijklmnopqrstuvwxyz") + text[at + 1 :]


@cache
def _macros() -> Mapping[str, Sequence[str]]:
    file = resources.files("tinyllm.starter").joinpath("patterns").joinpath("macros.txt")
    lines = re.findall(r"^\$([A-Z]+): ?(.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: [choice.strip() for choice in choices.split("|")] for name, choices in lines}
