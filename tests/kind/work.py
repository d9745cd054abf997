"""HACronJobs whose pods are real: what they run, and some tens of them as a load that is judged."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

from tests.chaos.checker import History, ticks_of, violations
from tests.chaos.load import WHERE, Declared
from tests.testbed import judge
from tests.testbed.cronjobs import KEEP_ALL, remove_all
from tests.testbed.judge import Ran, Recorder
from tests.testbed.kind.cluster import KindCluster
from tests.testbed.wait import until

BUSYBOX = "hacron-busybox:testbed"  # what pods of Jobs run
SCHEDULES = ("@every 20s", "@every 20s", "* * * * *")  # one cronjob each, of every guarantee and home
JUDGED_AT_LEAST = timedelta(seconds=60)
ON_ITS_WAY = timedelta(seconds=5)  # a tick so shortly before the end is not judged


def cronjob(name: str, schedule: str, script: str, **spec: Any) -> dict[str, Any]:
    """Return a HACronJob whose pods run `script` in busybox's shell."""
    container = {"name": "main", "image": BUSYBOX, "imagePullPolicy": "Never", "command": ["sh", "-c", script]}
    pod = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]}
    limits = {"successfulJobsHistoryLimit": KEEP_ALL, "failedJobsHistoryLimit": KEEP_ALL}
    template = {"spec": {"backoffLimit": 0, "template": {"spec": pod}}}
    return {
        "apiVersion": "hacron.io/v1",
        "kind": "HACronJob",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"schedule": schedule, "jobTemplate": template, **limits, **spec},
    }


class Load:
    """Some tens of cronjobs in both clusters, and a record of every Job that the API servers tell of."""

    def __init__(self, clusters: Mapping[str, KindCluster], directory: Path) -> None:
        self._clusters = dict(clusters)
        self._recorders = [Recorder(cluster, directory) for cluster in clusters.values()]
        self.declared: list[Declared] = []
        self.since = datetime.now(UTC)

    def start(self) -> None:
        """Declare all and wait until each of them has run."""
        for recorder in self._recorders:
            recorder.start()
        sorts = list(product(("AtMostOnce", "AtLeastOnce"), WHERE, enumerate(SCHEDULES)))
        for home, cluster in self._clusters.items():
            items = [each for sort in sorts for each in self._objects(*sort, home)]
            cluster.apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
        born = self._born()
        self.declared = [
            Declared(name, guarantee == "AtMostOnce", False, born[name], schedule)
            for guarantee, where, (number, schedule) in sorts
            for name in [_name(guarantee, where, number)]
        ]
        self.await_runs(datetime.now(UTC) - timedelta(minutes=1))
        self.since = datetime.now(UTC)

    def stop(self) -> None:
        """Remove all cronjobs and Jobs."""
        for recorder in self._recorders:
            recorder.stop()
        for cluster in self._clusters.values():
            remove_all(cluster)

    def ran(self) -> list[Ran]:
        """Return every Job that was ever made."""
        found = []
        for recorder in self._recorders:
            recorder.start()  # anew, if the API server was away
            found += recorder.jobs()
        return found

    def await_runs(self, since: datetime | None = None, timeout: float = 120) -> None:
        """Wait until every cronjob that is due every few seconds has run a tick after `since`, by default now."""
        after = since or datetime.now(UTC)
        often = {one.name for one in self.declared if one.schedule.startswith("@")}

        def missing() -> set[str]:
            return often - {one.cronjob.rpartition("/")[2] for one in self.ran() if one.tick > after}

        try:
            until(lambda: not missing(), timeout, f"a run of every cronjob since {after:%H:%M:%S}", every=0.5)
        except TimeoutError as error:
            error.add_note(f"none of {', '.join(sorted(missing()))}")
            raise

    def await_runs_elsewhere(self, cluster: KindCluster, since: datetime, timeout: float = 120) -> None:
        """Wait until each cronjob that may run in the other cluster has run a tick after `since` there."""
        others = [recorder for recorder in self._recorders if recorder.cluster is not cluster]
        often = {one.name for one in self.declared if one.schedule.startswith("@")}
        wanted = {name for name in often if cluster.name != "west" or "-west-" not in name}

        def missing() -> set[str]:
            ran = (one for recorder in others for one in recorder.jobs())
            return wanted - {one.cronjob.rpartition("/")[2] for one in ran if one.tick > since}

        until(
            lambda: not missing(), timeout, f"a run of every cronjob outside of {cluster.name} since {since:%H:%M:%S}", every=0.5
        )

    def await_right(self, *spared: tuple[datetime, datetime], timeout: float = 90) -> None:
        """Wait until nothing is wrong with what was due since the start. Raises AssertionError, with all that is.

        In the times that are `spared`, ticks may have no Job.
        """
        until(lambda: datetime.now(UTC) > self.since + JUDGED_AT_LEAST, 120, "enough to be judged", every=0.5)
        end = datetime.now(UTC) - ON_ITS_WAY
        due = [tick for guarantee in (True, False) for tick in ticks_of(self.declared, self.since, end, guarantee)]
        assert len(due) > len(self.declared), "hardly anything was due: that shows nothing"
        judged = [(name, tick) for name, tick in due if not any(first <= tick <= last for first, last in spared)]

        def wrong() -> list[str]:
            ran = self.ran()
            history = History.of(ran)
            lost = [f"{name} has no Job for {tick:%H:%M:%S}" for name, tick in judged if not history.jobs.get((name, tick))]
            running = [
                f"{one.job} in {one.cluster} has not ended" for one in ran if self.since < one.tick < end and not one.state
            ]
            return [*violations(history, self.declared, self.since, end), *lost, *running]

        try:
            until(lambda: not wrong(), timeout, "a right verdict", every=1)
        except TimeoutError as error:
            raise AssertionError("\n".join(wrong())) from error

    def _objects(self, guarantee: str, where: str, schedule: tuple[int, str], home: str) -> Iterator[dict[str, Any]]:
        homes, placement = WHERE[where]
        number, text = schedule
        if home in homes:
            spec = {"guarantee": guarantee, **placement}
            yield cronjob(_name(guarantee, where, number), text, "echo $HACRON_SCHEDULED_TIME", **spec)

    def _born(self) -> dict[str, datetime]:
        """Return when each was made where that counts: in the first cluster that has it."""
        born: dict[str, datetime] = {}
        for cluster in self._clusters.values():
            for found in json.loads(cluster.kubectl("get", "hacronjobs", "-o", "json"))["items"]:
                at = judge.instant(found["metadata"]["creationTimestamp"])
                born[found["metadata"]["name"]] = min(at, born.get(found["metadata"]["name"], at))
        return born


def _name(guarantee: str, where: str, number: int) -> str:
    return f"{guarantee}-{where}-{number}".lower()
