"""Jobs whose HACronJob was deleted while their cluster was away, for longer than the ledger remembers it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.fakes.broker import FakeLedger
from tests.fakes.kubernetes import FakeCluster
from tests.scenarios.ordinary import HELLO, at
from tests.scenarios.script import spec
from tests.scenarios.world import World

TEN_MINUTES = timedelta(minutes=10)


ON_EAST = spec({"schedule": "*/2 * * * *", "runs": "86000", "clusters": "east", "policy": "Forbid"})


def deleted_while_east_is_away(silent: timedelta = timedelta(seconds=10), forgotten: bool = True) -> World:
    """A run of a day has begun in east when that falls `silent`; the HACronJob, of west, is deleted then, and `forgotten`."""
    world = World()
    world.start("west-1")
    world.start("east-1")
    world.cluster("east").namespaces["default"] = {"hacron.io/accept-from": "west"}
    world.cluster("west").apply(HELLO, ON_EAST)
    world.at(at(130))
    world.silence("east")
    world.at(world.now + silent)
    world.cluster("west").delete(HELLO)
    world.at(world.now + (TEN_MINUTES + timedelta(minutes=1) if forgotten else timedelta(seconds=2)))
    session = world.processes["west-1"].session
    assert session is not None
    assert (HELLO not in session.state.progress) == forgotten
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


def test_they_are_deleted_when_it_was_made_anew() -> None:
    """Nobody waited for them: east was said to be gone for good, and is back all the same."""
    world = deleted_while_east_is_away(forgotten=False)
    world.processes["west-1"].stop()
    world.start("west-2", forgotten_clusters=("east",))
    world.cluster("west").apply(HELLO, ON_EAST)
    world.at(world.now + timedelta(minutes=15))
    assert left(world.cluster("east")) == ["the Job of hello 12:02"]
    back(world)
    assert "the Job of hello 12:02" not in left(world.cluster("east"))


@pytest.mark.parametrize("anew", [False, True])
def test_what_was_given_up_when_it_was_deleted_is_deleted_as_well(anew: bool) -> None:
    world = deleted_while_east_is_away(silent=timedelta(hours=1), forgotten=False)
    if anew:
        world.cluster("west").apply(HELLO, ON_EAST)
    world.at(world.now + timedelta(minutes=1))
    assert left(world.cluster("east")) == ["the Job of hello 12:02"]
    back(world)
    assert "the Job of hello 12:02" not in left(world.cluster("east"))


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
