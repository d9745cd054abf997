"""The fold: which records count, and what they add up to.

Every replica reads the same log in the same order and comes to the same State. Nothing else changes it: not the executor that
wrote a record, not a clock. Records of an executor that has been superseded are read and skipped, by everybody alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple, assert_never

from msgspec.structs import replace

from hacron.core import faults
from hacron.core.foreign import Stranger
from hacron.core.live import Live, Mark, Subject, subject_of
from hacron.core.messages import (
    Batch,
    Checkpoint,
    ClusterState,
    Definition,
    Demand,
    DemandForgotten,
    Entry,
    Later,
    Progress,
    Proof,
    Record,
    Removed,
    Written,
)
from hacron.core.model import Cluster, CronJob, InvalidCronJob, Key, Verdict, key_of, namespace_of
from hacron.core.spec import parse

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
"""When a ledger began of which that is not known."""


class Was(NamedTuple):
    """A cronjob before an entry."""

    progress: Progress | None
    winner: Definition | None
    homes: Mapping[str, Definition]


class Applied(NamedTuple):
    """What one entry changed."""

    counts: bool
    keys: tuple[Key, ...] = ()  # that are otherwise now, in the order of the records: what follows is the same in every replica
    clusters: tuple[str, ...] = ()
    demands: Mapping[Key, Demand | None] = MappingProxyType({})  # each before it; also where only its cronjob has changed
    proof: bool = False
    checkpoint: Checkpoint | None = None
    was: Mapping[Key, Was] = MappingProxyType({})  # each cronjob before it; also where it was only written again


SKIPPED = Applied(counts=False)
UNREAD = Applied(counts=True)  # of a later message version: what follows from it is not known here
PROVEN = Applied(counts=True, proof=True)


@dataclass(frozen=True, slots=True)
class Incumbent:
    """The replica that is executor, its cluster, and since when."""

    replica: str
    cluster: str
    since: datetime


class State:
    """What the ledger says, as far as it has been read.

    Begins empty at the floor. The message found there is one that counted, so its epoch is taken as it stands; after that the
    counting rule alone decides. But a ledger itself begins with a checkpoint that was made for it: anything else in its place was
    meant for another, which is lost, and would make this one look as old as that.
    """

    def __init__(self) -> None:
        self.epoch = 0  # of the newest checkpoint that counts; 0: none was read
        self._writer = ""  # the replica that wrote it
        self.position = -1  # offset of the last entry read
        self.counted_position = -1  # offset of the last entry that counted
        self.entries_read = 0
        self.bytes_read = 0
        self.born: datetime | None = None  # when the ledger began; None: nothing read so far says so
        self._is_first_epoch = False  # of the ledger
        self.executor: Incumbent | None = None  # whoever wrote the newest checkpoint that counts
        self.proof: Proof | None = None  # newest that counts
        self.revision = 0  # greatest of any definition
        self.definitions: dict[Key, Mapping[str, Definition]] = {}  # by home cluster; replaced as a whole, see still()
        self.progress: dict[Key, Progress] = {}
        self.clusters: dict[str, Cluster] = {}
        self.former: dict[str, Cluster] = {}  # that were forgotten
        self.demands: dict[Key, Demand] = {}
        self._pending: dict[Key, dict[Key, None]] = {}  # by cronjob: the demands that are not settled
        self._by_identity: dict[Key, dict[str, Key]] = {}  # by cronjob: what the ids of runs begin with → demand
        self.open_runs: dict[str, dict[str, Key]] = {}  # cluster → run id → key
        self._live = Live()
        self._parsed: dict[Key, CronJob | InvalidCronJob] = {}

    def began_within(self, time: timedelta, now: datetime) -> bool:
        """Whether the ledger is no older than that: clusters may not have told yet what has run."""
        return self.born is not None and abs(now - self.born) < time  # a clock that was ahead may have given it its birth

    @property
    def mark(self) -> str:
        """What tells this ledger from every other: when it began. Empty: that is not known."""
        return self.born.isoformat() if self.born is not None and self.born > LONG_AGO else ""

    # --- reading ---

    def apply(self, entry: Entry) -> Applied:
        """Take in one entry of the ledger, in the ledger's order."""
        bytes_before = self.bytes_read
        begins, first = entry.offset == 0, self.position < 0
        self.position = entry.offset
        self.entries_read += 1
        self.bytes_read += entry.size
        said = entry.batch if entry.batch is not None else entry.later
        if said is None or not self._counts(said, first and not begins):
            return SKIPPED
        if entry.batch is None:
            return UNREAD
        self.counted_position = entry.offset
        if len(entry.batch.records) == 1 and isinstance(proven := entry.batch.records[0], Proof):
            self._prove(proven)  # as most entries are, where little happens
            return PROVEN
        mark = Mark(entry.offset, bytes_before, entry.size // max(1, len(entry.batch.records)))
        was: dict[Key, Was] = {}
        changed: dict[Key, None] = {}
        clusters: dict[str, None] = {}
        demands: dict[Key, Demand | None] = {}
        proof, checkpoint = False, None
        for number, record in enumerate(entry.batch.records):
            match record:
                case Checkpoint():
                    checkpoint = record
                    self.born, self._is_first_epoch = self._birth(record, begins), begins
                    self.executor = Incumbent(record.replica, record.cluster, record.at)
                case Proof():
                    self._prove(record)
                    proof = True
                case Definition():
                    self._note(record.key, was)
                    if self._define(record):
                        changed[record.key] = None
                case Progress():
                    self._note(record.key, was)
                    if self._progress(record):
                        changed[record.key] = None
                case ClusterState(cluster=Cluster(removed=True)):
                    self.clusters.pop(record.cluster.name, None)
                    self.former[record.cluster.name] = record.cluster
                    clusters[record.cluster.name] = None
                case ClusterState():
                    self.former.pop(record.cluster.name, None)
                    self.clusters[record.cluster.name] = record.cluster
                    clusters[record.cluster.name] = None
                case Removed():
                    self._note(record.key, was)
                    changed[record.key] = None
                    self._remove(record)
                    self._live.drop_strangers(record.key, record.cluster)
                case Demand():
                    known = self.demands.get(record.key)
                    if known is not None and known.account.id != record.account.id:
                        self._live.drop_strangers(record.key, of_demand=True)
                    demands.setdefault(record.key, known)
                    changed |= self._note_all([*self._forget_demand(record.key), *self._demand(record)], was)
                case DemandForgotten():
                    demands.setdefault(record.key, self.demands.get(record.key))
                    changed |= self._note_all(self._forget_demand(record.key), was)
                    self._live.drop(("demand", record.key, ""))
                    self._live.drop_strangers(record.key, of_demand=True)
                case Stranger():
                    pass  # only kept
                case _:
                    assert_never(record)
            self._live.take(record, mark, entry.batch.foreign.get(number))
        for key, before in was.items():
            for demand in self._concerned(key, before):
                demands.setdefault(demand.key, demand)
        return Applied(True, tuple(changed), tuple(clusters), demands, proof, checkpoint, was)

    def _counts(self, batch: Batch | Later, first: bool) -> bool:
        """Apply the counting rule: a checkpoint with a greater epoch, or what its writer has sent since, in that epoch."""
        begins = batch.begins
        if (begins and batch.epoch > self.epoch) or (first and batch.epoch > 0):
            self.epoch, self._writer = batch.epoch, batch.sender
            return True
        return (batch.epoch, batch.sender) == (self.epoch, self._writer) and not begins and self.epoch > 0

    def _birth(self, checkpoint: Checkpoint, begins: bool) -> datetime | None:
        """Return when the ledger began, as is known with this checkpoint.

        Its executor may have read nothing yet, or, at the very beginning, be that of a ledger that is lost. Later it knows better
        than who began to read at the floor, and its proofs say so: for all alike, since what was compared with a ledger of
        another birth is not taken in.
        """
        if begins:
            return checkpoint.at
        return self.born if self.born is not None and checkpoint.born != LONG_AGO else checkpoint.born

    # --- asking ---

    def winner(self, key: Key) -> Definition | None:
        """Return the definition that counts among what the home clusters declare: the newest change."""
        return winner_of(self.definitions.get(key, {}))

    def cronjob(self, key: Key) -> CronJob | InvalidCronJob | None:
        """Return what the winning definition says, or why it cannot be understood; None when nobody declares it."""
        found = self._parsed.get(key)
        if found is None:
            definition = self.winner(key)
            if definition is None:
                return None
            found = understand(definition)
            self._parsed[key] = found
        return found

    @property
    def open_demands(self) -> int:
        """How many demands are neither over nor withdrawn."""
        return sum(not self.demands[key].is_over for keys in self._pending.values() for key in keys)

    def pending_of(self, cronjob: Key) -> Sequence[Demand]:
        """Return what is demanded of a cronjob and not settled: a few, however many have been."""
        return [self.demands[key] for key in self.pending_keys_of(cronjob)]

    def pending_keys_of(self, cronjob: Key) -> Iterable[Key]:
        return self._pending.get(cronjob, ())

    def demand_of_run(self, cronjob: Key, identity: str) -> Key | None:
        """Return the demand whose runs bear this identity, settled or not."""
        return self._by_identity.get(cronjob, {}).get(identity)

    def results_of(self, cronjob: Key) -> list[Verdict]:
        """Return what became of the runs of all its demands."""
        keys = self._by_identity.get(cronjob, {}).values()
        return [verdict for key in keys for verdict in self.demands[key].account.results]

    def keys(self) -> Iterable[Key]:
        return self.progress.keys() | self.definitions.keys()

    @property
    def floor(self) -> int:
        """Offset of the oldest message that still matters, always that of one that counted."""
        stalest = self._live.stalest
        return stalest.offset if stalest is not None else max(self.counted_position, 0)

    @property
    def span_bytes(self) -> int:
        """How much of the ledger a replica that starts now has to read."""
        stalest = self._live.stalest
        return self.bytes_read - stalest.bytes_before if stalest is not None else 0

    @property
    def span_messages(self) -> int:
        return self.position - self.floor

    @property
    def live(self) -> int:
        """How many records matter."""
        return len(self._live)

    @property
    def live_bytes(self) -> int:
        """How long the ledger would be with these alone."""
        return self._live.size

    def stalest(self) -> Iterator[Written]:
        """Yield the live records, the one that holds back the floor first."""
        for subject in self._live:
            yield self._live.stranger(subject) or self._known(subject)

    def as_written(self, record: Record) -> bytes | None:
        """Return how a record is to be written, if that is more than what is known of it: with what others wrote, too."""
        subject = subject_of(record)
        if subject is None or subject not in self._live.foreign:
            return None
        return self._live.as_written(subject, self._known(subject), record)

    def _known(self, subject: Subject) -> Record:
        kind, name, cluster = subject
        match kind:
            case "definition":
                return self.definitions[Key(name)][cluster]
            case "progress":
                return self.progress[Key(name)]
            case "demand":
                return self.demands[Key(name)]
            case _:
                return ClusterState(cluster=self.clusters.get(name) or self.former[name])

    def still(self) -> State:
        """Return what it says now, for others to ask while this one goes on: it shares all values, and takes in nothing more.

        What only deciding needs stays behind: what keeps the ledger short (floor, span, stalest), and how demands are found by
        their cronjob. A millisecond with 10,000 cronjobs.
        """
        still = copy(self)
        still.definitions, still.progress = dict(self.definitions), dict(self.progress)
        still.clusters, still.demands = dict(self.clusters), dict(self.demands)
        still._parsed = dict(self._parsed)
        still.former = {}
        still._pending, still._by_identity, still.open_runs, still._live = {}, {}, {}, Live()
        return still

    # --- folding ---

    def _note(self, key: Key, was: dict[Key, Was]) -> None:
        if key not in was:
            was[key] = Was(self.progress.get(key), self.winner(key), self.definitions.get(key, {}))

    def _note_all(self, keys: Iterable[Key], was: dict[Key, Was]) -> dict[Key, None]:
        noted = dict.fromkeys(keys)
        for key in noted:
            self._note(key, was)
        return noted

    def _prove(self, record: Proof) -> None:
        self.proof = record
        if self.executor is None and record.since is not None:
            self.executor = Incumbent(record.replica, record.cluster, record.since)
        self.born = self.born if self._is_first_epoch else record.born or self.born

    def _define(self, record: Definition) -> bool:
        """Return whether anything is otherwise now: many are only written again, so that the floor can rise."""
        homes = self.definitions.get(record.key, {})
        before = homes.get(record.cluster)
        if before == record:
            return False
        if before is not None and before.uid != record.uid:
            self._live.drop_strangers(record.key, record.cluster)  # they were about the one before
        alike = next((other for other in homes.values() if bytes(other.spec) == bytes(record.spec)), None)
        if alike is not None:  # as a rule: a spec is kept once, however many homes declare it
            record = replace(record, spec=alike.spec)
        self.definitions[record.key] = {**homes, record.cluster: record}
        self.revision = max(self.revision, record.revision)
        self._parsed.pop(record.key, None)
        return True

    def _progress(self, record: Progress) -> bool:
        """Return whether anything is otherwise now."""
        before = self.progress.get(record.key)
        if before == record:
            return False
        if before is not None and before.cronjob_id != record.cronjob_id:
            self._live.drop_strangers(record.key, "")
        self._forget_open_runs(record.key)
        self.progress[record.key] = record
        for run in record.open:
            self.open_runs.setdefault(run.cluster, {})[run.id] = record.key
        return True

    def _remove(self, record: Removed) -> None:
        self._parsed.pop(record.key, None)
        homes = dict(self.definitions.get(record.key, {}))
        for cluster in [record.cluster] if record.cluster is not None else list(homes):
            homes.pop(cluster, None)
            self._live.drop(("definition", record.key, cluster))
        if homes:
            self.definitions[record.key] = homes
        else:
            self.definitions.pop(record.key, None)
        if record.cluster is None:
            self._forget_open_runs(record.key)
            self.progress.pop(record.key, None)
            self._live.drop(("progress", record.key, ""))

    def _concerned(self, cronjob: Key, was: Was) -> Iterable[Demand]:
        """Return the demands of whose status a change of the cronjob may be part: all, or those whose runs it is about."""
        if was.winner is not self.winner(cronjob):
            return self.pending_of(cronjob)
        before, after = was.progress, self.progress.get(cronjob)
        runs = [*(before.open if before is not None else ()), *(after.open if after is not None else ())]
        keys = dict.fromkeys(key_of(namespace_of(cronjob), run.demand) for run in runs if run.demand)
        return [self.demands[key] for key in keys if key in self.demands]

    def _demand(self, record: Demand) -> list[Key]:
        """Return whose runs it is about."""
        self.demands[record.key] = record
        if record.cronjob is None:
            return []
        self._by_identity.setdefault(record.cronjob, {})[record.account.id] = record.key
        if not record.is_settled:
            self._pending.setdefault(record.cronjob, {})[record.key] = None
        return [record.cronjob]

    def _forget_demand(self, key: Key) -> list[Key]:
        """Return whose runs it was about."""
        known = self.demands.pop(key, None)
        if known is None or known.cronjob is None:
            return []
        identities, pending = self._by_identity[known.cronjob], self._pending.get(known.cronjob, {})
        identities.pop(known.account.id, None)
        pending.pop(key, None)
        if not identities:  # anybody may demand runs of what has never been there
            del self._by_identity[known.cronjob]
        if not pending:
            self._pending.pop(known.cronjob, None)
        return [known.cronjob]

    def _forget_open_runs(self, key: Key) -> None:
        before = self.progress.get(key)
        for run in before.open if before else ():
            self.open_runs.get(run.cluster, {}).pop(run.id, None)


def winner_of(homes: Mapping[str, Definition]) -> Definition | None:
    """Return the definition that counts among those of a cronjob's homes: the newest change."""
    return max(homes.values(), key=lambda definition: definition.revision, default=None)


def understand(definition: Definition) -> CronJob | InvalidCronJob:
    """Parse what a home cluster declares; what is wrong with it is a value, not an exception."""
    try:
        return parse(definition.key, definition.spec)
    except InvalidCronJob as invalid:
        return invalid.to_keep()
    except Exception as error:  # noqa: BLE001  it is told
        faults.note(faults.READER, definition.key)
        return InvalidCronJob("spec", f"a fault of HACronJob: it fails to read this ({type(error).__name__}); its logs say where")
