"""When a replica that is not its cluster's worker makes Jobs: the worker may be frozen, or only have much to do.

The ledger tells: while runs begin or are refused there, as others have told, somebody sees to them. A second after the last one,
what is overdue is tried, one Job at a time: one that exists, the worker had made. The first that can be made, it has not made in
time, and all that is overdue follows. A thousand Jobs tried twice would hold up the thousand that are being made.
"""

from __future__ import annotations

from datetime import datetime, timedelta

LOOK_AGAIN = timedelta(milliseconds=50)  # while a try is under way
TRY_LASTS = timedelta(seconds=2)  # then another is tried: this one may hang, behind a webhook of its namespace
NEEDED_FOR = timedelta(seconds=10)  # after a Job that nobody else had made


class StandIn:
    """What one replica knows of the worker of its cluster. `patience`: how long after its tick a run is overdue."""

    def __init__(self, patience: timedelta) -> None:
        self._patience = patience
        self._trying: str | None = None  # run id
        self._tried_at: datetime | None = None
        self._needed_until: datetime | None = None
        self._heard_at: datetime | None = None  # when another replica was last seen to have told of a run

    def overdue_at(self, tick: datetime, known_since: datetime) -> datetime:
        """Return when a run that is still pending is overdue; one that was decided late is not overdue at once."""
        return max(tick, known_since) + self._patience

    def hear(self, now: datetime) -> None:
        """Note that another replica has told what became of a run: it makes what is overdue, or is about to."""
        self._heard_at, self._needed_until = now, None

    def begin(self, run_id: str, now: datetime) -> datetime | None:
        """Return None when the Job of this overdue run may be made now, which is then the try; else when to ask again."""
        if self._needed_until is not None and now < self._needed_until:
            return None
        if self._heard_at is not None and now < self._heard_at + self._patience:
            return self._heard_at + self._patience
        if self._trying != run_id:
            if self._trying is not None and self._tried_at is not None and now < self._tried_at + TRY_LASTS:
                return now + LOOK_AGAIN
            self._trying, self._tried_at = run_id, now
        return None

    def end(self, run_id: str, made: bool, existed: bool, now: datetime) -> None:
        """Take in what became of a Job that was tried."""
        if made:
            self._needed_until = now + NEEDED_FOR
        elif existed:
            self._needed_until = None
        if self._trying == run_id:
            self._trying = None

    def forget(self, run_id: str) -> None:
        """Note that its Job is not tried any more."""
        if self._trying == run_id:
            self._trying = None
