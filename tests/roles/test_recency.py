"""When what was read of the ledger is of now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hacron.recency import Recency
from hacron.turn import Moment

NOON = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
HOUR = 3600.0


def of_now_at(*signs: tuple[float, float], ahead_s: float = 0) -> float | None:
    """Return when it is; of each sign of life: when it is read, and when it was given. `ahead_s`: the clock of who reads."""
    recency = Recency(counts_for_s=12, lease_s=3)
    for read_s, given_s in signs:
        recency.note(NOON + timedelta(seconds=given_s), Moment(NOON + timedelta(seconds=read_s + ahead_s), read_s))
        if recency.is_of_now:
            return read_s
    return None


@pytest.mark.parametrize(("given_s", "counts"), [(0, True), (-12, True), (-13, False), (12, True), (13, False), (-HOUR, False)])
def test_a_sign_of_life_counts_for_as_long_as_nobody_doubts_its_executor(given_s: float, counts: bool) -> None:
    assert (of_now_at((0, given_s)) is not None) is counts


def test_what_was_there_before_is_of_the_past_however_long_it_takes_to_come() -> None:
    """An hour of proofs, a hundred a second, and a pause in the middle."""
    history = [(number / 100, number - HOUR) for number in range(1800)]
    rest = [(60 + number / 100, number - HOUR) for number in range(1800, 3700)]
    assert of_now_at(*history) is None
    found = of_now_at(*history, *rest)
    assert found is not None
    assert 96 < found < 97


@pytest.mark.parametrize("ahead_s", [-40, 40])
def test_where_clocks_differ_signs_that_keep_pace_are_of_now(ahead_s: float) -> None:
    signs = [(number + 0.4 * (number % 3), float(number)) for number in range(10)]
    assert of_now_at(*signs, ahead_s=ahead_s) == 3


def test_without_any_sign_nothing_is() -> None:
    assert of_now_at() is None
