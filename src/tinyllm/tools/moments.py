"""Now, and what callers write for a day, a time of day or a time zone. The standard library's calendar only.

Knows nothing about operations. The clock is the run's own, so that a repeated run sees the same day.
"""

import re
from datetime import date, datetime, time, timedelta, tzinfo
from fractions import Fraction
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from tinyllm.errors import ToolError
from tinyllm.tools.arguments import nearest, need, quoted
from tinyllm.tools.number import digits

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_NEAR = {"today": 0, "tomorrow": 1, "yesterday": -1, "day after tomorrow": 2, "day before yesterday": -2}
_WEEKDAY = re.compile(r"(?:(next|this|last|on|coming) )?(\w+)")
_YEARLY = re.compile(r"--(\d\d)-(\d\d)")
_TIME = re.compile(r"(\d{1,2})(?:[:.](\d\d)(?:[:.](\d\d))?)? ?(am|pm|a\.m\.|p\.m\.)?(?: o'?clock)?")
_DATE_HINT = 'write a date as "2026-11-26", "today", "next friday" or "--12-25" (the next such day)'
SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}


def now(clock: float, zone: str | None) -> datetime:
    """The moment of the clock in the zone; None is the zone of this machine."""
    return (
        datetime.fromtimestamp(clock, find_zone(zone)) if zone else datetime.fromtimestamp(clock).astimezone()
    )


def read_date(text: str, today: date, *, past: bool = False) -> date:
    """The day that is meant. A day without a year is the next one (today included), or with `past` the last.

    A weekday, with or without "next", is the first after today; "this" may be today; "last" is before today.
    Raises ToolError.
    """
    words = " ".join(text.lower().split())
    if words in _NEAR:
        return shift_days(today, _NEAR[words])
    try:
        if yearly := _YEARLY.fullmatch(words):
            return _yearly(int(yearly[1]), int(yearly[2]), today, past)
        return date.fromisoformat(words)
    except ValueError:
        pass
    if named := _WEEKDAY.fullmatch(words):
        full = [day.lower() for day in WEEKDAYS if len(named[2]) >= 3 and day.lower().startswith(named[2])]
        if full:
            ahead = ([day.lower() for day in WEEKDAYS].index(full[0]) - today.weekday()) % 7
            if named[1] == "last" or (past and not named[1]):
                return shift_days(today, ahead - 7)
            return shift_days(today, ahead if ahead or named[1] == "this" else 7)
    raise ToolError(f"{quoted(text)} is not a date{nearest(words, [*_NEAR, *WEEKDAYS])}", hint=_DATE_HINT)


def _yearly(month: int, day: int, today: date, past: bool) -> date:
    """The next (or last) such day; 29 February may be eight years away."""
    for distance in range(9):
        try:
            found = date(today.year + (-distance if past else distance), month, day)
        except ValueError:
            continue
        if found <= today if past else found >= today:
            return found
    raise ValueError(f"no day {day} in month {month}")


def shift_days(day: date, days: int) -> date:
    """The date so many days later. Raises ToolError beyond the years 1 to 9999."""
    try:
        return day + timedelta(days=days)
    except OverflowError:
        raise ToolError("that date lies outside the years 1 to 9999", hint="give a smaller amount") from None


def shift_months(day: date, months: int) -> date:
    """The date so many months later, on the last day of the month where it has no such day."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    need(1 <= year <= 9998, "that date lies outside the years 1 to 9999", "give a smaller amount")
    last = (date(year + (month == 11), (month + 1) % 12 + 1, 1) - timedelta(days=1)).day
    return date(year, month + 1, min(day.day, last))


def read_time(text: str) -> time:
    """The time of day that is meant: "15:30", "3pm", "3:30 pm", "noon", "midnight". Raises ToolError."""
    words = " ".join(text.lower().split())
    if words in ("noon", "midday", "midnight"):
        return time(0 if words == "midnight" else 12)
    wrong = ToolError(f"{quoted(text)} is not a time of day", hint='write it as "15:30", "3:30 pm" or "noon"')
    found = _TIME.fullmatch(words)
    if not found:
        raise wrong
    hour, half = int(found[1]), (found[4] or "").replace(".", "")
    if half:
        if not 1 <= hour <= 12:
            raise wrong
        hour = hour % 12 + (12 if half == "pm" else 0)
    try:
        return time(hour, int(found[2] or 0), int(found[3] or 0))
    except ValueError:
        raise wrong from None


def find_zone(name: str) -> ZoneInfo:
    """The time zone of an IANA name or of its city: "Europe/London", "tokyo", "UTC". Raises ToolError."""
    wanted = "_".join(name.split())
    try:
        return ZoneInfo(wanted)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    known = available_timezones()
    cities = {zone.rpartition("/")[2].lower(): zone for zone in sorted(known, reverse=True)}
    full = {zone.lower(): zone for zone in known} | cities
    if wanted.lower() in full:
        return ZoneInfo(full[wanted.lower()])
    raise ToolError(
        f"unknown time zone {quoted(name)}{nearest(wanted, cities)}",
        hint='use an IANA name such as "Europe/London"',
    )


def place(zone: tzinfo | None) -> str:
    """How people name the zone: its city."""
    return str(zone).rpartition("/")[2].replace("_", " ")


def long_date(day: date) -> str:
    """Thursday, 26 November 2026."""
    return f"{WEEKDAYS[day.weekday()]}, {day.day} {MONTHS[day.month - 1]} {day.year}"


def long_time(moment: datetime | time) -> str:
    """15:30 (3:30 PM)."""
    twelve, half = moment.hour % 12 or 12, "AM" if moment.hour < 12 else "PM"
    return f"{moment.hour:02}:{moment.minute:02} ({twelve}:{moment.minute:02} {half})"


def singular(unit: str) -> str:
    """The unit of time in the singular, lower case."""
    word = unit.strip().lower()
    return {"sec": "second", "min": "minute", "hr": "hour"}.get(
        word.removesuffix("s"), word.removesuffix("s")
    )


def counted(amount: Fraction | int, unit: str) -> str:
    """45 minutes, 1 day, 2.5 hours."""
    return f"{digits(Fraction(amount))} {unit}{'' if amount == 1 else 's'}"
