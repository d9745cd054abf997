"""What the roles need from outside, as protocols, and the errors these raise.

Implemented by `broker/` and `kube/` for real, and by `tests/fakes` for tests; both pass the same contract tests. Ports are
dumb: they carry, they do not decide. All calls are made from the engine's thread, and none of them waits for Kubernetes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol

import msgspec

from hacron.core.manifests import JobView, identity
from hacron.core.messages import Batch, Command, Entry, Report
from hacron.core.model import Key, Kind


class BrokerUnavailable(Exception):
    """The world's fault: the connection is gone or in doubt. Drop it, wait, and start over; nothing is resumed."""


class TakesNoPart(BrokerUnavailable):
    """This replica must not take part, whatever the broker says. Drop the connection, and look again later."""

    about = ""  # what is wrong, in a word


class NameTaken(TakesNoPart):
    """Another cluster of this name is alive."""

    about = "cluster"


class ClockWrong(TakesNoPart):
    """This replica's clock and its API server's differ by more than a minute."""

    about = "clock"


class Why(StrEnum):
    """Why a replica is no longer the executor."""

    SUPERSEDED = "Superseded"  # a newer checkpoint counts
    NO_PROOF = "NoProof"  # nothing of its own was read back for too long
    NO_REPORTS = "NoReports"  # no worker was heard for too long: what consumes them may be stuck
    INBOX_STUCK = "InboxStuck"  # commands or reports waited at the broker for too long, and none came
    TOKEN_LOST = "TokenLost"  # the broker has taken the token away
    CONNECTION_LOST = "ConnectionLost"  # a BrokerUnavailable, which others than an executor know too


class Outdated(TakesNoPart):
    """The ledger is written in a later message version: this replica cannot read what was decided."""

    about = "version"
    why = Why.SUPERSEDED  # if it was the executor


class SteppedDown(Exception):
    """This replica is no longer the executor. Drop the connection, throw the Scheduler away, compete again."""

    def __init__(self, why: Why, sentence: str) -> None:
        super().__init__(sentence)
        self.why = why


class Ledger(Protocol):
    """The replicated, totally ordered log. Opened at the floor; everything from there on is read, in order, once."""

    @property
    def unreadable(self) -> int:
        """How many batches, or records in them, were set aside because this version cannot read them."""

    @property
    def caught_up(self) -> bool:
        """Whether all that stood in the broker node's copy of the ledger when it was opened has been given out by `read`."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing of it was missing or unreadable: what it does not say is not so."""

    def read(self) -> Sequence[Entry]:
        """Return what has arrived since the last call, oldest first. Never waits."""

    def append(self, batches: Sequence[Batch], floor: int | None) -> None:
        """Append the batches, one message each, and return when all are confirmed.

        `floor` is the offset of the oldest message that still matters; None: that is not known. Raises BrokerUnavailable: then
        nobody knows whether they are in the ledger; reading on tells.
        """


class Token(Protocol):
    """The one message that makes its holder the executor, or a cluster's worker."""

    def compete(self) -> None:
        """Wait in line for the token; does nothing when already waiting."""

    @property
    def held(self) -> bool:
        """Whether a token is in hand. Surplus tokens are acknowledged here; the newest is kept."""

    def give_back(self) -> None:
        """Leave the line, then return the token: the next in line has it at once."""

    def put_back(self) -> None:
        """Publish a token, because nobody seems to hold one. A second token does no harm."""


class Inbox(Protocol):
    """Commands and reports for the executor, which alone opens it."""

    @property
    def unreadable(self) -> Mapping[str, int]:
        """How many "commands" and "reports" were set aside because this version cannot read them."""

    def open(self) -> None:
        """Begin to receive."""

    def look(self) -> None:
        """Ask the broker what waits there; never waits for the answer."""

    @property
    def held_up(self) -> Collection[str]:
        """Of "commands" and "reports" those that waited at the broker by its last answer, and of which none has come since, or
        is in hand."""

    def take(self) -> Sequence[Command | Report]:
        """Return what has arrived since the last call, or the first part of it, if it is much.

        It comes again to a successor until acknowledged.
        """

    def acknowledge(self) -> None:
        """Acknowledge everything that `take` has returned so far."""


class Outbox(Protocol):
    """The way of commands and reports to whoever is executor."""

    def send_commands(self, commands: Sequence[Command]) -> None:
        """Send, and return when the broker has confirmed. Raises BrokerUnavailable."""

    def send_reports(self, reports: Sequence[Report]) -> None:
        """Send, and return when the broker has confirmed. Raises BrokerUnavailable."""


