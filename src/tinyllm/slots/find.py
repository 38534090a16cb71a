"""Finds the slots of a request: everything in it that a call may point at, each under a name.

"what is 30% off 279" -> template "what is n0 % off n1", n0 = 30, n1 = 279. By rule and table alone; nothing
is computed and nothing is guessed: where several words may be meant, each is offered.

    n number   u unit   d date   t time of day   z time zone   w word or quoted text   c letter
    l list of numbers   e expression or equation
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

from tinyllm.slots import dates, numbers, places, units, words
from tinyllm.slots.expressions import may_begin, read_expression
from tinyllm.slots.text import Token, fold, tokenise, words_of

KINDS = "nudtzwcle"
MOST = 30  # slots of a request; what follows stays plain text
_RANGE = words_of("between from number range")
_ASKS_UNIT = words_of("many much per in into to a an one between from every each half fewer more convert =")
_LINKS = words_of("to in into and from -> = per convert")
_AFTER_IN = frozenset(("to", "into", "in", "as", "=", "?", "equals", "is", "->", ".", ","))
# Words that ask about the two numbers of a division or product, and not for its value.
_ASKS_PARTS = words_of("remainder remainders remains leftover percent percentage pct % perimeter")
_PERCENT = frozenset(("%", "percent", "pct", "percents", "precent"))
_BETWEEN = words_of("and to until till through -")
_AND_A = {"half": Fraction(1, 2), "third": Fraction(1, 3), "quarter": Fraction(1, 4)}


@dataclass(frozen=True, slots=True)
class Slot:
    """`value` is canonical; `text` as it was written. `sort` refines the kind: a unit's dimension, "number" /
    "formula" / "equation" of an expression."""

    kind: str
    value: str
    text: str
    sort: str = ""


@dataclass(frozen=True, slots=True)
class Slots:
    """A request read by rule: `template` is its text with slot names. `cut` says that it was too long."""

    text: str
    template: str
    values: Mapping[str, Slot]
    cut: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader may want to know of slots beyond their names: "u0=day", "u1=length", "e0=formula"."""
        return tuple(f"{name}={note}" for name, slot in self.values.items() if (note := _note(slot)))


def find(text: str) -> Slots:
    """The slots of a request, in order, numbered per kind. Takes any text and never raises."""
    return _read(*fold(text))


@lru_cache(maxsize=512)  # router, readers and whoever learns read the same question in turn
def _read(folded: str, cut: bool) -> Slots:
    finder = _Finder(folded, tokenise(folded))
    finder.scan()
    return finder.slots(cut)


def _note(slot: Slot) -> str:
    if slot.kind == "u":
        return slot.value if slot.sort == "time" else slot.sort
    if slot.kind == "d":
        return slot.value if slot.value.isalpha() else ""
    if slot.kind == "n":
        return "1" if slot.value == "1" else ""
    return slot.sort


