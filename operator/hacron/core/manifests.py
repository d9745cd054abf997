"""Between Kubernetes objects and our values: HACronJob → declaration, Run → Job, Job → what a worker needs to know of it.

Templates travel as plain dicts, so that fields which this program has never heard of arrive at the API server as the user wrote
them. Nothing here changes its input.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from hacron.core import faults, instants
from hacron.core.fields import encoded
from hacron.core.messages import CronJobDeclared, Outcome
from hacron.core.model import Key, Pause, Run, key_of, name_of, namespace_of
from hacron.core.ticks import cronzone

GROUP = "hacron.io"
API_VERSION = f"{GROUP}/v1"
KIND = "HACronJob"
LABEL = f"{GROUP}/managed"  # on every Job of ours: what the worker's watch selects
CRONJOB = f"{GROUP}/cronjob"  # annotation: the cronjob's name
CRONJOB_LABEL = CRONJOB  # as far as a label can hold it
RAN = f"{GROUP}/ran"
HALTED = f"{GROUP}/halted"  # annotation: it was running, and is to keep only its name
TOMBSTONE_LABEL = f"{GROUP}/tombstone"
PAUSE, PAUSE_BY, PAUSE_UNTIL = f"{GROUP}/pause", f"{GROUP}/pause-by", f"{GROUP}/pause-until"
RUN_ID, TICK, ATTEMPT = f"{GROUP}/run-id", f"{GROUP}/tick", f"{GROUP}/attempt"
JOB = f"{GROUP}/job"  # annotation: the Job's own name, which a copy under another name does not have
LEDGER = f"{GROUP}/ledger"  # annotation: when the ledger that gave the run began, which no other did
EPOCH, FENCING, CLUSTER = f"{GROUP}/epoch", f"{GROUP}/fencing-token", f"{GROUP}/cluster"
DEMAND = f"{GROUP}/hacronjobrun"  # annotation: name of the HACronJobRun that asked for it
DEMAND_LABEL = DEMAND  # as far as a label can hold it
JOB_CONTROLLER = "kubernetes.io/job-controller"  # who sees to a Job unless `managedBy` says otherwise
SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"  # what Jobs of a CronJob carry

TTL = f"{GROUP}/ttl-seconds-after-finished"  # annotation: the template's, where the Job is kept for longer
KEPT_S = 86_400  # a Job that would be deleted soon after its end, until it is known

NAME_LENGTH = 63  # of a Job: the label batch.kubernetes.io/job-name must hold it
STEM_LENGTH = 52

UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, OverflowError)
"""What reading an object raises that is not as an API server should have it (msgspec: ValueError). All else is our fault."""

_HOUR_24 = re.compile("[Tt ]24")  # which Python reads from 3.14 on; two replicas are to read the same


# --- HACronJob ------------------------------------------------------------------------------------------------------------------


class Identity(NamedTuple):
    """Which object it is, and which version of what it says."""

    key: Key
    uid: str
    generation: int


def identity(body: dict[str, Any]) -> Identity:
    """Return which one an object of ours is. Raises one of UNREADABLE when it is none."""
    metadata = body["metadata"]
    return Identity(key_of(metadata["namespace"], metadata["name"]), metadata["uid"], int(metadata.get("generation") or 1))


def made_at(body: dict[str, Any]) -> datetime:
    """Return when an object was made; in 1970, if it does not say so."""
    return instant(body["metadata"].get("creationTimestamp")) or datetime(1970, 1, 1, tzinfo=UTC)


def declared(cluster: str, body: dict[str, Any]) -> CronJobDeclared:
    """Say in a command what a HACronJob object, as the API server gives it, declares."""
    metadata = body["metadata"]
    status = body.get("status") or {}
    one = identity(body)
    return CronJobDeclared(
        key=one.key,
        cluster=cluster,
        uid=one.uid,
        generation=one.generation,
        created_at=made_at(body),
        spec=encoded(body.get("spec") or {}),
        last_schedule_time=instant(status.get("lastScheduleTime")),
        decided_until=instant(status.get("decidedUntil")),
        last_successful_time=instant(status.get("lastSuccessfulTime")),
        pause=pause_of(metadata.get("annotations") or {}),
        version=version(metadata.get("resourceVersion")),
    )


def is_leaving(body: dict[str, Any]) -> bool:
    """Whether an object is being deleted, which cannot be undone, and only waits for its finalizers."""
    return body["metadata"].get("deletionTimestamp") is not None


def pause_of(annotations: dict[str, Any]) -> Pause | None:
    """Read the annotations that pause: it is paused when there is a reason, even an empty one, unless that is "false"."""
    reason = annotations.get(PAUSE)
    if not isinstance(reason, str) or reason.strip().lower() == "false":
        return None
    text = str(annotations.get(PAUSE_UNTIL) or "").strip()
    until = instant(text)
    return Pause(
        reason="" if reason.strip().lower() == "true" else reason[:1000],
        by=str(annotations.get(PAUSE_BY) or "")[:253],
        until=until,
        unreadable_until=text[:80] if until is None else "",
    )


def version(text: object) -> int:
    """Read a resourceVersion; Kubernetes lets them be compared as numbers, also those of different objects. 0: it is none."""
    return (_whole(text, 19) or 0) % 2**53


def _whole(text: object, most_digits: int) -> int | None:
    """Read a whole number; None when it is none, or too long."""
    if not isinstance(text, str) or not text.isascii() or not text.isdigit() or len(text) > most_digits:
        return None
    return int(text)


def instant(text: object) -> datetime | None:
    """Read an RFC 3339 time; None when it is none, or so far away that nobody is to reckon with it."""
    if not isinstance(text, str) or _HOUR_24.search(text):
        return None
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo is not None and not instants.is_far(found) else None
    except (ValueError, OverflowError):  # OverflowError: a time on the first or the last day that there is
        return None


@lru_cache(maxsize=32768)  # ten statuses in a row tell of the same ticks
def rfc3339(when: datetime) -> str:
    """Write an instant as Kubernetes does: UTC, whole seconds."""
    return f"{when.astimezone(UTC).isoformat():.19}Z"


# --- Run → Job ------------------------------------------------------------------------------------------------------------------


def job_name(name: str, tick: datetime, attempt: int, demand_id: str = "", indexes: int = 0) -> str:
    """Return the Job's name, which is the lock against making it twice: the cronjob's name and the tick in unix minutes.

    A tick that is not on a whole minute gets unix seconds: ten digits, never the same name. Attempts after the first have names,
    and so locks, of their own, and so have runs beside the schedule: by a hash of their demand. A stem that must be cut ends in
    a hash of the whole, so that it stays its own; a dot in front of that would make a name which no API server takes. With
    `indexes`, the API server wants the names of its pods to fit as well, which end in one.
    """
    seconds = int(tick.timestamp())
    suffix = f"-{seconds // 60}" if seconds % 60 == 0 else f"-{seconds}"
    if demand_id:
        suffix = f"-{hashlib.sha256(demand_id.encode()).hexdigest()[:6]}{suffix}"
    if attempt > 1:
        suffix += f"-{attempt}"
    longest = NAME_LENGTH - (len(f"-{indexes - 1}") if indexes else 0)
    room = min(STEM_LENGTH, longest - len(suffix))
    if len(name) > room:
        name = f"{name[: room - 7].rstrip('.')}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"
    return name + suffix


def job_body(run: Run, key: Key, spec: msgspec.Raw, *, owner_uid: str | None, epoch: int, ledger: str = "") -> dict[str, Any]:
    """Return the Job of a run.

    `owner_uid` is that of the HACronJob in the very cluster where the Job is made: a uid that is not known there gets the Job
    garbage-collected. `ledger` is the mark of the one that gave the run.
    """
    fields = msgspec.json.decode(bytes(spec))
    job_template = fields.get("jobTemplate") or {}
    metadata = job_template.get("metadata") or {}
    zone = fields.get("timeZone")
    annotations = {
        **_theirs(metadata.get("annotations")),
        **_marks(key, run),
        EPOCH: str(epoch),
        FENCING: str(run.fencing),
        SCHEDULED: _local(run.tick, zone),
        **({LEDGER: ledger} if ledger else {}),
    }
    body: dict[str, Any] = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": run.job,
            "namespace": namespace_of(key),
            "labels": {**_theirs(metadata.get("labels")), **_labels(key, run)},
            "annotations": annotations,
        },
        "spec": job_template.get("spec") or {},
    }
    if owner_uid is not None:
        owner = {"apiVersion": API_VERSION, "kind": KIND, "name": name_of(key), "uid": owner_uid}
        body["metadata"]["ownerReferences"] = [owner | {"controller": True, "blockOwnerDeletion": True}]
    _hand_over(body["spec"], run)
    return body


def keep(body: dict[str, Any]) -> None:
    """Have a Job that its template has deleted soon after its end stay for a day, until it is deleted by its worker.

    That knows when what became of it is in the ledger. A cluster that was cut off in the meantime must still find it, or the run
    would look as if it had never begun.
    """
    wanted = body["spec"].get("ttlSecondsAfterFinished")
    if isinstance(wanted, int) and 0 <= wanted < KEPT_S:
        body["spec"]["ttlSecondsAfterFinished"] = KEPT_S
        body["metadata"]["annotations"][TTL] = str(wanted)


def as_json(body: dict[str, Any]) -> msgspec.Raw:
    """Return a Job as it is sent, and as it waits for its tick: as dicts, ten thousand would take four times the memory."""
    return msgspec.Raw(msgspec.json.encode(body))


def tombstone_body(run: Run, key: Key, *, ran: bool) -> dict[str, Any]:
    """Return a Job that never runs and only takes the run's name; for a while, where the run has had its Job (`ran`)."""
    container = {"name": "tombstone", "image": "tombstone"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": run.job,
            "namespace": namespace_of(key),
            "labels": {**_labels(key, run), TOMBSTONE_LABEL: "true"},
            "annotations": _marks(key, run) | ({RAN: "true"} if ran else {}),
        },
        # Without room for a pod, should somebody resume it: a queue that takes in whatever Job is suspended.
        "spec": {
            "suspend": True,
            "parallelism": 0,
            "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
        },
    }


