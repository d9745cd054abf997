"""Jobs whose HACronJob was deleted while their cluster was away, for longer than the ledger remembers it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.fakes.broker import FakeLedger
from tests.fakes.kubernetes import FakeCluster
from tests.scenarios.ordinary import HELLO, at
from tests.scenarios.script import spec
from tests.scenarios.world import World

TEN_MINUTES = 600


def deleted_while_east_is_away() -> World:
    """A run of a day has begun in east when that falls silent; the HACronJob, of west, is deleted, and forgotten."""
    world = World()
    world.start("west-1")
    world.start("east-1")
    world.cluster("east").namespaces["default"] = {"hacron.io/accept-from": "west"}
    world.cluster("west").apply(HELLO, spec({"schedule": "*/2 * * * *", "runs": "86000", "clusters": "east", "policy": "Forbid"}))
    world.at(at(130))
    world.silence("east")
    world.at(at(140))
    world.cluster("west").delete(HELLO)
    world.at(at(140 + TEN_MINUTES + 60))
    session = world.processes["west-1"].session
    assert session is not None
    assert HELLO not in session.state.progress
    return world


def back(world: World) -> None:
    world.silence("east", silent=False)
    world.at(world.now + timedelta(minutes=1))


def left(cluster: FakeCluster) -> list[str]:
    return [str(job) for job in cluster.jobs.values()]


def test_they_are_deleted_when_it_is_back() -> None:
    world = deleted_while_east_is_away()
    assert left(world.cluster("east")) == ["the Job of hello 12:02"]
    back(world)
    assert left(world.cluster("east")) == []


def test_what_another_ledger_gave_stays() -> None:
    """That one may be of another installation, which still wants them; or lost, with all that it knew."""
    world = deleted_while_east_is_away()
    world.wipe()
    world.at(world.now + timedelta(minutes=30))
    back(world)
    world.at(world.now + timedelta(minutes=30))
    assert left(world.cluster("east")) == ["the Job of hello 12:02"]


def test_what_has_an_owner_stays_with_it() -> None:
    world = deleted_while_east_is_away()
    for job in world.cluster("east").jobs.values():
        job.body["metadata"]["ownerReferences"] = [{"kind": "ConfigMap", "uid": "another"}]
    back(world)
    assert left(world.cluster("east")) == ["the Job of hello 12:02"]


def test_nothing_is_deleted_by_who_cannot_read_all(monkeypatch: pytest.MonkeyPatch) -> None:
    world = deleted_while_east_is_away()
    monkeypatch.setattr(FakeLedger, "is_whole", property(lambda _: False))
    back(world)
    assert left(world.cluster("east")) == ["the Job of hello 12:02"]
