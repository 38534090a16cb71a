"""Time of day here and elsewhere: now, another zone's, a time told in another zone, a while from now."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import ClassVar, Literal

from pydantic import Field

from tinyllm.errors import ToolError
from tinyllm.protocols import ToolContext
from tinyllm.tools.arguments import Arguments, check, describe, example_of, nearest, need, quoted
from tinyllm.tools.moments import (
    SECONDS,
    counted,
    find_zone,
    long_date,
    long_time,
    now,
    place,
    read_time,
    singular,
)
from tinyllm.tools.number import as_json, exact
from tinyllm.types import JSON, ToolResult

_ZONE = Field(None, max_length=60, description='an IANA time zone such as "Asia/Tokyo"')


class TimeArguments(Arguments):
    operation: Literal[
        "now",
        "now_in",
        "zone_of",
        "zone_here",
        "time_convert",
        "time_difference",
        "time_after",
        "time_before",
    ]
    zone: str | None = _ZONE
    to_zone: str | None = _ZONE
    time: str | None = Field(None, max_length=20, description='"15:30" or "3:30 pm"')
    amount: int | float | str | None = Field(
        None, description="how many units, for time_after and time_before"
    )
    unit: str | None = Field(None, max_length=20, description="second, minute, hour, day or week")
    examples: ClassVar = (
        {"operation": "now"},
        {"operation": "now_in", "zone": "Asia/Tokyo"},
        {"operation": "zone_of", "zone": "America/New_York"},
        {
            "operation": "time_convert",
            "time": "15:30",
            "zone": "America/New_York",
            "to_zone": "Europe/London",
        },
        {"operation": "time_difference", "zone": "America/New_York", "to_zone": "Europe/London"},
        {"operation": "time_after", "amount": 45, "unit": "minute"},
        {"operation": "time_before", "amount": 2, "unit": "hour"},
    )


class Time:
    """Answers about the time of day. `zone` is the user's IANA time zone; None is that of this machine.

    A value is a time such as "15:30", a zone's name, or a difference in hours.
    """

    def __init__(self, zone: str | None = None) -> None:
        self.zone = zone
        self.spec = describe(
            "time",
            "The time now, here or in a time zone; a time of day told in another zone; the difference "
            "between two zones; the time a while from now or ago.",
            TimeArguments,
        )

    async def call(self, arguments: Mapping[str, JSON], context: ToolContext) -> ToolResult:
        """Answer. Raises ToolError for an unknown zone, time of day or unit."""
        asked = check(TimeArguments, arguments)
        here = now(context.clock, self.zone)
        match asked.operation:
            case "now":
                return ToolResult(f"{here:%H:%M}", f"It is {long_time(here)} on {long_date(here)}.")
            case "zone_here":
                name = self.zone or here.tzname() or "local time"
                return ToolResult(name, f"Your time zone is {name} ({_offset(here)}).")
            case "time_after" | "time_before":
                return _later(asked, here, self.zone)
        there = here.astimezone(find_zone(_needed(asked, "zone")))
        city = place(there.tzinfo)
        match asked.operation:
            case "now_in":
                text = f"It is {long_time(there)} in {city}{_day(there.date(), here.date())}."
                return ToolResult(f"{there:%H:%M}", text)
            case "zone_of":
                zone = str(there.tzinfo)
                return ToolResult(zone, f"{city} is in the time zone {zone} ({there:%Z}, {_offset(there)}).")
        other = here.astimezone(find_zone(_needed(asked, "to_zone")))
        if asked.operation == "time_difference":
            return _difference(there, other)
        clock = read_time(_needed(asked, "time"))
        start = datetime.combine(there.date(), clock, there.tzinfo)
        end = start.astimezone(other.tzinfo)
        shift = (end.date() - start.date()).days
        day = {1: " the next day", -1: " the day before"}.get(shift, "")
        text = f"{long_time(start)} in {city} is {long_time(end)}{day} in {place(end.tzinfo)}."
        return ToolResult(f"{end:%H:%M}", text)


def _needed(asked: TimeArguments, field: Literal["zone", "to_zone", "time"]) -> str:
    text: str | None = getattr(asked, field)
    need(text, f"argument {field!r} is missing", example_of(TimeArguments, asked.operation))
    return text or ""


def _difference(first: datetime, second: datetime) -> ToolResult:
    seconds = round(
        ((second.utcoffset() or timedelta()) - (first.utcoffset() or timedelta())).total_seconds()
    )
    hours = exact(f"{abs(seconds)}/3600")
    one, two = place(first.tzinfo), place(second.tzinfo)
    if not seconds:
        return ToolResult(0, f"{one} and {two} have the same time.")
    word = "ahead of" if seconds > 0 else "behind"
    return ToolResult(
        as_json(hours if seconds > 0 else -hours), f"{two} is {counted(hours, 'hour')} {word} {one}."
    )


def _later(asked: TimeArguments, here: datetime, zone: str | None) -> ToolResult:
    hint = example_of(TimeArguments, asked.operation)
    need(asked.amount is not None and asked.unit, "arguments 'amount' and 'unit' are missing", hint)
    amount, unit = exact(asked.amount or 0), singular(asked.unit or "")
    wrong = f"unknown unit {quoted(asked.unit)}{nearest(unit, SECONDS)}"
    need(unit in SECONDS, wrong, f"use {', '.join(SECONDS)}; longer ones belong to dates")
    need(abs(amount) < 10**9, "that lies outside the calendar", "give a smaller amount")
    ago = asked.operation == "time_before"
    try:
        # by way of the Unix time: local arithmetic is an hour off across a change of the clocks
        moment = now(here.timestamp() + float(amount) * SECONDS[unit] * (-1 if ago else 1), zone)
    except (OverflowError, ValueError, OSError):
        raise ToolError("that lies outside the calendar", hint="give a smaller amount") from None
    when = f"{counted(amount, unit)} ago it was" if ago else f"In {counted(amount, unit)} it will be"
    return ToolResult(f"{moment:%H:%M}", f"{when} {long_time(moment)}{_day(moment.date(), here.date())}.")


def _day(day: date, today: date) -> str:
    """' on Friday, 27 November 2026' where it is another day than today."""
    return "" if day == today else f" on {long_date(day)}"


def _offset(moment: datetime) -> str:
    text = f"{moment:%z}"
    return f"UTC{text[:3]}:{text[3:5]}"
