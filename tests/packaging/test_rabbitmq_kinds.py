"""deploy/rabbitmq at an API server that has the kinds of RabbitMQ's operators and of cert-manager: no field is unknown to it.

What a broker makes of the same definitions is tried in tests/broker/test_shipped.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.packaging.rendered import REPOSITORY
from tests.testbed.cluster import KubectlFailed
from tests.testbed.control_plane import ControlPlane
from tests.testbed.install import wait_established

pytestmark = pytest.mark.cluster

KINDS = Path(__file__).parent / "rabbitmq-crds.yaml"
FILES = sorted((REPOSITORY / "deploy" / "rabbitmq").glob("*.yaml"))
TRY = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "-o", "name", "-f", "-")


def manifests(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


@pytest.fixture(scope="module")
def operators(west: ControlPlane) -> Iterator[ControlPlane]:
    """A cluster that knows their kinds, and has the namespace; none of them runs."""
    west.kubectl("apply", "--server-side", "-f", str(KINDS))
    wait_established(west, "-f", str(KINDS))
    west.kubectl("create", "namespace", "rabbitmq")
    yield west
    west.kubectl("delete", "namespace", "rabbitmq", "--wait=false")
    west.kubectl("delete", "-f", str(KINDS))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_api_server_takes_it(path: Path, operators: ControlPlane) -> None:
    taken = operators.kubectl(*TRY, input=path.read_text()).splitlines()
    assert len(taken) == len(manifests(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_would_refuse_a_field_that_is_not_known(path: Path, operators: ControlPlane) -> None:
    for manifest in manifests(path):
        wrong = {**manifest, "spec": {**manifest["spec"], "versoin": "4"}}
        with pytest.raises(KubectlFailed, match=r"\.spec\.versoin: field not declared"):
            operators.kubectl(*TRY, input=yaml.safe_dump(wrong))


def test_every_kind_is_tried() -> None:
    assert {each["kind"] for path in FILES for each in manifests(path)} == {
        each["spec"]["names"]["kind"] for each in manifests(KINDS)
    }


def test_three_nodes_stand_in_three_zones_and_speak_tls_alone() -> None:
    (cluster, certificate) = manifests(REPOSITORY / "deploy" / "rabbitmq" / "rabbitmqcluster.yaml")
    spec = cluster["spec"]
    (spread,) = spec["override"]["statefulSet"]["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert spec["replicas"] == 3
    assert (spread["topologyKey"], spread["maxSkew"], spread["whenUnsatisfiable"]) == (
        *("topology.kubernetes.io/zone", 1, "DoNotSchedule"),
    )
    assert spread["labelSelector"]["matchLabels"] == {"app.kubernetes.io/name": cluster["metadata"]["name"]}
    assert spec["tls"]["disableNonTLSListeners"]
    assert {spec["tls"]["secretName"], spec["tls"]["caSecretName"]} == {certificate["spec"]["secretName"]}
