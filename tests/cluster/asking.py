"""Ask an API server through the client of a replica, and as an admin who makes many things at once."""

from __future__ import annotations

import asyncio
import json
import queue
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hacron.core.manifests import CRONJOB, LABEL, RUN_ID, TICK, as_json
from hacron.core.model import Key, Kind, key_of
from hacron.kube.access import read_access
from hacron.kube.client import KubeClient
from hacron.kube.http import JSON, ApiServer
from hacron.ports import Answer, CreateJob, FromKubernetes, GetObject, JobSeen, JobsListed, PatchStatus, Request
from tests.testbed.control_plane import ControlPlane
from tests.testbed.wait import until


class Asking:
    """A running KubeClient and all that came from it."""

    def __init__(self, client: KubeClient, arrivals: queue.SimpleQueue[FromKubernetes]) -> None:
        self.client = client
        self._arrivals = arrivals
        self._seen: list[FromKubernetes] = []

    @property
    def seen(self) -> list[FromKubernetes]:
        """Return everything that has arrived so far, in order."""
        while not self._arrivals.empty():
            self._seen.append(self._arrivals.get())
        return self._seen

    def ask(self, request: Request, timeout: float = 20) -> Answer:
        """Send one request and return the answer to it."""
        return self.ask_all([request], timeout)[0]

    def ask_all(self, requests: Sequence[Request], timeout: float = 60) -> list[Answer]:
        """Send requests together and return the answers in the order in which they came."""
        before = len(self.answers())
        self.client.submit(requests)
        until(lambda: len(self.answers()) >= before + len(requests), timeout, f"{len(requests)} answers", every=0.01)
        return self.answers()[before:]

    def show(self, status: dict[str, Any], key: Key, kind: Kind = Kind.CRONJOB) -> Answer:
        """Write the status of the object that has this name now."""
        uid = self.ask(GetObject(key=key, kind=kind)).body["metadata"]["uid"]
        return self.ask(PatchStatus(key=key, uid=uid, status=status, kind=kind))

    def answers(self) -> list[Answer]:
        return [each for each in self.seen if isinstance(each, Answer)]

    def lists(self) -> list[set[str]]:
        """Return the names of the Jobs in each list that the watch has brought."""
        return [{view.name for view in each.views} for each in self.seen if isinstance(each, JobsListed)]

    def sightings(self, name: str) -> list[JobSeen]:
        """Return what the watch has told of the Job with this name since the last list."""
        return [each for each in self.seen if isinstance(each, JobSeen) and each.view.name == name]

    def count(self, verb: str) -> int:
        """Return how many requests with this HTTP method were sent."""
        return sum(count for (each, _), count in dict(self.client.tally).items() if each == verb)


@contextmanager
def asking(kubeconfig: Path | None, **settings: Any) -> Iterator[Asking]:
    """Run a client for a while."""
    arrivals: queue.SimpleQueue[FromKubernetes] = queue.SimpleQueue()
    client = KubeClient(kubeconfig, arrivals, **{"timeout_s": 60.0} | settings)
    client.start()
    try:
        yield Asking(client, arrivals)
    finally:
        client.stop()


def job(name: str, namespace: str, *, run_seconds: float = 0.1, labels: dict[str, str] | None = None) -> dict[str, Any]:
    """Return a Job of ours whose pod runs for so long."""
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "none"}]}
    template = {"metadata": {"annotations": {"testbed/run-seconds": f"{run_seconds:g}"}}, "spec": pod}
    metadata = {"name": name, "namespace": namespace, "annotations": marks(name)}
    metadata["labels"] = {LABEL: "true"} if labels is None else labels
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": template}}


def marks(name: str) -> dict[str, str]:
    """Return the annotations by which a Job is known to be ours."""
    return {CRONJOB: "hello", RUN_ID: name, TICK: "2026-11-24T12:00:00Z"}


def job_that_stands(name: str, version: int) -> dict[str, Any]:
    """Return a Job of ours as an API server tells of it."""
    body = job(name, "default")
    body["metadata"] |= {"uid": name, "creationTimestamp": "2026-11-24T12:00:00Z", "resourceVersion": f"{version}"}
    return body


def create(name: str, namespace: str, body: dict[str, Any] | None = None, **how: Any) -> CreateJob:
    """Return the request to create a Job."""
    found = job(name, namespace) if body is None else body
    return CreateJob(key=some_key(namespace), run_id=name, namespace=namespace, body=as_json(found), **how)


def some_key(namespace: str) -> Key:
    return key_of(namespace, "hello")


def all_at_once(
    kubeconfig: Path, requests: Iterable[tuple[str, str, dict[str, Any] | None]], *, kind: str = JSON, width: int = 16
) -> list[int]:
    """Send method, path and body of many requests, `width` at the same time; return the statuses."""

    async def go() -> list[int]:
        api = ApiServer(read_access(kubeconfig), lambda: read_access(kubeconfig), connections=width, timeout_s=30)
        lane = asyncio.Semaphore(width)

        async def send(request: tuple[str, str, dict[str, Any] | None]) -> int:
            async with lane:
                return (await api.send(*request, kind=kind)).status

        try:
            return await asyncio.gather(*map(send, requests))
        finally:
            await api.close()

    return asyncio.run(go())


def with_user(cluster: ControlPlane, path: Path, **user: Any) -> Path:
    """Write a kubeconfig for a cluster, for somebody else than its own are; return its path."""
    config = json.loads(cluster.operator_kubeconfig.read_text())
    config["users"][0]["user"] = user
    path.write_text(json.dumps(config))
    return path
