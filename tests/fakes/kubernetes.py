"""A cluster in memory: its API server, and what lives there. No threads, no clock, no chance: time is moved by hand.

Jobs run for so long as their pod template's annotations say (as in the testbed: `testbed/run-seconds`, `testbed/fail`) and then
end. Who owns a Job that is not there loses it, names are taken once, foreground deletion takes a moment. How a replica reaches it
is `kube_client`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import msgspec

from hacron.core import manifests
from hacron.core.model import Key, Kind, name_of, namespace_of
from hacron.ports import JobSeen, JobsListed, ObjectSeen, WatchResumed

Body = dict[str, Any]
Reply = tuple[int, Body]  # HTTP status, and the object or what is wrong
Event = JobSeen | JobsListed | ObjectSeen | WatchResumed


class Saved(NamedTuple):
    """A backup of all objects of a kind."""

    version: int  # the newest then
    bodies: dict[Key, Body]


class Fate(NamedTuple):
    """What becomes of one request that does not simply go through."""

    delay_s: float = 0.0  # until it acts
    refused: int = 0  # a status in place of acting
    answered: int = 0  # a status in place of the answer, though it has acted
    answer_s: float = 0.0  # from then until the answer comes; watches tell of it meanwhile


class Asked(NamedTuple):
    """When a request left its replica, and when that had last heard anything from the ledger, and looked at the clock."""

    at: datetime
    heard_at: datetime
    looked_at: datetime


WELL = Fate()
HANGS, FAILS = Fate(delay_s=30.0, refused=504), Fate(refused=500)  # what webhooks do
OTHERS_HAVE = 100  # versions between two of our objects
STOPPING_TAKES = timedelta(seconds=2)  # until the pods of a Job are gone that is halted, or deleted in the foreground
NOT_JOBS_RESTART_POLICY = 'spec.template.spec.restartPolicy: Unsupported value: "Always": supported values: "OnFailure", "Never"'


@dataclass(slots=True)
class Made:
    """A Job that was once created, whatever became of it."""

    cluster: str
    cronjob: str  # identity: what its run id begins with
    key: Key
    tick: datetime
    attempt: int
    job: str
    fencing: int
    tombstone: bool
    demand: str  # name of the HACronJobRun that asked for it
    owner_uid: str  # of the HACronJob that it names as its owner, if it names one
    by: str  # replica
    at: datetime
    asked: Asked
    over: datetime | None = None  # ended or gone
    how: str = ""  # Complete, Failed, halted, gone, collected
    gone_at: datetime | None = None  # since then its name is free
    by_hand: bool = False  # somebody has deleted it, or what owns it
    ledger_then: tuple[int, int] = (0, -1)  # which ledger there was then, and the offset of its last message
    shown_by: set[str] = field(default_factory=set)  # the objects whose `.status` showed it when the broker's data was lost: uids
    unshown_at: datetime | None = None  # when the broker's data was lost before a `.status` showed that it had begun
    forgotten_at: datetime | None = None  # and when nobody could tell of the Job either
    running_by: set[str] = field(default_factory=set)  # the objects whose `.status` showed that it runs, as with `shown_by`
    unwatched_at: datetime | None = None  # when the broker's data was lost, and nobody could tell that it runs

    def __str__(self) -> str:
        tick = f"{self.tick:%H:%M:%S}".removesuffix(":00")
        attempt = f" attempt {self.attempt}" if self.attempt > 1 else ""
        attempt += f" by {self.demand}" if self.demand else ""
        return f"{self.key.removeprefix('default/')} {tick}{attempt}"


@dataclass(slots=True)
class Job:
    """A Job that exists."""

    body: Body
    made: Made | None  # None: not ours
    ends_at: datetime | None  # None: never, or ended already
    gone_at: datetime | None = None  # foreground deletion under way
    rests_at: datetime | None = None  # being suspended

    def __str__(self) -> str:
        if self.made is None:
            return f"a Job named {self.body['metadata']['name']}"
        return f"{'the tombstone' if self.made.tombstone else 'the Job'} of {self.made}"


@dataclass(slots=True)
class Leaving:
    """One of our objects that is being deleted, and waits for its finalizers."""

    body: Body
    gone_at: datetime
    foreground: bool  # what it owns goes first


class FakeCluster:
    """One cluster. What a test may do to it: the fields below, and the methods of the first part."""

    def __init__(self, name: str, now: datetime) -> None:
        self.name = name
        self.uid = ""  # of its namespace kube-system, if replicas may see it
        self.now = now
        self.up = True  # down: connections are refused, watches break
        self.mute = False  # acts, but no answer arrives
        self.busy = False  # answers every request with "not now"; watches go on
        self.forbids = False  # the operator has no rights; watches go on
        self.starts = False  # its admission plugins are not ready; watches go on
        self.fate: Callable[[str], Fate] | None = None  # of each request, by its name; None: all go through at once
        self.on_loss: Callable[[Job], None] = lambda _: None  # called with a Job that goes since somebody has deleted its owner
        self.denies = ""  # what an admission webhook says against every new Job
        self.webhooks: dict[str, Fate] = {}  # what becomes of each new Job in a namespace, and of dry runs
        self.pins = False  # an admission policy lets nobody change a Job
        self.quota: int | None = None  # Jobs that have not ended, in each namespace
        self.namespaces: dict[str, dict[str, str]] = {"default": {}}  # annotations of each
        self.cronjobs: dict[Key, Body] = {}
        self.demands: dict[Key, Body] = {}  # HACronJobRuns
        self.leaving: dict[tuple[Kind, Key], Leaving] = {}  # of both, those that are being deleted
        self.put_back_at: datetime | None = None  # a backup
        self.lacks: set[Kind] = set()  # custom resources that are not installed
        self.jobs: dict[tuple[str, str], Job] = {}
        self.made: list[Made] = []  # every Job ever created
        self.refused: dict[str, list[datetime]] = {}  # when, by name: those that were not, and those that somebody else has taken
        self.events: dict[tuple[str, str], Body] = {}  # by namespace and name, oldest first
        self.denies_events: set[str] = set()  # on objects of these names, as in a namespace that is being deleted
        self.fails_events: set[str] = set()  # likewise, as where a webhook is away
        self.patches = 0
        self.watchers: list[Callable[[Event], None]] = []  # each client's, which knows whether it watches
        self.tell: Callable[[str], None] = lambda _: None
        self.annals: list[tuple[datetime, Key, Kind, Body | None]] = []  # what was declared when; None: it was deleted
        self.all_landed_at = now  # the requests that were delayed
        self._travelling: list[tuple[datetime, int, Callable[[], None]]] = []
        self._serial = 0
        self.versions = dict.fromkeys(Kind, 0)  # the newest resourceVersion of the objects of each kind

    # --- what people do ---

    def objects(self, kind: Kind) -> dict[Key, Body]:
        return self.cronjobs if kind is Kind.CRONJOB else self.demands

    def standing(self, kind: Kind) -> dict[Key, Body]:
        """Return all that the API server has, also what is being deleted."""
        return {key: one.body for (of, key), one in self.leaving.items() if of is kind} | self.objects(kind)

    def apply(self, key: Key, spec: Body, kind: Kind = Kind.CRONJOB) -> Body:
        """Create a HACronJob, or another of our objects, or change its spec, as kubectl does.

        Where one of that name is being deleted, somebody takes its finalizers away before.
        """
        self._leave(kind, key)
        objects = self.objects(kind)
        known = objects.get(key)
        if known is None:
            metadata = {"namespace": namespace_of(key), "name": name_of(key), **self._born(kind), "generation": 1}
            body = {"apiVersion": manifests.API_VERSION, "kind": kind.value, "metadata": metadata}
            objects[key] = body | {"spec": _copy(spec)}
        elif known["spec"] != spec:
            known["spec"] = _copy(spec)
            known["metadata"]["generation"] += 1
            known["metadata"]["resourceVersion"] = self._next(kind)
        self._changed(kind, key)
        self.annals.append((self.now, key, kind, _copy(objects[key])))
        return objects[key]

    def annotate(self, key: Key, annotations: dict[str, str | None]) -> None:
        """Set annotations of a HACronJob, or take them away: its generation stays."""
        metadata = self.cronjobs[key]["metadata"]
        told = metadata.get("annotations", {}) | annotations
        metadata["annotations"] = {name: text for name, text in told.items() if text is not None}
        metadata["resourceVersion"] = self._next(Kind.CRONJOB)
        self._changed(Kind.CRONJOB, key)
        self.annals.append((self.now, key, Kind.CRONJOB, _copy(self.cronjobs[key])))

    def delete(self, key: Key, kind: Kind = Kind.CRONJOB, *, unseen: bool = False) -> None:
        """Delete one of our objects and what it owns; `unseen`: no watch tells of it."""
        body = self.objects(kind).pop(key)
        self.annals.append((self.now, key, kind, None))
        body["metadata"]["resourceVersion"] = self._next(kind)
        if not unseen:
            self._emit(ObjectSeen(body=_copy(body), gone=True, kind=kind))
        self._collect_garbage()

    def delete_slowly(self, key: Key, takes: timedelta, kind: Kind = Kind.CRONJOB, *, foreground: bool = False) -> None:
        """Delete one of our objects that has a finalizer: of somebody else's, or the one that lets what it owns go first."""
        body = self.objects(kind).pop(key)
        body["metadata"] |= {"deletionTimestamp": manifests.rfc3339(self.now), "resourceVersion": self._next(kind)}
        body["metadata"]["generation"] += 1
        self.leaving[kind, key] = Leaving(body, self.now + takes, foreground)
        self.annals.append((self.now, key, kind, None))
        self._emit(ObjectSeen(body=_copy(body), kind=kind))
        self._collect_garbage()

    def save(self) -> dict[Kind, Saved]:
        """Return a backup of our objects."""
        return {kind: Saved(self.versions[kind], {key: _copy(body) for key, body in self.objects(kind).items()}) for kind in Kind}

    def put_back(self, saved: dict[Kind, Saved]) -> None:
        """Have our objects, and their versions, as they were saved. Jobs stay as they are.

        Watches go on from where they were: they tell nothing until there are later versions.
        """
        self.put_back_at = self.now
        for kind, (version, bodies) in saved.items():
            objects = self.objects(kind)
            self.versions[kind] = version + 1  # of something else: no two changes of an object ever have the same version
            for key in dict.fromkeys([*objects, *bodies]):
                if objects.get(key) != bodies.get(key):
                    self.annals.append((self.now, key, kind, bodies.get(key)))
            self.leaving = {(of, key): one for (of, key), one in self.leaving.items() if of is not kind}
            objects.clear()
            objects.update({key: _copy(body) for key, body in bodies.items()})
            self._emit(WatchResumed(kind=kind))
        self._collect_garbage()

    def move(self, now: datetime) -> None:
        """Let time pass: Jobs end, and deletions are carried out."""
        following, self.now = self.next_event(), now
        if following is None or following > now:
            return
        for kind, key in [name for name, one in self.leaving.items() if one.gone_at <= now]:
            self._leave(kind, key)
        for job in [job for job in self.jobs.values() if job.gone_at is not None and job.gone_at <= now]:
            self._remove(job)
        for job in [job for job in self.jobs.values() if job.rests_at is not None and job.rests_at <= now]:
            self._rest(job)
        for job in [job for job in self.jobs.values() if job.ends_at is not None and job.ends_at <= now]:
            self._end(job)
        while self._travelling and self._travelling[0][0] <= now:
            _, _, arrive = heapq.heappop(self._travelling)
            arrive()

    def travels(self, until: datetime, arrive: Callable[[], None]) -> None:
        """Have something arrive later, whatever becomes of who sent it."""
        self._serial += 1
        heapq.heappush(self._travelling, (until, self._serial, arrive))

    def next_event(self) -> datetime | None:
        """Return when something happens here by itself."""
        instants = [one.gone_at for one in self.leaving.values()]
        if self._travelling:
            instants.append(self._travelling[0][0])
        for job in self.jobs.values():
            if job.ends_at is not None:
                instants.append(job.ends_at)
            if job.gone_at is not None:
                instants.append(job.gone_at)
            if job.rests_at is not None:
                instants.append(job.rests_at)
        return min(instants, default=None)

    def start(self) -> None:
        """Come up again: whoever watched lists all Jobs anew, and hears what has changed of our objects."""
        self.up = True
        self._emit(self.list_jobs())
        for kind in Kind:
            self._emit(WatchResumed(kind=kind))
            for body in sorted(self.standing(kind).values(), key=version_of):
                self._emit(ObjectSeen(body=_copy(body), kind=kind))

    # --- the API ---

    def create_job(self, namespace: str, body: Body, by: str, *, dry_run: bool = False, asked: Asked | None = None) -> Reply:
        name = body["metadata"]["name"]
        wrong = self._refusal(namespace, name, body)
        if wrong is not None and wrong[0] != 409 and not dry_run:
            self.note_refusal(name)
        if wrong is not None or dry_run:
            return wrong or (201, _copy(body))
        body = _copy(body)
        body["metadata"] |= self._born(None)
        body["status"] = {}
        if body["spec"].get("suspend"):
            self._suspend(body)
        job = Job(body, self._note(body, by, asked or Asked(self.now, self.now, self.now)), self._end_of(body))
        self.jobs[namespace, name] = job
        self.tell(f"{job} is made by {by}")
        self._tell_of(body)
        self._collect_garbage()
        return 201, _copy(body)

    def get_job(self, namespace: str, name: str) -> Reply:
        job = self.jobs.get((namespace, name))
        return (200, _copy(job.body)) if job else _status(404, "NotFound", f'jobs.batch "{name}" not found')

    def halt_job(self, namespace: str, name: str, uid: str, by: str) -> Reply:
        job = self.jobs.get((namespace, name))
        if job is None:
            return _status(404, "NotFound", f'jobs.batch "{name}" not found')
        if job.body["metadata"]["uid"] != uid:
            return _status(422, "Invalid", f'Job.batch "{name}" is invalid: metadata.uid: field is immutable')
        if self.pins:
            return _status(403, "Forbidden", "ValidatingAdmissionPolicy denied the request: Jobs are not to be changed")
        for part, change in manifests.halt_patch(uid)["metadata"].items():
            job.body["metadata"][part] = {**job.body["metadata"].get(part, {}), **change} if isinstance(change, dict) else change
        job.body["spec"]["suspend"] = True
        if job.ends_at is not None:
            self.tell(f"{job} is halted by {by}")
            job.ends_at, job.rests_at = None, self.now + STOPPING_TAKES
        self._changed_job(job)
        return 200, _copy(job.body)

    def delete_job(self, namespace: str, name: str, uid: str | None, by: str, *, foreground: bool) -> Reply:
        job = self.jobs.get((namespace, name))
        if job is None:
            return _status(404, "NotFound", f'jobs.batch "{name}" not found')
        if uid is not None and job.body["metadata"]["uid"] != uid:
            return _status(409, "Conflict", "the UID in the precondition does not match")
        if not foreground:
            self.tell(f"{job} is deleted by {by}")
            self._remove(job)
        elif job.gone_at is None:
            self.tell(f"{job} is stopped by {by}")
            job.body["metadata"]["deletionTimestamp"] = manifests.rfc3339(self.now)
            job.gone_at = self.now + STOPPING_TAKES
            job.ends_at = job.rests_at = None
            self._changed_job(job)
        return 200, _copy(job.body)

    def patch_status(self, kind: Kind, key: Key, uid: str, status: Body) -> Reply:
        body = self.standing(kind).get(key)
        if body is None:
            return _status(404, "NotFound", f"{key} not found")
        if body["metadata"]["uid"] != uid:
            return _status(422, "Invalid", "testing value /metadata/uid failed: test failed")
        self.patches += 1
        before = body.get("status", {})
        after = {name: value for name, value in {**before, **status}.items() if value is not None}
        if after == before:
            return 200, _copy(body)
        body["status"] = _copy(after)
        body["metadata"]["resourceVersion"] = self._next(kind)
        told = _copy(body)
        self._emit(ObjectSeen(body=told, kind=kind))
        return 200, told

    def get_object(self, kind: Kind, key: Key) -> Reply:
        body = self.standing(kind).get(key)
        return (200, _copy(body)) if body else _status(404, "NotFound", f"{key} not found")

    def get_namespace(self, name: str) -> Reply:
        if name not in self.namespaces:
            return _status(404, "NotFound", f'namespaces "{name}" not found')
        return 200, {"metadata": {"name": name, "annotations": dict(self.namespaces[name])}}

    def post_event(self, body: Body) -> Reply:
        at = body["metadata"]["namespace"], body["metadata"]["name"]
        if body["involvedObject"]["name"] in self.denies_events:
            return _status(403, "Forbidden", f'events "{at[1]}" is forbidden: unable to create new content in namespace {at[0]}')
        if body["involvedObject"]["name"] in self.fails_events:
            return _status(500, "InternalError", 'Internal error occurred: failed calling webhook "events": connection refused')
        if at in self.events:
            return _status(409, "AlreadyExists", f'events "{at[1]}" already exists')
        self.events[at] = _copy(body)
        return 201, _copy(body)

    def list_inventory(self, kind: Kind) -> Reply:
        if kind in self.lacks:
            return 404, {"message": "page not found"}
        wanted = ("namespace", "name", "uid", "generation", "resourceVersion")
        items = [{name: body["metadata"][name] for name in wanted} for body in self.standing(kind).values()]
        return 200, {"items": items, "version": str(self.versions[kind])}

    def list_jobs(self) -> JobsListed:
        bodies = (job.body for job in self.jobs.values())
        return JobsListed(views=tuple(view for view in map(manifests.job_view, bodies) if view is not None))

    def came_to_nothing(self, made: Made) -> bool:
        """Whether a Job of this cluster was collected as it was made, because its HACronJob had been here, and was gone."""
        if made.how != "collected" or made.over != made.at:
            return False
        told = (body for _, key, kind, body in self.annals if body is not None and (key, kind) == (made.key, Kind.CRONJOB))
        return any(body["metadata"]["uid"] == made.owner_uid for body in told)

    def note_refusal(self, name: str) -> None:
        self.refused.setdefault(name, []).append(self.now)

    # --- inside ---

    def _refusal(self, namespace: str, name: str, body: Body) -> Reply | None:
        pod = body["spec"]["template"].get("spec")
        if self.starts:
            return _status(403, "Forbidden", f'jobs.batch "{name}" is forbidden: not yet ready to handle request')
        if namespace not in self.namespaces:
            return _status(404, "NotFound", f'namespaces "{namespace}" not found')
        if len(name) > 63:
            return _status(422, "Invalid", f'Job.batch "{name}" is invalid: metadata.name: must be no more than 63 characters')
        if not isinstance(pod, dict) or pod.get("restartPolicy") not in ("Never", "OnFailure"):
            return _status(422, "Invalid", f'Job.batch "{name}" is invalid: {NOT_JOBS_RESTART_POLICY}')
        if self.denies:
            return _status(403, "Forbidden", f"admission webhook denied the request: {self.denies}")
        active = sum(1 for (there, _), job in self.jobs.items() if there == namespace and not _has_ended(job.body))
        if self.quota is not None and active >= self.quota:
            return _status(403, "Forbidden", f'jobs.batch "{name}" is forbidden: exceeded quota: jobs, used: {active}')
        if (namespace, name) in self.jobs:
            return _status(409, "AlreadyExists", f'jobs.batch "{name}" already exists')
        return None

    def _note(self, body: Body, by: str, asked: Asked) -> Made | None:
        view = manifests.job_view(body)
        if view is None:
            self.note_refusal(body["metadata"]["name"])
            return None
        made = Made(
            cluster=self.name,
            cronjob=view.run_id.split(".")[0],
            key=view.key,
            tick=view.tick,
            attempt=view.attempt,
            job=view.name,
            fencing=view.fencing,
            tombstone=view.tombstone,
            demand=view.demand,
            owner_uid=next((owner["uid"] for owner in body["metadata"].get("ownerReferences", [])), ""),
            by=by,
            at=self.now,
            asked=asked,
        )
        self.made.append(made)
        return made

    def _end_of(self, body: Body) -> datetime | None:
        spec = body["spec"]
        if spec.get("suspend"):
            return None
        annotations = _annotations(spec)
        takes_s = float(annotations.get("testbed/run-seconds", 1))
        return self.now + timedelta(seconds=min(takes_s, spec.get("activeDeadlineSeconds", takes_s)))

    def _end(self, job: Job) -> None:
        spec, status = job.body["spec"], job.body["status"]
        annotations = _annotations(spec)
        fails, reason = annotations.get("testbed/fail") == "true", "BackoffLimitExceeded"
        if float(annotations.get("testbed/run-seconds", 1)) > spec.get("activeDeadlineSeconds", float("inf")):
            fails, reason = True, "DeadlineExceeded"
        job.ends_at = None
        at = manifests.rfc3339(self.now)
        announced, final = ("FailureTarget", "Failed") if fails else ("SuccessCriteriaMet", "Complete")
        for kind in (announced, final):  # the first only announces: pods may still be running
            condition = {"type": kind, "status": "True", "lastTransitionTime": at}
            status.setdefault("conditions", []).append(condition | ({"reason": reason, "message": reason} if fails else {}))
            if kind == "Complete":
                status["completionTime"] = at
            self._changed_job(job)
        self._over(job, final)
        self.tell(f"{job} {'has failed' if fails else 'is complete'}")
        if "ttlSecondsAfterFinished" in spec:
            self.travels(self.now + timedelta(seconds=spec["ttlSecondsAfterFinished"]), partial(self._outlives, job))

    def _outlives(self, job: Job) -> None:
        """Delete a Job that has been finished for long enough, as the API server's TTL controller does."""
        metadata = job.body["metadata"]
        if self.jobs.get((metadata["namespace"], metadata["name"])) is job:
            self._remove(job)

    def _rest(self, job: Job) -> None:
        job.rests_at = None
        self._suspend(job.body)
        self._over(job, "halted")
        self.tell(f"{job} has no pods any more")
        self._changed_job(job)

    def _suspend(self, body: Body) -> None:
        condition = {"type": "Suspended", "status": "True", "lastTransitionTime": manifests.rfc3339(self.now)}
        body["status"] |= {"conditions": [condition], "terminating": 0}

    def _remove(self, job: Job, how: str = "gone") -> None:
        metadata = job.body["metadata"]
        del self.jobs[metadata["namespace"], metadata["name"]]
        self._over(job, how)
        if job.made is not None:
            job.made.gone_at = self.now
        if job.gone_at is not None:
            self.tell(f"{job} is gone")
        self._tell_of(job.body, gone=True)

    def _over(self, job: Job, how: str) -> None:
        if job.made is not None and job.made.over is None:
            job.made.over, job.made.how = self.now, how

    def _collect_garbage(self) -> None:
        """Delete the Jobs whose owner is not, or no longer, in this very cluster."""
        uids = {body["metadata"]["uid"] for body in self.cronjobs.values()}
        uids |= {one.body["metadata"]["uid"] for one in self.leaving.values() if not one.foreground}
        for job in list(self.jobs.values()):
            owners = job.body["metadata"].get("ownerReferences", [])
            if owners and not any(owner["uid"] in uids for owner in owners):
                self.tell(f"{job} is collected as garbage")
                self.on_loss(job)
                self._remove(job, "collected")

    def _leave(self, kind: Kind, key: Key) -> None:
        """Let go what is being deleted, if it is."""
        leaving = self.leaving.pop((kind, key), None)
        if leaving is not None:
            leaving.body["metadata"]["resourceVersion"] = self._next(kind)
            self._emit(ObjectSeen(body=_copy(leaving.body), gone=True, kind=kind))
            self._collect_garbage()

    def _changed(self, kind: Kind, key: Key) -> None:
        self._emit(ObjectSeen(body=_copy(self.objects(kind)[key]), kind=kind))

    def _changed_job(self, job: Job) -> None:
        job.body["metadata"]["resourceVersion"] = self._next(None)
        self._tell_of(job.body)

    def _tell_of(self, body: Body, *, gone: bool = False) -> None:
        view = manifests.job_view(body)
        if view is not None:
            self._emit(JobSeen(view=view, gone=gone))

    def _emit(self, event: Event) -> None:
        if self.up:
            for watcher in self.watchers:
                watcher(event)

    def _born(self, kind: Kind | None) -> Body:
        self._serial += 1
        at = manifests.rfc3339(self.now)
        return {"uid": f"{self.name}{self._serial}", "resourceVersion": self._next(kind), "creationTimestamp": at}

    def _next(self, kind: Kind | None) -> str:
        """Return the next resourceVersion of our objects of a kind, or of the Jobs, which no backup ever puts back."""
        if kind is None:
            self._serial += 1
            return str(self._serial)
        self.versions[kind] += OTHERS_HAVE
        return str(self.versions[kind])


def all_made(clusters: Iterator[FakeCluster] | list[FakeCluster]) -> list[Made]:
    """Return every Job that any of the clusters ever had, in the order in which they were made."""
    return sorted((made for cluster in clusters for made in cluster.made), key=lambda made: made.at)


def version_of(body: Body) -> int:
    """Return the resourceVersion of an object, as a number."""
    return int(body["metadata"]["resourceVersion"])


def _has_ended(body: Body) -> bool:
    return any(condition["type"] in ("Complete", "Failed") for condition in body["status"].get("conditions", []))


def _copy(body: Body) -> Body:
    """A body of one's own, as it would come over the wire."""
    copied: Body = msgspec.json.decode(msgspec.json.encode(body))
    return copied


def _status(code: int, reason: str, message: str) -> Reply:
    return code, {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}


def _annotations(job_spec: Body) -> dict[str, str]:
    return job_spec["template"].get("metadata", {}).get("annotations") or {}
