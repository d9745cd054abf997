"""Cron expressions and time zones → ticks, by the rules of Kubernetes.

Each table is a part of those rules; the property test against a slow oracle is in test_cron_oracle.py.
"""

from __future__ import annotations

import contextlib
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from datetime import timezone as fixed_zone
from itertools import islice

import pytest

from hacron.core.ticks.cron import InvalidSchedule, Schedule, parse, tzdata_version

NEVER = "never"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def ticks(schedule: Schedule, *, after: str, at_most: int = 1000, before: str = "9000-01-01") -> list[str]:
    """The ticks from one instant to another, as text in UTC."""

    def walk():
        tick = schedule.next_after(utc(after))
        while tick is not None and tick < utc(before):
            yield tick.strftime("%Y-%m-%d %H:%M:%S").removesuffix(":00")
            tick = schedule.next_after(tick)

    return list(islice(walk(), at_most))


def times(text: str, zone: str, *, day: str, days: int = 1) -> list[str]:
    """The ticks within whole days of UTC, as times, with the date if there are several days."""
    end = (utc(day) + timedelta(days=days)).strftime("%Y-%m-%d %H:%M")
    start = (utc(day) - timedelta(seconds=1)).strftime("%Y-%m-%d %H:%M:%S")
    found = ticks(parse(text, zone), after=start, before=end)
    return [tick[11:] for tick in found] if days == 1 else [tick[5:] for tick in found]


