"""What a relay has said of each object: when it is to be said again, and what no executor has taken in yet."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from hacron.core.agenda import Agenda
from hacron.core.model import Key, Pause
from hacron.turn import TELL_AGAIN, Moment, Repeat

ANYWHERE = -2  # before every position of the ledger


What = tuple[str, int, Pause | None]
"""What a command says of an object: its uid, its generation (0: withdrawn), its pause."""


class Said(NamedTuple):
    """What was said of an object, or is to be."""

    what: What
    repeat: Repeat


class Saying:
    """One relay's words. The agenda is the relay's: it says which objects to look at again."""

    def __init__(self, agenda: Agenda[Key]) -> None:
        self._agenda = agenda
        self._said: dict[Key, Said] = {}
        self._declared: dict[Key, str] = {}  # uid of an object that was declared; the ledger has not shown it yet
        self._differs: dict[Key, float] = {}  # monotonic; since when the ledger lacks what is here

    def begin_anew(self) -> Iterable[Key]:
        """Take nothing for said, on a new connection; return what was declared and not taken in before."""
        self._said.clear()
        self._differs.clear()
        return self._declared

    def behind_s(self, moment: Moment) -> float:
        """Return for how long the oldest change has not been in the ledger; 0: all are."""
        return max(0.0, moment.mono - min(self._differs.values())) if self._differs else 0.0

    def note_difference(self, key: Key, moment: Moment) -> None:
        self._differs.setdefault(key, moment.mono)

    def note_declared(self, key: Key, uid: str) -> None:
        self._declared[key] = uid

    def take_untaken(self, key: Key) -> str | None:
        """Return the uid of what was declared and the ledger has not shown, if there is one, and forget it."""
        return self._declared.pop(key, None)

    def settle(self, key: Key) -> None:
        """Note that nothing is left to be said of an object."""
        self._said.pop(key, None)
        self._differs.pop(key, None)

    def claim(self, key: Key, what: What, position: int, moment: Moment, wait: timedelta) -> bool:
        """Return whether it is said now, and note that. `wait`: how long others are given before it is said first.

        Nobody repeats himself at once; and while nobody writes to the ledger, only now and then.
        """
        now = moment.wall
        self.note_difference(key, moment)
        said = self._said.get(key)
        if said is None or said.what != what:
            said = self._said[key] = Said(what, Repeat(now + wait, ANYWHERE))
        wait_until = said.repeat.wait_until(position, now)
        if wait_until is not None:
            self._agenda.put(key, wait_until)
            return False
        self._note(key, what, position, now)
        return True

    def withdraw_untaken(self, key: Key, position: int, moment: Moment) -> str | None:
        """Return the uid of what was declared, no executor has taken in, and is gone: to be withdrawn, once.

        Its declaration waits in the queue, and the withdrawal comes behind it.
        """
        uid, said = self._declared.get(key), self._said.get(key)
        if uid is None or (said is not None and said.what == (uid, 0, None)):
            self.take_untaken(key)
            return None
        self._note(key, (uid, 0, None), position, moment.wall)
        return uid

    def _note(self, key: Key, what: What, position: int, now: datetime) -> None:
        self._said[key] = Said(what, Repeat(now + TELL_AGAIN, position))
        self._agenda.put(key, now + TELL_AGAIN)
