"""What stands in Secrets reaches the broker: a replica logs in over TLS by what pods of chart and overlay are given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.broker.certificates import Authority
from tests.broker.test_refused import said_by_a_replica
from tests.packaging.rendered import AS_FULL_OVERLAY, FULL_OVERLAY, Manifest, from_chart, from_kustomize, one
from tests.testbed.broker import Broker
from tests.testbed.process import free_port

pytestmark = [pytest.mark.broker, pytest.mark.cluster]

Secrets = Mapping[str, Mapping[str, str]]


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secrets]:
    """The Secrets that a user makes, for a broker that wants TLS and a certificate."""
    folder = tmp_path_factory.mktemp("secrets")
    authority, port = Authority(folder), free_port()
    broker = Broker(folder / "node", settings=authority.listener(port))
    broker.start()
    certificate, key = authority.sign("replica", "DNS:replica")
    try:
        yield {
            "hacron-broker": {"url": f"amqps://127.0.0.1:{port}/hacron"},
            "hacron-broker-user": {"username": "hacron", "password": broker.password},
            "hacron-broker-ca": {"ca.crt": authority.file.read_text()},
            "hacron-broker-tls": {"tls.crt": certificate.read_text(), "tls.key": key.read_text()},
        }
    finally:
        broker.close()


def environment(manifests: list[Manifest], secrets: Secrets, root: Path) -> dict[str, str]:
    """Return the variables of a replica, as a kubelet would fill them in, and write its volumes below a folder."""
    pod = one(manifests, "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    mounts = {mount["name"]: root / mount["mountPath"].lstrip("/") for mount in container["volumeMounts"]}
    for volume in pod["volumes"]:
        mounts[volume["name"]].mkdir(parents=True)
        for secret in (source["secret"] for source in volume["projected"]["sources"]):
            for item in secret["items"]:
                (mounts[volume["name"]] / item["path"]).write_text(secrets[secret["name"]][item["key"]])
    (settings,) = (source["configMapRef"]["name"] for source in container["envFrom"])
    found = dict(one(manifests, "ConfigMap", settings)["data"])
    for variable in container["env"]:
        match variable["valueFrom"]:
            case {"secretKeyRef": {"name": name, "key": key}}:
                found[variable["name"]] = secrets[name][key]
            case {"fieldRef": {"fieldPath": "metadata.name"}}:
                found[variable["name"]] = "hacron-0"
    return {name: str(root / text.lstrip("/")) if name.endswith("_FILE") else text for name, text in found.items()}


@pytest.fixture(params=["chart", "kustomize"])
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return from_chart(AS_FULL_OVERLAY) if request.param == "chart" else from_kustomize(FULL_OVERLAY)


def test_a_replica_becomes_executor_by_them(manifests: list[Manifest], secrets: Secrets, tmp_path: Path) -> None:
    given = environment(manifests, secrets, tmp_path)
    assert said_by_a_replica(given, lambda health: health.executor) == ""


@pytest.mark.parametrize(
    ("name", "changed", "says"),
    [
        ("hacron-broker-user", {"username": "hacron", "password": "x"}, "knows no such user with this password"),
        ("hacron-broker-ca", {"ca.crt": "rubbish"}, "HACRON_BROKER_CA_FILE"),
    ],
)
def test_it_says_which_of_them_is_wrong(
    name: str, changed: dict[str, str], says: str, manifests: list[Manifest], secrets: Secrets, tmp_path: Path
) -> None:
    wrong: dict[str, Any] = {**secrets, name: changed}
    given = environment(manifests, wrong, tmp_path)
    assert says in said_by_a_replica(given, lambda health: any(says in reason for reason in health.reasons))