# What is accepted, and what it means


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("* * * * *", "* * * * *"),
        ("0 0 1 1 0", "0 0 1 1 0"),
        ("59 23 31 12 6", "59 23 31 12 6"),
        ("0 0 * JAN-mar *", "0 0 * 1,2,3 *"),
        ("0 0 * * Sun,SAT", "0 0 * * 0,6"),
        ("0 0 * * mon-5", "0 0 * * 1,2,3,4,5"),
        ("0 0 * * 1-fri/2", "0 0 * * 1,3,5"),
        ("? ? ? ? ?", "* * * * *"),
        ("?/15 * * * *", "0,15,30,45 * * * *"),
        ("5-5 * * * *", "5 * * * *"),
        ("0 0 * * mon-mon", "0 0 * * 1"),
        ("0 0 3-3/2 jan-jan *", "0 0 3 1 *"),
        ("59/15 * * * *", "59 * * * *"),
        ("50/4 * * * *", "50,54,58 * * * *"),
        ("0 0 * dec/3 *", "0 0 * 12 *"),
        ("10-20/5 * * * *", "10,15,20 * * * *"),
        ("*/1000000 * * * *", "0 * * * *"),
        ("*/9223372036854775807 * * * *", "0 * * * *"),
        (",5, * * * *", "5 * * * *"),
        ("5,,3,5 * * * *", "3,5 * * * *"),
        (", * * * *", NEVER),
        ("* ,,, * * *", NEVER),
        ("* * , * *", NEVER),
        ("* * * , *", NEVER),
        ("* * , * ,", NEVER),
        ("007 +5 +1-+3 * *", "7 5 1,2,3 * *"),
        ("*/+5 0 * * *", "0,5,10,15,20,25,30,35,40,45,50,55 0 * * *"),
        ("*-5 * * * *", "* * * * *"),
        ("*-x-y * * * *", "* * * * *"),
        ("?-/30 * * * *", "0,30 * * * *"),
        ("  0\t0\n1 \u00a0 1\u30000 ", "0 0 1 1 0"),
        ("0\u20280\u2029*\x85*\x0b*", "0 0 * * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
        ("0 0 30 2 *", NEVER),
        ("0 0 31 4,6,9,11 *", NEVER),
        ("0 0 31 2 1", "0 0 31 2 1"),
        ("0 0 29 2 *", "0 0 29 2 *"),
    ],
)
def test_what_kubernetes_accepts_has_one_canonical_text(text: str, canonical: str) -> None:
    schedule = parse(text)

    assert schedule.canonical == canonical
    assert schedule.text == text
    if canonical != NEVER:
        assert parse(canonical) == schedule


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        ("1h", 3600),
        ("90s", 90),
        ("1h30m", 5400),
        ("1m1h", 3660),
        ("1.5h", 5400),
        (".5m", 30),
        ("1.m", 60),
        ("+2s", 2),
        ("1.9s", 1),
        ("1s999ms", 1),
        ("1500ms", 1),
        ("2000000us", 2),
        ("2000000µs", 2),
        ("2000000μs", 2),
        ("3000000000ns", 3),
        ("999ms", 1),
        ("0", 1),
        ("0s", 1),
        ("-5m", 1),
        ("2562047h", 2562047 * 3600),
    ],
)
def test_every_takes_a_duration_as_go_writes_it_cut_to_seconds(duration: str, seconds: int) -> None:
    assert parse(f"@every {duration}").canonical == f"@every {seconds}s"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "five fields"),
        ("   ", "five fields"),
        ("* * * *", "has 4 fields"),
        ("* * * * * *", "has 6 fields"),
        ("0 * * * * * *", "has 7 fields"),
        ("60 * * * *", "minute '60' is out of range; use 0-59"),
        ("0 24 * * *", "hour '24' is out of range; use 0-23"),
        ("0 0 0 * *", "day '0' is out of range; use 1-31"),
        ("0 0 32 * *", "day '32' is out of range; use 1-31"),
        ("0 0 * 0 *", "month '0' is out of range; use 1-12 or jan-dec"),
        ("0 0 * 13 *", "month '13' is out of range; use 1-12 or jan-dec"),
        ("0 0 * * 7", "weekday '7' is out of range; use 0-6 or sun-sat (Sunday is 0)"),
        ("0 0 * * 0-7", "weekday '0-7' is out of range"),
        ("0 0 * * 5-7", "weekday '5-7' is out of range"),
        ("0 0 * * 7/2", "weekday '7/2' is out of range"),
        ("0 22-3 * * *", "runs backwards"),
        ("0 0 * * fri-mon", "runs backwards"),
        ("0 0 * nov-feb *", "runs backwards"),
        ("*/0 * * * *", "step"),
        ("*/-1 * * * *", "step"),
        ("*/ * * * *", "step"),
        ("1/2/3 * * * *", "step"),
        ("*/9223372036854775808 * * * *", "step"),
        ("0 0 * */feb *", "step"),
        ("1-2-3 * * * *", "not understood"),
        ("5- * * * *", "not understood"),
        ("-5 * * * *", "not understood"),
        ("/5 * * * *", "not understood"),
        ("1.5 * * * *", "not understood"),
        ("1_0 * * * *", "not understood"),
        ("0x1 * * * *", "not understood"),
        ("9223372036854775808 * * * *", "not understood"),
        ("\u0663 * * * *", "not understood"),
        ("** * * * *", "not understood"),
        ("jan * * * *", "not understood"),
        ("0 0 * january *", "not understood"),
        ("0 0 mon * *", "not understood"),
        ("0 0 L * *", "not understood"),
        ("0 0 15W * *", "not understood"),
        ("0 0 * * 5#2", "not understood"),
        ("0 0 * * l5", "not understood"),
        ("H * * * *", "write it in hashedSchedule instead"),
        ("0 0 H(1-5) * *", "write it in hashedSchedule instead"),
        ("h * * * *", "not understood"),
        ("0~30 * * * *", "not understood"),
        ("0 0 C * *", "not understood"),
        ("R * * * *", "not understood"),
        ("R/5 * * * *", "not understood"),
        ("\0 * * * *", "'\\x00' is not understood"),
        ("\u200b0 0 * * *", "not understood"),
        ("\ufeff0 0 * * *", "not understood"),
        ("*\x1c*\x1c*\x1c*\x1c*", "has 1 field;"),
        ("TZ=UTC", "timeZone"),
        ("TZ=UTC 0 0 * * *", "timeZone"),
        ("CRON_TZ=Europe/Berlin 0 0 * * *", "timeZone"),
        ("0 0 * * *TZ", "timeZone"),
        ("@reboot", "is not known; use @yearly"),
        ("@Daily", "is not known"),
        ("@daily ", "is not known"),
        (" @daily", "has 1 field;"),
        ("@every", "is not known"),
        ("@every ", "duration"),
        ("@every  1h", "duration"),
        ("@every 1h ", "duration"),
        ("@every 1d", "duration"),
        ("@every 5", "duration"),
        ("@every .s", "duration"),
        ("@every -", "duration"),
        ("@every 1h-5m", "duration"),
        ("@every 1H", "duration"),
        ("@every 2562048h", "duration"),
    ],
)
def test_what_kubernetes_rejects_is_rejected_with_what_would_be_right(text: str, hint: str) -> None:
    with pytest.raises(InvalidSchedule) as caught:
        parse(text)

    assert caught.value.field == "schedule"
    assert str(caught.value).startswith("schedule: ")
    assert hint in str(caught.value)