class Connection(Protocol):
    """What all of the above goes over."""

    def turn(self, timeout_s: float) -> None:
        """Let deliveries happen; return as soon as there is one, or somebody woke us. Raises BrokerUnavailable."""

    def wake(self) -> None:
        """End the turn that is under way, or else the next one. From any thread; harmless when closed."""

    def drop(self) -> None:
        """Close at once: nothing that is still buffered is sent. Never raises."""

    def close(self) -> None:
        """Say goodbye in order. Never raises."""


class Broker(Protocol):
    """The ports of one replica, all on one connection, opened together and thrown away together."""

    @property
    def connection(self) -> Connection: ...

    @property
    def ledger(self) -> Ledger: ...

    @property
    def token(self) -> Token: ...

    @property
    def worker_token(self) -> Token: ...

    @property
    def inbox(self) -> Inbox: ...

    @property
    def outbox(self) -> Outbox: ...


# --- Kubernetes ---------------------------------------------------------------------------------------------------------


_LACKS_RIGHT = re.compile(r'is forbidden: User ".*" cannot \w+ resource')


def lacks_right(status: int, body: Mapping[str, Any]) -> bool:
    """Whether this is what RBAC says; webhooks, quotas and the like say 403 too, but of the object and not of us."""
    return status == 403 and _LACKS_RIGHT.search(str(body.get("message", ""))) is not None


LONGEST_RETRY_AFTER_S: Final = 30.0


def seconds_to_wait(retry_after: str | None) -> float:
    """Read the header Retry-After; 0 when there is none, or it is a date."""
    try:
        return min(LONGEST_RETRY_AFTER_S, max(0.0, float(retry_after or 0)))
    except ValueError:
        return 0.0


class _Request(msgspec.Struct, frozen=True, kw_only=True):
    pass


class CreateJob(_Request, frozen=True):
    """POST a Job; with dry_run the API server only says whether it would take it."""

    key: Key
    run_id: str  # of a dry run: the uid and generation of the declaration that it is about
    namespace: str
    body: msgspec.Raw  # manifests.as_json
    dry_run: bool = False
    not_after: datetime | None = None  # looked at right before sending: later than this, nothing is sent (status 0, `too_late`)


class GetJob(_Request, frozen=True):
    key: Key
    run_id: str
    namespace: str
    name: str


class DeleteJob(_Request, frozen=True):
    """Delete a Job and its pods; with `uid`, only that very object."""

    key: Key
    run_id: str
    namespace: str
    name: str
    uid: str | None = None
    foreground: bool = False  # the Job stays until its pods are gone


class HaltJob(_Request, frozen=True):
    """Suspend that very Job and mark it as a tombstone: its pods go, and its name stays taken."""

    key: Key
    run_id: str
    namespace: str
    name: str
    uid: str


class PatchStatus(_Request, frozen=True):
    """Write these fields of the status of that very object; one that is None is removed."""

    key: Key
    uid: str
    status: dict[str, Any]
    kind: Kind = Kind.CRONJOB


class GetObject(_Request, frozen=True):
    key: Key
    kind: Kind = Kind.CRONJOB
    run_id: str = ""  # the run that waits to know whether there is one; empty: asked in order to relay what it says


class GetNamespace(_Request, frozen=True):
    key: Key
    run_id: str
    namespace: str


class PostEvent(_Request, frozen=True):
    """POST an Event that tells of a HACronJob."""

    key: Key
    body: dict[str, Any]
    attempt: int = 1


class ListInventory(_Request, frozen=True):
    """List the metadata of all our objects of a kind: key → (uid, generation)."""

    kind: Kind = Kind.CRONJOB


Request = CreateJob | GetJob | HaltJob | DeleteJob | PatchStatus | GetObject | GetNamespace | PostEvent | ListInventory


