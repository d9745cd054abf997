"""What was decided, as anybody reads it who may read the ledger: by a counting rule of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from hacron.core.messages import Batch, Checkpoint, ClusterState, Definition, Progress, Removed
from hacron.core.model import Key, Run, RunState, Verdict, VerdictKind
from tests.fakes.broker import Stored
from tests.fakes.kubernetes import Made
from tests.scenarios.world import World

Number = tuple[Key, int]  # a run, by its fencing number
BY_ITSELF = (VerdictKind.SUCCEEDED, VerdictKind.FAILED)
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
    closed: dict[datetime, datetime] = field(default_factory=dict)  # by tick, when that was written; not of those that are open
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
        taken_back = {run.tick for run in progress.taken_back if identity_of(run) == self.identity}
        left = [run for run in self.runs.values() if run.state is RunState.PENDING and run.id not in ours]
        # What had not begun at its end is nobody's any more; nor is what an edit left out, before it came.
        taken_back |= {run.tick for run in left if ended or (edited and run.tick > at)}
        taken_back -= {run.tick for run in ours.values()}
        self.taken_back |= {run.fencing: at for run in self.runs.values() if run.tick in taken_back}
        self._close({run.tick for run in ours.values()}, at)
        self.runs = {run_id: run for run_id, run in self.runs.items() if run.tick not in taken_back}
        self.runs |= ours
        self.open = set(ours)

    def _close(self, open_ticks: set[datetime], at: datetime) -> None:
        """Note which ticks are over: those that were open, and are not any more."""
        were_open = {run.tick for run in self.runs.values() if run.id in self.open}
        self.closed |= dict.fromkeys(were_open - open_ticks, at)
        for tick in open_ticks & self.closed.keys():
            del self.closed[tick]


@dataclass(slots=True)
class GivenUp:
    """When it was written of a run that it may go on somewhere and counts no more, and when that it runs after all."""

    since: datetime
    until: datetime | None = None

    def note(self, state: RunState | None, at: datetime) -> None:
        if state is RunState.RUNNING:
            self.until = self.until or at
        elif state is RunState.LOST:
            self.until = None


@dataclass(slots=True)
class Decided:
    """What one ledger says."""

    courses: dict[tuple[Key, str], Course] = field(default_factory=dict)
    verdicts: dict[Key, set[Verdict]] = field(default_factory=dict)
    never_began: dict[Number, datetime] = field(default_factory=dict)  # when that was written: Refused or Missed, or tried again
    given_up: dict[Number, GivenUp] = field(default_factory=dict)  # Lost, or any of these
    stopping: dict[Number, datetime] = field(default_factory=dict)  # since when a run is told to stop
    needless: list[tuple[Key, Run]] = field(default_factory=list)  # attempts at a tick that was known to have run to its end
    _open: dict[Key, tuple[Run, ...]] = field(default_factory=dict)

    def take(self, progress: Progress, at: datetime, edited: bool) -> None:
        """`edited`: what is declared has changed as well."""
        key, identity = progress.key, progress.cronjob_id
        if (key, identity) not in self.courses:
            self.courses[key, identity] = Course(key, identity, progress.last_tick, progress.last_tick)
        self._note_what_is_needless(progress)
        self.verdicts.setdefault(key, set()).update(progress.recent)
        for course in self.courses.values():
            if course.key == key:
                course.take(progress, at, edited)
        self._note_what_is_over(progress, at)

    def _note_what_is_needless(self, progress: Progress) -> None:
        """Note attempts that begin although one before them has ended by itself, and that was known.

        Of what is read at once, the refusal of one that was about to begin may have been heard first.
        """
        before = {run.id: run for run in self._open.get(progress.key, ())}
        for run in progress.open:
            begins = run.state is RunState.PENDING and run.id not in before and not run.demand
            if not begins or run.attempt == 1 or identity_of(run) != progress.cronjob_id:
                continue
            last = next((one for one in before.values() if _follows(run, one) and one.attempt == run.attempt - 1), None)
            waited = last is not None and last.state is RunState.LOST
            known = {*self.verdicts.get(progress.key, ()), *(progress.recent if waited else ())}
            if any(one.tick == run.tick and one.attempt < run.attempt and one.verdict in BY_ITSELF for one in known):
                self.needless.append((progress.key, run))

    def _note_what_is_over(self, progress: Progress, at: datetime) -> None:
        verdicts = {(one.tick, one.attempt): one.verdict for one in progress.recent}
        still_open = {run.id: run.state for run in progress.open}
        for run in self._open.get(progress.key, ()):
            number, state = (progress.key, run.fencing), still_open.get(run.id)
            verdict = verdicts.get((run.tick, run.attempt)) if not run.demand else None
            goes_on = any(_follows(other, run) for other in progress.open)
            never = verdict in (VerdictKind.REFUSED, VerdictKind.MISSED) or (run.demand and not run.has_begun)  # it has none
            if state is None and (never or goes_on):
                self.never_began.setdefault(number, at)
            if number in self.never_began or goes_on or state is RunState.LOST or verdict is VerdictKind.LOST:
                self.given_up.setdefault(number, GivenUp(at)).note(state, at)
        for run in progress.open:
            if run.state is RunState.STOPPING:
                self.stopping.setdefault((progress.key, run.fencing), at)
        self._open[progress.key] = progress.open


def _follows(later: Run, run: Run) -> bool:
    """Whether it is a further attempt of the same tick."""
    return (identity_of(later), later.tick) == (identity_of(run), run.tick) and later.attempt > run.attempt


def identity_of(run: Run) -> str:
    return run.id.rsplit(".", 2)[0]


def decided(world: World) -> list[Decided]:
    """Read each ledger that there has been, the oldest first."""
    found = []
    for ledger in (*world.lost_ledgers, world.broker.ledger):
        said = Decided()
        for _, batch in counting(_read(ledger)):
            edited = {record.key for record in batch.records if isinstance(record, Definition | Removed)}
            for record in batch.records:
                if isinstance(record, Progress):
                    said.take(record, batch.sent_at, record.key in edited)
        found.append(said)
    return found


def was_heard(made: Made, world: World) -> bool:
    """Whether the ledger said already, when somebody deleted a Job by hand, that it had begun or that its run was over."""
    which, last = made.ledger_then
    ledger = [*world.lost_ledgers, world.broker.ledger][which]
    said = counting(_read(stored for stored in ledger if stored.offset <= last))
    told = [record for _, batch in said for record in batch.records if isinstance(record, Progress) and record.key == made.key]
    if not told or told[-1].fencing < made.fencing:
        return False
    return not any(run.fencing == made.fencing and run.started is None for run in told[-1].open)


def heard_last(cluster: str, until: datetime, world: World) -> datetime | None:
    """Return when the executor had last heard of a cluster by then."""
    heard_at = None
    for ledger in (*world.lost_ledgers, world.broker.ledger):
        for _, batch in counting((stored.offset, stored.batch) for stored in ledger):
            for record in batch.records:
                if isinstance(record, ClusterState) and record.cluster.name == cluster and batch.sent_at <= until:
                    heard_at = record.cluster.seen_at
    return heard_at


def _read(ledger: Iterable[Stored]) -> Iterator[tuple[int, Batch]]:
    for stored in ledger:
        if any(word in stored.body for word in OF_INTEREST):
            yield stored.offset, stored.batch


def counted(ledger: Sequence[Stored]) -> Iterator[Stored]:
    """Yield the messages of a ledger that count, as they stand there."""
    by_offset = {stored.offset: stored for stored in ledger}
    yield from (by_offset[offset] for offset, _ in counting((stored.offset, stored.batch) for stored in ledger))


def counting(batches: Iterable[tuple[int, Batch]]) -> Iterator[tuple[int, Batch]]:
    """Yield what counts, with its offset.

    A checkpoint counts if its epoch is the greatest so far, and what follows if it is of that epoch, by the same replica.
    """
    newest, writer = 0, ""
    for offset, batch in batches:
        begins = any(isinstance(record, Checkpoint) for record in batch.records)
        if begins and batch.epoch > newest:
            newest, writer = batch.epoch, batch.sender
            yield offset, batch
        elif not begins and (batch.epoch, batch.sender) == (newest, writer):
            yield offset, batch
