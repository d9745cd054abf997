"""deploy/gitops: Argo CD judges rightly what is well, both tools are told values that the chart takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from lupa import lua51

from tests.core.statuses import CRONJOBS, DEMANDS, Sample
from tests.packaging.rendered import REPOSITORY, from_chart, one

GITOPS = REPOSITORY / "deploy" / "gitops"
FILES = sorted(path for path in GITOPS.rglob("*.yaml") if path.name != "argocd-cm.yaml")


def manifests(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


# --- health in Argo CD --------------------------------------------------------------------------------------------------


def health(body: dict[str, Any]) -> tuple[str, str]:
    """Run the script for this kind as Argo CD does (gopher-lua is a Lua 5.1): the object is `obj`, a table is returned."""
    (config,) = manifests(GITOPS / "argocd" / "argocd-cm.yaml")
    lua = lua51.LuaRuntime(unpack_returned_tuples=True, register_eval=False)
    lua.globals()["obj"] = lua.table_from(body, recursive=True)
    found = lua.execute(config["data"][f"resource.customizations.health.hacron.io_{body['kind']}"])
    return found["status"], found["message"]


@pytest.mark.parametrize("sample", (CRONJOBS | DEMANDS).values(), ids=CRONJOBS | DEMANDS)
def test_argo_cd_judges_rightly(sample: Sample) -> None:
    status, message = health(sample.body)
    assert status == sample.argo
    assert sample.says in message


@pytest.mark.parametrize("kind", ["HACronJob", "HACronJobRun"])
@pytest.mark.parametrize(
    "status",
    [{}, {"observedGeneration": 1}, {"observedGeneration": 1, "conditions": []}, {"observedGeneration": 1, "conditions": [{}]}],
    ids=["none", "only the generation", "no conditions", "an empty one"],
)
def test_what_says_little_is_waited_for(kind: str, status: dict[str, Any]) -> None:
    body = {"kind": kind, "metadata": {"generation": 1}, "status": status}
    if status.get("conditions") == [{}]:
        body["status"] = {**status, "conditions": [{"type": "Other", "status": "True"}]}
    assert health(body) == ("Progressing", "waits for the operator")
    del body["status"]
    assert health(body) == ("Progressing", "waits for the operator")


# --- what both tools are told ---------------------------------------------------------------------------------------------


def chart_values(manifest: dict[str, Any]) -> dict[str, Any] | None:
    """Return the values that a manifest gives to the chart, with what a generator would fill in."""
    spec = manifest["spec"]
    match manifest["kind"]:
        case "HelmRelease":
            found: dict[str, Any] | None = spec["values"]
        case "Application":
            found = spec["source"].get("helm", {}).get("valuesObject")
        case "ApplicationSet":
            found = spec["template"]["spec"]["source"].get("helm", {}).get("valuesObject")
        case _:
            found = None
    text = json.dumps(found).replace("{{ .name }}", "west")
    filled: dict[str, Any] | None = json.loads(text)
    if filled is not None and "clusterLabels" in filled:
        filled["clusterLabels"] = {"tier": "prod"}
    return filled


WITH_VALUES = [
    pytest.param(values, id=f"{path.parent.name}/{path.stem}")
    for path in FILES
    for manifest in manifests(path)
    if (values := chart_values(manifest)) is not None
]


def test_three_manifests_install_the_chart() -> None:
    assert len(WITH_VALUES) == 3


@pytest.mark.cluster
@pytest.mark.parametrize("values", WITH_VALUES)
def test_the_chart_takes_the_values(values: dict[str, Any]) -> None:
    assert one(from_chart(values), "ConfigMap")["data"]["HACRON_CLUSTER"] == "west"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_sources_that_are_named_are_there_and_no_password_is(path: Path) -> None:
    found = manifests(path)
    sources = {(each["kind"], each["metadata"]["name"]) for each in found}
    for each in found:
        spec = each["spec"]
        reference = spec.get("sourceRef") or spec.get("chart", {}).get("spec", {}).get("sourceRef")
        if reference is not None:
            assert (reference["kind"], reference["name"]) in sources
    assert "amqp" not in path.read_text()


@pytest.mark.parametrize("name", ["applicationset.yaml", "cronjobs.yaml"])
def test_a_cluster_that_loses_its_label_keeps_what_is_there(name: str) -> None:
    (everywhere,) = manifests(GITOPS / "argocd" / name)
    assert everywhere["spec"]["syncPolicy"] == {"preserveResourcesOnDeletion": True}


def test_paths_in_this_repository_exist() -> None:
    paths = [
        *(each["spec"]["source"]["path"] for each in manifests(GITOPS / "argocd" / "application.yaml")),
        *(each["spec"]["template"]["spec"]["source"]["path"] for each in manifests(GITOPS / "argocd" / "applicationset.yaml")),
        *(
            each["spec"]["chart"]["spec"]["chart"]
            for each in manifests(GITOPS / "flux" / "hacron.yaml")
            if "chart" in each["spec"]
        ),
    ]
    assert paths == ["charts/hacron"] * 3
    assert (REPOSITORY / paths[0] / "Chart.yaml").exists()
