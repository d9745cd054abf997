"""What time it is elsewhere, by the header `Date` of answers (RFC 9110, 6.6.1), which has whole seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

TOO_LONG_S: Final = 10.0  # an answer that took longer says little
KNOWN_FOR_S: Final = 600.0  # then clocks may have gone apart


class DistantClock:
    """A server's clock, as far as its answers tell. Written by one thread, read by others."""

    def __init__(self) -> None:
        self._heard: tuple[datetime, float] | None = None  # its time, and the monotonic one here

    def hear(self, date: str | None, sent_at: float, answered_at: float) -> None:
        """Take in an answer: its header, and the monotonic times of request and answer here."""
        if date is None or answered_at - sent_at > TOO_LONG_S:
            return
        try:
            told = parsedate_to_datetime(date)
        except ValueError:
            return
        told = told.replace(tzinfo=UTC) if told.tzinfo is None else told.astimezone(UTC)
        self._heard = told + timedelta(milliseconds=500), (sent_at + answered_at) / 2

    def time_at(self, mono: float) -> datetime | None:
        """Return what it shows at a monotonic time here, give or take half of what an answer takes, and half a second."""
        if self._heard is None or mono - self._heard[1] > KNOWN_FOR_S:
            return None
        told, at = self._heard
        return told + timedelta(seconds=mono - at)
