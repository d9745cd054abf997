"""deploy/gitops at an API server that has the custom resources of Argo CD and Flux: no field is one that they do not know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.packaging.test_gitops import FILES, manifests
from tests.testbed import gitops
from tests.testbed.cluster import KubectlFailed
from tests.testbed.control_plane import ControlPlane
from tests.testbed.install import wait_established

pytestmark = pytest.mark.cluster

NAMESPACES = ("argocd", "flux-system")
TYPED = {  # a field of each kind that is no number
    "Application": "syncPolicy",
    "ApplicationSet": "template",
    "GitRepository": "interval",
    "HelmRelease": "interval",
    "Kustomization": "interval",
}
TRY = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "-o", "name", "-f", "-")


@pytest.fixture(scope="module")
def tools(west: ControlPlane) -> Iterator[ControlPlane]:
    """A cluster that knows the kinds of both tools, and has their namespaces; neither of them runs."""
    files = [argument for path in gitops.resources() for argument in ("-f", str(path))]
    west.kubectl("apply", "--server-side", *files)  # too long for the annotation of another one
    wait_established(west, *files)
    for namespace in NAMESPACES:
        west.kubectl("create", "namespace", namespace)
    yield west
    west.kubectl("delete", "namespace", *NAMESPACES, "--wait=false")
    west.kubectl("delete", *files)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_api_server_takes_what_the_example_says(path: Path, tools: ControlPlane) -> None:
    taken = tools.kubectl(*TRY, input=path.read_text()).splitlines()
    assert len(taken) == len(manifests(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_it_would_refuse_a_field_that_is_not_known_and_a_value_of_another_type(path: Path, tools: ControlPlane) -> None:
    for manifest in manifests(path):
        for wrong, says in (
            ({"polices": "x"}, r"\.spec\.polices: field not declared"),
            ({TYPED[manifest["kind"]]: 7}, r": expected (map|string)"),
        ):
            spec = {**manifest["spec"], **wrong}
            with pytest.raises(KubectlFailed, match=says):
                tools.kubectl(*TRY, input=yaml.safe_dump({**manifest, "spec": spec}))


def test_every_kind_of_the_examples_is_tried() -> None:
    kinds = {each["kind"] for path in FILES for each in manifests(path)}
    assert kinds == set(TYPED)
