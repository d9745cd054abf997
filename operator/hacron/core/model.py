"""The nouns: what a cronjob, a run, a verdict and a cluster are.

Everything here is a frozen value. Values that travel (inside records) are msgspec structs; instants are timezone-aware UTC. They
refer to nothing that refers back, so the garbage collector need not look at them (gc=False): with 10,000 cronjobs one of its full
collections would hold everything up for 75 ms.
How they change is told elsewhere: a run in `runs`, a cronjob's progress in `scheduler`, all of it together in `state`.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, NewType

import msgspec

from hacron.core.selector import Selector
from hacron.core.ticks.calendar import Calendar

Key = NewType("Key", str)
"""A cronjob's "namespace/name": the same in every cluster (namespace sameness)."""

# What travels was written by somebody else. Whatever passes these bounds must harm nobody, wherever it is read first.
Instant = Annotated[datetime, msgspec.Meta(tz=True)]  # how far away it may be is in `instants`
KeyText = Annotated[Key, msgspec.Meta(pattern=r"^[-a-z0-9]{1,63}/[-.a-z0-9]{1,253}\Z")]
ClusterName = Annotated[str, msgspec.Meta(pattern=r"^[-a-z0-9]{1,63}\Z")]
Name = Annotated[str, msgspec.Meta(max_length=253)]
# Goes into URLs: a DNS name, more or less, and never "." or "..".
JobName = Annotated[str, msgspec.Meta(max_length=253, pattern=r"^([-.]*[a-z0-9][-.a-z0-9]*)?\Z")]
LabelKey = Annotated[str, msgspec.Meta(max_length=317)]  # as Kubernetes has it: prefix, slash, name
LabelValue = Annotated[str, msgspec.Meta(max_length=63)]
MOST_LABELS = 100  # of a cluster
Uid = Annotated[str, msgspec.Meta(max_length=128)]  # short enough that a run's id, which is made of it, is a Name
LONGEST_SENTENCE = 4000
Sentence = Annotated[str, msgspec.Meta(max_length=LONGEST_SENTENCE)]
Number = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


def key_of(namespace: str, name: str) -> Key:
    return Key(f"{namespace}/{name}")


def sentence(*parts: str) -> str:
    """Put what is to be said into one Sentence; parts that are empty say nothing."""
    return "; ".join(part for part in parts if part)[:LONGEST_SENTENCE]


def namespace_of(key: Key) -> str:
    return key.split("/", 1)[0]


def name_of(key: Key) -> str:
    return key.split("/", 1)[1]


class InvalidCronJob(ValueError):
    """The user's fault: becomes a condition on the object, is never retried.

    `field` is the path below `spec`; the text is one sentence for whoever wrote the object.
    """

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field

    def to_keep(self) -> InvalidCronJob:
        """Return the same without its traceback, which keeps all that its callers had in hand."""
        return InvalidCronJob(self.field, str(self))


class Kind(StrEnum):
    """The custom resources. Objects of either are watched, listed, compared with the ledger and shown its `.status` alike."""

    CRONJOB = "HACronJob"
    DEMAND = "HACronJobRun"

    @property
    def plural(self) -> str:
        return f"{self.lower()}s"


class Guarantee(StrEnum):
    AT_MOST_ONCE = "AtMostOnce"
    AT_LEAST_ONCE = "AtLeastOnce"


class ConcurrencyPolicy(StrEnum):
    ALLOW = "Allow"
    FORBID = "Forbid"
    REPLACE = "Replace"
    QUEUE = "Queue"  # in order, at most max_active at a time


class CatchUpPolicy(StrEnum):
    NONE = "None"
    LAST = "Last"
    ALL = "All"


