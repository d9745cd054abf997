"""A replica's way to its cluster in memory. Implements `ports.Kubernetes`: requests wait until the test serves them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import assert_never

import msgspec

from hacron.core.model import Kind
from hacron.ports import (
    Answer,
    CreateJob,
    DeleteJob,
    FromKubernetes,
    GetJob,
    GetNamespace,
    GetObject,
    HaltJob,
    JobSeen,
    JobsListed,
    ListInventory,
    ObjectSeen,
    PatchStatus,
    PostEvent,
    Request,
    WatchBegan,
    WatchResumed,
)
from tests.fakes.kubernetes import WELL, Asked, Body, Event, FakeCluster, Fate, version_of

METHODS = {CreateJob: "POST", PostEvent: "POST", HaltJob: "PATCH", DeleteJob: "DELETE", PatchStatus: "PATCH"}  # all others ask
SLOW = (PatchStatus, ListInventory, PostEvent)  # never before a Job
GIVES_UP_AFTER = timedelta(seconds=10)  # a request without an answer; it may act all the same


@dataclass(slots=True)
class Journey:
    """A request that takes its time."""

    request: Request
    sent_at: datetime
    asked: Asked
    over: bool = False  # answered, or given up


class FakeKube:
    """What a replica submits waits in the process; `serve` sends it and brings the answers.

    `held`: what is sent stays on its way, past every check that the replica made, until `release`. What the cluster's `fate`
    delays is on its way too; it is given up after a while, and arrives although its sender may be no more. `watch_lags_s`: so
    much later the watches tell.
    """

    def __init__(self, cluster: FakeCluster, replica: str, clock: Callable[[], datetime]) -> None:
        self.cluster = cluster
        self.arrivals: deque[FromKubernetes] = deque()
        self.held = False
        self.watch_lags_s = 0.0
        self.tally: Counter[tuple[str, int]] = Counter()
        self.before: Callable[[str], None] = lambda _: None  # called with the name of a request that acts; may raise
        self.after: Callable[[str], None] = lambda _: None
        self.ready: Callable[[], None] = lambda: None  # called when a request for a Job waits to be sent
        self.heard_at: Callable[[], datetime] = lambda: cluster.now  # when the replica last heard anything from the ledger
        self._replica = replica
        self._clock = clock
        self._waiting: deque[Request] = deque()
        self._on_its_way: deque[tuple[Request, datetime]] = deque()
        self.hears_of_jobs = True
        self._watches_jobs = False
        self._watch = 0  # which one: what an earlier one had yet to tell is lost with it
        self._untold = 0
        self._told_at = cluster.now  # nothing that a watch tells comes before what it has told
        self._closed = False
        self._told: tuple[datetime, float] | None = None  # the API server's time, and the monotonic one then
        self._heard = dict.fromkeys(Kind, 0)  # the newest version that the watch on each kind has told; it tells only newer ones
        cluster.watchers.append(self._see)
        for kind in Kind:
            self._list(kind)

    # --- the port ---

    def time_at(self, mono: float) -> datetime | None:
        if self.cluster.up:
            self._told = (self.cluster.now, mono)
            return self.cluster.now
        if self._told is None:
            return None
        told, then = self._told
        return told + timedelta(seconds=mono - then)

    @property
    def uid(self) -> str:
        return self.cluster.uid

    @property
    def reachable(self) -> bool:
        return not self.trouble

    @property
    def trouble(self) -> str:
        if self.cluster.up and not self.cluster.mute:
            return 'status 403: User "hacron" cannot get resource "jobs"' if self.cluster.forbids else ""
        return "no answer came"

    def submit(self, requests: Sequence[Request]) -> None:
        self._waiting.extend(requests)
        if any(isinstance(request, CreateJob) and not request.dry_run for request in requests):
            self.ready()

    def watch_jobs(self, on: bool) -> None:
        if on and not self._watches_jobs and self.cluster.up:
            self.arrivals.append(self.cluster.list_jobs())
        self._watch += on != self._watches_jobs
        self._watches_jobs = on

    def list_jobs_again(self) -> None:
        if self._watches_jobs and self.cluster.up:
            self._watch += 1
            self.arrivals.append(self.cluster.list_jobs())

    def watch_again(self, kind: Kind) -> None:
        """Begin the watch on a kind of our objects anew, as `hacron.replica.Replica.watch_again` has it done."""
        self.arrivals.append(WatchBegan(kind=kind))
        self._list(kind)

    # --- for the test ---

    @property
    def has_work(self) -> bool:
        return bool(self._waiting) or bool(self._on_its_way and not self.held)

    def watch_is_behind_by(self) -> timedelta:
        """Return how late the watch would tell of something that happened now."""
        lags = timedelta(seconds=self.watch_lags_s)
        return max(lags, self._told_at - self.cluster.now) if self._untold else lags

    def serve(self) -> None:
        """Send all that waits, and let what is on its way arrive unless it is held."""
        if not self.has_work:
            return
        ordered = sorted(self._waiting, key=lambda request: isinstance(request, SLOW))
        self._waiting.clear()
        for request in ordered:
            now = self._clock()
            if isinstance(request, CreateJob) and request.not_after is not None and now > request.not_after:
                self.arrivals.append(Answer(request=request, status=0, body={}, reason="TooLate"))
                continue
            fate = self._fate(request)
            if (
                fate is WELL or self.cluster.denies or self.cluster.forbids
            ):  # who asks is looked at first, and nothing waits before
                self._on_its_way.append((request, now))
            else:
                self._travel(Journey(request, now, self._asked(now)), fate)
        if not self.held:
            self.release()

    def release(self) -> None:
        """Let everything that is on its way arrive."""
        self.held = False
        while self._on_its_way:
            request, sent_at = self._on_its_way.popleft()
            self.arrivals.append(self._answer(request, sent_at))

    def close(self) -> None:
        """The process has ended: what it had not sent is never sent. What is held on its way may yet arrive."""
        self._closed = True
        self.cluster.watchers.remove(self._see)
        self._waiting.clear()
        if not self.held:
            self._on_its_way.clear()

    # --- inside ---

    def _list(self, kind: Kind) -> None:
        """Have all objects of a kind told. Where the API server is down, it tells of them when it is up again."""
        self._heard[kind] = 0
        if self.cluster.up:
            self._heard[kind] = self.cluster.versions[kind]
            self.arrivals.extend(ObjectSeen(body=body, kind=kind) for body in self.cluster.standing(kind).values())

    def _see(self, event: Event) -> None:
        if isinstance(event, ObjectSeen):
            version = version_of(event.body)
            if version <= self._heard[event.kind]:
                return
            self._heard[event.kind] = version
        elif isinstance(event, WatchResumed):
            event = WatchResumed(kind=event.kind, since=self._heard[event.kind])
        about_jobs = isinstance(event, JobSeen | JobsListed)
        if about_jobs and not self._watches_jobs:
            return
        if not self._untold and not self.watch_lags_s:
            self.arrivals.append(event)
            return
        tells_at = self._told_at = max(self._told_at, self.cluster.now + timedelta(seconds=self.watch_lags_s))
        self._untold += 1
        self.cluster.travels(tells_at, partial(self._tell, event, self._watch if about_jobs else None))

    def _tell(self, event: Event, watch: int | None) -> None:
        self._untold -= 1
        if not self._closed and watch in (None, self._watch):
            self.arrivals.append(event)

    def _fate(self, request: Request) -> Fate:
        if isinstance(request, CreateJob) and request.namespace in self.cluster.webhooks:
            return self.cluster.webhooks[request.namespace]
        return self.cluster.fate(type(request).__name__) if self.cluster.fate is not None else WELL

    def _travel(self, journey: Journey, fate: Fate) -> None:
        now = self.cluster.now
        lands_at = now + timedelta(seconds=fate.delay_s)
        self.cluster.all_landed_at = max(self.cluster.all_landed_at, lands_at)
        self.cluster.travels(lands_at, partial(self._land, journey, fate))
        if fate.delay_s + fate.answer_s > GIVES_UP_AFTER.total_seconds():
            self.cluster.travels(now + GIVES_UP_AFTER, partial(self._reply, journey, 0, {}, "no answer in time"))

    def _land(self, journey: Journey, fate: Fate) -> None:
        """Let a request act that was delayed; nobody's process is in the middle of it."""
        if fate.refused:
            self._reply(journey, fate.refused, {"message": "not now"}, "")
            return
        if not self.cluster.up:
            self._reply(journey, 0, {}, "connection refused")
            return
        status, body = self._ask(journey.request, journey.asked)
        answer = (fate.answered, {"message": "timed out"}) if fate.answered else (status, body)
        answers_at = self.cluster.now + timedelta(seconds=fate.answer_s)
        self.cluster.travels(answers_at, partial(self._reply, journey, *answer, ""))

    def _reply(self, journey: Journey, status: int, body: Body, reason: str) -> None:
        if not (self._closed or journey.over):
            journey.over = True
            self.tally[METHODS.get(type(journey.request), "GET"), status] += 1
            self.arrivals.append(
                Answer(request=journey.request, status=status, body=body, sent_at=journey.sent_at, reason=reason)
            )

    def _answer(self, request: Request, sent_at: datetime) -> Answer:
        answer = self._send(request, sent_at)
        self.tally[METHODS.get(type(request), "GET"), answer.status] += 1
        return answer

    def _send(self, request: Request, sent_at: datetime) -> Answer:
        if not self.cluster.up:
            return Answer(request=request, status=0, body={}, sent_at=sent_at, reason="connection refused")
        if self.cluster.busy:
            return Answer(request=request, status=429, body={"message": "too many requests"}, sent_at=sent_at)
        if self.cluster.forbids:
            if isinstance(request, CreateJob) and not request.dry_run:
                self.cluster.note_refusal(_job(request)["metadata"]["name"])
            said = {"message": 'jobs.batch is forbidden: User "hacron" cannot do resource "jobs"'}
            return Answer(request=request, status=403, body=said, sent_at=sent_at)
        status, body = self._perform(request, sent_at)
        if self.cluster.mute:
            return Answer(request=request, status=0, body={}, sent_at=sent_at, reason="no answer in time")
        return Answer(request=request, status=status, body=body, sent_at=sent_at)

    def _perform(self, request: Request, looked_at: datetime) -> tuple[int, Body]:
        name = type(request).__name__
        acts = isinstance(request, CreateJob | HaltJob | DeleteJob | PatchStatus) and not getattr(request, "dry_run", False)
        if acts:
            self.before(name)
        reply = self._ask(request, self._asked(looked_at))
        if acts:
            self.after(name)
        return reply

    def _asked(self, looked_at: datetime) -> Asked:
        return Asked(self.cluster.now, self.heard_at(), looked_at)

    def _ask(self, request: Request, asked: Asked) -> tuple[int, Body]:
        cluster = self.cluster
        match request:
            case CreateJob():
                return cluster.create_job(request.namespace, _job(request), self._replica, dry_run=request.dry_run, asked=asked)
            case GetJob():
                return cluster.get_job(request.namespace, request.name)
            case HaltJob():
                return cluster.halt_job(request.namespace, request.name, request.uid, self._replica)
            case DeleteJob():
                return cluster.delete_job(
                    request.namespace, request.name, request.uid, self._replica, foreground=request.foreground
                )
            case PatchStatus():
                return cluster.patch_status(request.kind, request.key, request.uid, request.status)
            case GetObject():
                return cluster.get_object(request.kind, request.key)
            case GetNamespace():
                return cluster.get_namespace(request.namespace)
            case PostEvent():
                return cluster.post_event(request.body)
            case ListInventory():
                return cluster.list_inventory(request.kind)
            case _:
                assert_never(request)


def _job(request: CreateJob) -> Body:
    body: Body = msgspec.json.decode(request.body)
    return body
