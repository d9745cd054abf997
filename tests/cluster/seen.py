"""What the Kubernetes API shows of a cronjob, in a namespace of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.testbed.cluster import Cluster
from tests.testbed.cronjobs import await_status
from tests.testbed.wait import until


def jobs(cluster: Cluster, namespace: str, name: str = "hello") -> list[dict[str, Any]]:
    """Return the Jobs of a cronjob, oldest first."""
    selector = f"hacron.io/cronjob={name}"
    listed = cluster.kubectl("get", "jobs", "--namespace", namespace, "--selector", selector, "--output", "json")
    found: list[dict[str, Any]] = json.loads(listed)["items"]
    return sorted(found, key=lambda job: str(job["metadata"]["annotations"]["hacron.io/tick"]))


def first_job(cluster: Cluster, namespace: str, name: str = "hello") -> dict[str, Any]:
    return until(lambda: jobs(cluster, namespace, name), 30, f"a Job of {name}")[0]


def await_(
    cluster: Cluster, namespace: str, wanted: Callable[[dict[str, Any]], object], what: str, name: str = "hello"
) -> dict[str, Any]:
    return await_status(cluster, name, wanted, what, namespace=namespace)


def newest(status: dict[str, Any]) -> dict[str, Any]:
    """Return the newest verdict, or nothing."""
    return next(iter(status.get("recent", [])), {})
