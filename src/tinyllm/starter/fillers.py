"""What stands in the places of a request pattern: numbers, units, dates, places, words, lists.

Every filler is drawn from a `random.Random` and comes with the literal that a call in literal form holds for
it. Knows nothing about patterns or readers.
"""

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from importlib import resources
from random import Random
from typing import NamedTuple

from tinyllm.slots.numbers import spell
from tinyllm.slots.places import place_names
from tinyllm.slots.units import spellings


class Filler(NamedTuple):
    text: str
    literal: str


_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety"
_ORDINALS = {1: "first", 2: "second", 3: "third", 5: "fifth", 8: "eighth", 9: "ninth", 12: "twelfth"}
_FRACTIONS = ("1/2", "1/3", "1/4", "3/4", "2/3", "1/8", "5/8")
_SPOKEN_FRACTIONS = {
    "half": "1/2", "a half": "1/2", "one third": "1/3", "a third": "1/3", "two thirds": "2/3",
    "one fourth": "1/4", "three quarters": "3/4", "three fourths": "3/4", "one fifth": "1/5",
    "one and a half": "3/2", "2 and a half": "5/2", "two and a half": "5/2", "3 and a quarter": "13/4",
    "1 1/2": "3/2", "2 1/4": "9/4", "five and a half": "11/2", "a dozen": "12", "two dozen": "24",
    "a hundred": "100", "a thousand": "1000", "a million": "1000000", "half a million": "500000",
    "two hundred": "200", "five thousand": "5000", "2 million": "2000000", "twelve hundred": "1200",
}  # fmt: skip
# The range of whole numbers that an operation is asked about, by place. Others draw from the common mixture.
_RANGES: dict[tuple[str, int], tuple[int, int]] = {
    ("factorial", 0): (0, 30), ("power", 1): (2, 20), ("root", 0): (3, 10), ("antilog", 0): (1, 12),
    ("log", 1): (2, 20), ("round", 1): (1, 6), ("to_base", 1): (2, 36), ("to_roman", 0): (1, 3999),
    ("leap_year", 0): (1600, 2400), ("roll_sides", 0): (2, 100), ("roll_count", 0): (2, 20),
    ("roll_both", 0): (2, 20), ("roll_both", 1): (3, 100), ("flip_count", 0): (2, 50),
    ("prime", 0): (2, 5000), ("factors", 0): (4, 5000), ("divisors", 0): (4, 2000),
    ("to_binary", 0): (2, 5000),
    ("to_hex", 0): (10, 9999), ("to_octal", 0): (8, 9999), ("to_base", 0): (2, 9999), ("gcd", 0): (4, 500),
    ("divides", 0): (6, 1000), ("divides", 1): (2, 20),
    ("gcd", 1): (4, 500), ("lcm", 0): (2, 60), ("lcm", 1): (2, 60), ("date_after", 0): (1, 400),
    ("date_before", 0): (1, 400), ("date_after_from", 0): (1, 400), ("date_before_from", 0): (1, 400),
    ("random_between", 0): (0, 50), ("random_between", 1): (51, 1000), ("time_after", 0): (1, 90),
}  # fmt: skip
_PERCENTS = frozenset(("percent_of", "percent_off", "percent_more"))
_FRACTIONAL = frozenset(("round", "round_whole", "floor", "ceil"))
_COMMON_UNITS = {
    "length": "meter kilometer centimeter millimeter inch inch foot foot yard mile mile",
    "volume": "cup cup tablespoon teaspoon fluid_ounce pint quart gallon liter milliliter",
    "mass": "gram kilogram kilogram milligram pound pound ounce ton",
    "time": "second minute hour day week month year",
    "calendar": "day day day week month year",
    "clock": "minute minute hour hour second day",
    "temperature": "degree_Celsius degree_Fahrenheit kelvin degree_Celsius degree_Fahrenheit",
}
_TIMES = {"calendar": "time", "clock": "time"}  # the same units, of which only the common ones are drawn
_SORTS = [
    "length",
    "length",
    "length",
    "volume",
    "volume",
    "volume",
    "mass",
    "mass",
    "time",
    "time",
    "time",
    "temperature",
    "any",
]
_PHRASES = (
    "hello world", "good morning", "the quick brown fox", "to be or not to be", "i love pizza",
    "a man a plan a canal panama", "happy birthday", "see you later", "open the door", "once upon a time",
)  # fmt: skip
_MONTHS = "January February March April May June July August September October November December"
_DAYS = "monday tuesday wednesday thursday friday saturday sunday"
_FEASTS = {
    "christmas": "--12-25", "halloween": "--10-31", "new year's day": "--01-01", "new year's eve": "--12-31",
    "valentine's day": "--02-14", "christmas eve": "--12-24", "st patrick's day": "--03-17",
    "the fourth of july": "--07-04",
}  # fmt: skip


