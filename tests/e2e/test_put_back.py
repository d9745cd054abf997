"""A cluster's data are put back from a backup of its etcd, while the ledger goes on: what the API server has then counts."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.e2e.conftest import QUICK
from tests.testbed import judge
from tests.testbed.broker import Broker
from tests.testbed.control_plane import ControlPlane
from tests.testbed.cronjobs import await_status, condition, manifest
from tests.testbed.fleet import Fleet
from tests.testbed.install import install
from tests.testbed.wait import until

pytestmark = [pytest.mark.e2e, pytest.mark.broker, pytest.mark.cluster]

YEARLY = "0 0 1 1 *"


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[ControlPlane]:
    """A cluster of one's own: others would miss what is lost."""
    found = ControlPlane("west", tmp_path / "west")
    try:
        found.start()
        install(found)
        yield found
    finally:
        found.stop()


@pytest.fixture
def fleet(broker: Broker, plane: ControlPlane, prefix: str, tmp_path: Path) -> Iterator[Fleet]:
    env = QUICK | {"HACRON_INVENTORY_INTERVAL_S": "3600"}  # it is noticed without
    found = Fleet(tmp_path, broker_url=broker.url, clusters={"west": plane}, prefix=prefix, names=("west-1", "west-2"), env=env)
    try:
        found.start()
        yield found
    finally:
        found.stop()


def test_what_came_after_the_backup_has_never_been(fleet: Fleet, plane: ControlPlane, tmp_path: Path) -> None:
    def ran(name: str, since: datetime) -> bool:
        return len([one for one in judge.of(judge.jobs([plane]), name) if one.tick > since]) >= 2

    began = datetime.now(UTC)
    plane.apply(manifest("steady"))
    plane.apply(manifest("edited"))
    plane.apply(manifest("deleted"))
    plane.apply(manifest("twice", YEARLY))
    for name in ("steady", "edited", "deleted"):
        until(lambda name=name: ran(name, began), 60, f"runs of {name}", every=0.5)
    plane.save(tmp_path / "saved")
    plane.apply(manifest("edited", YEARLY))
    plane.apply(manifest("twice", "0 0 2 2 *"))
    plane.apply(manifest("new"))
    plane.kubectl("delete", "hacronjob", "deleted")
    until(lambda: ran("new", began), 60, "runs of the new one", every=0.5)
    await_status(plane, "edited", lambda status: status["schedule"] == YEARLY, "the edit")
    until(lambda: not judge.of(judge.jobs([plane]), "deleted"), 60, "the end of what is deleted", every=0.5)
    newest, changes = newest_version(plane), told(fleet, "cronjob changed", "edited")

    plane.put_back(tmp_path / "saved")
    plane.apply(manifest("twice"))  # the generation that another edit had
    while newest_version(plane) <= newest:  # so that no list looks as if it came from before
        plane.apply(many_config_maps())
    since = datetime.now(UTC)
    for name in ("steady", "edited", "deleted", "twice"):
        until(lambda name=name: ran(name, since), 90, f"runs of {name}", every=0.5)
    status = await_status(plane, "edited", lambda status: status["schedule"] == "@every 2s", "what it was")
    assert status["observedGeneration"] == 1
    until(lambda: not judge.of(judge.jobs([plane]), "new"), 60, "the end of what has never been", every=0.5)
    assert judge.doubled(judge.jobs([plane])) == []
    assert told(fleet, "cronjob changed", "edited") == changes + 1, "no replica says again what it heard before"
    assert all(replica.alive for replica in fleet)

    plane.kubectl("annotate", "hacronjob", "steady", "hacron.io/pause=to see whether it is heard of")
    await_status(plane, "steady", lambda status: condition(status, "Scheduled")["reason"] == "Paused", "the pause")


def newest_version(plane: ControlPlane) -> int:
    """Return the newest resourceVersion that the API server has."""
    listed = json.loads(plane.kubectl("get", "--raw", "/apis/hacron.io/v1/hacronjobs?limit=1"))
    return int(listed["metadata"]["resourceVersion"])


def many_config_maps() -> str:
    """Return things that are written in a hundred versions."""
    named = [{"name": f"version-{secrets.token_hex(8)}", "namespace": "default"} for _ in range(100)]
    items = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata} for metadata in named]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def told(fleet: Fleet, what: str, name: str) -> int:
    """Return how often the replicas have said something of a cronjob in their logs."""
    return sum(line["cronjob"] == f"default/{name}" for replica in fleet for line in replica.lines(what))