class _Finder:
    def __init__(self, folded: str, tokens: list[Token]) -> None:
        self.folded = folded
        self.tokens = tokens
        self.about_text = words.is_about_text(tokens)
        self.about_bases = words.is_about_bases(tokens)
        self.asks_parts = any(token.text in _ASKS_PARTS for token in tokens)
        self.quoted = any(token.kind == "quote" and len(token.text) > 1 for token in tokens)
        self.found: list[tuple[int, int, Slot]] = []  # from token, to token

    def scan(self) -> None:
        at = 0
        while at < len(self.tokens) and len(self.found) < MOST:
            at = self.read(at) or at + 1
        self.settle_ounces()
        self.settle_years()

    def add(self, at: int, end: int, kind: str, value: str, sort: str = "") -> int:
        text = self.folded[self.tokens[at].start : self.tokens[end - 1].end]
        self.found.append((at, end, Slot(kind, value, text, sort)))
        return end

    def read(self, at: int) -> int | None:
        """Add the slot that begins at a token and return its end, or None."""
        token = self.tokens[at]
        if token.kind == "quote":
            return self.read_quote(at)
        if (self.about_text or self.about_bases) and (end := self.read_text(at)):
            return end
        if self.about_text and token.kind == "word":
            return None
        if token.text == "0" and self.text(at + 1) == "x" and (end := words.read_hex(self.tokens, at)):
            return end  # 0x1f is no number to calculate with here
        return (
            self.read_date_or_time(at) or self.read_quantity(at) or self.read_unit(at) or self.read_place(at)
        )

    def read_quote(self, at: int) -> int:
        token = self.tokens[at]
        inside = self.folded[token.start + 1 : token.start + 1 + len(token.text)].strip()
        if len(inside) == 1 and inside.isalpha():
            return self.add(at, at + 1, "c", inside.lower())
        content = tokenise(inside)
        number = numbers.read_number(content, 0) if content and not self.about_text else None
        if number and number.end == len(content):
            return self.add(at, at + 1, "n", numbers.spell(number.value))
        return self.add(at, at + 1, "w", inside)

    def read_text(self, at: int) -> int | None:
        if self.about_text and (end := words.read_letter(self.tokens, at)):
            return self.add(at, end, "c", self.tokens[at].text[0])
        if self.quoted or sum(slot.kind == "w" for _, _, slot in self.found) >= words.MOST:
            return None
        end = words.read_hex(self.tokens, at) if self.about_bases else None
        if end is None and self.about_text:
            end = words.read_counted_words(self.tokens, at) or words.read_word(self.tokens, at)
        if end is None:
            return None
        return self.add(at, end, "w", self.folded[self.tokens[at].start : self.tokens[end - 1].end])

    def read_date_or_time(self, at: int) -> int | None:
        if date := dates.read_date(self.tokens, at):
            return self.add(at, date[1], "d", date[0])
        if time := dates.read_time(self.tokens, at):
            return self.add(at, time[1], "t", time[0])
        return None

    def read_quantity(self, at: int) -> int | None:
        """An expression, a list or a number."""
        tokens, token = self.tokens, self.tokens[at]
        if not may_begin(token) or (token.kind == "sign" and token.text not in "(-."):
            return None
        if decimal := self.read_comma(at):
            return decimal
        expression = read_expression(tokens, at)
        if at and tokens[at - 1].kind == "word" and tokens[at - 1].end == token.start:
            expression = None  # the 10 of "log10(100)"
        if expression and (self.is_comma(at - 1) or self.is_comma(expression.end)):
            expression = None  # "0,1 + 0,2" is not 1+0
        fraction = numbers.simple_fraction(tokens, at)
        if self.asks_parts and expression and re.fullmatch(r"\(?[\d.]+[*/][\d.]+\)?", expression.text):
            expression = None
        if self.asks_parts and self.text(at - 1) not in _RANGE:
            fraction = None
        if expression and not (fraction and expression.end == fraction[1]):
            before = tokens[at - 1].text if at else ""
            if not (before in _RANGE and re.fullmatch(r"\d+-\d+", expression.text)):
                return self.add(at, expression.end, "e", expression.text, expression.sort)
        if row := numbers.read_list(tokens, at):
            return self.add(at, row[1], "l", ", ".join(map(numbers.spell, row[0])))
        if fraction:
            return self.read_fraction(at, *fraction)
        number = numbers.read_number(tokens, at, units.words())
        if number is None or (token.text == "a" and number.end == at + 1):
            return None
        end = (
            number.end - 1
            if number.ordinal and tokens[number.end - 1].text in ("th", "st", "nd", "rd")
            else number.end
        )
        return self.add(at, end, "n", numbers.spell(number.value))

    def is_comma(self, at: int) -> bool:
        """Whether a comma stands between digits without a space: a decimal comma, or a list of numbers."""
        if self.text(at) != "," or not 0 < at < len(self.tokens) - 1:
            return False
        before, comma, after = self.tokens[at - 1 : at + 2]
        return before.end == comma.start and comma.end == after.start and after.kind == "number"

    def read_comma(self, at: int) -> int | None:
        """A decimal comma is read where a unit follows: "2,5 kg"."""
        end = at + 3
        parts = [self.text(at), self.text(at + 2)]
        decimal = self.is_comma(at + 1) and not self.is_comma(at - 1) and not self.is_comma(end)
        if not decimal or not all(map(str.isdecimal, parts)) or self.text(end) not in units.words():
            return None
        return self.add(at, end, "n", numbers.spell(Fraction(".".join(parts))))

    def read_fraction(self, at: int, value: Fraction, end: int) -> int:
        """a/b is a number ("1/2 cup", "3/4 of") where it is proper or an amount, else a division."""
        following = self.text(end)
        if value < 1 or following == "of" or following in units.words():
            return self.add(at, end, "n", numbers.spell(value))
        return self.add(at, end, "e", f"{self.text(at)}/{self.text(at + 2)}", "number")

    def read_unit(self, at: int) -> int | None:
        token = self.tokens[at]
        after_number = bool(self.found) and self.found[-1][1] == at and self.found[-1][2].kind in "nle"
        if token.text in ("'", '"', "''"):  # 5'3"
            glued = after_number and self.tokens[at - 1].end == token.start
            return (
                self.add(at, at + 1, "u", "foot" if token.text == "'" else "inch", "length")
                if glued
                else None
            )
        if token.kind != "word":
            return None
        found = units.read_unit(self.tokens, at)
        if found is None:
            return None
        unit, end = found
        if unit.mark == "~":
            two = self.text(at - 1) == "and" and bool(self.found) and self.found[-1][1] == at - 1
            if not (
                after_number or self.text(at - 1) in _ASKS_UNIT or (two and self.found[-1][2].kind == "u")
            ):
                return None
        elif unit.mark and not (self.is_amount(at, after_number) or self.is_beside(at, end, unit)):
            return None
        return self.add(at, self.and_a_half(at, end), "u", unit.name, unit.sort)

    def and_a_half(self, at: int, end: int) -> int:
        """Where the unit at a token ends, its number raised by what follows: "3 cups and a half", "a mile and
        a quarter"."""
        if [self.text(end), self.text(end + 1)] != ["and", "a"] or self.text(end + 2) not in _AND_A:
            return end
        part = _AND_A[self.text(end + 2)]
        if self.text(at - 1) in ("a", "an"):
            self.add(at - 1, at, "n", numbers.spell(1 + part))
        elif self.found and self.found[-1][1] == at and self.found[-1][2].value.isdecimal():
            first, _, slot = self.found.pop()
            self.add(first, at, "n", numbers.spell(Fraction(slot.value) + part))
        else:
            return end
        return end + 3

    def is_amount(self, at: int, after_number: bool) -> bool:
        if self.text(at) == "in":
            follows = at + 1 == len(self.tokens) or self.text(at + 1) in _AFTER_IN
            return after_number and (follows or self.is_after_feet())
        return after_number

    def is_after_feet(self) -> bool:
        """Whether the number just read is the inches of a height: "6 foot 2 in cm"."""
        if len(self.found) < 2:
            return False
        (_, end, unit), (start, _, _) = self.found[-2:]
        return unit.value == "foot" and end == start

    def is_beside(self, at: int, end: int, unit: units.Unit) -> bool:
        """Whether a letter stands next to another unit of its sort: "c to f", "10 km in m"."""
        if self.text(at) == "in":
            return False
        if self.text(end) in _LINKS and end + 1 < len(self.tokens):
            other = units.read_unit(self.tokens, end + 1)
            if other and other[0].sort == unit.sort:
                return True
        return self.text(at - 1) in _LINKS and any(slot.sort == unit.sort for _, _, slot in self.found)

    def read_place(self, at: int) -> int | None:
        if self.tokens[at].kind != "word":
            return None
        place = places.read_place(self.tokens, at)
        return self.add(at, place[1], "z", place[0]) if place else None

    def text(self, at: int) -> str:
        return self.tokens[at].text if 0 <= at < len(self.tokens) else ""

    def settle_ounces(self) -> None:
        """An ounce beside a volume, and beside no mass, is a fluid ounce."""
        sorts = {slot.sort for _, _, slot in self.found if slot.kind == "u" and slot.value != "ounce"}
        if "volume" in sorts and "mass" not in sorts:
            self.found = [
                (at, end, Slot("u", "fluid_ounce", slot.text, "volume") if slot.value == "ounce" else slot)
                for at, end, slot in self.found
            ]

    def settle_years(self) -> None:
        """The year said of the second of two dates holds for the first: "between 1 march and 1 april 2024"."""
        for place, ((at, end, slot), (after, _, other)) in enumerate(pairwise(self.found)):
            open_year = slot.value[:2] == "--" and slot.value != "--02-29"
            dated = other.kind == "d" and other.value[:4].isdecimal()
            if slot.kind == "d" and open_year and dated and after == end + 1 and self.text(end) in _BETWEEN:
                day = slot.value[2:]
                year = int(other.value[:4]) - (day > other.value[5:])  # 25 December and 3 January 2025
                self.found[place] = (at, end, replace(slot, value=f"{year:04}-{day}"))

    def slots(self, cut: bool) -> Slots:
        values: dict[str, Slot] = {}
        counts = dict.fromkeys(KINDS, 0)
        pieces: list[str] = []
        done = 0
        for at, end, slot in self.found:
            name = f"{slot.kind}{counts[slot.kind]}"
            counts[slot.kind] += 1
            values[name] = slot
            pieces += [_plain(token) for token in self.tokens[done:at]]
            pieces.append(name)
            done = end
        pieces += [_plain(token) for token in self.tokens[done:]]
        return Slots(self.folded, " ".join(pieces), values, cut)


def _plain(token: Token) -> str:
    return "%" if token.text in _PERCENT else token.text