HOSTILE = [
    "1," * 100_000,
    "9" * 200_000,
    "*" * 200_000,
    " " * 200_000,
    "@every " + "1" * 990 + "h",
    "@every " + "1." * 490,
    "@every " + "1h" * 400 + "x",
    "9" * 900 + " * * * *",
    "*/" + "9" * 900 + " * * * *",
    "1-" * 400 + " * * * *",
    "\0" * 900,
    "\N{PILE OF POO}" * 900,
    "\ud800 * * * *",
    "\u202e" * 900,
    "'\"" * 400,
    "%s %d {0} {x} ${y}",
    "\x1b[31m * * * *",
    "R R R R R",
    "L W # H ~",
    "* * * * * *",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_gets_one_short_printable_line(text: str) -> None:
    with pytest.raises(InvalidSchedule) as caught:
        parse(text)

    assert len(str(caught.value)) <= 200
    assert str(caught.value).isprintable()
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("text", [None, 5, 1.5, b"* * * * *", [], {}, object(), type])
def test_what_is_not_text_is_invalid_too(text: object) -> None:
    with pytest.raises(InvalidSchedule, match=r"^schedule: must be a text"):
        parse(text)  # type: ignore[arg-type]


def test_a_schedule_may_have_a_thousand_characters_and_no_more() -> None:
    text = "0 0 * * " + "1," * 496

    assert len(text) == 1000
    assert parse(text) == parse("0 0 * * 1")
    with pytest.raises(InvalidSchedule, match="1,001 characters"):
        parse(text + ",")


# Time zones


@pytest.mark.parametrize(
    "zone",
    ["UTC", "Etc/UTC", "Europe/Berlin", "EST5EDT", "US/Eastern", "Etc/GMT+5", "America/Argentina/Ushuaia"],
)
def test_a_zone_of_the_database_is_accepted(zone: str) -> None:
    assert parse("@daily", zone).time_zone == zone


@pytest.mark.parametrize(
    "zone",
    [
        *("", " ", ".", "..", "/", "Local", "local", "LOCAL", "PST", "UTC+1", "+01:00", "europe/berlin"),
        *(
            "America",
            "Europe/",
            "/Europe/Berlin",
            "Europe//Berlin",
            "../Europe/Berlin",
            "Europe/Berlin ",
            "zones",
        ),
        *("Europe/Berlin\0", "-Europe/Berlin", "x" * 300, "x/" * 5000, "\ud800", "tzdata.zi", "__init__.py"),
    ],
)
def test_any_other_zone_is_rejected(zone: str) -> None:
    with pytest.raises(InvalidSchedule) as caught:
        parse("@daily", zone)

    assert caught.value.field == "timeZone"
    assert str(caught.value).startswith("timeZone: ")
    assert len(str(caught.value)) <= 200
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("zone", [5, b"UTC", [], object()])
def test_a_zone_that_is_not_text_is_invalid_too(zone: object) -> None:
    with pytest.raises(InvalidSchedule, match=r"^timeZone: must be a name"):
        parse("@daily", zone)  # type: ignore[arg-type]


def test_without_a_zone_it_is_utc() -> None:
    assert parse("@daily").time_zone == "Etc/UTC"
    assert ticks(parse("@daily"), after="2024-05-05", at_most=1) == ["2024-05-06 00:00"]


def test_the_version_of_the_zone_database_is_that_of_iana() -> None:
    assert tzdata_version()[:4].isdigit()
    assert tzdata_version()[4:].isalpha()


def test_zones_do_not_come_from_the_system() -> None:
    """The last change of Casablanca that tzdata 2025b of many a system still has, and 2026f has no longer."""
    assert parse("0 12 1 3 *", "Africa/Casablanca").next_after(utc("2027-01-01")) is not None


# Which days: the star rule. May 2024 begins on a Wednesday.


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("0 0 * 5 1", [6, 13, 20, 27]),
        ("0 0 ? 5 1", [6, 13, 20, 27]),
        ("0 0 13 5 *", [13]),
        ("0 0 13 5 ?", [13]),
        ("0 0 13 5 5", [3, 10, 13, 17, 24, 31]),
        ("0 0 */1 5 1", [6, 13, 20, 27]),
        ("0 0 ?/1 5 1", [6, 13, 20, 27]),
        ("0 0 13 5 */1", [13]),
        ("0 0 */10 5 1", [1, 6, 11, 13, 20, 21, 27, 31]),
        ("0 0 13 5 */3", [1, 4, 5, 8, 11, 12, 13, 15, 18, 19, 22, 25, 26, 29]),
        ("0 0 *,13 5 5", [3, 10, 17, 24, 31]),
        ("0 0 13,* 5 5", [3, 10, 17, 24, 31]),
        ("0 0 13 5 1,*", [13]),
        ("0 0 */2,* 5 1", [6, 13, 20, 27]),
        ("0 0 1-31 5 1", list(range(1, 32))),
        ("0 0 1/1 5 1", list(range(1, 32))),
        ("0 0 13 5 0-6", list(range(1, 32))),
        ("0 0 13 5 ,", [13]),
        ("0 0 , 5 1", [6, 13, 20, 27]),
        ("0 0 * 5 ,", []),
        ("0 0 , 5 *", []),
        ("0 0 31 5 0", [5, 12, 19, 26, 31]),
    ],
)
def test_a_date_matches_both_fields_if_one_has_a_star_and_otherwise_either(text: str, days: list[int]) -> None:
    found = ticks(parse(text), after="2024-04-30 23:59", before="2024-06-01")

    assert [int(tick[8:10]) for tick in found] == days


