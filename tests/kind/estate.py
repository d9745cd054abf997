"""The operator as users install it, in two kind clusters with one broker, but set to notice faults sooner."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.packaging.rendered import CHART, helm
from tests.testbed.cluster import KubectlFailed
from tests.testbed.kind.cluster import KindCluster
from tests.testbed.wait import until

NAMESPACE, RELEASE = "hacron-system", "hacron"
REPLICAS = "app.kubernetes.io/name=hacron,app.kubernetes.io/instance=hacron"  # and not the pod of `helm test`
IMAGE, NOW, BEFORE = "hacron", "0.1.0", "testbed-before"  # the image, its tag in the quick start, and that of the chart before
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"

# A frozen executor is replaced within 2 x 2 s + 1 s, and a cluster is silent after 6 s.
QUICK = {
    "heartbeat_s": 2,
    "token_missing_after_s": 6,
    "seen_interval_s": 1,
    "silent_after_s": 6,
    "start_window_s": 10,
    "inventory_interval_s": 10,
}


@dataclass(frozen=True, slots=True)
class Pod:
    """A replica."""

    cluster: KindCluster
    name: str

    def kill(self) -> None:
        """Delete it as nobody should: at once, without asking it to stop."""
        self.cluster.kubectl("-n", NAMESPACE, "delete", "pod", self.name, "--grace-period=0", "--force", "--wait=false")

    def is_executor(self) -> bool:
        """Ask it, through the API server; whoever does not answer is none."""
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{self.name}:8080/proxy/metrics"
        try:
            return "\nhacron_executor 1.0\n" in self.cluster.kubectl("get", "--raw", path, "--request-timeout=3s")
        except KubectlFailed:
            return False


class Estate:
    """Two clusters that run, and what is installed in them."""

    def __init__(self, clusters: Mapping[str, KindCluster], broker_url: str) -> None:
        self.clusters = dict(clusters)
        self._broker_url = broker_url

    def install(self, chart: Path = CHART, tag: str = NOW) -> None:
        """Install or upgrade the release in both clusters at the same time; return when all replicas are ready."""
        self._in_both(lambda cluster: self._install(cluster, chart, tag))

    def uninstall(self) -> None:
        """Remove the release from both clusters at the same time; return when no replica is left."""
        self._in_both(self._uninstall)

    def roll(self) -> None:
        """Start all replicas anew, one after the other, in both clusters at the same time."""
        self._in_both(self._roll)

    def executor(self, timeout: float = 60) -> Pod:
        """Return the replica that is executor, as soon as there is exactly one."""

        def found() -> Pod | None:
            pods = [pod for cluster in self.clusters.values() for pod in replicas(cluster)]
            with ThreadPoolExecutor() as pool:
                executors = [pod for pod, is_one in zip(pods, pool.map(Pod.is_executor, pods), strict=True) if is_one]
            return executors[0] if len(executors) == 1 else None

        return until(found, timeout, "an executor", every=0.5)

    def other_than(self, cluster: KindCluster) -> KindCluster:
        """Return the other cluster."""
        return next(each for each in self.clusters.values() if each is not cluster)

    def _in_both(self, what: Callable[[KindCluster], None]) -> None:
        with ThreadPoolExecutor() as pool:
            list(pool.map(what, self.clusters.values()))

    def _install(self, cluster: KindCluster, chart: Path, tag: str) -> None:
        values = {
            "cluster": cluster.name,
            "image": {"repository": IMAGE, "tag": tag, "pullPolicy": "Never"},
            "broker": {"url": self._broker_url},
            "settings": QUICK,
        }
        where = ("--namespace", NAMESPACE, "--create-namespace", "--wait", "--timeout=180s")
        helm("upgrade", "--install", RELEASE, chart, *where, values=values, kubeconfig=cluster.admin_kubeconfig)

    def _uninstall(self, cluster: KindCluster) -> None:
        where = ("--namespace", NAMESPACE, "--wait", "--timeout=120s")
        helm("uninstall", RELEASE, *where, kubeconfig=cluster.admin_kubeconfig)
        until(lambda: not replicas(cluster), 60, f"the end of all replicas in {cluster.name}", every=0.5)

    def _roll(self, cluster: KindCluster) -> None:
        cluster.kubectl("-n", NAMESPACE, "rollout", "restart", f"deployment/{RELEASE}")
        cluster.kubectl("-n", NAMESPACE, "rollout", "status", f"deployment/{RELEASE}", "--timeout=180s")


def replicas(cluster: KindCluster) -> list[Pod]:
    """Return all pods of the release; none while the API server does not answer."""
    ask = ("-n", NAMESPACE, "get", "pods", "-l", REPLICAS, "-o", "json", "--request-timeout=3s")
    try:
        found = json.loads(cluster.kubectl(*ask))["items"]
    except KubectlFailed:
        return []
    return [Pod(cluster, each["metadata"]["name"]) for each in found]


def images(cluster: KindCluster) -> set[str]:
    """Return what the replicas run, but for those that are on their way out."""
    ask = ("-n", NAMESPACE, "get", "pods", "-l", REPLICAS, "-o", "json")
    pods = json.loads(cluster.kubectl(*ask))["items"]
    staying = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    return {container["image"].rpartition("/")[2] for pod in staying for container in pod["status"]["containerStatuses"]}
