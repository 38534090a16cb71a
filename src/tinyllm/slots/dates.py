"""Dates and times of day in the words of people, told so that no clock is needed to read them.

A date is "2025-03-14", "--03-14" (no year was said), "today", "tomorrow", "friday", "next friday"...; a time
of day is "15:30". Knows nothing about what day it is.
"""

import calendar
from collections.abc import Sequence

from tinyllm.slots.numbers import read_number
from tinyllm.slots.text import Token, words_of

_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_name) if name}
_MONTHS |= {name[:3]: number for name, number in _MONTHS.items()} | {"sept": 9}
_WEEKDAYS = words_of("monday tuesday wednesday thursday friday saturday sunday")
_SHORT = {name[:3]: name for name in _WEEKDAYS} | {
    "tues": "tuesday",
    "weds": "wednesday",
    "thurs": "thursday",
}
_WHICH = {
    "next": "next",
    "last": "last",
    "this": "this",
    "coming": "this",
    "previous": "last",
    "past": "last",
}
_PHRASES = {
    tuple(phrase.split()): value
    for value, phrases in {
        "day after tomorrow": "the day after tomorrow, day after tomorrow",
        "day before yesterday": "the day before yesterday, day before yesterday",
        "today": "today",
        "tomorrow": "tomorrow, tommorow, tommorrow, tomorow",
        "yesterday": "yesterday",
        "--12-24": "christmas eve",
        "--12-25": "christmas day, christmas, xmas",
        "--12-26": "boxing day",
        "--12-31": "new year 's eve, new years eve",
        "--01-01": "new year 's day, new years day, new year 's, new years, new year",
        "--10-31": "halloween",
        "--02-14": "valentine 's day, valentines day, valentine 's, valentines",
        "--03-17": "st patrick 's day, saint patrick 's day, st patricks day",
        "--04-01": "april fools day, april fools, april fool 's day",
        "--05-01": "may day",
        "--07-04": "independence day, fourth of july",
        "--11-11": "veterans day",
        "--02-29": "leap day",
        "--03-14": "pi day",
        "--04-22": "earth day",
    }.items()
    for phrase in phrases.split(", ")
}
_FIRST = frozenset(phrase[0] for phrase in _PHRASES)
_LONGEST = max(map(len, _PHRASES))


def read_date(tokens: Sequence[Token], at: int) -> tuple[str, int] | None:
    """The date that begins at a token, and where it ends."""
    token = tokens[at]
    if token.kind == "number":
        return _in_digits(tokens, at) or _day_first(tokens, at)
    if token.kind != "word":
        return None
    for size in range(_LONGEST if token.text in _FIRST else 0, 0, -1):
        if value := _PHRASES.get(tuple(t.text for t in tokens[at : at + size])):
            return value, min(at + size, len(tokens))
    if token.text in _WEEKDAYS or (
        token.text in _SHORT and _text(tokens, at - 1) in ("on", "this", "next", "last")
    ):
        return _SHORT.get(token.text, token.text), at + 1
    if token.text in _WHICH:
        day = _text(tokens, at + 1)
        if day in _WEEKDAYS or day in _SHORT:
            return f"{_WHICH[token.text]} {_SHORT.get(day, day)}", at + 2
        return None
    if token.text == "the" and at + 1 < len(tokens):
        return _day_first(tokens, at + 1)
    if token.text in _MONTHS:
        return _month_first(tokens, at)
    return _day_first(tokens, at)


def read_time(tokens: Sequence[Token], at: int) -> tuple[str, int] | None:
    """The time of day that begins at a token, as HH:MM, and where it ends."""
    word = tokens[at].text
    if word in ("noon", "midday", "midnight"):
        return ("00:00" if word == "midnight" else "12:00"), at + 1
    number = read_number(tokens, at) if word != "a" else None
    if number is None or isinstance(number.value, str) or number.value.denominator != 1 or number.ordinal:
        return None
    hour, minute, end = int(number.value), 0, number.end
    clock = (
        _text(tokens, end) in (":", ".")
        and _text(tokens, end + 1).isdecimal()
        and len(_text(tokens, end + 1)) == 2
    )
    if clock:
        minute, end = int(_text(tokens, end + 1)), end + 2
    half = _text(tokens, end)
    if half in ("am", "pm"):
        end += 1
    elif half in ("a", "p") and _text(tokens, end + 1) == "." and _text(tokens, end + 2) == "m":
        half, end = f"{half}m", end + (4 if _text(tokens, end + 3) == "." else 3)
    elif half in ("a", "p") and _text(tokens, end + 1) == "m":
        half, end = f"{half}m", end + 2
    elif half in ("o'clock", "oclock"):
        end += 1
    elif not clock or tokens[end - 2].text == ".":
        return None
    if half in ("am", "pm"):
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half == "pm" else 0)
    if hour > 23 or minute > 59 or hour < 0:
        return None
    return f"{hour:02}:{minute:02}", end