class CatchUp(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is done about ticks that have passed and were not decided. The defaults are what CronJob does."""

    policy: CatchUpPolicy = CatchUpPolicy.LAST
    window_s: int | None = None  # a tick that is later than this is not made up for
    limit: int = 10  # All: how many ticks may wait to be made up for; the oldest give way
    spread_s: int = 0  # All: made-up runs are decided at least so far apart
    after_edits: bool = (
        False  # also what passed while it was suspended or paused, or would have been due under an edited schedule
    )


class Strategy(StrEnum):
    PREFERRED = "Preferred"
    SPREAD = "Spread"


class Placement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where runs go. With neither names nor labels: to the clusters that declare the cronjob."""

    clusters: tuple[str, ...] = ()  # in order of preference
    selector: Selector | None = None  # of the clusters' labels
    strategy: Strategy = Strategy.PREFERRED  # the first that can take it, or the one that has the fewest runs


class Pause(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A pause apart from the spec: nothing fires until it is taken away, or is over by itself."""

    reason: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    by: Name = ""
    until: Instant | None = None
    unreadable_until: Name = ""  # what its author wrote instead of a time

    def is_over(self, now: datetime) -> bool:
        return self.until is not None and now >= self.until


class CronJob(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the winning definition of a cronjob says, checked. The template stays in the definition until a Job is made."""

    key: Key
    schedule: Calendar
    suspend: bool = False
    starting_deadline_s: int | None = None
    policy: ConcurrencyPolicy = ConcurrencyPolicy.ALLOW
    guarantee: Guarantee = Guarantee.AT_MOST_ONCE
    max_active: int = 1  # Queue: how many runs at a time
    catch_up: CatchUp = CatchUp()
    placement: Placement = Placement()
    active_deadline_s: int | None = None  # of the Job: after it, and after grace_s, a run that nobody hears of is over
    grace_s: int = 30  # that its pods have to end when they are told to
    indexes: int = 0  # of the Job's pods, where these have some (completionMode Indexed)
    successful_limit: int = 3
    failed_limit: int = 1

    @property
    def due_at_once(self) -> int:
        """How many ticks that have passed may still run: the newest so many."""
        return self.catch_up.limit if self.catch_up.policy is CatchUpPolicy.ALL else 1


class RunState(StrEnum):
    """Where a run is in its life; `runs` has the arrows."""

    PENDING = "Pending"  # decided; its worker has not said that the Job exists
    RUNNING = "Running"  # the Job exists
    STOPPING = "Stopping"  # to be deleted, because replaced or withdrawn; may still be running
    LOST = "Lost"  # its cluster is silent: nobody knows whether it ran; or it was refused there, and waits (reason NotStarted)
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    STOPPED = "Stopped"  # deleted before it ended
    REFUSED = "Refused"  # not started, and never will be

    @property
    def is_open(self) -> bool:
        """Whether something may still be running, or may still start."""
        return self in (RunState.PENDING, RunState.RUNNING, RunState.STOPPING, RunState.LOST)


class Run(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One firing of a cronjob: a tick, an attempt, and the one cluster that it was given to."""

    id: Name  # "<cronjob's identity>.<tick as unix seconds>.<attempt>": the same in every replica and for ever
    tick: Instant
    cluster: ClusterName
    start_by: Instant  # after it no worker may create the Job any more
    fencing: Number  # grows with every run and attempt of the cronjob; handed to the container
    attempt: Number = 1
    state: RunState = RunState.PENDING
    job: JobName = ""  # name of the Kubernetes Job
    started: Instant | None = None
    demand: Name = ""  # name of the HACronJobRun that asked for it; then its id begins with that demand's instead
    reason: Name = ""  # why it is STOPPING or LOST
    tried_again: bool = False  # no further attempt follows from it: there is one, or another has run to its end
    lost: bool = False  # it had been given up before it was to be stopped: that has been told
    refused_by: tuple[str, ...] = ()  # clusters that said no to earlier attempts of the same tick
    because: Sentence = ""  # of a further attempt: what became of the one before
    waited: bool = False  # for an earlier run, or for `catchUp.spreadSeconds`: it is late as it was asked to be
    was_in_time: bool = False  # no deadline bounds its start: others were stopped for it, or an attempt before may have begun
    longest_s: Number | None = None  # its Job's deadline, and the time that its pods have to end; 0: none; None: not known
    after: Instant | None = None  # of one that was decided ahead: up to when ticks had been decided before it

    @property
    def has_begun(self) -> bool:
        """Whether its Job has been seen. One that is known again by `.status`, after the ledger was lost, has no `started`."""
        return self.started is not None or self.state is RunState.RUNNING


class VerdictKind(StrEnum):
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    STOPPED = "Stopped"  # replaced, withdrawn, or its Job was deleted
    SKIPPED = "Skipped"  # a rule said no: Forbid, suspended, cancelled by an edit
    MISSED = "Missed"  # found too late, or nobody could start it
    REFUSED = "Refused"  # no cluster would take it
    LOST = "Lost"  # its cluster fell silent and the tick was given up


class Verdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What became of a tick, and why. Outlives the Job."""

    tick: Instant
    verdict: VerdictKind
    reason: Name = ""  # CamelCase, for machines
    message: Sentence = ""  # a sentence, for people
    cluster: Name = ""
    job: Name = ""
    attempt: Number = 1
    count: Number = 1  # how many ticks it speaks of; `tick` is the last of them
    started: Instant | None = None
    finished: Instant | None = None
    run: Name = ""  # id of a run that a HACronJobRun asked for, until the verdict stands in that demand's account


class Held(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A tick that is due and waits: for an earlier run to end, or for a cluster to come back."""

    tick: Instant
    reason: Name
    message: Sentence
    in_time: bool = False  # runs have been told to stop for it before it waits for this: it starts however long that takes


class Gone(msgspec.Struct, frozen=True, gc=False):
    """An object that was withdrawn: its uid never comes back, but a relay that has not seen it go may still speak of it."""

    uid: Uid
    at: Instant


class Wanted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a HACronJobRun asks for: a run at once, or one for `at`, or one for each tick from `begin` to `end`, both included."""

    at: Instant | None = None
    begin: Instant | None = None
    end: Instant | None = None
    limit: Number = 100  # ticks, at most
    ignore_suspend: bool = False


class Home(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A cluster in which a HACronJobRun exists."""

    uid: Uid
    generation: Number
    created_at: Instant
    differs: bool = False  # it says something else than the one that came first, which counts
    version: Number = 0  # of the object, when it was told


class Account(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What has become of a demand so far. Stands in the `.status` too, from where it is read when the ledger is lost."""

    id: Uid  # what the ids of its runs begin with: uid of the object that came first
    total: Number = 0  # ticks that are wanted; 0: not known yet
    decided: Number = 0  # of these, how many have become a run
    next_tick: Instant | None = None  # the first that has not
    succeeded: Number = 0
    failed: Number = 0  # that ended in any other way
    results: tuple[Verdict, ...] = ()  # by tick, at most one each; bounded
    open: tuple[Run, ...] = ()  # that were open when the ledger was lost, and are to be watched again
    finished: Instant | None = None  # when nothing more was to come


class Cluster(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What was last heard of a cluster."""

    name: ClusterName
    seen_at: Instant  # the executor's clock when it heard of it last; its own, where it was never heard but `late_s`
    api_ok: bool = True  # whether its own worker reaches its API server
    replica: Name = ""  # the worker that spoke
    labels: dict[str, str] = {}
    cordoned: Sentence = ""  # why no new runs are to go there
    gone: tuple[ClusterName, ...] = ()  # other clusters that its people say will not come back
    forgotten: tuple[ClusterName, ...] = ()  # of which nothing is to be left, as its people say
    removed: bool = False  # nothing of it is left: there is no such cluster any more, until it speaks again
    forgotten_at: Instant | None = None  # what it declared by then may have been decided and is no longer known
    uid: Uid = ""  # of its namespace kube-system
    late_s: Number = 0  # how old, by its own clock, what it says is on arrival; only where it is too old to be heard
    spoke_at: Instant | None = None  # the executor's clock when such a word came last, since it was heard

    def is_silent(self, now: datetime, silent_after_s: float) -> bool:
        return (now - self.seen_at).total_seconds() > silent_after_s
