"""Replicas as they are, over real clusters, and a broker in memory: all of their engines turn in one thread."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from hacron.core.model import Kind
from hacron.engine import Engine, Session
from hacron.kopf_watch import KopfWatch
from hacron.kube.client import KubeClient
from hacron.ports import FromKubernetes
from hacron.settings.fields import Settings
from hacron.turn import Moment
from tests.fakes.broker import FakeBroker
from tests.testbed.cluster import Cluster
from tests.testbed.wait import until

LONGEST_PAUSE_S = 0.05

PATIENT = {"proof_lease_s": 60.0, "token_missing_after_s": 120.0, "silent_after_s": 60.0, "kube_timeout_s": 25.0}
"""All replicas share one thread, and here nobody is there to begin a session anew: a machine that stalls ends none.

Nor does a request fail because the API server has much to do: a namespace whose requests hang is asked ever more rarely.
"""


class Replica:
    """One replica of a cluster, with its real client and its real watch."""

    def __init__(self, name: str, cluster: Cluster, broker: FakeBroker, news: threading.Event, **settings: Any) -> None:
        self.name = name
        self.arrivals: queue.SimpleQueue[FromKubernetes] = queue.SimpleQueue()
        present = Settings(cluster=cluster.name, replica=name, broker_url="amqp://in-memory", **(PATIENT | settings))
        self.kube = KubeClient(cluster.operator_kubeconfig, self.arrivals, timeout_s=present.kube_timeout_s)
        self.kube.on_arrival = news.set
        self.watches = [KopfWatch(self.kube.connection, self.arrivals, news.set, kind) for kind in Kind]
        self.engine = Engine(present, self.kube)
        self.session: Session = self.engine.begin(broker.connect(name, cluster.name, lambda: datetime.now(UTC)))
        self.kube.start()
        for watch in self.watches:
            watch.start()

    def turn(self) -> float:
        """Turn once; return in how many seconds to turn again without news."""
        arrived = []
        while not self.arrivals.empty():
            arrived.append(self.arrivals.get())
        self.session.turn(moment(), arrived)
        self.session.broker.connection.turn(0)
        return self.session.wait(moment())

    def stop(self) -> None:
        for watch in self.watches:
            watch.stop()
        self.kube.stop()


def moment() -> Moment:
    return Moment(datetime.now(UTC), time.monotonic())


class House:
    """Some replicas that share a broker."""

    def __init__(self, clusters: Mapping[str, Cluster], names: tuple[str, ...], **settings: Any) -> None:
        self.broker = FakeBroker()
        self._news = threading.Event()
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self.replicas: dict[str, Replica] = {}
        self._thread = threading.Thread(target=self._run, name="house")
        try:
            for name in names:
                cluster = clusters[name.rpartition("-")[0]]
                self.replicas[name] = Replica(name, cluster, self.broker, self._news, **settings)
            self._thread.start()
            until(self._works, 30, "an executor, and a worker in each cluster")
        except BaseException:
            self.stop()
            raise

    def __getitem__(self, name: str) -> Replica:
        return self.replicas[name]

    def stop(self) -> None:
        """End all replicas; raise what has ended the thread, if it did not end by itself."""
        self._stopping.set()
        self._news.set()
        if self._thread.ident is not None:
            self._thread.join()
        for replica in self.replicas.values():
            replica.stop()
        if self._failure is not None:
            raise self._failure

    def _works(self) -> bool:
        if self._failure is not None:
            raise self._failure
        sessions = [replica.session for replica in self.replicas.values()]
        workers = {replica.name.rpartition("-")[0] for replica in self.replicas.values() if replica.session.worker.knows_jobs}
        everywhere = {name.rpartition("-")[0] for name in self.replicas}
        complete = all(replica.engine.relay.inventory.complete for replica in self.replicas.values())
        return workers == everywhere and complete and any(session.executor.decides for session in sessions)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._news.clear()
                pauses = [replica.turn() for replica in self.replicas.values()]
                self._news.wait(min(LONGEST_PAUSE_S, *pauses))
        except BaseException as failure:  # noqa: BLE001  told by stop
            self._failure = failure


@contextmanager
def house(clusters: Mapping[str, Cluster], *names: str, **settings: Any) -> Iterator[House]:
    """Run replicas, each named after its cluster, for a while."""
    found = House(clusters, names, **settings)
    try:
        yield found
    finally:
        found.stop()
