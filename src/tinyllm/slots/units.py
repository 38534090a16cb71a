"""Units of measurement in the words of people, under the singular names that pint knows.

A gazetteer (`units.txt`), plurals and one-letter slips. Knows nothing about converting them.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

from tinyllm.slots.text import Token, read_table, tokenise

_IRREGULAR = {"inch": "inches", "foot": "feet", "century": "centuries", "millennium": "millennia"}
_UNCHANGED = ("s", "feet", "hertz", "horsepower", "hg", "millennia", "inches", "centuries")
FUZZY_FROM = 7  # letters a word must have before one slip in it is forgiven


class Unit(NamedTuple):
    """`sort` is the dimension in a word: "length", "mass", "time"... `mark` says where the word counts as a
    unit: "!" after a number or beside another unit, "~" where a unit is asked for, "" anywhere."""

    name: str
    sort: str
    mark: str


def read_unit(tokens: Sequence[Token], at: int) -> tuple[Unit, int] | None:
    """The longest unit that begins at a token, and where it ends."""
    word = tokens[at].text
    table, longest = _gazetteer()
    for size in range(min(longest.get(word, 0), len(tokens) - at), 0, -1):
        if unit := table.get(tuple(token.text for token in tokens[at : at + size])):
            return unit, at + size
    if len(word) >= FUZZY_FROM and tokens[at].kind == "word" and (unit := _mended(word)):
        return unit, at + 1
    return None


def canonical(name: str) -> str:
    """The pint name of a unit, given by that name or any word for it; the text itself where it is unknown."""
    unit = _gazetteer()[0].get(tuple(token.text for token in tokenise(name.replace("_", " "))))
    return unit.name if unit and name not in sorts() else name


@cache
def sorts() -> Mapping[str, str]:
    """The dimension of every unit, by its pint name."""
    return {unit.name: unit.sort for unit in _gazetteer()[0].values()}


@cache
def spellings() -> Mapping[str, Mapping[str, tuple[str, str, tuple[str, ...]]]]:
    """How every unit is written, by dimension and pint name: the singular, the plural, and other names."""
    table: dict[str, dict[str, list[str]]] = {}
    for unit, name in _names():
        if name.isascii() and not set(name) & set("*/^."):
            table.setdefault(unit.sort, {}).setdefault(unit.name, []).append(name)
    return {
        sort: {unit: (names[0], plural(names[0]), tuple(names[1:])) for unit, names in units.items()}
        for sort, units in table.items()
    }


def plural(name: str) -> str:
    """The plural of a unit's name: "miles per hour", "square feet", "degrees celsius"."""
    for joint in (" per ", " of "):
        head, found, tail = name.partition(joint)
        if found:
            return plural(head) + found + tail
    if name.startswith("degree "):
        return f"degrees {name[7:]}"
    *rest, last = name.split(" ")
    return " ".join((*rest, last if last.endswith(_UNCHANGED) else _IRREGULAR.get(last, f"{last}s")))


@cache
def words() -> frozenset[str]:
    """The words that begin the name of a unit and are no letter: what may follow "a quarter" or "half a"."""
    return frozenset(
        name[0] for name, unit in _gazetteer()[0].items() if unit.mark != "!" and len(name[0]) > 1
    )


@cache
def _names() -> Sequence[tuple[Unit, str]]:
    """Every unit with every name it has in the gazetteer, the usual one first."""
    names: list[tuple[Unit, str]] = []
    sort = ""
    for line in read_table("units.txt"):
        if line.startswith("["):
            sort = line.strip("[]")
            continue
        head, _, rest = line.partition(":")
        for alias in (head.replace("_", " ").lower(), *filter(None, map(str.strip, rest.split(",")))):
            text = alias.rstrip("!~")
            names.append((Unit(head.rstrip("~"), sort, alias[len(text) :]), text))
    return names


@cache
def _gazetteer() -> tuple[Mapping[tuple[str, ...], Unit], Mapping[str, int]]:
    """Every name of every unit as a tuple of words, and the most words after each first one."""
    table: dict[tuple[str, ...], Unit] = {}
    for unit, name in _names():
        for form in (name, plural(name)) if unit.mark != "!" and name[-1].isalpha() else (name,):
            table.setdefault(tuple(token.text for token in tokenise(form)), unit)
    longest: dict[str, int] = {}
    for key in table:
        longest[key[0]] = max(longest.get(key[0], 0), len(key))
    return table, longest


@cache
def _slips() -> Mapping[str, Unit]:
    """Each long name of one word with one letter left out."""
    return {
        shorter: unit
        for (word, *more), unit in _gazetteer()[0].items()
        if not more and len(word) >= FUZZY_FROM
        for shorter in _one_less(word)
    }


def _mended(word: str) -> Unit | None:
    """The unit one slip away: a letter too few, too many, wrong, or two swapped."""
    slips, table = _slips(), _gazetteer()[0]
    if word in slips:
        return slips[word]
    return next(
        (u for shorter in _one_less(word) if (u := table.get((shorter,)) or slips.get(shorter))), None
    )


def _one_less(word: str) -> list[str]:
    return [word[:i] + word[i + 1 :] for i in range(len(word))]
