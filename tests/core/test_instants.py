"""Instants in objects of Kubernetes: read whatever stands there, written as Kubernetes does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from hacron.core.manifests import instant, rfc3339


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-28T08:00:00Z", datetime(2026, 3, 28, 8, tzinfo=UTC)),
        ("2026-03-28T08:00:00.5+01:00", datetime(2026, 3, 28, 7, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-03-28T08:00:00", None),
        ("2026-03-28T24:00:00Z", None),
        ("soon", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("9999-12-31T23:59:59-12:00", None),
        ("9999-12-31T23:59:59Z", None),
        ("1899-12-31T23:59:59Z", None),
        (None, None),
        (5, None),
    ],
    ids=str,
)
def test_what_is_no_instant_is_none(text: object, expected: datetime | None) -> None:
    assert instant(text) == expected


def test_an_instant_is_written_in_utc_with_whole_seconds_and_four_digits_of_the_year() -> None:
    prague = timezone(timedelta(hours=1))
    assert rfc3339(datetime(2026, 3, 28, 9, 0, 0, 900_000, tzinfo=prague)) == "2026-03-28T08:00:00Z"
    assert rfc3339(datetime(2, 1, 1, tzinfo=UTC)) == "0002-01-01T00:00:00Z"
