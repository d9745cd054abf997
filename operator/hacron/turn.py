"""What one turn of the engine hands to the roles: a look at the clocks, and what the ledger has brought; and when they repeat
what it does not show."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from hacron.core.messages import Entry
from hacron.core.state import Applied

TELL_AGAIN = timedelta(seconds=3)
"""A command or report that the ledger does not show by then is sent again."""

TELL_AGAIN_UNHEARD = timedelta(minutes=1)
"""So much later where nobody has written anything since: what was sent waits in its queue, and as often as that is enough."""


class Repeat(NamedTuple):
    """When something that was sent is sent again, as long as the ledger does not show it."""

    at: datetime
    position: int  # of the ledger, as it was read when it was sent: whether anybody has written anything since

    def wait_until(self, position: int, now: datetime) -> datetime | None:
        """Return when to look again; None: it is to be sent now."""
        if now < self.at:
            return self.at
        if position == self.position and now < self.at + TELL_AGAIN_UNHEARD:
            return now + TELL_AGAIN
        return None


class Moment(NamedTuple):
    """One look at the clocks."""

    wall: datetime  # UTC; what ticks are compared with
    mono: float  # seconds; what leases are measured with


class Folded(NamedTuple):
    """An entry of the ledger and what it changed in State."""

    entry: Entry
    applied: Applied