def test_a_full_range_is_not_a_star() -> None:
    assert parse("0 0 1-31 * 1") == parse("0 0 * * *")
    assert parse("0 0 */1 * 1") == parse("0 0 * * 1")


# Strictly after


@pytest.mark.parametrize(
    ("after", "tick"),
    [
        ("2024-05-05 10:00:00", "2024-05-05 10:05"),
        ("2024-05-05 09:59:59.999999", "2024-05-05 10:00"),
        ("2024-05-05 10:00:00.000001", "2024-05-05 10:05"),
        ("2024-05-05 10:00:59", "2024-05-05 10:05"),
        ("2024-05-05 23:55:00", "2024-05-06 00:00"),
        ("2024-12-31 23:59:30", "2025-01-01 00:00"),
        ("2024-02-28 23:58:00", "2024-02-29 00:00"),
    ],
)
def test_the_next_tick_is_strictly_after_the_instant(after: str, tick: str) -> None:
    assert ticks(parse("*/5 * * * *"), after=after, at_most=1) == [tick]


# Clocks that change. New York 2024: 10 March 02:00 EST → 03:00 EDT (07:00 UTC), 3 November 02:00 EDT → 01:00 EST (06:00 UTC).

NEW_YORK, LORD_HOWE, CHATHAM, APIA = (
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Pacific/Apia",
)


