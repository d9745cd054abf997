"""HACronJobs as people write them, and what their status says."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

from tests.nested import nested_text
from tests.testbed.cluster import Cluster, KubectlFailed
from tests.testbed.judge import instant
from tests.testbed.wait import until

KEEP_ALL = 1000  # of the history limits: the judge wants to see every Job


def manifest(
    name: str,
    schedule: str = "@every 2s",
    *,
    namespace: str = "default",
    run_seconds: float = 0.2,
    fail: bool = False,
    **spec: Any,
) -> str:
    """Return a HACronJob as JSON. Its pod runs for so long and then ends well, or fails."""
    annotations = {"testbed/run-seconds": f"{run_seconds:g}", "testbed/fail": json.dumps(fail)}
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "none"}]}
    template = {"spec": {"backoffLimit": 0, "template": {"metadata": {"annotations": annotations}, "spec": pod}}}
    limits = {"successfulJobsHistoryLimit": KEEP_ALL, "failedJobsHistoryLimit": KEEP_ALL}
    return json.dumps(
        {
            "apiVersion": "hacron.io/v1",
            "kind": "HACronJob",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"schedule": schedule, "jobTemplate": template, **limits, **spec},
        }
    )


def deepened(manifest: str, levels: int) -> str:
    """Return a HACronJob with something in its pod that is nested so deep: of pods the resource's schema says little."""
    return manifest.replace('"restartPolicy"', f'"x": {nested_text(levels)}, "restartPolicy"', 1)


def read(cluster: Cluster, name: str, namespace: str = "default") -> dict[str, Any]:
    """Return the HACronJob as it stands in a cluster."""
    found: dict[str, Any] = json.loads(cluster.kubectl("get", "hacronjob", name, "--namespace", namespace, "-o", "json"))
    return found


def created(cluster: Cluster, name: str) -> datetime:
    """Return when the HACronJob was created."""
    return instant(read(cluster, name)["metadata"]["creationTimestamp"])


def await_status(
    cluster: Cluster,
    name: str,
    wanted: Callable[[dict[str, Any]], object],
    what: str,
    timeout: float = 30,
    namespace: str = "default",
) -> dict[str, Any]:
    """Return the status as soon as it is `wanted`."""
    last: dict[str, Any] = {}

    def look() -> bool:
        nonlocal last
        try:
            last = read(cluster, name, namespace).get("status", {})
        except KubectlFailed:
            return False
        return bool(last) and bool(wanted(last))

    try:
        until(look, timeout, what, every=0.2)
    except TimeoutError as error:
        error.add_note(f"the status of {name} in {cluster.name} is {json.dumps(last, indent=2)}")
        raise
    return last


def await_told(cluster: Cluster, name: str, jobs: set[str]) -> None:
    """Wait until the making of each of these Jobs is told in an Event on the HACronJob. Raises when one is told twice."""
    on_it = f"involvedObject.kind=HACronJob,involvedObject.name={name},reason=SuccessfulCreate"

    def told() -> list[str]:
        found = json.loads(cluster.kubectl("get", "events", "--namespace", "default", "--field-selector", on_it, "-o", "json"))
        return [re.sub(r"Created job (\S+) .*", r"\1", event["message"]) for event in found["items"]]

    until(lambda: jobs <= set(told()), 60, f"an Event on each of {len(jobs)} Jobs of {name}", every=0.5)
    twice = [job for job, times in Counter(told()).items() if times > 1]
    if twice:
        raise AssertionError(f"told more than once: {', '.join(twice)}")


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return the condition of this type, or nothing."""
    return next((each for each in status.get("conditions", []) if each["type"] == kind), {})


def remove_all(cluster: Cluster) -> None:
    """Delete all HACronJobs, what was asked of them, and their Jobs."""
    for kind in ("hacronjobruns", "hacronjobs", "jobs"):
        cluster.kubectl("delete", kind, "--all", "--all-namespaces", "--cascade=background", "--wait=false")
