"""The whole language of the wire: commands, reports and records, and the envelopes they travel in.

Every message may arrive twice, late, and in another order than sent. Two versions of the program can run side by side: what one
does not know it leaves alone, and of records it is kept (`core.foreign`). Bytes are made and read in `broker.codec` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Final

import msgspec

from hacron.core.foreign import Stranger
from hacron.core.model import (
    MOST_LABELS,
    Account,
    Cluster,
    ClusterName,
    Gone,
    Held,
    Home,
    Instant,
    KeyText,
    LabelKey,
    LabelValue,
    Name,
    Number,
    Pause,
    Run,
    Sentence,
    Uid,
    Verdict,
    Wanted,
)

VERSION = 1
"""Of messages. Fields and kinds are added without a new one; it changes when who does not know what is new would go wrong.

A new kind of record says by `key`, and `cluster`, what it is about, and how that is: see `foreign.Stranger`. A field that is no
longer used goes on standing in records until its name is left out of them on purpose: it is unknown to the newer version, too.
"""

EPOCHS_END: Final = 2**53
"""Epochs are unix milliseconds; one beyond all reason could never be outbid."""

MOST_MESSAGES: Final = 2000
"""Of one envelope. About 1,600 of the shortest fill one that is closed when it is full."""

BODY_BYTES: Final = 8 * 2**20
"""Of one batch. Written are about 100 KB, or what must count together; a longer one is neither written nor read."""

RECORD_BYTES: Final = 2 * 2**20
"""Of one record: what was made of any command must be readable, or it would be decided again for ever."""

SPEC_BYTES: Final = 2**17
"""Of the spec of one object, as it is sent. Every replica of every cluster keeps all of them in memory."""

MOST_RECORDS: Final = 20_000
"""Of one batch. A few thousand of the shortest fill one; what must count together may be more."""


class _Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag_field="kind", tag=True):
    pass


# --- commands: what users want (relay → executor) ---------------------------------------------------------------------


class CronJobDeclared(_Message, frozen=True):
    """A HACronJob exists in a cluster, as of this generation."""

    key: KeyText
    cluster: ClusterName
    uid: Uid
    generation: Number
    created_at: Instant
    spec: msgspec.Raw  # JSON of .spec, as the API server gave it
    last_schedule_time: Instant | None = (
        None  # newest tick that is known in that cluster to have run; counts only when the ledger has nothing
    )
    decided_until: Instant | None = None  # what is known in that cluster to have its verdict up to then; counts like it
    last_successful_time: Instant | None = None  # when the newest success that is known there had ended; counts like it
    pause: Pause | None = None  # may change while the generation stays
    version: Number = 0  # the object's resourceVersion: which of two pauses is the newer
    ledger: Instant | None = None  # when the ledger with which the relay has compared it was born; says nothing to another
    instead_of: Instant | None = None  # what the ledger has noted then is newer, or a withdrawal, and unknown to the API server
    running: tuple[Run, ...] = ()  # of the schedule, what is known there to have begun and not to have ended; counts like it


class CronJobWithdrawn(_Message, frozen=True):
    """The HACronJob with this uid no longer exists in a cluster."""

    key: KeyText
    cluster: ClusterName
    uid: Uid


class RunsDemanded(_Message, frozen=True):
    """A HACronJobRun exists in a cluster, as of this generation: runs beside the schedule are wanted."""

    key: KeyText
    cluster: ClusterName
    uid: Uid
    generation: Number
    created_at: Instant
    spec: msgspec.Raw  # JSON of .spec, as the API server gave it
    account: Account | None = None  # what its .status says to have become of it; counts only when the ledger knows less
    version: Number = 0  # the object's resourceVersion: which of two that were made in one second is the newer
    ledger: Instant | None = None  # as with CronJobDeclared
    instead_of: Instant | None = None  # the ledger has one that was made then, and the API server does not know of it


class DemandWithdrawn(_Message, frozen=True):
    """The HACronJobRun with this uid no longer exists in a cluster."""

    key: KeyText
    cluster: ClusterName
    uid: Uid


Command = CronJobDeclared | CronJobWithdrawn | RunsDemanded | DemandWithdrawn


# --- reports: what happened (worker → executor) ------------------------------------------------------------------------


class Outcome(StrEnum):
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class RunStarted(_Message, frozen=True):
    """The Job of a run exists."""

    key: KeyText
    run_id: Name
    cluster: ClusterName
    started: Instant  # the Job's creationTimestamp


class RunFinished(_Message, frozen=True):
    """The Job of a run has ended."""

    key: KeyText
    run_id: Name
    cluster: ClusterName
    outcome: Outcome
    finished: Instant
    started: Instant | None = None
    reason: Name = ""
    message: Sentence = ""


class RunRefused(_Message, frozen=True):
    """The run has not started in this cluster, and never will."""

    key: KeyText
    run_id: Name
    cluster: ClusterName
    reason: Name
    message: Sentence
    too_late: bool = False  # only because start_by had passed: the same cluster may take another attempt


class RunStopped(_Message, frozen=True):
    """The Job of a run is gone before it ended."""

    key: KeyText
    run_id: Name
    cluster: ClusterName
    reason: Name = ""


class RunOutOfSight(_Message, frozen=True):
    """Nobody in this cluster can look any more at what became of a run, as somebody wanted it."""

    key: KeyText
    run_id: Name
    cluster: ClusterName


class ClusterSeen(_Message, frozen=True):
    """A worker lives in this cluster; said every few seconds."""

    cluster: ClusterName
    replica: Name
    api_ok: bool
    clock: Instant
    labels: Annotated[dict[LabelKey, LabelValue], msgspec.Meta(max_length=MOST_LABELS)] = {}
    cordoned: Sentence = ""  # why no new runs are to come; empty: they may
    gone: tuple[ClusterName, ...] = ()  # clusters that people here say will not come back
    forgotten: tuple[ClusterName, ...] = ()  # clusters of which, as people here say, nothing is to be left
    uid: Uid = ""  # of its namespace kube-system, by which clusters of one name are told apart


RunReport = RunStarted | RunFinished | RunRefused | RunStopped | RunOutOfSight
Report = RunReport | ClusterSeen


class Envelope(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one AMQP message on `commands` or `reports` holds: many messages of one sender."""

    id: str
    sent_at: Instant
    sender: str = msgspec.field(name="from")
    # Each is decoded alone, so that one unknown kind does not spoil its neighbours.
    messages: Annotated[tuple[msgspec.Raw, ...], msgspec.Meta(max_length=MOST_MESSAGES)]
    v: int = VERSION


