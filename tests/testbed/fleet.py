"""Replicas in several clusters that share one broker: what an operator of two datacenters would have installed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.testbed.control_plane import ControlPlane
from tests.testbed.network import HERE, Place
from tests.testbed.replica import COMMAND, Replica
from tests.testbed.wait import until

REPLICAS = ("west-1", "west-2", "east-1")  # each named after its cluster


class Fleet:
    """Replicas over `broker_url` and `clusters`, their logs in `directory`. They start with `start`.

    `env` is added to the environment of each. Another `prefix` is another world at the same broker. `places` says where each
    runs, and `kubeconfigs` how those of a cluster reach its API server, if not directly. `command` starts one.
    """

    def __init__(
        self,
        directory: Path,
        *,
        broker_url: str,
        clusters: Mapping[str, ControlPlane],
        prefix: str = "hacron",
        names: Iterable[str] = REPLICAS,
        env: Mapping[str, str] | None = None,
        places: Mapping[str, Place] | None = None,
        kubeconfigs: Mapping[str, Path] | None = None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.clusters = dict(clusters)
        self.replicas: dict[str, Replica] = {}
        for name in names:
            cluster = name.rpartition("-")[0]
            self.replicas[name] = Replica(
                name,
                cluster=cluster,
                kubeconfig=(kubeconfigs or {}).get(cluster, self.clusters[cluster].operator_kubeconfig),
                broker_url=broker_url,
                log=directory / f"{name}.log",
                env={"HACRON_BROKER_PREFIX": prefix, **(env or {})},
                command=command,
                place=(places or {}).get(name, HERE),
            )

    def __getitem__(self, name: str) -> Replica:
        return self.replicas[name]

    def __iter__(self) -> Iterator[Replica]:
        return iter(self.replicas.values())

    def start(self, timeout: float = 60) -> None:
        """Start all replicas, the first one a little before the others; return when each is ready and the first decides."""
        first, *others = self
        first.start()
        first.wait_ready(timeout)
        self.await_executor(timeout=timeout)
        for replica in others:
            replica.start()
        for replica in others:
            replica.wait_ready(timeout)

    def stop(self) -> None:
        """Kill all replicas."""
        for replica in self:
            replica.thaw()
            replica.kill()

    def executor(self) -> Replica | None:
        """Return the replica that says it is executor; None when none says so, or more than one."""
        found = [replica for replica in self if replica.told().get("role") == "executor"]
        return found[0] if len(found) == 1 else None

    def await_executor(self, other_than: Replica | None = None, timeout: float = 30) -> Replica:
        """Return the executor as soon as there is exactly one, and it is not `other_than`."""

        def found() -> Replica | None:
            executor = self.executor()
            return executor if executor is not other_than else None

        return until(found, timeout, "an executor" + (f" other than {other_than.name}" if other_than else ""))

    def in_cluster(self, cluster: str) -> list[Replica]:
        """Return the replicas of a cluster."""
        return [replica for replica in self if replica.cluster == cluster]