def say(number: int) -> str:
    """A whole number in words, without "and"."""
    ones, tens = _ONES.split(), _TENS.split()
    for scale, name in ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred")):
        if number >= scale:
            rest = number % scale
            return f"{say(number // scale)} {name}" + (f" {say(rest)}" if rest else "")
    if number < 20:
        return ones[number]
    return tens[number // 10] + (f" {ones[number % 10]}" if number % 10 else "")


def number(random: Random, op: str, place: int, *, digits: bool = False) -> Filler:
    """A number that `op` is asked about at its `place`-th slot; in digits only where it touches a sign."""
    if op == "from_binary":
        text = "1" + "".join(random.choice("01") for _ in range(random.randint(2, 9)))
        return Filler(text, text)
    if bounds := _RANGES.get((op, place)):
        return _whole(random, random.randint(*bounds), digits=digits)
    if op in _PERCENTS and place == 0:
        share = random.choice((random.randint(1, 100), random.choice((5, 10, 15, 18, 20, 25, 30, 50, 75))))
        if random.random() < 0.1:
            return Filler(f"{share}.5", f"{share}.5")
        return _whole(random, share, digits=digits)
    if op in _FRACTIONAL and place == 0:
        text = f"{random.randint(0, 500)}.{random.randint(1, 99999)}"
        return Filler(text, text)
    draw = random.random()
    if draw < 0.06 and not digits:
        text, literal = random.choice(list(_SPOKEN_FRACTIONS.items()))
        return Filler(text, literal)
    if draw < 0.09 and not digits:
        text = random.choice(_FRACTIONS)
        return Filler(text, text)
    if draw < 0.2:
        places = random.randint(1, 2)
        text = f"{random.randint(0, 300)}.{random.randint(1, 10**places - 1):0{places}}"
        return Filler(text, text)
    top = random.choice((20, 100, 100, 1000, 1000, 10_000, 1_000_000))
    return _whole(random, random.randint(1, top), digits=digits)


def _whole(random: Random, value: int, *, digits: bool) -> Filler:
    if not digits and (value <= 20 or value % 10 == 0 or random.random() < 0.3) and random.random() < 0.3:
        text = say(value)
        return Filler(
            text.replace(" ", "-", 1) if 20 < value < 100 and random.random() < 0.4 else text, str(value)
        )
    return Filler(f"{value:,}" if value >= 1000 and random.random() < 0.3 else str(value), str(value))


def ordinal(random: Random, op: str, place: int) -> Filler:
    """A number as "4th", or in words where they are short."""
    value = random.randint(*_RANGES.get((op, place), (3, 20)))
    if value in _ORDINALS and value > 2 and random.random() < 0.3:
        return Filler(_ORDINALS[value], str(value))
    ending = "th" if value % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(value % 10, "th")
    return Filler(f"{value}{ending}", str(value))


def sort_of_units(random: Random, op: str) -> str:
    """The dimension of the units of one request."""
    if op.startswith(("date_", "time_")):
        return "calendar" if op.startswith("date_") else "clock"
    sort = random.choice(_SORTS)
    return (
        random.choice([s for s in spellings() if s not in ("length", "volume", "mass")])
        if sort == "any"
        else sort
    )


def unit(random: Random, sort: str, *, single: bool, taken: Sequence[str] = ()) -> Filler:
    """A unit of a dimension: mostly a common one, mostly by its name; singular where the grammar wants it."""
    names = spellings()[_TIMES.get(sort, sort)]
    common = _COMMON_UNITS.get(sort, "").split()
    pool = [
        n
        for n in (common if common and (sort in _TIMES or random.random() < 0.85) else list(names))
        if n not in taken
    ]
    name = random.choice(pool or list(names))
    singular, plural, others = names[name]
    if others and random.random() < 0.2:
        return Filler(random.choice(others), name)
    return Filler(singular if single else plural, name)


def date(random: Random, *, today: bool = False) -> Filler:
    """A date in one of the ways in which people write it."""
    draw = random.random()
    if today and draw < 0.15:
        return Filler("today", "today")
    if draw < 0.12:
        return random.choice((Filler("tomorrow", "tomorrow"), Filler("yesterday", "yesterday")))
    if draw < 0.25:
        day = random.choice(_DAYS.split())
        which = random.choice(("", "next ", "this ", "last "))
        return Filler(f"{which}{day}", f"{which}{day}")
    if draw < 0.4:
        return Filler(*random.choice(list(_FEASTS.items())))
    month, day_of_month, year = random.randint(1, 12), random.randint(1, 28), random.randint(1950, 2060)
    name = _MONTHS.split()[month - 1]
    name = name[:3] if month != 5 and random.random() < 0.15 else name
    whole = f"{year}-{month:02}-{day_of_month:02}"
    if draw < 0.5:
        return Filler(whole, whole)
    if draw < 0.6:
        return Filler(f"{month}/{day_of_month}/{year}", whole)
    ending = ordinal_ending(day_of_month) if random.random() < 0.5 else ""
    text = (
        f"{name} {day_of_month}{ending}"
        if random.random() < 0.7
        else f"the {day_of_month}{ordinal_ending(day_of_month)} of {name}"
    )
    if random.random() < 0.5:
        return Filler(f"{text}{random.choice((', ', ' '))}{year}", whole)
    return Filler(text, f"-{whole[4:]}")


def ordinal_ending(value: int) -> str:
    return "th" if value % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(value % 10, "th")


def time_of_day(random: Random) -> Filler:
    hour, minute = random.randint(0, 23), random.choice((0, 0, 0, 15, 30, 45, random.randint(0, 59)))
    literal = f"{hour:02}:{minute:02}"
    draw = random.random()
    if hour in (0, 12) and not minute and draw < 0.5:
        return Filler("noon" if hour else "midnight", literal)
    if draw < 0.2:
        return Filler(f"{hour}:{minute:02}", literal)
    half = random.choice(("am", " am", " a.m.") if hour < 12 else ("pm", " pm", " p.m."))
    shown = f"{hour % 12 or 12}" + (f":{minute:02}" if minute or draw < 0.3 else "")
    return Filler(shown + half, literal)


def place(random: Random) -> Filler:
    """A place or zone of the gazetteer."""
    return Filler(*random.choice(place_names()))


def word(random: Random, op: str) -> Filler:
    """A word or a short text to be worked on."""
    if op == "from_hex":
        text = f"{random.randint(10, 70_000):x}"
        return Filler(text, text)
    phrase = random.random() < (0.7 if op == "words" else 0.1)
    text = random.choice(_PHRASES) if phrase else random.choice(_words())
    mark = random.choice('"""\'') if phrase or random.random() < 0.2 else ""
    return Filler(f"{mark}{text}{mark}", text)


def letter(random: Random) -> Filler:
    text = random.choice("abcdefghijklmnopqrstuvwxyz")
    return Filler(text, text)


def row(random: Random) -> Filler:
    """Three to eight numbers in a row."""
    values = [
        f"{random.randint(-20, 99)}.{random.randint(1, 9)}"
        if random.random() < 0.1
        else str(random.randint(0, random.choice((20, 100, 500))))
        for _ in range(random.randint(3, 8))
    ]
    between = random.choice((", ", ", ", ", ", " ", ","))
    last = random.choice((between, " and ", ", and ")) if between != " " else " "
    return Filler(
        between.join(values[:-1]) + last + values[-1], ", ".join(spell(Fraction(v)) for v in values)
    )


@cache
def _words() -> Sequence[str]:
    return resources.files("tinyllm.starter").joinpath("words.txt").read_text(encoding="utf-8").split()
