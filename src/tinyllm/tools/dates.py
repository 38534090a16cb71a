"""Dates: today, weekdays, days between, and the calendar counted forward and back."""

from collections.abc import Mapping
from datetime import date
from typing import Any, ClassVar, Literal

from pydantic import Field

from tinyllm.protocols import ToolContext
from tinyllm.tools.arguments import Arguments, check, describe, example_of, nearest, need, quoted
from tinyllm.tools.moments import (
    MONTHS,
    WEEKDAYS,
    counted,
    long_date,
    now,
    read_date,
    shift_days,
    shift_months,
    singular,
)
from tinyllm.tools.number import digits, exact
from tinyllm.types import JSON, ToolResult

_DAYS = {"day": 1, "week": 7, "fortnight": 14}
_MONTHS = {"month": 1, "quarter": 3, "year": 12, "decade": 120, "century": 1200}
_DATE = Field(
    None, max_length=40, description='"2026-11-26", "today", "next friday", or "--12-25" without a year'
)


class DatesArguments(Arguments):
    operation: Literal[
        "today",
        "weekday_today",
        "date_of",
        "weekday_of",
        "date_after",
        "date_before",
        "days_between",
        "days_until",
        "days_since",
        "month_now",
        "year_now",
        "week_number",
        "day_of_year",
        "leap_year",
    ]
    date: str | None = _DATE
    other_date: str | None = _DATE
    amount: int | float | str | None = Field(
        None, description="how many units, for date_after and date_before"
    )
    unit: str | None = Field(None, max_length=20, description="day, week, month or year")
    year: int | str | None = Field(None, description="for leap_year")
    examples: ClassVar = (
        {"operation": "today"},
        {"operation": "date_of", "date": "next friday"},
        {"operation": "weekday_of", "date": "2026-11-26"},
        {"operation": "date_after", "amount": 45, "unit": "day", "date": "2026-11-26"},
        {"operation": "date_before", "amount": 3, "unit": "week"},
        {"operation": "days_between", "date": "2026-01-01", "other_date": "2026-11-26"},
        {"operation": "days_until", "date": "--12-25"},
        {"operation": "days_since", "date": "2026-01-01"},
        {"operation": "week_number", "date": "2026-11-26"},
        {"operation": "leap_year", "year": 2028},
    )


class Dates:
    """Answers about days. `zone` is the user's IANA time zone; None is that of this machine.

    A value is an ISO date, a name, a whole number or a bool. From Monday to Tuesday is 1 day.
    """

    def __init__(self, zone: str | None = None) -> None:
        self.zone = zone
        self.spec = describe(
            "dates",
            "Dates and weekdays: today, a date's weekday, so many days, weeks, months or years after or "
            "before a date (today where none is given), days between, until or since, leap years.",
            DatesArguments,
        )

    async def call(self, arguments: Mapping[str, JSON], context: ToolContext) -> ToolResult:
        """Answer. Raises ToolError for a date that cannot be read or lies outside the years 1 to 9999."""
        asked = check(DatesArguments, arguments)
        today = now(context.clock, self.zone).date()
        match asked.operation:
            case "today":
                return ToolResult(today.isoformat(), f"Today is {long_date(today)}.")
            case "weekday_today":
                return ToolResult(WEEKDAYS[today.weekday()], f"Today is {WEEKDAYS[today.weekday()]}.")
            case "month_now":
                return ToolResult(MONTHS[today.month - 1], f"It is {MONTHS[today.month - 1]}.")
            case "year_now":
                return ToolResult(today.year, f"It is {today.year}.")
            case "leap_year":
                return _leap_year(asked, today)
            case "date_after" | "date_before":
                return _counted_from(asked, today)
            case "days_between":
                first, second = _day(asked, today), _day(asked, today, "other_date")
                days = abs((second - first).days)
                return ToolResult(
                    days,
                    f"{counted(days, 'day')} between {long_date(first)} and {long_date(second)}.",
                )
        return _about_day(asked, today)


def _about_day(asked: DatesArguments, today: date) -> ToolResult:
    """The operations on one day."""
    of_today = asked.operation in ("week_number", "day_of_year") and not asked.date
    day = today if of_today else _day(asked, today)
    name = "today" if day == today else long_date(day)
    match asked.operation:
        case "date_of":
            said = asked.date or ""
            return ToolResult(
                day.isoformat(), f"{_capital(said) if said[0].isalpha() else 'It'} is {long_date(day)}."
            )
        case "weekday_of":
            weekday = WEEKDAYS[day.weekday()]
            plain = f"{day.day} {MONTHS[day.month - 1]} {day.year}"
            return ToolResult(weekday, f"{plain} {_tense(day, today)} a {weekday}.")
        case "week_number":
            week = day.isocalendar().week
            return ToolResult(
                week, f"{_capital(name)} is in week {week} of the year (ISO weeks, from Monday)."
            )
        case "day_of_year":
            number = day.timetuple().tm_yday
            return ToolResult(number, f"{_capital(name)} is day {number} of the year.")
    until = asked.operation == "days_until"
    days = (day - today).days if until else (today - day).days
    text = f"{counted(abs(days), 'day')} {'until' if until == (days >= 0) else 'since'} {long_date(day)}."
    if days < 0:
        text = f"That day {'is past' if until else 'is still to come'}: {text}"
    return ToolResult(days, text)


def _day(asked: DatesArguments, today: date, field: Literal["date", "other_date"] = "date") -> date:
    text: str | None = getattr(asked, field)
    need(text, f"argument {field!r} is missing", example_of(DatesArguments, asked.operation))
    return read_date(text or "", today, past=asked.operation == "days_since")


def _counted_from(asked: DatesArguments, today: date) -> ToolResult:
    """The day so many units after or before a day."""
    hint = example_of(DatesArguments, asked.operation)
    need(asked.amount is not None and asked.unit, "arguments 'amount' and 'unit' are missing", hint)
    start = _day(asked, today) if asked.date else today
    amount, unit = exact(asked.amount or 0), singular(asked.unit or "")
    unit = {"centurie": "century"}.get(unit, unit)
    known = [*_DAYS, *_MONTHS]
    need(
        unit in known,
        lambda: f"unknown unit {quoted(asked.unit)}{nearest(unit, known)}",
        f"use {', '.join(known)}",
    )
    steps = amount * (_DAYS.get(unit) or _MONTHS[unit])
    what = "days" if unit in _DAYS else "months"
    need(
        steps.denominator == 1, lambda: f"{digits(amount)} {unit}s are no whole {what}", f"give whole {unit}s"
    )
    need(abs(steps) < 10**7, "that date lies outside the years 1 to 9999", "give a smaller amount")
    count = steps.numerator if asked.operation == "date_after" else -steps.numerator
    day = shift_days(start, count) if unit in _DAYS else shift_months(start, count)
    word = "after" if asked.operation == "date_after" else "before"
    since = "today" if start == today else long_date(start)
    return ToolResult(day.isoformat(), f"{counted(amount, unit)} {word} {since} is {long_date(day)}.")


def _leap_year(asked: DatesArguments, today: date) -> ToolResult:
    year: Any = today.year if asked.year is None else exact(asked.year)
    need(
        year == int(year) and 1 <= year <= 99_999,
        f"{quoted(asked.year)} is not a year",
        "give a year such as 2028",
    )
    year = int(year)
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return ToolResult(leap, f"{year} {_tense(year, today.year)} {'' if leap else 'not '}a leap year.")


def _tense(day: Any, today: Any) -> str:
    return "was" if day < today else "will be" if day > today else "is"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
