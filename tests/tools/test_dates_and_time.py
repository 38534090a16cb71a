"""Dates and times of day, on a Thursday in November 2026 in London."""

import asyncio
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tools.asking import answer, refusal
from tinyllm.errors import ToolError
from tinyllm.protocols import ToolContext
from tinyllm.tools.dates import Dates
from tinyllm.tools.moments import read_date, shift_months
from tinyllm.tools.time import Time
from tinyllm.types import JSON

DATES = Dates(zone="Europe/London")
TIME = Time(zone="Europe/London")


@pytest.mark.parametrize(
    ("arguments", "value", "text"),
    [
        ({"operation": "today"}, "2026-11-26", "Today is Thursday, 26 November 2026."),
        ({"operation": "weekday_today"}, "Thursday", "Today is Thursday."),
        ({"operation": "month_now"}, "November", "It is November."),
        ({"operation": "year_now"}, 2026, "It is 2026."),
        ({"operation": "week_number"}, 48, "Today is in week 48 of the year (ISO weeks, from Monday)."),
        (
            {"operation": "day_of_year", "date": "2024-12-31"},
            366,
            "Tuesday, 31 December 2024 is day 366 of the year.",
        ),
        ({"operation": "date_of", "date": "--12-25"}, "2026-12-25", "It is Friday, 25 December 2026."),
        ({"operation": "weekday_of", "date": "2000-02-29"}, "Tuesday", "29 February 2000 was a Tuesday."),
        (
            {"operation": "date_after", "amount": 1, "unit": "months", "date": "2024-01-31"},
            "2024-02-29",
            "1 month after Wednesday, 31 January 2024 is Thursday, 29 February 2024.",
        ),
        (
            {"operation": "date_before", "amount": "3", "unit": "week"},
            "2026-11-05",
            "3 weeks before today is Thursday, 5 November 2026.",
        ),
        (
            {"operation": "days_between", "date": "today", "other_date": "2026-01-01"},
            329,
            "329 days between Thursday, 26 November 2026 and Thursday, 1 January 2026.",
        ),
        ({"operation": "days_until", "date": "--12-25"}, 29, "29 days until Friday, 25 December 2026."),
        ({"operation": "days_since", "date": "--12-25"}, 336, "336 days since Thursday, 25 December 2025."),
        (
            {"operation": "days_until", "date": "2026-11-25"},
            -1,
            "That day is past: 1 day since Wednesday, 25 November 2026.",
        ),
        ({"operation": "leap_year", "year": "2028"}, True, "2028 will be a leap year."),
        ({"operation": "leap_year", "year": 1900}, False, "1900 was not a leap year."),
    ],
)
def test_dates(arguments: dict[str, JSON], value: JSON, text: str) -> None:
    result = answer(DATES, **arguments)
    assert (result.value, result.text) == (value, text)


@pytest.mark.parametrize(
    ("written", "date"),
    [
        ("tomorrow", "2026-11-27"),
        ("Yesterday", "2026-11-25"),
        ("friday", "2026-11-27"),
        ("next friday", "2026-11-27"),
        ("next thursday", "2026-12-03"),
        ("this thursday", "2026-11-26"),
        ("last thursday", "2026-11-19"),
        ("mon", "2026-11-30"),
        ("--11-26", "2026-11-26"),
        ("--02-29", "2028-02-29"),
    ],
)
def test_dates_as_people_write_them(written: str, date: str) -> None:
    assert answer(DATES, operation="date_of", date=written).value == date


@given(st.dates(), st.integers(-1200, 1200))
def test_months_clamp_to_the_last_day(day: date, months: int) -> None:
    try:
        there = shift_months(day, months)
    except ToolError:
        return
    assert (there.year - day.year) * 12 + there.month - day.month == months
    assert there.day == day.day or (there + timedelta(days=1)).day == 1


