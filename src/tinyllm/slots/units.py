"""Units of measurement in the words of people, under the singular names that pint knows.

A gazetteer (`units.txt`), plurals and one-letter slips. Knows nothing about converting them.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

from tinyllm.slots.text import Token, read_table, tokenise

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
def words() -> frozenset[str]:
    """The words that begin the name of a unit and are no letter: what may follow "a quarter" or "half a"."""
    return frozenset(
        name[0] for name, unit in _gazetteer()[0].items() if unit.mark != "!" and len(name[0]) > 1
    )


@cache
def _gazetteer() -> tuple[Mapping[tuple[str, ...], Unit], Mapping[str, int]]:
    """Every name of every unit as a tuple of words, and the most words after each first one."""
    table: dict[tuple[str, ...], Unit] = {}
    sort = ""
    for line in read_table("units.txt"):
        if line.startswith("["):
            sort = line.strip("[]")
            continue
        head, _, rest = line.partition(":")
        name = head.rstrip("~")
        for alias in (head.replace("_", " ").lower(), *rest.split(",")):
            text, mark = alias.strip().rstrip("!~"), alias.strip().lstrip(alias.strip().rstrip("!~"))
            key = tuple(token.text for token in tokenise(text))
            if not key:
                continue
            unit = Unit(name, sort, mark)
            table.setdefault(key, unit)
            if len(key[-1]) > 2 and key[-1].isalpha() and mark != "!":
                plural = key[-1] + ("es" if key[-1].endswith(("ch", "x", "sh")) else "s")
                table.setdefault((*key[:-1], plural), unit)
            if key[0] == "degree" and len(key) > 1:
                table.setdefault(("degrees", *key[1:]), unit)
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
