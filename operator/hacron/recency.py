"""Whether State is of now.

What a replica reads is the copy of the ledger that its broker node has, and where that ends proves nothing: while a node comes
back the copy may be empty, or end minutes ago, and all the rest arrives later. What proves it is a sign of an executor's life, a
proof or a checkpoint of any, that is of now itself: what had been written by then stands before it.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Final

from hacron.turn import Moment

JITTER_S: Final = 2.0  # by which signs of life may come sooner or later than they were given


class Recency:
    """What one broker connection has shown of it. A sign is of now for `counts_for_s`: so long nobody doubts its executor.

    Clocks may differ by more than that. Then signs are of now that have come for `lease_s` at the pace of time: what is late
    comes faster, or after a pause.
    """

    def __init__(self, counts_for_s: float, lease_s: float) -> None:
        self._counts_for_s = counts_for_s
        self._lease_s = lease_s
        self._behind_s = math.inf
        self._keeps_pace_since = 0.0  # monotonic
        self.is_of_now = False

    def note(self, given: datetime, moment: Moment) -> None:
        """Take in when a sign of life was given, by its executor's clock."""
        behind_s = (moment.wall - given).total_seconds()
        if abs(behind_s - self._behind_s) > JITTER_S:
            self._behind_s, self._keeps_pace_since = behind_s, moment.mono
        keeps_pace = moment.mono - self._keeps_pace_since >= self._lease_s
        self.is_of_now = self.is_of_now or keeps_pace or abs(behind_s) <= self._counts_for_s
