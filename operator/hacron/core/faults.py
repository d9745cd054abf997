"""What a fault of this program may hold up: the cronjob that it is about, and no other.

Without this, one object that is read or reckoned wrong would end every process that looks at it, in every cluster, for ever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

from hacron.core.model import Key

TRY_AGAIN: Final = timedelta(minutes=1)
READER, EXECUTOR, WORKER, RELAY, MIRROR, HERALD = ROLES = ("reader", "executor", "worker", "relay", "mirror", "herald")

tally: Counter[str] = Counter()  # how often one was met in this process, by role; telemetry reads it
tell: list[Callable[[str, Key], None]] = []  # called with role and key, while the exception is being handled
raises = False  # tests have faults raise, and so fail


def note(role: str, key: Key) -> None:
    """Have the exception that is being handled told; what it is about goes on without."""
    if raises:
        raise
    tally[role] += 1
    for listener in tell:
        listener(role, key)


@contextmanager
def confined(role: str, key: Key) -> Iterator[None]:
    """Have what fails in here told; all else goes on without."""
    try:
        yield
    except Exception:  # noqa: BLE001  it is told
        note(role, key)


class Faults:
    """The cronjobs, or the HACronJobRuns, that a role has set aside for a while; each kind has its own: they may share names."""

    def __init__(self, role: str) -> None:
        self._role = role
        self._until: dict[Key, datetime] = {}

    def until(self, key: Key, now: datetime) -> datetime | None:
        """Return until when it is set aside; None: it is not, or not any more."""
        until = self._until.get(key)
        if until is not None and now >= until:
            del self._until[key]
            return None
        return until

    def look(self, key: Key, now: datetime, look: Callable[[], datetime | None]) -> datetime | None:
        """Return when to look at it again: what `look` says, unless it is set aside, or fails and so is set aside."""
        until = self.until(key, now)
        if until is not None:
            return until
        try:
            return look()
        except Exception:  # noqa: BLE001  it is told
            return self.set_aside(key, now)

    def set_aside(self, key: Key, now: datetime) -> datetime:
        """Set it aside because of the exception that is being handled; return until when."""
        note(self._role, key)
        self._until[key] = now + TRY_AGAIN
        return self._until[key]
