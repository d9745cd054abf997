"""Kustomize and Helm install the same; what that may do in a cluster is listed here, right by right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.packaging.rendered import (
    AS_FULL_OVERLAY,
    AS_OVERLAY,
    CHART,
    FULL_OVERLAY,
    REPOSITORY,
    Manifest,
    effect,
    from_chart,
    from_kustomize,
    one,
)
from tests.testbed.control_plane import ControlPlane

RIGHTS = [
    ("hacron.io", "hacronjobs hacronjobruns", ["get", "list", "watch"]),
    ("hacron.io", "hacronjobs/status hacronjobruns/status", ["patch"]),
    ("hacron.io", "hacronjobs/finalizers", ["update"]),
    ("batch", "jobs", ["create", "get", "list", "watch", "patch", "delete"]),
    ("", "events", ["create"]),
    ("", "namespaces", ["get"]),
]

SINGLE = ("ServiceAccount", "ClusterRoleBinding", "ConfigMap", "Deployment", "PodDisruptionBudget", "Service")
OBJECTS = [
    ("ClusterRole", "hacron"),
    ("ClusterRole", "hacron-edit"),
    ("ClusterRole", "hacron-view"),
    *((kind, "") for kind in SINGLE),
]

ONLY_KUSTOMIZE = {"Namespace", "CustomResourceDefinition"}  # Helm makes the one if asked, and takes the other from crds/


def rights(rules: list[dict[str, Any]]) -> list[tuple[str, str, list[str]]]:
    return [(*rule["apiGroups"], " ".join(rule["resources"]), rule["verbs"]) for rule in rules]


@pytest.fixture(scope="module")
def kustomized() -> list[Manifest]:
    return from_kustomize()


@pytest.fixture(scope="module")
def charted() -> list[Manifest]:
    return from_chart(AS_OVERLAY)


@pytest.mark.cluster
class TestSameEffect:
    def test_they_make_the_same_kinds_each_once(self, kustomized: list[Manifest], charted: list[Manifest]) -> None:
        def each(manifests: list[Manifest]) -> list[tuple[str, str]]:
            made = (manifest for manifest in manifests if manifest["kind"] not in ONLY_KUSTOMIZE)
            return sorted((manifest["kind"], effect(manifest)["metadata"]["name"]) for manifest in made)

        assert each(charted) == each(kustomized)
        assert len(set(each(charted))) == len(each(charted))
        assert [kind for kind, _ in each(charted)] == sorted(kind for kind, _ in OBJECTS)

    @pytest.mark.parametrize(("kind", "name"), OBJECTS)
    def test_an_object_does_the_same(self, kind: str, name: str, kustomized: list[Manifest], charted: list[Manifest]) -> None:
        assert effect(one(charted, kind, name)) == effect(one(kustomized, kind, name))

    @pytest.mark.parametrize("way", ["kustomized", "charted"])
    def test_selectors_find_the_pods(self, way: str, request: pytest.FixtureRequest) -> None:
        manifests: list[Manifest] = request.getfixturevalue(way)
        deployment = one(manifests, "Deployment")["spec"]
        labels = deployment["template"]["metadata"]["labels"].items()
        spread = [each["labelSelector"]["matchLabels"] for each in deployment["template"]["spec"]["topologySpreadConstraints"]]
        selectors = [
            deployment["selector"]["matchLabels"],
            one(manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
            one(manifests, "Service")["spec"]["selector"],
            *spread,
        ]
        assert len(selectors) == 5
        assert all(selector and selector.items() <= labels for selector in selectors)


@pytest.mark.cluster
class TestSameEffectOfAllThatMayBeAdded:
    """The overlay with every component, and the chart with the values for it."""

    ADDED = ("NetworkPolicy", "ServiceMonitor", "PrometheusRule", "ConfigMap hacron-dashboard")

    @pytest.fixture(scope="class")
    @staticmethod
    def both() -> tuple[dict[str, Any], dict[str, Any]]:
        def by_name(manifests: list[Manifest]) -> dict[str, Any]:
            effects = {f"{each['kind']} {effect(each)['metadata']['name']}": effect(each) for each in manifests}
            return {name: found for name, found in effects.items() if name.split()[0] not in ONLY_KUSTOMIZE}

        return by_name(from_chart(AS_FULL_OVERLAY)), by_name(from_kustomize(FULL_OVERLAY))

    def test_they_make_the_same(self, both: tuple[dict[str, Any], dict[str, Any]]) -> None:
        charted, kustomized = both
        assert set(charted) == set(kustomized)
        assert {name for name in charted if name.startswith(self.ADDED)} == {
            *(f"{kind} hacron" for kind in self.ADDED[:3]),
            self.ADDED[3],
        }
        for name, found in charted.items():
            assert found == kustomized[name], name

    @pytest.mark.parametrize("way", ["chart", "kustomize"])
    def test_what_effects_leave_out_is_right_in_both(self, way: str) -> None:
        """Labels and selectors: pods are found by the NetworkPolicy, the Service by the ServiceMonitor; alerts are as written."""
        manifests = from_chart(AS_FULL_OVERLAY) if way == "chart" else from_kustomize(FULL_OVERLAY)
        pods = one(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
        service = one(manifests, "Service")["metadata"]["labels"].items()
        assert one(manifests, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items() <= pods
        assert one(manifests, "ServiceMonitor")["spec"]["selector"]["matchLabels"].items() <= service
        alerts = yaml.safe_load((REPOSITORY / "deploy" / "monitoring" / "alerts.yaml").read_text())
        assert one(manifests, "PrometheusRule")["spec"] == alerts
        assert one(manifests, "ConfigMap", "hacron-dashboard")["metadata"]["labels"]["grafana_dashboard"] == "1"


@pytest.mark.cluster
class TestRights:
    def test_these_are_granted_and_no_others(self, kustomized: list[Manifest], charted: list[Manifest]) -> None:
        assert rights(one(kustomized, "ClusterRole", "hacron")["rules"]) == RIGHTS
        assert rights(one(charted, "ClusterRole", "hacron")["rules"]) == RIGHTS

    @pytest.mark.parametrize(
        ("role", "verbs"),
        [("view", ["get", "list", "watch"]), ("edit", ["create", "update", "patch", "delete", "deletecollection"])],
    )
    @pytest.mark.parametrize("way", ["kustomized", "charted"])
    def test_whoever_may_look_or_change_may_do_so_with_ours(
        self, role: str, verbs: list[str], way: str, request: pytest.FixtureRequest
    ) -> None:
        found = one(request.getfixturevalue(way), "ClusterRole", f"hacron-{role}")
        assert rights(found["rules"]) == [("hacron.io", "hacronjobs hacronjobruns", verbs)]
        aggregated = {label.rsplit("-", 1)[1] for label in found["metadata"]["labels"] if "/aggregate-to-" in label}
        assert aggregated == ({"view", "edit", "admin"} if role == "view" else {"edit", "admin"})

    def test_an_api_server_gives_a_replica_these_and_no_others(self, west: ControlPlane) -> None:
        """Beside what every user may do: ask who they are and what they may do."""
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": "default"}}
        ask = ("create", "--validate=false", "-f", "-", "-o", "json")
        asked = west.kubectl(*ask, input=json.dumps(review), kubeconfig=west.operator_kubeconfig)
        granted = json.loads(asked)["status"]["resourceRules"]
        own = [rule for rule in granted if not any(group.endswith(".k8s.io") for group in rule["apiGroups"])]
        assert sorted(rights(own)) == sorted(RIGHTS)
        assert {resource for rule in granted if rule not in own for resource in rule["resources"]} == {
            "selfsubjectaccessreviews",
            "selfsubjectreviews",
            "selfsubjectrulesreviews",
        }


def test_one_version_everywhere() -> None:
    def in_file(path: str) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load((REPOSITORY / path).read_text())
        return found

    project = next(line for line in (REPOSITORY / "pyproject.toml").read_text().splitlines() if line.startswith("version"))
    version = project.split('"')[1]
    chart = in_file(str(Path(CHART.relative_to(REPOSITORY)) / "Chart.yaml"))
    assert (chart["version"], chart["appVersion"]) == (version, version)
    container = in_file("deploy/base/deployment.yaml")["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == f"hacron:{version}"
    for overlay in ("west", "east"):
        assert in_file(f"deploy/overlays/{overlay}/kustomization.yaml")["images"][0]["newTag"] == version
    assert f"ARG VERSION={version}\n" in (REPOSITORY / "deploy" / "Dockerfile").read_text()