@given(st.text(max_size=12))
def test_any_text_is_a_date_or_refused(text: str) -> None:
    try:
        read_date(text, date(2026, 11, 26))
    except ToolError as error:
        assert error.hint


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"operation": "days_til", "date": "friday"}, "did you mean 'days_until'"),
        ({"operation": "days_until"}, "'date' is missing"),
        ({"operation": "days_until", "date": "2026-02-30"}, "not a date"),
        ({"operation": "days_until", "date": "fryday"}, "did you mean 'Friday'"),
        ({"operation": "date_after", "amount": 1}, "'amount' and 'unit' are missing"),
        ({"operation": "date_after", "amount": 1, "unit": "moth"}, "did you mean 'month'"),
        ({"operation": "date_after", "amount": 0.5, "unit": "day"}, "no whole days"),
        ({"operation": "date_after", "amount": 10**9, "unit": "day"}, "outside the years"),
        ({"operation": "date_after", "amount": 8000, "unit": "year"}, "outside the years"),
        ({"operation": "date_of", "date": "x" * 1_000_000}, "longer than 40"),
    ],
)
def test_dates_refused(arguments: dict[str, JSON], said: str) -> None:
    assert said in refusal(DATES, **arguments).message


@pytest.mark.parametrize(
    ("arguments", "value", "text"),
    [
        ({"operation": "now"}, "15:30", "It is 15:30 (3:30 PM) on Thursday, 26 November 2026."),
        (
            {"operation": "now_in", "zone": "Asia/Tokyo"},
            "00:30",
            "It is 00:30 (12:30 AM) in Tokyo on Friday, 27 November 2026.",
        ),
        ({"operation": "now_in", "zone": "new york"}, "10:30", "It is 10:30 (10:30 AM) in New York."),
        (
            {"operation": "zone_of", "zone": "tokyo"},
            "Asia/Tokyo",
            "Tokyo is in the time zone Asia/Tokyo (JST, UTC+09:00).",
        ),
        ({"operation": "zone_here"}, "Europe/London", "Your time zone is Europe/London (UTC+00:00)."),
        (
            {
                "operation": "time_convert",
                "time": "3pm",
                "zone": "America/Los_Angeles",
                "to_zone": "Asia/Tokyo",
            },
            "08:00",
            "15:00 (3:00 PM) in Los Angeles is 08:00 (8:00 AM) the next day in Tokyo.",
        ),
        (
            {"operation": "time_difference", "zone": "Asia/Kolkata", "to_zone": "Europe/London"},
            "-5.5",
            "London is 5.5 hours behind Kolkata.",
        ),
        (
            {"operation": "time_after", "amount": "45", "unit": "minute"},
            "16:15",
            "In 45 minutes it will be 16:15 (4:15 PM).",
        ),
        (
            {"operation": "time_before", "amount": 1, "unit": "day"},
            "15:30",
            "1 day ago it was 15:30 (3:30 PM) on Wednesday, 25 November 2026.",
        ),
    ],
)
def test_time(arguments: dict[str, JSON], value: JSON, text: str) -> None:
    result = answer(TIME, **arguments)
    assert (result.value, result.text) == (value, text)


def test_a_while_from_now_counts_across_a_change_of_the_clocks() -> None:
    # 29 March 2026, 00:30 in London: half an hour before the clocks go forward
    context = ToolContext(clock=datetime(2026, 3, 29, 0, 30, tzinfo=UTC).timestamp(), seed=0)
    result = asyncio.run(TIME.call({"operation": "time_after", "amount": 1, "unit": "hour"}, context))
    assert result.value == "02:30"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"operation": "now_in", "zone": "Tokio"}, "did you mean 'tokyo'"),
        ({"operation": "now_in", "zone": "../../etc/passwd"}, "unknown time zone"),
        ({"operation": "now_in", "zone": "\x00"}, "unknown time zone"),
        ({"operation": "now_in"}, "'zone' is missing"),
        (
            {"operation": "time_convert", "time": "25:00", "zone": "UTC", "to_zone": "UTC"},
            "not a time of day",
        ),
        ({"operation": "time_convert", "time": "13pm", "zone": "UTC", "to_zone": "UTC"}, "not a time of day"),
        ({"operation": "time_after", "amount": 1e300, "unit": "hour"}, "outside the calendar"),
        ({"operation": "time_after", "amount": 9 * 10**8, "unit": "week"}, "outside the calendar"),
        ({"operation": "time_after", "amount": 1, "unit": "month"}, "unknown unit"),
    ],
)
def test_time_refused(arguments: dict[str, JSON], said: str) -> None:
    assert said in refusal(TIME, **arguments).message
