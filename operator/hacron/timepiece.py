"""A clock that is wrong by minutes would have ticks decided that are still to come, and those before them passed over for good.

Each replica compares its own with that of its API server, which is another machine's, and by which Jobs are dated anyway. While
they differ by more than any error of a clock that is looked after, the replica takes no part. Where the API server has not
answered yet, the newest sign of an executor's life in the ledger stands for it. One that is not of now shows that it is no
earlier. After an outage it is as old as that: a clock ahead of it may be right, unless that is by more than most outages last.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from hacron.ports import ClockWrong, Kubernetes
from hacron.turn import Moment

MOST_S: Final = 60.0
OUTAGE: Final = timedelta(minutes=10)  # without any executor; a longer one is waited out for SIGN_COUNTS_S
SIGN_COUNTS_S: Final = 300.0  # since it was read: without an executor for longer, nobody may have been there to give one
EXECUTORS: Final = "the last executor's, and the API server does not say what time it is"


class Sign(NamedTuple):
    """Of an executor's life."""

    given: datetime  # by its clock
    read_at: float  # monotonic

    def time_at(self, mono: float) -> datetime | None:
        """Return what its executor's clock shows at least; None: it was read too long ago."""
        gone_by = mono - self.read_at
        return self.given + timedelta(seconds=gone_by) if gone_by < SIGN_COUNTS_S else None


class Timepiece:
    """A replica's look at its clock. Outlives a broker connection."""

    def __init__(self, kube: Kubernetes) -> None:
        self._kube = kube
        self._newest: Sign | None = None
        self._of_now: Sign | None = None  # the newest that was of now when it was read

    def hear(self, given: datetime, is_of_now: bool, moment: Moment) -> None:
        """Note a sign of an executor's life. One that is not of now may be of any age: a node's copy may be an early one."""
        if is_of_now:
            self._newest = self._of_now = Sign(given, moment.mono)
        elif self._newest is None or given > self._newest.given:
            self._newest = Sign(given, moment.mono)

    def look(self, moment: Moment) -> None:
        """Compare with the clock of the API server, or with signs of an executor's life in the ledger. Raises ClockWrong."""
        theirs = self._kube.time_at(moment.mono)
        if theirs is not None:
            _compare(moment.wall, theirs, theirs, "the API server's")
            return
        earliest, of_now = (sign and sign.time_at(moment.mono) for sign in (self._newest, self._of_now))
        latest = of_now or (earliest and earliest + OUTAGE)
        _compare(moment.wall, earliest, latest, EXECUTORS)


def _compare(ours: datetime, earliest: datetime | None, latest: datetime | None, whose: str) -> None:
    """Raise ClockWrong when ours is long before the earliest that it may be, or long after the latest."""
    behind_s = (earliest - ours).total_seconds() if earliest is not None else 0.0
    ahead_s = (ours - latest).total_seconds() if latest is not None else 0.0
    if max(behind_s, ahead_s) > MOST_S:
        raise ClockWrong(
            f"this machine's clock ({ours:%Y-%m-%d %H:%M:%S} UTC) is {max(behind_s, ahead_s):.0f} s"
            f" {'ahead of' if ahead_s > behind_s else 'behind'} {whose}: set right whichever of them is wrong"
        )