def halt_patch(uid: str) -> dict[str, Any]:
    """Return the merge patch that makes a running Job, and only that very one, its own tombstone: its pods go, its name stays."""
    metadata = {"uid": uid, "labels": {TOMBSTONE_LABEL: "true"}, "annotations": {RAN: "true", HALTED: "true"}}
    return {"metadata": metadata, "spec": {"suspend": True}}


def status_patch(uid: str, status: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the JSON patch that writes these fields of a `.status`, and removes those that are None.

    It fails when an object of another uid has the name by now. A merge patch does not: in the status subresource of a custom
    resource, the API server passes over what a patch says of the metadata (seen with Kubernetes 1.36).
    """
    steps: list[dict[str, Any]] = [{"op": "test", "path": "/metadata/uid", "value": uid}]
    for name, value in status.items():
        path = f"/status/{name}"
        steps.append({"op": "add", "path": path, "value": value})
        if value is None:
            steps.append({"op": "remove", "path": path})  # which fails where there is nothing
    return steps


def _theirs(marks: dict[str, Any] | None) -> dict[str, Any]:
    """Return the labels or annotations of a template, without those by which a Job says what has become of it."""
    return {name: value for name, value in (marks or {}).items() if not name.startswith(f"{GROUP}/")}


def _labels(key: Key, run: Run) -> dict[str, str]:
    labels = {LABEL: "true", CRONJOB_LABEL: as_label(name_of(key))}
    return labels | ({DEMAND_LABEL: as_label(run.demand)} if run.demand else {})


def as_label(name: str) -> str:
    return name[:63].rstrip("-.")


def _marks(key: Key, run: Run) -> dict[str, str]:
    marks = {CRONJOB: name_of(key), RUN_ID: run.id, TICK: rfc3339(run.tick), ATTEMPT: str(run.attempt), CLUSTER: run.cluster}
    marks[JOB] = run.job
    return marks | ({DEMAND: run.demand} if run.demand else {})


def _local(tick: datetime, zone: object) -> str:
    """The tick in the job's own zone, as CronJob annotates it."""
    if not isinstance(zone, str) or not zone:
        return rfc3339(tick)
    offset = cronzone.zone(zone).offset(tick)  # the pinned data, by which the tick was found
    return tick.astimezone(timezone(offset)).isoformat(timespec="seconds").replace("+00:00", "Z")


def _hand_over(spec: dict[str, Any], run: Run) -> None:
    """Give every container the tick, the run's id and the fencing number, unless the user has set that name.

    In front of the user's own, which may refer to them: Kubernetes expands `$(NAME)` by what stands before it.
    """
    given = {
        "HACRON_SCHEDULED_TIME": rfc3339(run.tick),
        "HACRON_RUN_ID": run.id,
        "HACRON_FENCING_TOKEN": str(run.fencing),
    }
    pod = (spec.get("template") or {}).get("spec") or {}
    for container in [*(pod.get("containers") or []), *(pod.get("initContainers") or [])]:
        if not isinstance(container, dict):
            continue
        env = container.get("env") or []
        taken = [entry.get("name") for entry in env if isinstance(entry, dict)]
        container["env"] = [*({"name": name, "value": value} for name, value in given.items() if name not in taken), *env]


# --- Job → what a worker needs to know ------------------------------------------------------------------------------------------


class Halting(Enum):
    """How far a Job is that is to stop and to keep its name."""

    NONE = "None"  # nobody has asked for it
    UNDER_WAY = "UnderWay"
    DONE = "Done"  # none of its pods is left
    IMPOSSIBLE = "Impossible"  # others suspend and resume it, or its API server does not tell of pods on their way out


class JobView(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A Job of ours, as last seen."""

    key: Key
    run_id: str
    uid: str
    namespace: str
    name: str
    created: datetime
    tick: datetime
    attempt: int
    terminal: Outcome | None  # None: not ended; only the conditions Complete and Failed are final
    finished: datetime | None
    reason: str
    message: str
    tombstone: bool  # runs no more, if it ever did, and only takes the name
    ran: bool  # a tombstone in place of a Job that has been there
    deleting: bool
    fencing: int
    demand: str = ""  # name of the HACronJobRun that asked for it
    cluster: str = ""
    halt: Halting = Halting.NONE
    version: int = 0  # grows with each change; 0: not known
    ledger: str = ""  # the mark of the one that gave the run; empty: it is not known
    owned: bool = False  # by what takes it along
    expires: datetime | None = None  # when its template has it deleted


def job_view(body: dict[str, Any]) -> JobView | None:
    """Return what matters of a Job; None when it is not ours or cannot be read."""
    try:
        return _job_view(body)
    except UNREADABLE:
        return None
    except Exception:  # noqa: BLE001  it is told; a watch is on all of them
        faults.note(faults.WORKER, key_of(str(body["metadata"].get("namespace")), str(body["metadata"].get("name"))))
        return None


def _job_view(body: dict[str, Any]) -> JobView | None:
    metadata = body["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    tick, created = instant(annotations.get(TICK)), instant(metadata.get("creationTimestamp"))
    if labels.get(LABEL) != "true" or RUN_ID not in annotations or tick is None or created is None:
        return None
    if annotations.get(JOB, metadata["name"]) != metadata["name"]:
        return None  # somebody's copy, which is no run of ours
    ended = _ended(body.get("status") or {})
    is_marked = labels.get(TOMBSTONE_LABEL) == "true"
    never_ran = is_marked and HALTED not in annotations
    halt = Halting.NONE if never_ran else _halt(body, annotations)
    return JobView(
        key=key_of(metadata["namespace"], annotations[CRONJOB]),
        run_id=annotations[RUN_ID],
        uid=metadata["uid"],
        namespace=metadata["namespace"],
        name=metadata["name"],
        created=created,
        tick=tick,
        attempt=int(annotations.get(ATTEMPT, "1")),
        terminal=ended[0] if ended else None,
        finished=ended[1] if ended else None,
        reason=ended[2] if ended else "",
        message=ended[3] if ended else "",
        tombstone=is_marked and ended is None and halt in (Halting.NONE, Halting.DONE),
        ran=annotations.get(RAN) == "true",
        deleting=is_leaving(body),
        fencing=int(annotations.get(FENCING, "0")),
        demand=annotations.get(DEMAND, ""),
        cluster=annotations.get(CLUSTER, ""),
        halt=halt,
        version=version(metadata.get("resourceVersion")),
        ledger=annotations.get(LEDGER, ""),
        owned=bool(metadata.get("ownerReferences")),
        expires=_expires(annotations.get(TTL), ended[1] if ended else None),
    )


def _expires(ttl: object, finished: datetime | None) -> datetime | None:
    seconds = _whole(ttl, len(str(KEPT_S)))
    return finished + timedelta(seconds=seconds) if finished is not None and seconds is not None else None


def _halt(body: dict[str, Any], annotations: dict[str, Any]) -> Halting:
    """Who has suspended and resumed it before, as queues of Jobs do, would resume it again.

    Pods that are on their way out count; an API server before Kubernetes 1.29 does not tell of them.
    """
    spec, status = body.get("spec") or {}, body.get("status") or {}
    suspended = next((it.get("status") for it in status.get("conditions") or [] if it.get("type") == "Suspended"), None)
    if spec.get("managedBy") not in (None, JOB_CONTROLLER):
        return Halting.IMPOSSIBLE
    if HALTED not in annotations:
        return Halting.NONE if suspended is None else Halting.IMPOSSIBLE
    if not spec.get("suspend"):
        return Halting.IMPOSSIBLE
    if suspended != "True" or status.get("active") or status.get("terminating"):
        return Halting.UNDER_WAY
    return Halting.DONE if "terminating" in status else Halting.IMPOSSIBLE


def _ended(status: dict[str, Any]) -> tuple[Outcome, datetime | None, str, str] | None:
    """SuccessCriteriaMet and FailureTarget only announce the end: pods may still be running."""
    for condition in status.get("conditions") or []:
        if condition.get("status") != "True" or condition.get("type") not in ("Complete", "Failed"):
            continue
        at = instant(condition.get("lastTransitionTime"))
        if condition["type"] == "Complete":
            return Outcome.SUCCEEDED, instant(status.get("completionTime")) or at, "", ""
        return Outcome.FAILED, at, str(condition.get("reason") or "")[:100], str(condition.get("message") or "")[:500]
    return None