@pytest.mark.parametrize(
    ("text", "zone", "day", "expected"),
    [
        # A local time that does not exist is skipped.
        ("30 2 * * *", NEW_YORK, "2024-03-10", []),
        ("0 2 * * *", NEW_YORK, "2024-03-10", []),
        ("0 3 * * *", NEW_YORK, "2024-03-10", ["07:00"]),
        (
            "0 */2 * * *",
            NEW_YORK,
            "2024-03-10",
            ["01:00", "03:00", "05:00", "08:00", "10:00", "12:00", "14:00", "16:00", "18:00", "20:00", "22:00"],
        ),
        ("*/30 1-3 * * *", NEW_YORK, "2024-03-10", ["06:00", "06:30", "07:00", "07:30"]),
        ("30 * * * *", NEW_YORK, "2024-03-10", [f"{hour:02}:30" for hour in range(24)]),
        # A local time that happens twice fires twice.
        ("30 1 * * *", NEW_YORK, "2024-11-03", ["05:30", "06:30"]),
        ("0 1 * * *", NEW_YORK, "2024-11-03", ["05:00", "06:00"]),
        ("0 2 * * *", NEW_YORK, "2024-11-03", ["07:00"]),
        ("30 * * * *", NEW_YORK, "2024-11-03", [f"{hour:02}:30" for hour in range(24)]),
        ("*/30 1 * * *", NEW_YORK, "2024-11-03", ["05:00", "05:30", "06:00", "06:30"]),
        # Half-hour shifts. Lord Howe: 6 April 2024 15:00 UTC 02:00 → 01:30, 5 October 15:30 UTC 02:00 → 02:30.
        ("0 2 * * *", LORD_HOWE, "2024-04-06", ["15:30"]),
        ("30 1 * * *", LORD_HOWE, "2024-04-06", ["14:30", "15:00"]),
        ("45 1 * * *", LORD_HOWE, "2024-04-06", ["14:45", "15:15"]),
        ("0 4 * * *", LORD_HOWE, "2024-10-05", ["17:00"]),
        ("0 2 * * *", LORD_HOWE, "2024-10-05", []),
        ("29 2 * * *", LORD_HOWE, "2024-10-05", []),
        ("30 2 * * *", LORD_HOWE, "2024-10-05", ["15:30"]),
        # Caracas: 1 May 2016 07:00 UTC 02:30 → 03:00. Pyongyang: 4 May 2018 15:00 UTC 23:30 → 00:00.
        ("15 12 * * *", "America/Caracas", "2016-05-01", ["16:15"]),
        ("45 2 * * *", "America/Caracas", "2016-05-01", []),
        ("0 3 * * *", "America/Caracas", "2016-05-01", ["07:00"]),
        ("0 0 * * *", "Asia/Pyongyang", "2018-05-04", ["15:00"]),
        ("45 23 * * *", "Asia/Pyongyang", "2018-05-04", []),
        # Chatham: 28 September 2024 14:00 UTC 02:45 → 03:45.
        ("45 2 * * *", CHATHAM, "2024-09-28", []),
        ("44 2 * * *", CHATHAM, "2024-09-28", ["13:59"]),
        ("45 3 * * *", CHATHAM, "2024-09-28", ["14:00"]),
        # Midnight missing: Beirut 31 March 2024 and Cairo 26 April 2024, 22:00 UTC, 00:00 → 01:00.
        ("0 9 31 3 *", "Asia/Beirut", "2024-03-31", ["06:00"]),
        ("0 0 * * *", "Asia/Beirut", "2024-03-30", []),
        ("0 9 26 4 *", "Africa/Cairo", "2024-04-26", ["06:00"]),
        ("0 1 26 4 *", "Africa/Cairo", "2024-04-25", ["22:00"]),
        ("0 9 22 3 *", "Asia/Tehran", "2021-03-22", ["04:30"]),
        # Overlap over midnight: St John's 4 November 2007 02:31 UTC, 00:01 → 23:01 the day before.
        ("30 23 3 11 *", "America/St_Johns", "2007-11-04", ["02:00", "03:00"]),
        ("0 0 4 11 *", "America/St_Johns", "2007-11-04", ["02:30", "03:30"]),
        # Offsets that are odd all year.
        ("0 0 * * *", "Asia/Kathmandu", "2024-05-05", ["18:15"]),
        ("0 0 * * *", "Etc/GMT+5", "2024-05-05", ["05:00"]),
        # Liberia kept 44 minutes 30 seconds behind until 1972.
        ("0 0 * * *", "Africa/Monrovia", "1971-05-05", ["00:44:30"]),
    ],
)
def test_what_does_not_exist_is_skipped_and_what_happens_twice_fires_twice(
    text: str, zone: str, day: str, expected: list[str]
) -> None:
    assert times(text, zone, day=day) == expected


@pytest.mark.parametrize("text", ["0 9 30 12 *", "* * 30 12 *"])
def test_a_day_that_a_zone_left_out_has_no_ticks(text: str) -> None:
    """Samoa went from 29 December 2011 straight to the 31st."""
    assert ticks(parse(text, APIA), after="2011-12-28", before="2012-12-01") == []
    assert parse(text, APIA).next_after(utc("2011-12-28")).year == 2012  # type: ignore[union-attr]


def test_so_it_is_with_kwajalein_which_went_over_the_date_line_in_1993() -> None:
    assert ticks(parse("0 9 21 8 *", "Pacific/Kwajalein"), after="1993-01-01", at_most=1) == ["1994-08-20 21:00"]


