"""Places and the names of time zones, as IANA zones: "buenos aires", "cst", "las vegas, nv", "scotland".

A gazetteer (`places.txt`): every country, the states of the USA, large cities, what people call a zone.
Knows nothing about clocks. Where a country has several zones its name stands for its largest city's.
"""

from collections.abc import Mapping, Sequence
from functools import cache

from tinyllm.slots.text import Token, read_table, tokenise, words_of

_BEFORE = words_of("in for of at is")  # what makes a place of a word such as "nice"
_AFTER = words_of("time timezone timezones zone clock")


def read_place(tokens: Sequence[Token], at: int) -> tuple[str, int] | None:
    """The zone of the place that begins at a token, and where its name ends. "Paris, Texas" is one place."""
    found = _name(tokens, at)
    if found is None:
        return None
    zone, end = found
    comma = _text(tokens, end) == ","
    after = end + comma
    region = _name(tokens, after, beside=True) if after < len(tokens) else None
    if region is None:
        return found
    both = tuple(token.text for token in (*tokens[at:end], *tokens[after : region[1]]))
    if both in (table := _gazetteer()[0]):
        return table[both][0], region[1]
    if comma and region[0].partition("/")[0] != zone.partition("/")[0]:
        return region
    return (zone, region[1]) if comma or region[0] == zone else found


def place_names() -> Sequence[tuple[str, str]]:
    """Every name of the gazetteer with its zone, without the abbreviations that count only beside another."""
    return [(" ".join(key), zone) for key, (zone, mark) in _gazetteer()[0].items() if mark != "!"]


def _name(tokens: Sequence[Token], at: int, *, beside: bool = False) -> tuple[str, int] | None:
    """A name of the gazetteer; `beside` another, even one that is an everyday word ("nv", "co") counts."""
    table, longest = _gazetteer()
    for size in range(min(longest.get(tokens[at].text, 0), len(tokens) - at), 0, -1):
        zone, mark = table.get(tuple(token.text for token in tokens[at : at + size]), ("", ""))
        comma = _text(tokens, at - 1) == ","
        if zone and (beside or not mark or (mark == "~" and _is_asked(tokens, at, at + size)) or comma):
            return zone, at + size
    return None


def _is_asked(tokens: Sequence[Token], at: int, end: int) -> bool:
    return _text(tokens, at - 1) in _BEFORE or _text(tokens, end) in _AFTER


def _text(tokens: Sequence[Token], at: int) -> str:
    return tokens[at].text if 0 <= at < len(tokens) else ""


@cache
def _gazetteer() -> tuple[Mapping[tuple[str, ...], tuple[str, str]], Mapping[str, int]]:
    """Every name as a tuple of words, with its zone and its mark."""
    table: dict[tuple[str, ...], tuple[str, str]] = {}
    for line in read_table("places.txt"):
        head, _, rest = line.partition(":")
        zone = head.rstrip("~")
        own = head.rpartition("/")[2].replace("_", " ").lower()
        for alias in (own, *rest.split(",")):
            name = alias.strip()
            key = tuple(token.text for token in tokenise(name.rstrip("~!")))
            if key:
                table.setdefault(key, (zone, name[-1] if name[-1] in "~!" else ""))
    longest: dict[str, int] = {}
    for key in table:
        longest[key[0]] = max(longest.get(key[0], 0), len(key))
    return table, longest
