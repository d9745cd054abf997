"""Replicas of the next message version beside those of this one, which cannot read what they write."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.fakes.kubernetes import Made, all_made
from tests.fakes.versions import NEXT, OURS, raised
from tests.scenarios.judge import wrong
from tests.scenarios.ordinary import HELLO
from tests.scenarios.script import spec
from tests.scenarios.world import NOON, World


def minute(number: int) -> datetime:
    return NOON + timedelta(minutes=number)


def upgrade(world: World, name: str) -> None:
    world.processes[name].stop()
    world.start_again(name).dialect = NEXT


def made_in(world: World, begin: int, end: int) -> list[Made]:
    """Return the Jobs of the ticks from one minute to another."""
    return [one for one in all_made(list(world.clusters.values())) if minute(begin) <= one.tick <= minute(end)]


@pytest.fixture
def world() -> World:
    """Two clusters, of two replicas each, and what fires every minute in the first that can."""
    world = World()
    for name in ("west-1", "east-1", "west-2", "east-2"):
        world.start(name)
    for home in ("west", "east"):
        world.cluster(home).apply(HELLO, spec({"schedule": "* * * * *", "clusters": "west,east", "runs": "5"}))
    world.at(minute(1))
    return world


def test_an_executor_that_comes_later_has_those_stand_aside_that_cannot_read_it(world: World) -> None:
    upgrade(world, "east-1")
    for name in ("west-1", "west-2", "east-2"):
        world.processes[name].stop()
    world.at(minute(2) + timedelta(seconds=30))
    assert world.executor is world.processes["east-1"]
    for name in ("west-1", "west-2"):
        world.start_again(name)
    world.at(minute(5) + timedelta(seconds=30))
    assert [world.processes[name].session for name in ("west-1", "west-2")] == [None, None]
    assert [one.cluster for one in made_in(world, 2, 5)] == ["east"] * 4
    world.processes["east-1"].die()
    world.at(minute(8))
    assert world.executor is None  # better nobody than who does not know what has run
    assert made_in(world, 6, 8) == []
    for name in ("west-1", "west-2"):
        upgrade(world, name)
    world.at(minute(10) + timedelta(seconds=30))
    assert [(one.cluster, one.tick) for one in made_in(world, 9, 10)] == [("west", minute(number)) for number in (9, 10)]
    assert wrong(world) == []


def test_in_a_rolling_upgrade_the_last_of_this_version_decides_to_the_end_and_hears_no_cluster_of_the_next(world: World) -> None:
    executors = []
    for number, name in enumerate(("west-2", "west-1", "east-2", "east-1"), 2):
        world.at(minute(number) - timedelta(seconds=2))
        assert world.executor is not None
        executors.append(world.executor.name)
        upgrade(world, name)
    world.at(minute(9) + timedelta(seconds=30))
    assert executors == ["west-1", "west-1", "east-1", "east-1"]
    assert [(one.cluster, one.tick) for one in made_in(world, 4, 5)] == [("east", minute(4)), ("east", minute(5))]
    assert [(one.cluster, one.tick) for one in made_in(world, 7, 9)] == [("west", minute(number)) for number in (7, 8, 9)]
    assert len({one.tick for one in made_in(world, 1, 9)}) == len(made_in(world, 1, 9))
    assert wrong(world) == []


def test_all_of_this_version_stand_aside_when_the_token_goes_to_one_of_the_next(world: World) -> None:
    upgrade(world, "east-1")
    for name in ("east-2", "west-2"):  # behind it in the line
        world.processes[name].stop()
        world.start_again(name)
    world.at(minute(2) - timedelta(seconds=2))
    world.processes["west-1"].die()
    world.start_again("west-1")
    world.at(minute(4) + timedelta(seconds=30))
    assert world.executor is world.processes["east-1"]
    assert [name for name, process in world.processes.items() if process.session is not None] == ["east-1"]
    assert [(one.cluster, one.tick) for one in made_in(world, 3, 4)] == [("east", minute(3)), ("east", minute(4))]
    assert wrong(world) == []


def test_the_way_back_is_a_new_ledger(world: World) -> None:
    upgrade(world, "east-1")
    for name in ("west-1", "west-2", "east-2"):
        world.processes[name].stop()
    world.at(minute(2) + timedelta(seconds=30))
    world.processes["east-1"].stop()
    world.wipe(only_the_ledger=True)
    for name in ("west-1", "east-1"):
        world.start_again(name).dialect = OURS
    world.at(minute(5) + timedelta(seconds=30))
    assert [one.tick for one in made_in(world, 2, 5)] == [minute(number) for number in (2, 3, 4, 5)]
    assert wrong(world) == []


@pytest.mark.parametrize("is_lost", [True, False], ids=["into the next ledger", "behind its successor"])
def test_what_an_executor_of_the_next_version_had_on_its_way_keeps_nobody_away(world: World, is_lost: bool) -> None:
    sent = raised(world.broker.ledger[-1].body)
    world.processes["west-1"].die()
    if is_lost:
        world.wipe(only_the_ledger=True)
    else:
        world.at(minute(2))
    world.broker.append(sent, 0)
    world.at(minute(4))
    world.start_again("west-1")
    world.at(minute(6) + timedelta(seconds=30))
    assert all(process.session is not None for process in world.processes.values())
    assert [one.tick for one in made_in(world, 1, 6)] == [minute(number) for number in (1, 2, 3, 4, 5, 6)]
