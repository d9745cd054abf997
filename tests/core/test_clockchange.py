"""The warning of changes of clocks that touch a schedule."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from hacron.core.model import key_of
from hacron.core.ticks.clockchange import warn
from hacron.core.ticks.when import read

NOVEMBER = "2026-11-24 12:00"
BERLIN, LORD_HOWE = "Europe/Berlin", "Australia/Lord_Howe"


def told(schedule: str | list[str], zone: str, since: str = NOVEMBER, **fields: Any) -> str:
    which = "schedule" if isinstance(schedule, str) else "schedules"
    due = read(key_of("default", "hello"), {which: schedule, "timeZone": zone, **fields})
    notice = warn(due, datetime.fromisoformat(since).replace(tzinfo=UTC))
    return f"{notice.reason}: {notice.message}" if notice else ""


def test_a_gap_is_told_with_what_will_happen_and_what_can_be_done() -> None:
    assert told("30 2 * * *", BERLIN) == (
        "LocalTimeLeftOut: 02:30 on 2027-03-28 does not exist in Europe/Berlin, where clocks go forward from 02:00 to 03:00:"
        " nothing will run. Choose with spec.daylightSaving.gap: Skip (this), or ShiftForward (runs at 03:30)"
    )


def test_a_repeat_is_told_with_what_will_happen_and_what_can_be_done() -> None:
    assert told("30 2 * * *", BERLIN, since="2026-06-01") == (
        "LocalTimeRepeated: 02:30 on 2026-10-25 happens twice in Europe/Berlin, where clocks go back from 03:00 to 02:00: it"
        " will run twice. Choose with spec.daylightSaving.repeat: Both (this), First or Last"
    )


@pytest.mark.parametrize(
    ("schedule", "zone", "since", "begins"),
    [
        ("*/20 2-4 * * *", BERLIN, NOVEMBER, "LocalTimeLeftOut: 02:00 on 2027-03-28"),
        ("0 */2 * * *", BERLIN, NOVEMBER, "LocalTimeLeftOut: 02:00 on 2027-03-28"),
        ("30 2 * 10 sun", BERLIN, NOVEMBER, "LocalTimeRepeated: 02:30 on 2027-10-31"),
        ("15 2 * * *", LORD_HOWE, NOVEMBER, "LocalTimeLeftOut: 02:15 on 2027-10-03"),
        ("45 1 * * *", LORD_HOWE, NOVEMBER, "LocalTimeRepeated: 01:45 on 2027-04-04"),
        ("0 0 * * *", "Asia/Beirut", NOVEMBER, "LocalTimeLeftOut: 00:00 on 2027-03-28"),
        ("30 23 * * *", "Asia/Beirut", NOVEMBER, "LocalTimeRepeated: 23:30 on 2027-10-30"),
        ("0 9 30 12 *", "Pacific/Apia", "2011-06-01", "LocalTimeLeftOut: 09:00 on 2011-12-30"),
        (["0 9 * * *", "0 3 * * *", "30 2 * * *"], BERLIN, NOVEMBER, "LocalTimeLeftOut: 02:30 on 2027-03-28"),
        (["0 * * * *", "30 2 1 * *"], BERLIN, NOVEMBER, ""),
        # Nothing is touched.
        ("0 3 * * *", BERLIN, NOVEMBER, ""),
        ("30 2 * * mon-fri", BERLIN, NOVEMBER, ""),
        ("30 2 * * *", "Etc/UTC", NOVEMBER, ""),
        ("30 2 * * *", "Asia/Tokyo", NOVEMBER, ""),
        ("0 0 30 2 *", BERLIN, NOVEMBER, ""),
        ("* , * * *", BERLIN, NOVEMBER, ""),
        # It flows on.
        ("0 * * * *", BERLIN, NOVEMBER, ""),
        ("*/15 * * * *", LORD_HOWE, NOVEMBER, ""),
        ("30 0-23 * * *", BERLIN, NOVEMBER, ""),
        ("@every 1h", BERLIN, NOVEMBER, ""),
    ],
)
def test_only_what_is_touched_is_told(schedule: str | list[str], zone: str, since: str, begins: str) -> None:
    found = told(schedule, zone, since)
    assert found.startswith(begins)
    assert bool(found) == bool(begins), found


def test_a_gap_over_midnight_says_the_days() -> None:
    found = told("0 9 30 12 *", "Pacific/Apia", "2011-06-01")
    assert "clocks go forward from 00:00 to 00:00 on 2011-12-31" in found
    assert "ShiftForward (runs at 09:00 on 2011-12-31)" in found


@pytest.mark.parametrize(
    ("choice", "begins"),
    [
        ({"gap": "Skip"}, "LocalTimeRepeated: 02:30 on 2027-10-31"),
        ({"gap": "ShiftForward"}, "LocalTimeRepeated: 02:30 on 2027-10-31"),
        ({"repeat": "Both"}, "LocalTimeLeftOut: 02:30 on 2027-03-28"),
        ({"gap": "Skip", "repeat": "Both"}, ""),
        ({}, "LocalTimeLeftOut"),
    ],
)
def test_what_was_chosen_is_not_warned_of(choice: dict[str, str], begins: str) -> None:
    found = told("30 2 * * *", BERLIN, daylightSaving=choice)
    assert found.startswith(begins)
    assert bool(found) == bool(begins), found


@pytest.mark.parametrize(
    ("since", "fields", "begins"),
    [
        ("2027-03-28 00:59:59", {}, "LocalTimeLeftOut: 02:30 on 2027-03-28"),
        ("2027-03-28 01:00:00", {}, "LocalTimeRepeated: 02:30 on 2027-10-31"),
        (NOVEMBER, {"endTime": "2027-03-27T00:00:00Z"}, ""),
        (NOVEMBER, {"endTime": "2027-03-29T00:00:00Z"}, "LocalTimeLeftOut: 02:30 on 2027-03-28"),
        (NOVEMBER, {"startTime": "2027-06-01T00:00:00Z"}, "LocalTimeRepeated: 02:30 on 2027-10-31"),
        ("2026-06-01", {"startTime": "2026-10-25T00:30:00Z", "endTime": "2026-10-25T01:29:59Z"}, ""),
        ("2026-06-01", {"startTime": "2026-10-25T00:30:00Z", "endTime": "2026-10-25T01:30:00Z"}, "LocalTimeRepeated"),
    ],
)
def test_the_year_that_counts_begins_now_or_with_the_start(since: str, fields: dict[str, str], begins: str) -> None:
    found = told("30 2 * * *", BERLIN, since, **fields)
    assert found.startswith(begins)
    assert bool(found) == bool(begins), found


@pytest.mark.parametrize("year", [1, 2, 9979, 9980, 9999])
def test_no_instant_is_too_early_or_too_late(year: int) -> None:
    told("30 2 * * *", BERLIN, f"{year:04}-12-31")
