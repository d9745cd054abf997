"""A clock that is wrong by minutes would have ticks decided that are still to come, and those before them passed over for good.

Each replica compares its own with that of its API server, which is another machine's, and by which Jobs are dated anyway. While
they differ by more than any error of a clock that is looked after, the replica takes no part.
"""

from __future__ import annotations

from typing import Final

from hacron.ports import ClockWrong, Kubernetes
from hacron.turn import Moment

MOST_S: Final = 60.0


class Timepiece:
    """A replica's look at its clock. Outlives a broker connection."""

    def __init__(self, kube: Kubernetes) -> None:
        self._kube = kube

    def look(self, moment: Moment) -> None:
        """Compare with the clock of the API server, if that is known. Raises ClockWrong."""
        theirs = self._kube.time_at(moment.mono)
        if theirs is None:
            return
        ahead_s = (moment.wall - theirs).total_seconds()
        if abs(ahead_s) > MOST_S:
            raise ClockWrong(
                f"this machine's clock ({moment.wall:%Y-%m-%d %H:%M:%S} UTC) is {abs(ahead_s):.0f} s"
                f" {'ahead of' if ahead_s > 0 else 'behind'} the API server's: set right whichever of them is wrong"
            )
