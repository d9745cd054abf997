"""Put into a cluster what the operator needs there: the custom resources, its namespace and its rights.

It is what this repository ships and no more, so that tests run with the rights that people get.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.testbed.cluster import Cluster, KubectlFailed
from tests.testbed.wait import until

BASE = Path(__file__).parents[2] / "deploy" / "base"
_KINDS = ("Namespace", "CustomResourceDefinition", "ServiceAccount", "ClusterRole", "ClusterRoleBinding")


def install(cluster: Cluster) -> None:
    """Apply all of deploy/base but what runs the operator as pods; wait until our resources are served."""
    rendered = yaml.safe_load_all(cluster.kubectl("kustomize", str(BASE)))
    cluster.apply(yaml.safe_dump_all(manifest for manifest in rendered if manifest["kind"] in _KINDS))
    wait_established(cluster, "crd/hacronjobs.hacron.io", "crd/hacronjobruns.hacron.io")


def wait_established(cluster: Cluster, *resources: str) -> None:
    """Wait until these custom resources, named as arguments of kubectl (`-f`, a path; `crd/NAME`), are served."""

    def established() -> bool:
        try:
            cluster.kubectl("wait", "--for=condition=Established", *resources, "--timeout=30s")
        except KubectlFailed:  # as long as there are no conditions at all, it does not wait for one
            return False
        return True

    until(established, 60, f"{' '.join(resources)} in {cluster.name}", every=0.2)