# --- records: what is decided (executor → ledger → everybody) -----------------------------------------------------------


class Checkpoint(_Message, frozen=True):
    """A new executor begins. Counts if its epoch is greater than that of every checkpoint before it."""

    replica: Name
    cluster: ClusterName
    at: Instant
    born: Instant  # when the ledger's very first checkpoint was made: ticks before it may have run unrecorded


class Proof(_Message, frozen=True):
    """The executor still reaches the ledger; said every second."""

    replica: Name
    at: Instant
    tzdata: Name = ""  # version of its time zones: ticks are what these say
    # As its checkpoint says, for whoever begins to read behind that; an older version does not say it.
    cluster: ClusterName = ""
    since: Instant | None = None
    born: Instant | None = None


class Definition(_Message, frozen=True):
    """What one home cluster declares of a cronjob."""

    key: KeyText
    cluster: ClusterName
    uid: Uid
    generation: Number
    created_at: Instant
    revision: Number  # grows with every change of any definition; the greatest of a cronjob wins
    changed_at: Instant
    spec: msgspec.Raw
    pause: Pause | None = None
    paused_at: Instant | None = None
    version: Number = 0


class Progress(_Message, frozen=True):
    """How far a cronjob has come: the last tick decided, the open runs, the latest verdicts."""

    key: KeyText
    cronjob_id: Uid  # given at the first declaration, ends with the last
    last_tick: Instant  # every tick <= this has been decided
    open: tuple[Run, ...] = ()
    recent: tuple[Verdict, ...] = ()  # newest last, bounded
    fencing: Number = 0  # greatest number given to a run
    last_scheduled: Instant | None = None  # tick of the newest run that started
    last_successful: Instant | None = None  # when the newest success ended
    held: Held | None = None
    made_up_at: Instant | None = None  # when a tick that had long passed was started last; with catchUp.spreadSeconds
    passed_over: Instant | None = None  # what came until then was decided as a whole: by an edit, or the end of a pause
    pause_over: Instant | None = None  # the end of the newest pause that has ended by itself
    turned_at: Instant | None = None  # when it last began to fire or ceased to: by an edit, or the end of a pause or a wait
    withdrawn_at: Instant | None = None  # nobody declares it any more; kept until its Jobs are gone
    gone: tuple[Gone, ...] = ()  # of its objects, those that were withdrawn last; newest last, bounded
    taken_back: tuple[Run, ...] = ()  # decided ahead and undone; decided again, their ticks run in the same clusters
    told: tuple[Verdict, ...] = ()  # of runs that were demanded; put into their accounts before this is written


