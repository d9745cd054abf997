"""Both ways to install, on a real API server, in a namespace that allows only restricted pods."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import yaml

from tests.packaging.rendered import (
    AS_OVERLAY,
    CHART,
    CHART_BEFORE,
    FULL_OVERLAY,
    LEAST,
    NAMESPACE,
    OVERLAY,
    Manifest,
    from_chart,
    from_kustomize,
    helm,
    one,
)
from tests.testbed.cluster import KubectlFailed
from tests.testbed.control_plane import ControlPlane
from tests.testbed.wait import until

pytestmark = pytest.mark.cluster

RUNS_ON = {"testbed/run-seconds": "36000"}  # else the testbed's pods end by themselves
RELEASE, ELSEWHERE = "spare", "packaging"


def pod_of(manifests: list[Manifest]) -> dict[str, Any]:
    """Return a pod as the Deployment would make it."""
    template = copy.deepcopy(one(manifests, "Deployment")["spec"]["template"])
    metadata = {**template["metadata"], "name": "sample", "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def try_pod(cluster: ControlPlane, pod: dict[str, Any]) -> None:
    cluster.kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(pod))


def schemas(cluster: ControlPlane) -> dict[str, Any]:
    """Return what the API server knows of our custom resources, by their names."""
    found = json.loads(cluster.kubectl("get", "crd", "-o", "json"))["items"]
    ours = [each for each in found if each["spec"]["group"] == "hacron.io"]
    return {each["metadata"]["name"]: each["spec"]["versions"][0]["schema"] for each in ours}


@pytest.mark.parametrize("way", ["kustomize", "kustomize with components", "chart", "chart with TLS", "chart with everything"])
class TestRestricted:
    def manifests(self, way: str) -> list[Manifest]:
        if way.startswith("kustomize"):
            return from_kustomize(OVERLAY if way == "kustomize" else FULL_OVERLAY)
        if way == "chart":
            return from_chart(AS_OVERLAY)
        values = yaml.safe_load((CHART / "ci" / f"{way.rpartition(' ')[2].lower()}-values.yaml").read_text())
        return from_chart(values)

    def test_its_pods_are_admitted(self, way: str, west: ControlPlane) -> None:
        try_pod(west, pod_of(self.manifests(way)))

    @pytest.mark.parametrize("without", ["securityContext of the pod", "securityContext of the container"])
    def test_they_would_not_be_with_less(self, way: str, without: str, west: ControlPlane) -> None:
        pod = pod_of(self.manifests(way))
        pod["spec"].pop("priorityClassName", None)
        del (pod["spec"] if without.endswith("pod") else pod["spec"]["containers"][0])["securityContext"]
        with pytest.raises(KubectlFailed, match="violates PodSecurity"):
            try_pod(west, pod)


class TestKustomize:
    def test_all_of_it_is_taken(self, west: ControlPlane) -> None:
        applied = west.kubectl("apply", "-k", str(OVERLAY), "--dry-run=server", "-o", "name").splitlines()
        assert len(applied) == len(from_kustomize())

    def test_two_replicas_become_available(self, west: ControlPlane) -> None:
        manifests = [each for each in from_kustomize() if each["kind"] in ("ConfigMap", "Deployment", "PodDisruptionBudget")]
        one(manifests, "Deployment")["spec"]["template"]["metadata"]["annotations"] = RUNS_ON
        several = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
        try:
            west.apply(several)
            west.kubectl("-n", NAMESPACE, "rollout", "status", "deployment/hacron", "--timeout=60s")
            ready = west.kubectl("-n", NAMESPACE, "get", "deployment/hacron", "-o", "jsonpath={.status.readyReplicas}")
            assert ready == "2"
        finally:
            west.kubectl("delete", "--cascade=foreground", "-f", "-", input=several)


class TestHelm:
    @pytest.fixture
    @staticmethod
    def _released(west: ControlPlane) -> Iterator[None]:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ELSEWHERE}}
        west.apply(
            json.dumps(
                {**namespace, "metadata": {"name": ELSEWHERE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
            )
        )
        yield
        west.kubectl("delete", "namespace", ELSEWHERE)

    @pytest.mark.usefixtures("_released")
    def test_it_installs_upgrades_and_goes_without_a_trace(self, west: ControlPlane) -> None:
        values = {**LEAST, "podAnnotations": RUNS_ON}
        there = ("--namespace", ELSEWHERE, "--wait", "--timeout", "60s")

        said = helm("install", RELEASE, CHART, *there, values=values, kubeconfig=west.admin_kubeconfig)
        assert "2 replicas of HACronJob start in the cluster west." in said
        assert "wait for the Secret hacron-broker" in said
        assert "helm show crds CHART | kubectl apply --server-side --force-conflicts -f -" in said
        assert f"helm test {RELEASE} --namespace {ELSEWHERE} --logs" in said
        first = self.revision(west)
        tested = helm("test", RELEASE, "--namespace", ELSEWHERE, "--timeout", "60s", kubeconfig=west.admin_kubeconfig)
        assert "Phase:          Succeeded" in tested

        more = {**values, "settings": {"log_level": "DEBUG"}}
        helm("upgrade", RELEASE, CHART, *there, values=more, kubeconfig=west.admin_kubeconfig)
        assert self.revision(west) != first

        helm("uninstall", RELEASE, *there, kubeconfig=west.admin_kubeconfig)
        label = f"app.kubernetes.io/instance={RELEASE}"
        west.kubectl("-n", ELSEWHERE, "delete", "pod", f"{RELEASE}-hacron-test")  # Helm leaves what it has tested with
        for kinds, where in (("clusterrole,clusterrolebinding", ()), ("all,cm,secret,sa,pdb", ("-n", ELSEWHERE))):
            left = partial(west.kubectl, "get", kinds, *where, "-l", label, "-o", "name")  # what is owned goes a little later
            until(lambda left=left: left() == "", 60, "nothing of it left")
        assert "hacronjobs.hacron.io" in west.kubectl("get", "crd", "-o", "name")

    @pytest.mark.usefixtures("_released")
    def test_a_new_url_starts_new_replicas(self, west: ControlPlane) -> None:
        there = ("--namespace", ELSEWHERE, "--wait", "--timeout", "60s")
        revisions = []
        try:
            for password in ("old", "new"):
                values = {"cluster": "west", "broker": {"url": f"amqp://hacron:{password}@rabbit"}, "podAnnotations": RUNS_ON}
                helm("upgrade", "--install", RELEASE, CHART, *there, values=values, kubeconfig=west.admin_kubeconfig)
                revisions.append(self.revision(west))
        finally:
            helm("uninstall", RELEASE, *there, kubeconfig=west.admin_kubeconfig)
        assert revisions == ["1", "2"]

    @pytest.mark.usefixtures("_released")
    def test_the_chart_before_is_upgraded(self, west: ControlPlane) -> None:
        values = {**LEAST, "podAnnotations": RUNS_ON, "settings": {"log_level": "DEBUG"}}
        there = ("--namespace", ELSEWHERE, "--wait", "--timeout", "60s")
        helm("install", RELEASE, CHART_BEFORE, *there, "--skip-crds", values=values, kubeconfig=west.admin_kubeconfig)
        try:
            first = self.revision(west)
            helm("upgrade", RELEASE, CHART, *there, "--reset-then-reuse-values", kubeconfig=west.admin_kubeconfig)
            assert self.revision(west) != first
            said = helm("get", "values", RELEASE, "--namespace", ELSEWHERE, "-o", "json", kubeconfig=west.admin_kubeconfig)
            assert json.loads(said) == values
        finally:
            helm("uninstall", RELEASE, *there, kubeconfig=west.admin_kubeconfig)

    def test_custom_resources_are_upgraded_by_the_command_that_the_notes_tell(self, west: ControlPlane) -> None:
        """As Helm left them when it installed the chart before; Helm itself would never touch them again."""
        ours = helm("show", "crds", CHART)
        server = ("apply", "--server-side", "-f", "-")
        west.kubectl(*server, "--force-conflicts", "--field-manager=helm", input=helm("show", "crds", CHART_BEFORE))
        before = schemas(west)
        with pytest.raises(KubectlFailed, match="conflict"):
            west.kubectl(*server, input=ours)
        west.kubectl(*server, "--force-conflicts", input=ours)
        assert schemas(west) != before
        for each in filter(None, yaml.safe_load_all(ours)):
            (version,) = each["spec"]["versions"]
            assert schemas(west)[each["metadata"]["name"]] == version["schema"]

    def revision(self, cluster: ControlPlane) -> str:
        """Return which edition of the pods is at work."""
        name = f"deployment/{RELEASE}-hacron"
        path = "jsonpath={.metadata.annotations.deployment\\.kubernetes\\.io/revision} {.status.readyReplicas}"
        revision, ready = cluster.kubectl("-n", ELSEWHERE, "get", name, "-o", path).split()
        assert ready == "2"
        return revision