def test_a_minute_wildcard_goes_on_over_a_day_that_a_zone_left_out() -> None:
    assert parse("* * * * *", APIA).count(utc("2011-12-30"), utc("2011-12-31"), at_most=9999) == 1440
    assert times("0 0 * * *", APIA, day="2011-12-29", days=3) == ["12-29 10:00", "12-30 10:00", "12-31 10:00"]


def test_the_year_after_an_overlap_at_midnight_is_not_missed() -> None:
    found = ticks(parse("30 23 3 11 *", "America/St_Johns"), after="2007-11-05", at_most=1)

    assert found == ["2008-11-04 03:00"]


# Never


def test_an_impossible_date_is_accepted_and_never_comes() -> None:
    schedule = parse("0 0 30 2 *")

    assert schedule.next_after(utc("2024-01-01")) is None
    assert schedule.latest(utc("2000-01-01"), utc("2100-01-01")) is None
    assert schedule.count(utc("2000-01-01"), utc("2100-01-01")) == 0


@pytest.mark.parametrize(
    ("after", "tick"),
    [
        ("2024-03-01", ["2028-02-29 00:00"]),
        ("2096-02-28", ["2096-02-29 00:00"]),
        ("2096-03-01", []),  # 2100 is no leap year
        ("2098-12-31 23:59", []),
        ("2099-01-01", ["2104-02-29 00:00"]),
    ],
)
def test_what_does_not_come_within_five_calendar_years_is_never(after: str, tick: list[str]) -> None:
    assert ticks(parse("0 0 29 2 *"), after=after, at_most=1) == tick


@pytest.mark.parametrize("text", ["* * * * *", "0 0 29 2 *", "0 0 30 2 *", "@every 5m", "@every 2000000h"])
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/Berlin"])
@pytest.mark.parametrize("year", [1, 2, 1600, 9979, 9980, 9981, 9995, 9999])
def test_no_instant_is_too_early_or_too_late(text: str, zone: str, year: int) -> None:
    schedule = parse(text, zone)
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

    for instant in (first.replace(year=year), last.replace(year=year)):
        tick = schedule.next_after(instant)
        assert tick is None or tick > instant
        assert schedule.latest(instant, last) is None or schedule.count(instant, last) > 0
        assert schedule.latest(first, instant) is None or schedule.count(first, instant) > 0


# @every


def test_every_counts_from_the_instant_cut_to_seconds() -> None:
    assert parse("@every 90m").next_after(utc("2024-05-05 10:00:01.9")) == utc("2024-05-05 11:30:01")


def test_every_takes_no_notice_of_clocks_that_change() -> None:
    found = ticks(parse("@every 1h", NEW_YORK), after="2024-03-10 05:30", before="2024-03-10 09:00")

    assert found == ["2024-03-10 06:30", "2024-03-10 07:30", "2024-03-10 08:30"]


@pytest.mark.parametrize(
    ("until", "latest", "count"),
    [
        ("2024-05-05 10:09:59.999999", None, 0),
        ("2024-05-05 10:10", "2024-05-05 10:10", 1),
        ("2024-05-05 10:29", "2024-05-05 10:20", 2),
        ("2024-05-04", None, 0),
        ("2034-05-05 10:01", "2034-05-05 10:00", 101),
    ],
)
def test_every_is_counted_from_where_it_begins(until: str, latest: str | None, count: int) -> None:
    schedule, after = parse("@every 10m"), utc("2024-05-05 10:00:00.7")

    assert schedule.latest(after, utc(until)) == (latest and utc(latest))
    assert schedule.count(after, utc(until)) == count


# The latest tick, and how many