class ClusterState(_Message, frozen=True):
    """What was last heard of a cluster."""

    cluster: Cluster


class Removed(_Message, frozen=True):
    """A definition is withdrawn by its home cluster; without a cluster: the cronjob is gone altogether."""

    key: KeyText
    cluster: ClusterName | None = None


class Demand(_Message, frozen=True):
    """Runs beside the schedule that a HACronJobRun asks for, and what has become of them."""

    key: KeyText  # of the HACronJobRun: the same in every cluster
    created_at: Instant  # of the object that came first: the tick of a run that was wanted at once
    homes: dict[ClusterName, Home]
    account: Account
    cronjob: KeyText | None = None  # whose runs; None: its spec does not say
    wanted: Wanted = Wanted()
    wrong: Sentence = ""  # why it will have no runs
    counted: Number = 0  # ticks of the range, as far as they have been counted
    counted_to: Instant | None = None  # the last of them
    held: Held | None = None  # why its next run waits
    withdrawn_at: Instant | None = None  # the last object is gone; kept for a while, so that nothing late brings it back

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be started."""
        return bool(self.wrong) or self.account.finished is not None or self.withdrawn_at is not None

    @property
    def is_settled(self) -> bool:
        """Whether nothing more is to be decided, as long as its objects are there."""
        return self.is_over and self.withdrawn_at is None


class DemandForgotten(_Message, frozen=True):
    """A demand that was withdrawn is gone altogether."""

    key: KeyText


Record = Checkpoint | Proof | Definition | Progress | ClusterState | Removed | Demand | DemandForgotten
Written = Record | Stranger


class Batch(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one ledger message holds: records of one executor that count together or not at all."""

    epoch: int
    sender: str = msgspec.field(name="from")
    sent_at: Instant
    records: tuple[Written, ...]
    foreign: Mapping[int, bytes] = MappingProxyType({})  # of these, as they stand there, those that say more than is known here

    @property
    def begins(self) -> bool:
        """Whether it is what a new executor writes first."""
        return bool(self.records) and isinstance(self.records[0], Checkpoint)


def as_they_stand(records: Iterable[Written], foreign: Mapping[int, bytes]) -> tuple[Record | msgspec.Raw, ...]:
    """Return records as they are encoded in a batch: of unknown kinds as they came, and with what else they say, by number."""
    return tuple(_as_it_stands(record, foreign.get(number)) for number, record in enumerate(records))


def _as_it_stands(record: Written, foreign: bytes | None) -> Record | msgspec.Raw:
    if isinstance(record, Stranger):
        return msgspec.Raw(record.came)
    return msgspec.Raw(foreign) if foreign is not None else record


class Later(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All that is known of a batch of a later message version, which says so much, in this way: whether it counts."""

    v: int
    epoch: Annotated[int, msgspec.Meta(ge=0, lt=EPOCHS_END)]
    sender: str = msgspec.field(name="from")
    begins: bool = False  # it begins with a checkpoint


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A batch as it stands in the ledger."""

    offset: int  # position in the stream
    size: int  # bytes
    batch: Batch | None  # None: bytes that cannot be read here
    later: Later | None = None  # they may be read elsewhere, and count; if both are None, they never do
