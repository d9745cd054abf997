"""Put into a cluster what the operator needs there: the custom resource, its namespace and its rights.

It is what this repository ships and no more, so that tests run with the rights that people get.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.testbed.cluster import Cluster

_REPOSITORY = Path(__file__).parents[2]
_KINDS = {"Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}


def install(cluster: Cluster) -> None:
    """Apply the CRD and all of deploy/base but what runs the operator as pods; wait until the CRD is served."""
    base, crd = _REPOSITORY / "deploy" / "base", _REPOSITORY / "crds" / "hacronjob.yaml"
    if not (base / "kustomization.yaml").exists() or not crd.exists():
        return
    rendered = cluster.kubectl("kustomize", str(base))
    wanted = [manifest for manifest in yaml.safe_load_all(rendered) if manifest and manifest["kind"] in _KINDS]
    wanted.sort(key=lambda manifest: str(manifest["kind"]) != "Namespace")
    cluster.apply(yaml.safe_dump_all(wanted))
    cluster.apply(crd)
    cluster.kubectl("wait", "--for=condition=Established", "-f", str(crd), "--timeout=30s")