def _text(tokens: Sequence[Token], at: int) -> str:
    return tokens[at].text if 0 <= at < len(tokens) else ""


def _valid(year: int | None, month: int, day: int) -> str | None:
    if not (1 <= month <= 12 and day >= 1 and (year is None or 1 <= year <= 9999)):
        return None
    if day > calendar.monthrange(year or 2024, month)[1]:
        return None
    return f"--{month:02}-{day:02}" if year is None else f"{year:04}-{month:02}-{day:02}"


def _in_digits(tokens: Sequence[Token], at: int) -> tuple[str, int] | None:
    """2025-03-14, 3/14/2025 (the month first, unless it cannot be) or 14.3.2025."""
    parts = [_text(tokens, at + i) for i in range(5)]
    first, sign, second, again, third = parts
    if sign not in ("-", "/", ".") or sign != again:
        if first.count(".") == 1 and sign == "." and second.isdecimal():  # 14.3.2025 is read as 14.3 . 2025
            day, month = first.split(".")
            return _with_end(_valid(int(second), int(month), int(day)), at + 3) if len(second) == 4 else None
        return None
    if not (first.isdecimal() and second.isdecimal() and third.isdecimal()):
        return None
    if tokens[at + 4].end - tokens[at].start != sum(map(len, parts)):
        return None
    if len(first) == 4:
        return _with_end(_valid(int(first), int(second), int(third)), at + 5)
    if len(third) not in (2, 4) or len(first) > 2 or len(second) > 2:
        return None
    year = int(third) + (2000 if len(third) == 2 else 0)
    value = _valid(year, int(first), int(second)) if sign != "." else None
    return _with_end(value or _valid(year, int(second), int(first)), at + 5)


def _with_end(value: str | None, end: int) -> tuple[str, int] | None:
    return (value, end) if value else None


def _day(tokens: Sequence[Token], at: int) -> tuple[int, int] | None:
    if not 0 <= at < len(tokens):
        return None
    if _text(tokens, at) in ("first", "second"):
        return (1 if tokens[at].text == "first" else 2), at + 1
    number = read_number(tokens, at) if _text(tokens, at) != "a" else None
    if number is None or isinstance(number.value, str) or number.value.denominator != 1:
        return None
    return (int(number.value), number.end) if 1 <= number.value <= 31 else None


def _year(tokens: Sequence[Token], at: int) -> tuple[int | None, int]:
    after = at + 1 if _text(tokens, at) in (",", "of") else at
    word = _text(tokens, after)
    if word.isdecimal() and len(word) == 4:
        return int(word), after + 1
    if after < len(tokens) and word in ("twenty", "nineteen"):  # "nineteen ninety five", "twenty twenty four"
        late = read_number(tokens, after + 1) if after + 1 < len(tokens) else None
        if late and not isinstance(late.value, str) and 10 <= late.value <= 99:
            return (2000 if word == "twenty" else 1900) + int(late.value), late.end
    number = read_number(tokens, after) if after < len(tokens) and word == "two" else None
    if number and not isinstance(number.value, str) and 2000 <= number.value <= 2999:
        return int(number.value), number.end
    return None, at


def _month_first(tokens: Sequence[Token], at: int) -> tuple[str, int] | None:
    """ "march 3rd, 2024", "march the third", "mar 3"."""
    after = at + 1
    if _text(tokens, after) == "." and len(tokens[at].text) <= 4:
        after += 1
    after += _text(tokens, after) == "the"
    day = _day(tokens, after)
    if day is None:
        return None
    year, end = _year(tokens, day[1])
    return _with_end(_valid(year, _MONTHS[tokens[at].text], day[0]), end)


def _day_first(tokens: Sequence[Token], at: int) -> tuple[str, int] | None:
    """ "3rd of march 2024", "3 march"."""
    day = _day(tokens, at)
    if day is None:
        return None
    after = day[1] + (_text(tokens, day[1]) == "of")
    month = _MONTHS.get(_text(tokens, after))
    if month is None or (_text(tokens, after) == "may" and after == day[1]):
        return None
    year, end = _year(tokens, after + 1)
    return _with_end(_valid(year, month, day[0]), end)
