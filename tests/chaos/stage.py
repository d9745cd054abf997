"""What faults are done to: a broker of several nodes, two clusters, replicas, naive holders, and who records it all."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pika

from tests.chaos import naive
from tests.chaos.checker import Told, Verdicts
from tests.chaos.load import Declared, declare
from tests.chaos.naive_fleet import COUNT, EVERY_S, NaiveFleet
from tests.testbed.api_proxy import ApiProxy
from tests.testbed.broker import Broker
from tests.testbed.broker_cluster import BrokerCluster
from tests.testbed.control_plane import ControlPlane
from tests.testbed.cronjobs import remove_all
from tests.testbed.fleet import Fleet
from tests.testbed.judge import Ran, Recorder, instant
from tests.testbed.network import Network, Place
from tests.testbed.wait import until

REPLICAS = ("west-1", "west-2", "east-1", "east-2")
PREFIX = "hacron"
NOTED_EVERY_S = 8.0
SOON = timedelta(seconds=3)  # a Job of a tick so short ago may be on its way


def now() -> datetime:
    return datetime.now(UTC)


class Part(Protocol):
    """What may be killed or frozen: a replica, a naive one, a broker node."""

    place: Place

    @property
    def pid(self) -> int: ...

    def start(self) -> None: ...
    def kill(self) -> Any: ...
    def freeze(self) -> None: ...
    def thaw(self) -> None: ...


class Stage:
    """All of it, started by `set_up`. `each` is how many cronjobs of every sort; `settings` are the replicas'."""

    def __init__(
        self,
        directory: Path,
        clusters: Mapping[str, ControlPlane],
        *,
        nodes: int = 3,
        version: str | None = None,
        each: int = 1,
        settings: Mapping[str, str] | None = None,
        with_naive: bool = True,
    ) -> None:
        self.directory = directory
        self.clusters = dict(clusters)
        self.network = Network()
        self._nodes, self._version, self._each = nodes, version, each
        self._settings = dict(settings or {})
        self._with_naive = with_naive
        self._undo = ExitStack()
        self.declared: list[Declared] = []
        self.told: set[str] = set()  # the promises that are known to have been broken
        self.began = now()  # when the present fault did
        self.verdicts: Verdicts = {}
        self._noting, self._ended = threading.Lock(), threading.Event()

    # --- up and down ---

    def set_up(self) -> None:
        """Start everything and wait until the load runs."""
        try:
            self._set_up()
        except BaseException:
            self.tear_down()
            raise

    def _set_up(self) -> None:
        self._undo.callback(self.network.close)
        self.network.start()
        self.brokers = BrokerCluster(self.directory, self.network, count=self._nodes, version=self._version)
        self._undo.callback(self.brokers.close)
        self.brokers.start()
        self.proxies = {name: ApiProxy(each, self.directory, self.network.host.address) for name, each in self.clusters.items()}
        for proxy in self.proxies.values():
            proxy.start()
            self._undo.callback(proxy.stop)
        places = {name: self.network.place() for name in REPLICAS}
        kubeconfigs = {name: proxy.kubeconfig for name, proxy in self.proxies.items()}
        self.recorders = {label: self._record(label) for label in ("hacron.io/managed", naive.LABEL)}
        self.fleet = Fleet(
            self.directory,
            broker_url=self.brokers.url,
            clusters=self.clusters,
            prefix=PREFIX,
            names=REPLICAS,
            env=self._settings,
            places=places,
            kubeconfigs=kubeconfigs,
        )
        self._undo.callback(self._remove_objects)
        self._undo.callback(self.fleet.stop)
        self.fleet.start(timeout=120)
        self.naive = NaiveFleet(self.directory, broker_url=self.brokers.url, kubeconfigs=kubeconfigs, places=places)
        self._undo.callback(self.naive.stop)
        if self._with_naive:
            self.naive.start()
        self.declared = declare(self.clusters, self._each)
        noting = threading.Thread(target=self._keep_noting, daemon=True)
        noting.start()
        self._undo.callback(self._stop_noting, noting)
        self.await_runs()

    def tear_down(self) -> None:
        """Stop and remove everything but the clusters."""
        self._undo.close()

    def _record(self, label: str) -> list[Recorder]:
        recorders = [Recorder(cluster, self.directory, label) for cluster in self.clusters.values()]
        for recorder in recorders:
            recorder.start()
            self._undo.callback(recorder.stop)
        return recorders

    def _remove_objects(self) -> None:
        for cluster in self.clusters.values():
            remove_all(cluster)

    # --- what runs ---

    def begins(self) -> None:
        """Note that the fault begins now, after all that had to be found out for it."""
        self.began = now()

    @property
    def ours(self) -> list[Ran]:
        """Every Job that the replicas have ever made."""
        return self._recorded("hacron.io/managed")

    @property
    def theirs(self) -> list[Ran]:
        """Every Job that the naive holders have ever made."""
        return self._recorded(naive.LABEL)

    def _recorded(self, label: str) -> list[Ran]:
        found = []
        for recorder in self.recorders[label]:
            recorder.start()  # anew, if the API server has ended its watch: nothing that it would tell of is deleted so soon
            found += recorder.jobs()
        return found

    def note_verdicts(self) -> None:
        """Keep what each HACronJob tells of its past, in each cluster: a status has the newest ten, those of fifty seconds."""
        for name, cluster in self.clusters.items():
            with suppress(RuntimeError, subprocess.SubprocessError):  # it may be the API server that is away
                listed = json.loads(cluster.kubectl("get", "hacronjobs", "-o", "json"))["items"]
                with self._noting:
                    verdicts = dict(self.verdicts)
                    for found in listed:
                        told = {_told(entry) for entry in found.get("status", {}).get("recent", [])}
                        about = name, found["metadata"]["name"]
                        verdicts[about] = verdicts.get(about, set()) | told
                    self.verdicts = verdicts  # whoever reads it has all of one moment

    def _keep_noting(self) -> None:
        while not self._ended.wait(NOTED_EVERY_S):
            self.note_verdicts()

    def _stop_noting(self, noting: threading.Thread) -> None:
        self._ended.set()
        noting.join()

    def naive_ticks(self, since: datetime, until_: datetime) -> list[tuple[str, datetime]]:
        """Return what the naive holders should have fired, since < tick <= until."""
        first, last = (int(at.timestamp()) // EVERY_S + 1 for at in (since, until_))
        ticks = [datetime.fromtimestamp(number * EVERY_S, UTC) for number in range(first, last)]
        return [(f"naive-{number}", tick) for tick in ticks for number in range(COUNT)] if self._with_naive else []

    def holders(self) -> list[Part]:
        """Return who holds a token: our executor, and the naive one."""
        found: list[Part] = [self.fleet.await_executor(timeout=60)]
        holder = self.naive.holder() if self._with_naive else None
        return [*found, *([holder] if holder else [])]

    def live(self, seconds: float) -> None:
        """Let time pass."""
        end = time.monotonic() + seconds
        until(lambda: time.monotonic() >= end, seconds + 60, "time to pass", every=0.2)

    def await_runs(self, timeout: float = 180) -> None:
        """Wait until every cronjob has run a tick that is still to come."""
        since = now()

        def all_ran() -> bool:
            ran = {one.cronjob.rpartition("/")[2] for one in self.ours if one.tick > since}
            return all(one.name in ran for one in self.declared)

        try:
            until(all_ran, timeout, f"a run of every cronjob since {since:%H:%M:%S}", every=0.5)
        except TimeoutError as error:
            told = {replica.name: replica.told() for replica in self.fleet}
            error.add_note(f"the replicas say {told}")
            raise

    def recover(self) -> None:
        """Wait until everything is as before: all nodes, all replicas, every cronjob; start what is not running."""
        self.brokers.mend()
        for replica in self.fleet:
            replica.start()
        for replica in self.fleet:
            replica.wait_ready(120)
        self.fleet.await_executor(timeout=120)
        if self._with_naive:
            for each in self.naive.replicas:
                each.start()
        self.await_runs()

    def takeover_s(self, since: datetime) -> float | None:
        """Return how long after `since` a replica became executor, by its log; None when none did."""
        began = [datetime.fromisoformat(line["ts"]) for replica in self.fleet for line in replica.lines("is the executor")]
        after = [at for at in began if at >= since]
        return (min(after) - since).total_seconds() if after else None

    # --- the broker ---

    @contextmanager
    def channel(self) -> Iterator[pika.adapters.blocking_connection.BlockingChannel]:
        """Yield a channel at a node that answers."""
        with pika.BlockingConnection([pika.URLParameters(node.url) for node in self.brokers.nodes]) as connection:
            yield connection.channel()

    def node_of(self, part: Part) -> Broker | None:
        """Return the node that a replica is connected to."""
        listed = subprocess.run(
            part.place.command(["ss", "-Htnp", "state", "established"]), capture_output=True, text=True, check=True
        ).stdout
        own = [line for line in listed.splitlines() if f"pid={part.pid}," in line]
        return next(
            (node for node in self.brokers.nodes if any(f" {node.place.address}:{node.port} " in line for line in own)), None
        )

    def common_node(self) -> Broker:
        """Return the node that our executor is connected to, and see to it that the naive holder is too."""
        node = until(lambda: self.node_of(self.fleet.await_executor()), 30, "the executor's node")

        def naive_is_there() -> bool:
            holder = self.naive.holder()
            if holder is not None and self.node_of(holder) is not node:
                holder.kill()  # another takes the token, perhaps at the right node
                holder.start()
                return False
            return holder is not None

        if self._with_naive:
            until(naive_is_there, 120, "the naive holder at the same node", every=1)
        return node

    def other_nodes(self, node: Broker) -> list[Broker]:
        return [other for other in self.brokers.nodes if other is not node]

    def cut_off(self, place: Place, others: list[Place], *, both: bool = True, incoming: bool = True) -> None:
        """Cut a place off from others; one way: what it would hear (`incoming`), or what it says."""
        self.begins()
        for other in others:
            source, target = (other, place) if incoming else (place, other)
            self.network.cut(source, target, both=both)


def _told(entry: dict[str, Any]) -> Told:
    return Told(instant(entry["tick"]), entry["verdict"], int(entry.get("count") or 1))
