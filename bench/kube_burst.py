"""How long a burst of Jobs takes through KubeClient, beside a bare aiohttp client, on one API server of the testbed.

    .venv/bin/python -m bench.kube_burst [jobs] [rounds]

Both send the same Jobs (suspended, so that no pods follow) with 32 requests at once over connections of their own, in turns;
round by round the figures differ with what else the machine does, so their ratio is what counts.
"""

from __future__ import annotations

import asyncio
import queue
import ssl
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from hacron.core.manifests import as_json
from hacron.core.model import key_of
from hacron.kube.client import KubeClient
from hacron.ports import Answer, CreateJob, FromKubernetes
from tests.testbed.control_plane import ControlPlane

AT_ONCE = 32
NAMESPACE = "default"


def job(name: str) -> dict[str, Any]:
    """Return a Job of about 1.5 KB that starts no pod."""
    env = [{"name": f"VARIABLE_{number}", "value": "x" * 40} for number in range(12)]
    container = {"name": "main", "image": "none", "command": ["/bin/true"], "env": env}
    pod = {"restartPolicy": "Never", "containers": [container]}
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {"hacron.io/managed": "true"}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"suspend": True, "template": {"spec": pod}}}


class Bare:
    """The least that a client can do: bodies encoded beforehand, 32 loops over one list."""

    def __init__(self, connection: dict[str, Any]) -> None:
        self._url = f"{connection['server']}/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
        self._headers = {"Authorization": f"Bearer {connection['token']}", "Content-Type": "application/json"}
        self._ca = connection["ca_path"]

    async def burst(self, bodies: list[dict[str, Any]]) -> float:
        data = [msgspec.json.encode(body) for body in bodies]
        connector = aiohttp.TCPConnector(limit=AT_ONCE, ssl=ssl.create_default_context(cafile=self._ca))
        async with aiohttp.ClientSession(connector=connector, headers=self._headers) as session:

            async def post() -> None:
                while data:
                    async with session.post(self._url, data=data.pop()) as response:
                        await response.read()
                        assert response.status == 201

            began = time.perf_counter()
            await asyncio.gather(*(post() for _ in range(AT_ONCE)))
            return time.perf_counter() - began


def ours(kubeconfig: Path, bodies: list[dict[str, Any]]) -> float:
    """Send the Jobs through a KubeClient that has just started, and wait for the last Answer."""
    arrivals: queue.SimpleQueue[FromKubernetes] = queue.SimpleQueue()
    news = threading.Event()
    client = KubeClient(kubeconfig, arrivals, concurrency=AT_ONCE, timeout_s=60)
    client.on_arrival = news.set
    client.start()
    try:
        key = key_of(NAMESPACE, "burst")
        began = time.perf_counter()
        requests = [CreateJob(key=key, run_id="", namespace=NAMESPACE, body=as_json(body)) for body in bodies]
        client.submit(requests)
        made = 0
        while made < len(requests):  # as the engine does: woken now and then, it takes all that is there
            news.wait(60)
            news.clear()
            for _ in range(arrivals.qsize()):
                answer = arrivals.get()
                assert isinstance(answer, Answer)
                assert answer.status == 201, answer.reason
                made += 1
        return time.perf_counter() - began
    finally:
        client.stop()


def main(jobs: int = 1000, rounds: int = 5) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cluster = ControlPlane("burst", Path(folder))
        try:
            cluster.start()
            measure(cluster, jobs, rounds)
        finally:
            cluster.stop()


def measure(cluster: ControlPlane, jobs: int, rounds: int) -> None:
    """Print one line for each round and the medians."""
    idle = KubeClient(cluster.admin_kubeconfig, queue.SimpleQueue())
    bare = Bare(idle.connection())
    figures: dict[str, list[float]] = {"bare": [], "ours": []}
    for number in range(rounds + 1):
        for who in ("bare", "ours") if number % 2 else ("ours", "bare"):
            bodies = [job(f"{who}-{number}-{each}") for each in range(jobs)]
            took = asyncio.run(bare.burst(bodies)) if who == "bare" else ours(cluster.admin_kubeconfig, bodies)
            cluster.kubectl("delete", "jobs", "--all", "--cascade=background", "--wait=false")
            if number:  # the first round warms the API server
                figures[who].append(took)
                print(f"round {number}  {who}  {jobs} Jobs in {took:.3f} s, {jobs / took:.0f} a second", flush=True)
    medians = {who: statistics.median(each) for who, each in figures.items()}
    ratio = statistics.median(ours / bare for ours, bare in zip(figures["ours"], figures["bare"], strict=True))
    print(f"median  bare {medians['bare']:.3f} s  ours {medians['ours']:.3f} s  ratio of a round {ratio:.2f}")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
