"""`H`: a slot for each cronjob, the same for ever."""

from __future__ import annotations

from collections import Counter

import pytest

from hacron.core.ticks.cron import InvalidSchedule, parse
from hacron.core.ticks.hashed import resolve

INVOICES = "billing/invoices"


def values(text: str, field: int, key: str = INVOICES) -> set[int]:
    """What a field of the resolved text comes to."""
    canonical = parse(resolve(text, key)).canonical.split(" ")[field]
    return {int(value) for value in canonical.split(",")}


@pytest.mark.parametrize(
    ("text", "resolved"),
    [
        ("H * * * *", "39 * * * *"),
        ("H H * * *", "39 11 * * *"),
        ("H H H H H", "39 11 1 3 6"),
        ("H/15 * * * *", "9-59/15 * * * *"),
        ("H(0-29) * * * *", "9 * * * *"),
        ("H(0-29)/10 * * * *", "9-29/10 * * * *"),
        ("0 H(0-5),H(12-17) * * *", "0 5,17 * * *"),
        ("H 2 1,15 jan-jun mon", "39 2 1,15 jan-jun mon"),
        ("0 0 * H(jan-mar) H(mon-fri)", "0 0 * 3 4"),
        ("  H\t2  * * * ", "39 2 * * *"),
    ],
)
def test_the_slots_of_a_cronjob_stay_for_ever(text: str, resolved: str) -> None:
    """Worked out by hand: `printf 'billing/invoices minute' | sha256sum | cut -c1-16`, modulo 60."""
    assert resolve(text, INVOICES) == resolved


def test_cronjobs_and_fields_have_slots_of_their_own() -> None:
    keys = [f"ns-{n % 7}/job-{n}" for n in range(6000)]
    minutes = Counter(resolve("H * * * *", key).split()[0] for key in keys)

    assert len(minutes) == 60
    assert 60 < min(minutes.values()) <= max(minutes.values()) < 140, "about a hundred in each minute"
    assert resolve("H * * * *", "a/b") != resolve("H * * * *", "b/b")
    assert len({resolve("H H * * *", key) for key in keys}) > 1300, "the hour does not follow from the minute"


def test_every_month_has_the_day() -> None:
    days = {resolve("0 0 H * *", f"a/{n}").split()[2] for n in range(2000)}

    assert days == {str(day) for day in range(1, 29)}
    assert max(values("0 0 H/5 * *", 2)) <= 28


@pytest.mark.parametrize("step", [2, 7, 30, 59, 60])
def test_a_step_begins_within_the_first_step(step: int) -> None:
    found = sorted(values(f"H/{step} * * * *", 0))

    assert found[0] < step
    assert found == list(range(found[0], 60, step))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("H", "'H' has 1 field; write five"),
        ("", "is empty"),
        ("H H * * * *", "has 6 fields; write five"),
        ("@daily", "'@daily' has no five fields in which an H could stand; write it in schedule"),
        ("@every 5m", "write it in schedule"),
        ("H/0 * * * *", "minute 'H/0' must have a step from 1 to 60, the number of values from 0 to 59"),
        ("H/61 * * * *", "minute 'H/61' must have a step from 1 to 60"),
        ("H/x * * * *", "minute 'H/x' must have a step from 1 to 60"),
        ("H/ * * * *", "minute 'H/' must have a step"),
        ("H(0-9)/11 * * * *", "must have a step from 1 to 10, the number of values from 0 to 9"),
        ("H(0-60) * * * *", "minute 'H(0-60)' must have a range that goes upwards within 0-59, such as H(1-5)"),
        ("H(9-5) * * * *", "must have a range that goes upwards within 0-59"),
        ("0 0 H(1-31) * *", "day 'H(1-31)' must have a range that goes upwards within 1-28, which every month has"),
        ("0 0 * * H(1-7)", "weekday 'H(1-7)' must have a range that goes upwards within 0-6"),
        ("0 0 * * H(5)", "weekday 'H(5)' is not understood; write H, H(0-29), H/15 or H(0-29)/10"),
        ("H-5 * * * *", "minute 'H-5' is not understood"),
        ("H(1-5 * * * *", "minute 'H(1-5' is not understood"),
        ("HH * * * *", "minute 'HH' is not understood"),
        ("0/H * * * *", "minute '0/H' has a step that is not a number"),
        ("1-H * * * *", "minute '1-H' is not understood"),
        ("h * * * *", "minute 'h' is not understood"),
        ("H 24 * * *", "hour '24' is out of range"),
        ("H * * * 7", "weekday '7' is out of range"),
        ("H * * * *" + " " * 1000, None),
        ("H," * 600 + "H * * * *", "characters long; at most 1,000 are allowed"),
        ("H(" + "9" * 900 + "-5) * * * *", "must have a range"),
        ("H/" + "9" * 900 + " * * * *", "must have a step"),
        ("TZ=UTC H * * * *", "has 6 fields"),
    ],
)
def test_everything_else_is_rejected_with_what_would_be_right(text: str, says: str | None) -> None:
    if says is None:
        parse(resolve(text, INVOICES))
        return
    with pytest.raises(InvalidSchedule) as caught:
        parse(resolve(text, INVOICES))
    assert says in str(caught.value)
    assert len(str(caught.value)) <= 200
