"""What has run, read from the Kubernetes APIs alone: nothing that the operator says of itself is believed here.

Ticks are worked out from the schedule's text by arithmetic of our own, which knows only `* * * * *` and `@every Ns`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.testbed.cluster import Cluster

MANAGED, TOMBSTONE = "hacron.io/managed", "hacron.io/tombstone"


@dataclass(frozen=True, slots=True)
class Ran:
    """A Job that exists, or existed until the history limits took it."""

    cluster: str
    cronjob: str  # namespace/name
    tick: datetime
    attempt: int
    job: str
    created: datetime  # whole seconds
    fencing: int
    state: str  # Complete, Failed, or "" while it runs

    @property
    def late_s(self) -> float:
        """Seconds from the tick to the Job's creation, to within one second."""
        return (self.created - self.tick).total_seconds()


def jobs(clusters: Iterable[Cluster], namespace: str | None = None) -> list[Ran]:
    """Return all Jobs of HACronJobs in these clusters, by tick; tombstones are none."""
    found = []
    where = ["--namespace", namespace] if namespace else ["--all-namespaces"]
    for cluster in clusters:
        listed = json.loads(cluster.kubectl("get", "jobs", *where, "-l", f"{MANAGED}=true", "-o", "json"))
        found += [_ran(cluster.name, job) for job in listed["items"] if TOMBSTONE not in job["metadata"]["labels"]]
    return sorted(found, key=lambda ran: (ran.tick, ran.cronjob, ran.attempt))


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


def ticks(schedule: str, created: datetime, since: datetime, until: datetime) -> list[datetime]:
    """Return the ticks of `* * * * *` or `@every Ns` with since < tick <= until, for an object created at `created`."""
    if schedule == "* * * * *":
        step, first = timedelta(minutes=1), since.replace(second=0, microsecond=0)
    else:
        every = re.fullmatch(r"@every (\d+)s", schedule)
        assert every is not None, schedule
        step = timedelta(seconds=int(every[1]))
        first = created + (since - created) // step * step
    found = []
    while first <= until:
        if first > max(since, created):
            found.append(first)
        first += step
    return found


def instant(text: str) -> datetime:
    """Read a time as Kubernetes writes it."""
    return datetime.fromisoformat(text).astimezone(UTC)


def _ran(cluster: str, job: dict[str, Any]) -> Ran:
    metadata, annotations = job["metadata"], job["metadata"]["annotations"]
    ended = [c["type"] for c in job["status"].get("conditions", []) if c["status"] == "True"]
    return Ran(
        cluster=cluster,
        cronjob=f"{metadata['namespace']}/{metadata['labels']['hacron.io/cronjob']}",
        tick=instant(annotations["hacron.io/tick"]),
        attempt=int(annotations["hacron.io/attempt"]),
        job=metadata["name"],
        created=instant(metadata["creationTimestamp"]),
        fencing=int(annotations["hacron.io/fencing-token"]),
        state=next((kind for kind in ended if kind in ("Complete", "Failed")), ""),
    )
