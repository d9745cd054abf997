"""The load that runs through every fault: some tens of cronjobs of every few seconds, of both guarantees, Forbid and Allow."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Any

from tests.testbed import judge
from tests.testbed.cluster import Cluster
from tests.testbed.cronjobs import manifest

Sort = tuple[str, str, str, int]  # guarantee, policy, where, and a number

EVERY_S = 5
RUNS_S = {
    "Allow": 0.5,
    "Forbid": 7.0,
}  # with Forbid the next tick always comes while a Job runs: were it not asked, it would show
GUARANTEES, POLICIES = ("AtMostOnce", "AtLeastOnce"), ("Allow", "Forbid")
KEPT = 20  # Jobs of each cronjob: the recorders have seen the others
# Where it is declared, and what its placement says.
WHERE: Mapping[str, tuple[tuple[str, ...], dict[str, object]]] = {
    "west": (("west",), {}),
    "both": (("west", "east"), {}),
    "chosen": (("west", "east"), {"placement": {"clusters": ["west", "east"]}}),
}


@dataclass(frozen=True, slots=True)
class Declared:
    """A cronjob of the load."""

    name: str
    at_most_once: bool
    forbids: bool
    born: datetime
    schedule: str = f"@every {EVERY_S}s"

    def ticks(self, since: datetime, until: datetime) -> list[datetime]:
        """Return when it is due, since < tick <= until."""
        return judge.ticks(self.schedule, self.born, since, until)


def declare(clusters: Mapping[str, Cluster], each: int) -> list[Declared]:
    """Declare `each` cronjobs of every sort."""
    names = sorts(each)
    for home, cluster in clusters.items():
        cluster.apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects(names, home))}))
    born = {}
    for cluster in reversed(clusters.values()):  # of two objects the first cluster's counts here; both were made at once
        listed = json.loads(cluster.kubectl("get", "hacronjobs", "-o", "json"))["items"]
        born |= {found["metadata"]["name"]: judge.instant(found["metadata"]["creationTimestamp"]) for found in listed}
    return [
        Declared(name, guarantee == "AtMostOnce", policy == "Forbid", born[name])
        for name, (guarantee, policy, _, _) in names.items()
    ]


def sorts(each: int) -> dict[str, Sort]:
    """Return the names of all cronjobs, `each` of every sort."""
    found = [(*sort, number) for sort in product(GUARANTEES, POLICIES, WHERE) for number in range(each)]
    return {"-".join(map(str, sort)).lower(): sort for sort in found}


def objects(names: Mapping[str, Sort], home: str) -> Iterator[dict[str, Any]]:
    """Yield the HACronJobs that are declared in a cluster."""
    for name, (guarantee, policy, where, _) in names.items():
        homes, placement = WHERE[where]
        if home in homes:
            spec = {"guarantee": guarantee, "concurrencyPolicy": policy, **placement}
            spec |= {"successfulJobsHistoryLimit": KEPT, "failedJobsHistoryLimit": KEPT}
            yield json.loads(manifest(name, f"@every {EVERY_S}s", run_seconds=RUNS_S[policy], **spec))
