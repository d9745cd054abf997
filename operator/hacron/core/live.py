"""Which records of a ledger are live: what they are about is still there, and no newer one says how that is.

The oldest of them is the floor: a replica that starts reads from there. With them is kept what another version wrote of the same
subjects and this one does not know (`core.foreign`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from hacron.core.foreign import Stranger, with_unknown
from hacron.core.messages import RECORD_BYTES, ClusterState, Definition, Demand, Progress, Record, Written
from hacron.core.model import Key

Subject = tuple[str, str, str]
"""What a record is about: a newer record of the same subject replaces the older one."""


class Mark(NamedTuple):
    """Where the newest record of a subject stands."""

    offset: int
    bytes_before: int  # of the ledger as read, before that message
    size: int  # its part of that message, if all in it are of one size


class Live:
    """The subjects of the live records, stalest first, and what is unknown of them."""

    def __init__(self) -> None:
        # Every write moves its subject to the end. A plain dict would grow slow at its front.
        self._marks: OrderedDict[Subject, Mark] = OrderedDict()
        self.size = 0  # of all, in bytes
        self.foreign: dict[Subject, bytes] = {}  # those that say more than is known here, as they came
        self.strangers: dict[Key, dict[Subject, Stranger]] = {}

    def __len__(self) -> int:
        return len(self._marks)

    def __iter__(self) -> Iterator[Subject]:
        return iter(self._marks)

    @property
    def stalest(self) -> Mark | None:
        return next(iter(self._marks.values()), None)

    def take(self, record: Written, mark: Mark, came: bytes | None) -> None:
        """Let a record take the place of the one before it. `came`: how it stands there, if it says more than is known here."""
        subject = subject_of(record)
        if subject is None:
            return
        self.drop(subject)
        self._marks[subject] = mark
        self.size += mark.size
        if isinstance(record, Stranger):
            self.strangers.setdefault(record.key, {})[subject] = record
        elif came is not None:
            self.foreign[subject] = came

    def drop(self, subject: Subject) -> None:
        """Let a known record be live no more."""
        mark = self._marks.pop(subject, None)
        if mark is not None:
            self.size -= mark.size
            self.foreign.pop(subject, None)

    def drop_strangers(self, key: Key, cluster: str | None = None, *, of_demand: bool = False) -> None:
        """Let what is of unknown kinds be live no more, if about a cronjob, or what one cluster declares of it, or a demand."""
        met = self.strangers.get(key, {})
        for subject, stranger in list(met.items()):
            if stranger.of_demand == of_demand and cluster in (None, stranger.cluster):
                del met[subject]
                self.drop(subject)
        if not met:
            self.strangers.pop(key, None)

    def stranger(self, subject: Subject) -> Stranger | None:
        """Return the record, if it is of an unknown kind."""
        return self.strangers.get(Key(subject[1]), {}).get(subject) if self.strangers else None

    def as_written(self, subject: Subject, known: Record, record: Record) -> bytes | None:
        """Return how a record is to be written in place of the known one, if what is unknown of that is to be written with it."""
        if isinstance(known, Demand) and isinstance(record, Demand) and known.account.id != record.account.id:
            return None  # of one that was deleted, and made anew
        try:
            more = with_unknown(self.foreign[subject], *map(msgspec.json.encode, (known, record)))
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return None  # how deep it may be depends on who calls
        return more if len(more) <= RECORD_BYTES else None


def subject_of(record: Written) -> Subject | None:
    """Return what a record is about, if a newer one of the same takes its place."""
    match record:
        case Definition():
            return "definition", record.key, record.cluster
        case Progress():
            return "progress", record.key, ""
        case Demand():
            return "demand", record.key, ""
        case ClusterState():
            return "cluster", record.cluster.name, ""
        case Stranger():
            return f"a {record.kind}", record.key, record.cluster
        case _:
            return None
