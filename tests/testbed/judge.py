"""What has run, read from the Kubernetes APIs alone: nothing that the operator says of itself is believed here.

Ticks are worked out by an oracle of our own, which shares no code with the product.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.testbed import tools
from tests.testbed.cluster import Cluster
from tests.testbed.oracle import Oracle, zone
from tests.testbed.process import Process

MANAGED, TOMBSTONE, HALTED = "hacron.io/managed", "hacron.io/tombstone", "hacron.io/halted"


@dataclass(frozen=True, slots=True)
class Ran:
    """A Job of a HACronJob, as last seen."""

    cluster: str
    cronjob: str  # namespace/name
    tick: datetime
    attempt: int
    job: str
    uid: str
    created: datetime  # whole seconds
    fencing: int
    state: str  # Complete, Failed, Suspended when it was stopped, or "" while it runs
    demand: str = ""  # the HACronJobRun that asked for it
    ended: datetime | None = None  # whole seconds; None while it runs

    @property
    def late_s(self) -> float:
        """Seconds from the tick to the Job's creation, to within one second."""
        return (self.created - self.tick).total_seconds()


def jobs(clusters: Iterable[Cluster]) -> list[Ran]:
    """Return all Jobs of HACronJobs that exist in these clusters, by tick; tombstones are none."""
    found = []
    for cluster in clusters:
        listed = json.loads(cluster.kubectl("get", "jobs", "--all-namespaces", "-l", f"{MANAGED}=true", "-o", "json"))
        found += [_ran(cluster.name, job) for job in listed["items"]]
    return _in_order(found)


class Recorder:
    """Notes every Job that a cluster's API server tells of, also those that are deleted meanwhile, until `stop`.

    After the API server was away, `start` goes on; what happened in between is told then, but for Jobs that are gone already.
    """

    def __init__(self, cluster: Cluster, directory: Path, label: str = MANAGED) -> None:
        self.cluster = cluster
        self._file = directory / f"jobs-in-{cluster.name}-{label.partition('.')[0]}.json"
        self._read = 0  # bytes of it
        self._newest: dict[str, Ran] = {}
        path = f"/apis/batch/v1/jobs?watch=true&labelSelector={label}%3Dtrue"
        kubectl: list[str | Path] = [tools.control_plane()["kubectl"], f"--kubeconfig={cluster.admin_kubeconfig}"]
        self._watch = Process(f"recorder of {cluster.name}", [*kubectl, "get", "--raw", path], log=self._file)

    def start(self) -> None:
        """Begin; return when Jobs that are made from now on will be noted."""
        self._watch.start()

    def stop(self) -> None:
        """End; what was noted stays."""
        self._watch.kill()

    def jobs(self) -> list[Ran]:
        """Return each Job that was ever seen, as it was seen last. Raises ProcessFailed when the watch has ended."""
        self._watch.check()
        with self._file.open("rb") as file:
            file.seek(self._read)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        for line in whole.split(b"\n"):
            start = line.find(b'{"type"')  # a watch that was killed has left half a line before it
            if start >= 0:
                self._note(json.loads(line[start:]))
        return _in_order(self._newest.values())

    def _note(self, event: dict[str, Any]) -> None:
        ran = _ran(self.cluster.name, event["object"]) if event["type"] != "ERROR" else None
        if ran is not None:
            self._newest[ran.uid] = ran


def of(ran: Iterable[Ran], name: str) -> list[Ran]:
    """Return the Jobs of the cronjob of this name, in any namespace."""
    return [one for one in ran if one.cronjob.endswith(f"/{name}")]


def doubled(ran: Iterable[Ran]) -> list[str]:
    """Return a sentence for each tick that has more than one Job."""
    counted = Counter((one.cronjob, one.tick) for one in ran)
    return [f"{cronjob} at {tick:%H:%M:%S} has {count} Jobs" for (cronjob, tick), count in counted.items() if count > 1]


def missing(ran: Iterable[Ran], ticks: Iterable[datetime]) -> list[str]:
    """Return those of the ticks that have no Job, as HH:MM:SS."""
    have = {one.tick for one in ran}
    return [f"{tick:%H:%M:%S}" for tick in ticks if tick not in have]


def ticks(schedule: str, born: datetime, since: datetime, until: datetime, time_zone: str = "Etc/UTC") -> list[datetime]:
    """Return the ticks with since < tick <= until of five fields, or of `@every Ns` for an object created at `born`."""
    every = re.fullmatch(r"@every (\d+)s", schedule)
    if every is not None:
        found = _every(timedelta(seconds=int(every[1])), born, until)
    else:
        oracle, local = Oracle(schedule), zone(time_zone)
        minutes = _every(timedelta(minutes=1), since.replace(second=0, microsecond=0), until)
        found = (minute for minute in minutes if oracle.matches(minute.astimezone(local)))
    return [tick for tick in found if tick > max(since, born)]


def instant(text: str) -> datetime:
    """Read a time as Kubernetes writes it."""
    return datetime.fromisoformat(text).astimezone(UTC)


def _every(step: timedelta, first: datetime, until: datetime) -> Iterator[datetime]:
    while first <= until:
        yield first
        first += step


def _in_order(ran: Iterable[Ran | None]) -> list[Ran]:
    return sorted((one for one in ran if one is not None), key=lambda one: (one.tick, one.cronjob, one.attempt))


def _ran(cluster: str, job: dict[str, Any]) -> Ran | None:
    metadata, annotations = job["metadata"], job["metadata"].get("annotations", {})
    if TOMBSTONE in metadata["labels"] and HALTED not in annotations:
        return None
    over = ("Complete", "Failed", "Suspended") if HALTED in annotations else ("Complete", "Failed")
    conditions = [each for each in job["status"].get("conditions", []) if each["status"] == "True"]
    ended = next((each for each in conditions if each["type"] in over), None)
    return Ran(
        cluster=cluster,
        cronjob=f"{metadata['namespace']}/{metadata['labels']['hacron.io/cronjob']}",
        tick=instant(annotations["hacron.io/tick"]),
        attempt=int(annotations["hacron.io/attempt"]),
        job=metadata["name"],
        uid=metadata["uid"],
        created=instant(metadata["creationTimestamp"]),
        fencing=int(annotations["hacron.io/fencing-token"]),
        demand=annotations.get("hacron.io/hacronjobrun", ""),
        state=ended["type"] if ended else "",
        ended=instant(ended["lastTransitionTime"]) if ended else None,
    )
