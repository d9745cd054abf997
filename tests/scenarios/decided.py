"""What was decided, as anybody reads it who may read the ledger: by a counting rule of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from hacron.core.messages import Batch, Checkpoint, Definition, Progress, Removed
from hacron.core.model import Key, Run, RunState, Verdict
from tests.fakes.broker import Stored, decode_batch
from tests.scenarios.world import World

OF_INTEREST = (b'"Checkpoint"', b'"Progress"')  # most messages only say that somebody lives


@dataclass(slots=True)
class Course:
    """What one ledger says of the schedule's ticks of one cronjob, under one identity."""

    key: Key
    identity: str
    since: datetime  # ticks up to then are of before
    until: datetime  # ticks up to then are decided
    runs: dict[str, Run] = field(default_factory=dict)  # by id, as last read; not those that were taken back
    open: set[str] = field(default_factory=set)  # of these, those that are not over
    taken_back: dict[int, datetime] = field(default_factory=dict)  # by fencing number, when that was written
    ended: bool = False  # nobody declares it any more
    ended_at: datetime | None = None
    brought_back_at: datetime | None = None  # though it had ended

    def take(self, progress: Progress, at: datetime, edited: bool) -> None:
        ended = progress.cronjob_id != self.identity or progress.withdrawn_at is not None
        if self.ended and not ended:
            self.brought_back_at = at
        if ended and not self.ended:
            self.ended_at = at
        self.ended = ended
        if not ended:
            self.until = progress.last_tick
        ours = {run.id: run for run in progress.open if identity_of(run) == self.identity and not run.demand}
        taken_back = {run.tick for run in progress.taken_back}
        left = [run for run in self.runs.values() if run.state is RunState.PENDING and run.id not in ours]
        # What had not begun at its end is nobody's any more; nor is what an edit left out, before it came.
        taken_back |= {run.tick for run in left if ended or (edited and run.tick > at)}
        taken_back -= {run.tick for run in ours.values()}
        self.taken_back |= {run.fencing: at for run in self.runs.values() if run.tick in taken_back}
        self.runs = {run_id: run for run_id, run in self.runs.items() if run.tick not in taken_back}
        self.runs |= ours
        self.open = set(ours)


@dataclass(slots=True)
class Decided:
    """What one ledger says."""

    courses: dict[tuple[Key, str], Course] = field(default_factory=dict)
    verdicts: dict[Key, set[Verdict]] = field(default_factory=dict)

    def take(self, progress: Progress, at: datetime, edited: bool) -> None:
        """`edited`: what is declared has changed as well."""
        key, identity = progress.key, progress.cronjob_id
        if (key, identity) not in self.courses:
            self.courses[key, identity] = Course(key, identity, progress.last_tick, progress.last_tick)
        self.verdicts.setdefault(key, set()).update(progress.recent)
        for course in self.courses.values():
            if course.key == key:
                course.take(progress, at, edited)


def identity_of(run: Run) -> str:
    return run.id.rsplit(".", 2)[0]


def decided(world: World) -> list[Decided]:
    """Read each ledger that there has been, the oldest first."""
    found = []
    for ledger in (*world.lost_ledgers, world.broker.ledger):
        said = Decided()
        for batch in _counting(_read(ledger)):
            edited = {record.key for record in batch.records if isinstance(record, Definition | Removed)}
            for record in batch.records:
                if isinstance(record, Progress):
                    said.take(record, batch.sent_at, record.key in edited)
        found.append(said)
    return found


def _read(ledger: Iterable[Stored]) -> Iterator[Batch]:
    for stored in ledger:
        if any(word in stored.body for word in OF_INTEREST):
            yield decode_batch(stored.body)[0]


def _counting(batches: Iterable[Batch]) -> Iterator[Batch]:
    """A checkpoint counts if its epoch is the greatest so far, and what follows if it is of that epoch, by the same replica."""
    newest, writer = 0, ""
    for batch in batches:
        begins = any(isinstance(record, Checkpoint) for record in batch.records)
        if begins and batch.epoch > newest:
            newest, writer = batch.epoch, batch.sender
            yield batch
        elif not begins and (batch.epoch, batch.sender) == (newest, writer):
            yield batch
