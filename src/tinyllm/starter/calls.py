"""The operations that the built-in readers know, and the tool calls that they stand for.

The one table that slots, patterns, labels, readers and tools meet in. Computes nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from tinyllm.slots import REFUSE, Op
from tinyllm.slots.text import words_of
from tinyllm.types import JSON

_NUMBER = "e:number n"
_CALENDAR = "u:day u:week u:fortnight u:month u:year"
_CLOCK = "u:second u:minute u:hour u:day u:week"


def _calculator() -> Iterator[Op]:
    def op(name: str, count: int, expression: str = "", *alike: tuple[str, ...]) -> Op:
        places = ", ".join(f"{{{i}}}" for i in range(count))
        return Op(
            name,
            ("n",) * count,
            "calculator",
            {"expression": expression or f"{name}({places})"},
            alike,
            "nel",
        )

    yield Op("calc", (_NUMBER,), "calculator", {"expression": "{0}"}, whole="nel")
    for name, sign in (("add", "+"), ("sub", "-"), ("mul", "*"), ("div", "/")):
        yield op(name, 2, f"{{0:()}} {sign} {{1:()}}", ("calc", f"({{0}}){sign}({{1}})"))
    yield op("mod", 2, "{0:()} mod {1:()}", ("calc", "({0}) mod ({1})"))
    yield op("power", 2, "{0:()} ^ {1:()}", ("calc", "({0})**({1})"))
    yield op("divides", 2)
    yield op("square", 1, "", ("power", "{0}", "2"), ("calc", "({0})**2"))
    yield op("cube", 1, "", ("power", "{0}", "3"), ("calc", "({0})**3"))
    yield op("sqrt", 1, "", ("root", "2", "{0}"))
    yield op("cbrt", 1, "", ("root", "3", "{0}"))
    yield op("root", 2)
    yield op("factorial", 1)
    yield op("log10", 1, "", ("log", "{0}", "10"))
    yield op("ln", 1)
    yield op("antilog", 1, "", ("power", "10", "{0}"))
    yield op("log", 2)
    for name in ("percent_of", "percent_off", "percent_more", "what_percent", "percent_change", "gcd", "lcm"):
        yield op(name, 2)
    for name in ("prime", "factors", "divisors", "floor", "ceil"):
        yield op(name, 1)
    yield op("round", 2)
    yield op("round_whole", 1, "round({0})")
    yield op("reciprocal", 1, "", ("calc", "1/({0})"), ("div", "1", "{0}"))
    yield op("double", 1, "", ("mul", "2", "{0}"), ("calc", "2*({0})"))
    yield op("triple", 1, "", ("mul", "3", "{0}"), ("calc", "3*({0})"))
    yield op("halve", 1, "", ("mul", "1/2", "{0}"), ("div", "{0}", "2"), ("calc", "({0})/2"))
    yield op("to_binary", 1, "", ("to_base", "{0}", "2"))
    yield op("to_hex", 1, "", ("to_base", "{0}", "16"))
    yield op("to_octal", 1, "", ("to_base", "{0}", "8"))
    yield op("to_base", 2)
    yield op("from_binary", 1)
    yield Op("from_hex", ("w n",), "calculator", {"expression": 'from_hex("{0}")'})
    for name in ("to_roman", "circle_area", "circle_circumference"):
        yield op(name, 1)
    yield op("rect_perimeter", 2)
    yield op("max", 2)
    yield op("min", 2)


def _lists() -> Iterator[Op]:
    names = "mean median mode total product range largest smallest sort_up sort_down stdev how_many"
    for name in names.split():
        yield Op(name, ("l",), "statistics", {"operation": name, "values": ["{0}"]}, whole="ne")
    yield Op("mean2", ("n", "n"), "statistics", {"operation": "mean", "values": ["{0}", "{1}"]}, whole="nel")


def _algebra() -> Iterator[Op]:
    yield Op("solve", ("e:!number",), "algebra", {"operation": "solve", "expression": "{0}"})
    for name in ("derive", "integrate", "factor", "expand", "simplify"):
        yield Op(name, ("e:formula",), "algebra", {"operation": name, "expression": "{0}"}, whole="n")


def _units() -> Iterator[Op]:
    def op(name: str, kinds: str, *alike: tuple[str, ...], **arguments: JSON) -> Op:
        return Op(name, tuple(kinds.split()), "units", arguments, alike, whole="n")

    one: dict[str, JSON] = {"value": 1, "from_unit": "{0}", "to_unit": "{1}"}
    many: dict[str, JSON] = {"value": "{0}", "from_unit": "{1}", "to_unit": "{2}"}
    both: dict[str, JSON] = {"value": "{0}", "from_unit": "{1}", "second_value": "{2}", "second_unit": "{3}"}
    yield op("convert", "n u u", **many)
    yield op("convert_one", "u u", ("convert", "1", "{0}", "{1}"), **one)
    yield op("convert_sum", "n u n u u", **both, to_unit="{4}")
    yield op("convert_two", "n u u u", **many, also_to="{3}")
    yield op("convert_one_two", "u u u", ("convert_two", "1", "{0}", "{1}", "{2}"), **one, also_to="{2}")
    yield op("compare", "n u n u", operation="compare", **both)


def _dates() -> Iterator[Op]:
    def op(name: str, kinds: tuple[str, ...] = (), *alike: tuple[str, ...], **arguments: str) -> Op:
        operation = name.removesuffix("_from")
        # Weeks until a date are another question than days; "is it monday" asks for the day that it is.
        whole = "nelud" if name.startswith("days_") else "nz" if name[:4] in ("week", "leap") else "ndz"
        return Op(name, kinds, "dates", {"operation": operation, **arguments}, alike, whole)

    yield op("today", (), ("date_of", "today"))
    yield op("weekday_today", (), ("weekday_of", "today"))
    for name in ("date_of", "weekday_of", "days_until", "days_since"):
        yield op(name, ("d",), date="{0}")
    for name in ("date_after", "date_before"):
        from_today = (f"{name}_from", "{0}", "{1}", "today")
        yield op(name, ("n", _CALENDAR), from_today, amount="{0}", unit="{1}")
        yield op(f"{name}_from", ("n", _CALENDAR, "d"), amount="{0}", unit="{1}", date="{2}")
    yield op("days_between", ("d", "d"), date="{0}", other_date="{1}")
    for name in ("month_now", "year_now", "week_number", "day_of_year"):
        yield op(name)
    yield op("leap_year", ("n",), year="{0}")


def _time() -> Iterator[Op]:
    def op(name: str, *kinds: str, **arguments: str) -> Op:
        whole = {"now": "ndt", "now_in": "nt", "time_after": "ntz"}.get(name, "")
        return Op(name, kinds, "time", {"operation": name, **arguments}, whole=whole)

    yield op("now")
    yield op("zone_here")
    for name in ("now_in", "zone_of"):
        yield op(name, "z", zone="{0}")
    yield op("time_convert", "t", "z", "z", time="{0}", zone="{1}", to_zone="{2}")
    yield op("time_difference", "z", "z", zone="{0}", to_zone="{1}")
    yield op("time_after", "n", _CLOCK, amount="{0}", unit="{1}")


def _text() -> Iterator[Op]:
    names = "spell letters words reverse upper lower title sort_letters palindrome vowels"
    for name in names.split():
        whole = "c" if name in ("letters", "vowels") else ""
        yield Op(name, ("w",), "text", {"operation": name, "text": "{0}"}, whole=whole)
    count = {"operation": "count_letter", "letter": "{0}", "text": "{1}"}
    yield Op("count_letter", ("c", "w"), "text", count, whole="c")


def _chance() -> Iterator[Op]:
    def op(name: str, kinds: str, alike: tuple[str, ...], **arguments: str) -> Op:
        operation = name if name == "random_between" else name.partition("_")[0]
        other = (alike,) if alike else ()
        return Op(
            name, tuple(kinds.split()), "chance", {"operation": operation, **arguments}, other, whole="n"
        )

    yield op("roll", "", ("roll_sides", "6"))
    yield op("roll_sides", "n", ("roll_both", "1", "{0}"), sides="{0}")
    yield op("roll_count", "n", ("roll_both", "{0}", "6"), count="{0}")
    yield op("roll_both", "n n", (), count="{0}", sides="{1}")
    yield op("flip", "", ("flip_count", "1"))
    yield op("flip_count", "n", (), count="{0}")
    yield op("random_between", "n n", (), low="{0}", high="{1}")


_SYMMETRIC = "add mul gcd lcm max min mean2 rect_perimeter"
_ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth last st nd rd th"
_PLACES = "tens tenth tenths hundreds hundredth hundredths thousands thousandth thousandths"
_DAYS = "mondays tuesdays wednesdays thursdays fridays saturdays sundays"
_LISTS = "mean median mode total product range largest smallest stdev how_many"
_MORE = "plus_n minus_n times_n over_n"  # what else is to be computed, with a 1 that may be none
# Words and phrases that make another question of an operation, which no operation here answers.
_UNLESS: Mapping[str, str] = {
    "square cube sqrt cbrt factorial log10 ln antilog prime factors reciprocal double triple halve": _MORE,
    "sqrt cbrt": "n_squared n_cubed",
    "sqrt": "cube",
    "square power": "-n_squared -n_to_the -n_to",  # -3 squared is -9 to some and 9 to others
    "add sub mul div total product": "choose permutations combinations primes binary hex hexadecimal octal",
    "add sub mul div": "double triple halve squared cubed factorial triangle trapezoid ellipse pyramid",
    "add total": "of_n_to from_n_to n_through_n squares cubes",  # of all numbers from one to another
    "factors": "many below under between n_primes sum",
    "gcd lcm": "factors multiples",
    "round round_whole": "sqrt root square cube log ln times plus minus divided",
    "round": "nearest significant sig",  # `round` counts decimals
    "round_whole floor ceil": f"{_PLACES} ten hundred thousand half quarter five cent cents penny",
    "percent_of percent_off percent_more": "mod modulo n%n",  # 17 % 5 is 2 to those who write programs
    "percent_of what_percent": "%_of_what",  # the whole is asked for
    "percent_off percent_more": "twice increased_to rose_to grew_to",
    "to_hex to_octal": "binary",
    "to_binary": "hex octal",
    "circle_area circle_circumference": "diameter sphere volume cylinder cone",
    "rect_perimeter": "area volume",
    _LISTS: "even odd positive negative",
    "largest smallest": "second third fourth 2nd 3rd but next th nd rd common multiple factor divisor",
    "stdev": "population",
    "mean mean2": "weighted geometric harmonic speed squared cubed squares cubes",
    "derive integrate": "second third nd rd th twice partial to_y to_z",
    "compare convert convert_one": "plus minus times added subtract subtracted divided multiplied",
    "compare convert": "n_of_n twice",  # half of 3 cups
    "convert_sum": "difference minus less subtract to_u_and in_u_and into_u_and",  # two questions in one
    "days_until days_since days_between": f"business weekdays weekends workdays {_DAYS}",
    "date_of weekday_of days_until days_since": "first second third fourth last_year next_year",
    "leap_year": "palindrome",
    "now today weekday_today": "in mars moon",  # a place that is not known
    "now_in": "what_day which_day month year",
    "letters count_letter vowels": f"{_ORDINALS} middle before after and_c or_c in_w_and",
    "spell": "w_of_w plural",
    "reverse": "first_letter last_letter_of sort alphabetical alphabetically",
    "sort_letters": "reverse backwards descending",
    "roll roll_sides roll_count roll_both": "twice highest lowest until",
    "flip flip_count": "until",
    "random_between": "even odd prime decimal except n_numbers",
}


def _table() -> Mapping[str, Op]:
    groups = (_calculator(), _lists(), _algebra(), _units(), _dates(), _time(), _text(), _chance())
    table = {op.name: op for group in groups for op in group} | {REFUSE: Op(REFUSE)}
    for names, words in _UNLESS.items():
        for name in names.split():
            table[name] = replace(table[name], unless=table[name].unless | words_of(words))
    for name in _SYMMETRIC.split():
        table[name] = replace(table[name], symmetric=True)
    return table


OPS: Mapping[str, Op] = _table()
