"""A clock that is wrong by minutes would have ticks decided that are still to come, and those before them passed over for good.

Each replica compares its own with that of its API server, which is another machine's, and by which Jobs are dated anyway. While
they differ by more than any error of a clock that is looked after, the replica takes no part. Where the API server has not
answered yet, the newest proof of an executor stands for it, as long as that is not old.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from hacron.core.messages import Proof
from hacron.ports import ClockWrong, Kubernetes
from hacron.turn import Moment

MOST_S: Final = 60.0
PROOF_COUNTS_S: Final = 300.0  # since it was first read: without an executor for longer, nobody may have been there to write one


class Timepiece:
    """A replica's look at its clock. Outlives a broker connection."""

    def __init__(self, kube: Kubernetes) -> None:
        self._kube = kube
        self._proof_at: datetime | None = None  # what the newest proof says
        self._read_at = 0.0  # monotonic; when that was read first

    def look(self, moment: Moment, proof: Proof | None) -> None:
        """Compare with the clock of the API server, or with the newest proof in the ledger. Raises ClockWrong."""
        if proof is not None and proof.at != self._proof_at:
            self._proof_at, self._read_at = proof.at, moment.mono
        theirs = self._kube.time_at(moment.mono)
        if theirs is not None:
            _compare(moment.wall, theirs, "the API server's")
        elif self._proof_at is not None and moment.mono - self._read_at < PROOF_COUNTS_S:
            gone_by = timedelta(seconds=moment.mono - self._read_at)
            _compare(
                moment.wall, self._proof_at + gone_by, "the last executor's, and the API server does not say what time it is"
            )


def _compare(ours: datetime, theirs: datetime, whose: str) -> None:
    ahead_s = (ours - theirs).total_seconds()
    if abs(ahead_s) > MOST_S:
        raise ClockWrong(
            f"this machine's clock ({ours:%Y-%m-%d %H:%M:%S} UTC) is {abs(ahead_s):.0f} s"
            f" {'ahead of' if ahead_s > 0 else 'behind'} {whose}: set right whichever of them is wrong"
        )
