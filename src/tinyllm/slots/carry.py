"""Completes a fragment from the question before it: "and in cups?", "what about 20%?", "and 7?".

A fragment is nothing but slots and small words, after a word that leans on what was said. By rule alone.
"""

import re
from collections.abc import Iterator, Sequence
from functools import reduce

from tinyllm.slots.find import Slots, find
from tinyllm.slots.text import words_of

_OPENING = re.compile(r"(and|or|but|now|then|ok|okay|also|so|what about|how about|what if|in|into|to)\b")
_LEANING = re.compile(r"(and|or|but|what about|how about|in|into|to|plus|minus|times|divided by|again)\b")
_FEW = 6
_SMALL = words_of(
    "and or but now then ok okay also so what about how if in into to of from for by with as at on is it it's "
    "its the a an just only instead again please thanks , . ? ! % $"
)
_PERCENT = re.compile(r"%|percents?|pct|precent", re.IGNORECASE)


def carry(questions: Sequence[str]) -> str:
    """The last question, completed from those before it where it is a fragment; else as it was asked.

    Each value of the fragment replaces the one of its kind in the question before; the question stays as
    it was asked where one of the values has no such place.
    """
    return reduce(_complete, questions, "")


def leans(question: str) -> bool:
    """Whether the question seems to go on from another: a fragment, or a few words after such a beginning."""
    found = find(question)
    few = len(found.template.split()) <= _FEW and _LEANING.match(found.template) is not None
    return few or _is_fragment(found)


def _is_fragment(found: Slots) -> bool:
    known = (word in found.values or word in _SMALL for word in found.template.split())
    return bool(found.values) and _OPENING.match(found.template) is not None and all(known)


def _complete(before: str, question: str) -> str:
    fragment = find(question)
    if not before or not _is_fragment(fragment):
        return question
    old = find(before)
    new: dict[str, str] = {}
    for name in fragment.values:
        place = _place(name, fragment, old, taken=new)
        if place is None:
            return question
        new[place] = fragment.values[name].text
    return _replaced(old, new)


def _place(name: str, fragment: Slots, old: Slots, taken: dict[str, str]) -> str | None:
    """The slot of the old question that a slot of the fragment stands for: of its kind, best in the same
    surroundings, else the last."""
    slot = fragment.values[name]
    alike = [n for n, s in old.values.items() if s.kind == slot.kind and n not in taken]
    if slot.kind == "u":
        alike = [n for n in alike if old.values[n].sort == slot.sort]
    best = sorted(alike, key=lambda n: _likeness(name, fragment, n, old))
    return best[-1] if best else None


def _likeness(name: str, fragment: Slots, other: str, old: Slots) -> tuple[bool, bool, int]:
    one, two = _around(name, fragment), _around(other, old)
    # An amount and its unit, and a number and its percent sign, stay together.
    return one[0] == two[0] and one[2] == two[2], one[1] == two[1], int(other[1:])


def _around(name: str, slots: Slots) -> tuple[bool, str, bool]:
    """Whether a number and what it counts meet here, the word before, and whether a percent sign follows."""
    words = ["", *slots.template.split(), ""]
    at = words.index(name)
    unit_after = words[at + 1] in slots.values and words[at + 1][0] == "u"
    number_before = words[at - 1] in slots.values and words[at - 1][0] == "n"
    return (unit_after if name[0] == "n" else number_before), words[at - 1], words[at + 1] == "%"


def _replaced(slots: Slots, new: dict[str, str]) -> str:
    pieces: list[str] = []
    done = 0
    for name, start, end in _spans(slots):
        if name in new:
            pieces += [slots.text[done:start], new[name]]
            done = end
    return "".join(pieces) + slots.text[done:]


def _spans(slots: Slots) -> Iterator[tuple[str, int, int]]:
    """Where each slot stands in the text, found by walking it along the template."""
    at, text = 0, slots.text
    for word in slots.template.split():
        slot = slots.values.get(word)
        if slot is not None:
            start = text.index(slot.text, at)
            at = start + len(slot.text)
            yield word, start, at
        else:
            plain = _PERCENT if word == "%" else re.compile(re.escape(word), re.IGNORECASE)
            match = plain.search(text, at)
            at = match.end() if match else at