@pytest.mark.parametrize(
    ("text", "after", "until", "latest", "count"),
    [
        ("0 * * * *", "2024-05-05 10:00", "2024-05-05 10:59", None, 0),
        ("0 * * * *", "2024-05-05 10:00", "2024-05-05 11:00", "2024-05-05 11:00", 1),
        ("0 * * * *", "2024-05-05 09:59", "2024-05-05 10:30", "2024-05-05 10:00", 1),
        ("0 * * * *", "2024-05-05 10:00", "2024-05-05 10:00", None, 0),
        ("0 * * * *", "2024-05-05 10:00", "2024-05-04 10:00", None, 0),
        ("0 * * * *", "2024-05-05 10:00", "2024-05-05 14:00:00.5", "2024-05-05 14:00", 4),
        ("* * * * *", "2024-01-01", "2024-12-31 23:59:59", "2024-12-31 23:59", 101),
        ("30 10,11,12 * * 1-5", "2024-05-03 10:30", "2024-05-05 23:30", "2024-05-03 12:30", 2),
        ("* * 1 1 *", "2022-06-01", "2024-12-31", "2024-01-01 23:59", 101),
        ("0 0 29 2 *", "2090-01-01", "2110-01-01", "2108-02-29 00:00", 4),
        ("0 0 31 12 *", "1990-01-01", "2024-06-01", "2023-12-31 00:00", 34),
    ],
)
def test_the_latest_tick_of_a_range_is_found_and_ticks_are_counted(
    text: str, after: str, until: str, latest: str | None, count: int
) -> None:
    schedule = parse(text)

    assert schedule.latest(utc(after), utc(until)) == (latest and utc(latest))
    assert schedule.count(utc(after), utc(until)) == count


def test_counting_stops_where_it_is_told_to() -> None:
    schedule = parse("* * * * *")

    assert schedule.count(utc("2024-05-05"), utc("2024-05-06"), at_most=5) == 5
    assert schedule.count(utc("2024-05-05"), utc("2024-05-06"), at_most=0) == 0
    assert schedule.count(utc("2024-05-05"), utc("2024-05-06"), at_most=9999) == 1440


def test_a_year_of_minutes_is_not_walked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = parse("* * * * *", NEW_YORK)
    searches = count_searches(schedule, monkeypatch)

    schedule.latest(utc("2024-01-01"), utc("2025-01-01"))

    assert len(searches) < 40


# Values


def test_the_same_text_and_zone_is_the_same_object() -> None:
    assert parse("0 2 * * *", NEW_YORK) is parse("0 2 * * *", NEW_YORK)


def test_what_means_the_same_in_the_same_zone_is_equal() -> None:
    assert parse("@daily", NEW_YORK) == parse("00 0 ? * *", NEW_YORK)
    assert hash(parse("@daily", NEW_YORK)) == hash(parse("00 0 ? * *", NEW_YORK))
    assert parse("@daily", NEW_YORK) != parse("@daily", "US/Eastern")
    assert parse("@daily", NEW_YORK) != parse("@hourly", NEW_YORK)
    assert parse("@every 60s") == parse("@every 1m")


def test_a_schedule_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        parse("@daily").text = "@hourly"  # type: ignore[misc]