TOO_LATE: Final = "TooLate"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a request."""

    request: Request
    status: int  # HTTP status; 0 when no answer came (refused, cut, timed out): it may have acted all the same
    body: dict[str, Any]
    """the object, or the API server's Status; for ListInventory
    {"items": [{namespace, name, uid, generation, resourceVersion}], "version": …, "left_out": {namespace: why}}"""
    sent_at: datetime | None = None
    reason: str = ""  # for status 0: what went wrong, or TOO_LATE
    retry_after_s: float = 0.0  # the API server wants to be left alone for so long

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def too_late(self) -> bool:
        """It was not sent: its `not_after` had passed."""
        return self.reason == TOO_LATE

    @property
    def answered(self) -> bool | None:
        """Whether the API server came to an answer of its own, and not one that something did not answer it; None: not asked."""
        return None if self.too_late else 0 < self.status < 500

    @property
    def unreachable(self) -> bool:
        """No answer, one that says "not now", or a token that has ended: worth another try, and nobody's fault."""
        return self.status in (0, 401, 408, 429) or self.status >= 500 or self._starts

    @property
    def _starts(self) -> bool:
        """The API server has just started, and its admission plugins do not yet see what they judge by."""
        return self.status == 403 and str(self.body.get("message", "")).endswith("is forbidden: not yet ready to handle request")

    @property
    def refused(self) -> bool:
        """A no that will be said again, by whoever looks at what is written: rights, rules, webhooks, also one that is away."""
        if self.unreachable:
            return self.status >= 500 and "webhook" in str(self.body.get("message", ""))
        return self.status >= 400 and self.status not in (404, 409)

    @property
    def lacks_right(self) -> bool:
        """The operator lacks a right, or is not known to have it yet: an API server that has just started knows of none."""
        return lacks_right(self.status, self.body)

    @property
    def over_quota(self) -> bool:
        """The namespace's quota is full, and will empty again. It is looked at last: nothing else was wrong."""
        return self.status == 403 and "exceeded quota" in str(self.body.get("message", ""))


class JobSeen(msgspec.Struct, frozen=True, kw_only=True):
    """From the watch on our Jobs: added or changed, or gone. What is none of ours is not told."""

    view: JobView
    gone: bool = False


class JobsListed(msgspec.Struct, frozen=True, kw_only=True):
    """From the watch on our Jobs: a complete list; what is not in it does not exist, but where we may list nothing."""

    views: tuple[JobView, ...]
    left_out: frozenset[str] = frozenset()
    """namespaces in which we may list nothing"""


class ObjectSeen(msgspec.Struct, frozen=True, kw_only=True):
    """From Kopf: one of our objects was listed, added or changed (body), or deleted."""

    body: dict[str, Any]
    gone: bool = False
    kind: Kind = Kind.CRONJOB


class WatchBegan(msgspec.Struct, frozen=True, kw_only=True):
    """From Kopf's thread: the watch on a kind of our objects begins, perhaps again; deletions may have been missed."""

    kind: Kind = Kind.CRONJOB


class WatchResumed(msgspec.Struct, frozen=True, kw_only=True):
    """From Kopf's thread: the API server, which was away, answers the watch on a kind again, which goes on from where it was.

    If the data come from a backup, it tells nothing that is not newer than that.
    """

    kind: Kind = Kind.CRONJOB
    since: int = 0
    """the version from which it goes on, which the API server has told: an object's, or a bookmark's; 0: not known"""


FromKubernetes = Answer | JobSeen | JobsListed | ObjectSeen | WatchBegan | WatchResumed


def about(arrival: FromKubernetes) -> Key | None:
    """Return the one that it is about; None: it is about many."""
    match arrival:
        case Answer(request=request):
            return None if isinstance(request, ListInventory) else request.key
        case JobSeen(view=view):
            return view.key
        case ObjectSeen(body=body):
            return identity(body).key
        case JobsListed() | WatchBegan() | WatchResumed():
            return None


class Kubernetes(Protocol):
    """The API server of this replica's own cluster. Answers come back as values through the engine's queue."""

    @property
    def reachable(self) -> bool:
        """Whether the API server can be worked with: it answers, and we may at least look at Jobs."""

    @property
    def trouble(self) -> str:
        """Why it cannot be worked with, in the words of the API server or of the network; empty while it can."""

    def time_at(self, mono: float) -> datetime | None:
        """Return what the API server's clock shows at that monotonic time, to a second; None: it has not answered for long."""

    @property
    def hears_of_jobs(self) -> bool:
        """Whether the watch on Jobs, if there is to be one, has heard something lately."""

    @property
    def uid(self) -> str:
        """Which cluster this is: the uid of its namespace kube-system. Empty: not known yet, or we lack the right to see it."""

    @property
    def tally(self) -> Mapping[tuple[str, int], int]:
        """How many requests were sent, by HTTP method (or WATCH) and status (0: no answer came)."""

    def submit(self, requests: Sequence[Request]) -> None:
        """Take requests to be sent, many at once; Jobs go before statuses, these before Events. Each gets exactly one Answer."""

    def watch_jobs(self, on: bool) -> None:
        """Begin or end to deliver JobsListed and JobSeen for all Jobs with our label."""

    def list_jobs_again(self) -> None:
        """Deliver another JobsListed, if any are: the API server was put back, and the watch waits for what is still to come."""