def test_a_thousand_cronjobs_on_one_schedule_cost_one_search(monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = parse("7 3 * * *", NEW_YORK)
    searches = count_searches(schedule, monkeypatch)

    for second in range(1000):
        schedule.next_after(utc("2031-05-05 10:00") + timedelta(seconds=second))

    assert len(searches) == 1


def test_a_thousand_cronjobs_that_never_come_cost_one_search(monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = parse("0 0 29 2 *", NEW_YORK)
    searches = count_searches(schedule, monkeypatch)

    for _ in range(1000):
        assert schedule.next_after(utc("2096-05-05 10:00")) is None

    assert len(searches) == 1


def test_what_is_remembered_is_not_given_for_another_instant() -> None:
    schedule = parse("0 0 29 2 *")

    assert schedule.next_after(utc("2098-05-05")) is None
    assert schedule.next_after(utc("2099-05-05")) == utc("2104-02-29")
    assert schedule.next_after(utc("2098-05-05")) is None
    assert schedule.next_after(utc("2104-02-28 23:59:59")) == utc("2104-02-29")
    assert schedule.next_after(utc("2104-02-29")) == utc("2108-02-29")
    assert schedule.next_after(utc("2088-01-01")) == utc("2088-02-29")


def test_an_instant_in_no_zone_is_our_own_mistake() -> None:
    bad, good = datetime(2024, 5, 5), utc("2024-05-05")  # noqa: DTZ001
    for call in (
        lambda: parse("@daily").next_after(bad),
        lambda: parse("@daily").latest(bad, good),
        lambda: parse("@daily").latest(good, bad),
        lambda: parse("@every 1h").count(bad, good),
        lambda: parse("@every 1h").count(good, bad),
    ):
        with pytest.raises(ValueError, match="in no time zone"):
            call()


def test_an_instant_in_another_zone_is_the_same_instant() -> None:
    berlin = datetime(2024, 5, 5, 1, tzinfo=fixed_zone(timedelta(hours=1)))
    assert parse("@daily").next_after(berlin) == utc("2024-05-06")
    assert parse("@every 1h").latest(berlin, utc("2024-05-05 02:30")) == utc("2024-05-05 02:00")


def test_answers_are_in_utc_whatever_object_says_so() -> None:
    zero = datetime(2024, 5, 5, tzinfo=fixed_zone(timedelta(0), "Zulu"))

    for schedule in (parse("@daily"), parse("@every 1h"), parse("@daily", NEW_YORK)):
        assert schedule.next_after(zero).tzinfo is UTC  # type: ignore[union-attr]


def test_ten_thousand_realistic_cronjobs_are_read_quickly(record_property: pytest.RecordProperty) -> None:
    """Say how long it takes (-s shows it); how long is too long depends on the machine, so nothing is asserted."""
    pick = random.Random(7)
    zones = [None, None, NEW_YORK, "Europe/Berlin", "Asia/Tokyo", "Australia/Sydney"]
    shapes = [
        "* * * * *",
        "*/5 * * * *",
        "{m} * * * *",
        "{m} {h} * * *",
        "{m} {h} * * 1-5",
        "{m} {h} 1 * *",
        "@daily",
    ]
    declared = [
        (pick.choice(shapes).format(m=pick.randrange(60), h=pick.randrange(24)), pick.choice(zones)) for _ in range(10_000)
    ]
    now = utc("2033-05-05 10:00:30")

    began = time.perf_counter()
    schedules = [parse(text, zone) for text, zone in declared]
    parsed = time.perf_counter()
    found = [schedule.next_after(now) for schedule in schedules]
    ended = time.perf_counter()

    assert all(tick and tick > now for tick in found)
    line = f"{len(set(schedules))} distinct: parse {parsed - began:.3f} s, next {ended - parsed:.3f} s"
    record_property("ten_thousand_cronjobs", line)
    print(line)


def count_searches(schedule: Schedule, monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """Note every search on the wall clock from here on."""
    searches: list[datetime] = []
    wall_clock = type(schedule.ticks)
    search = wall_clock.first  # type: ignore[attr-defined]

    def counted(self, after, until):
        searches.append(after)
        return search(self, after, until)

    monkeypatch.setattr(wall_clock, "first", counted)
    return searches


def test_no_text_and_no_question_takes_long() -> None:
    """All of it together takes half a second; one that went wrong would take minutes."""
    began = time.process_time()
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    longest = ",".join(map(str, range(60))), ",".join(map(str, range(24))), "1-7,9-31", "*/1", "0,1,2,3,4,5"
    for text in [*HOSTILE, "0-59," * 190 + "1 * * * *", "*/1," * 240 + "1 * * * *", "@every " + "1ns" * 330]:
        with contextlib.suppress(InvalidSchedule):
            parse(text)
    for text in [
        " ".join(longest),
        "0 0 29 2 *",
        "30 2 29 2 */1",
        "30 2 31 3 *",
        "0 9 30 12 *",
        "* * 30 12 *",
        "* * * * *",
        "@every 1s",
    ]:
        for zone in ("Africa/Casablanca", APIA):
            schedule = parse(text, zone)
            for instant in (first, utc("1950-01-01"), utc("2011-12-29"), utc("2096-03-01"), last):
                schedule.next_after(instant)
                schedule.latest(first, instant)
                schedule.latest(instant, last)
                schedule.count(instant, last)

    assert time.process_time() - began < 20


def test_several_threads_may_ask_at_once() -> None:
    """The engine does, and the page: the same schedule, and so the same search for dates."""
    days = [utc("2026-11-24") + timedelta(days=1237 * n % 9000) for n in range(1500)]
    schedule = parse("30 1 13 2,5 *")
    alone = [schedule.next_after(day) for day in days]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(schedule.next_after, days * 4)) == alone * 4
    finally:
        sys.setswitchinterval(before)
