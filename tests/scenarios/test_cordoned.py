"""What people say of clusters, by the settings of their replicas, and where runs go then."""

from __future__ import annotations

from datetime import timedelta

from hacron.core.model import key_of
from hacron.core.state import State
from tests.scenarios.judge import wrong
from tests.scenarios.ordinary import HELLO, at
from tests.scenarios.script import spec
from tests.scenarios.world import World


def made_in(world: World, cluster: str) -> list[timedelta]:
    """The ticks of the Jobs that were made in a cluster, after noon."""
    return [one.tick - at(0) for one in world.cluster(cluster).made]


def roll(world: World, old: str, new: str, **settings: object) -> None:
    """Replace a replica, as a rollout does: the new one is there before the old one goes."""
    world.start(new, **settings)
    world.settle()
    world.processes[old].stop()
    world.settle()


def test_a_cluster_is_cordoned_and_released_by_rolling_its_replicas() -> None:
    world = World()
    world.start("west-1")
    world.start("east-1")
    for name in ("west", "east"):
        world.cluster(name).apply(HELLO, spec({"schedule": "* * * * *", "clusters": "west,east", "runs": "5"}))
    world.at(at(70))
    roll(world, "west-1", "west-2", cordoned="new switches")
    world.at(at(130))
    roll(world, "west-2", "west-3")
    world.at(at(190))
    assert made_in(world, "west") == [timedelta(minutes=1), timedelta(minutes=3)]
    assert made_in(world, "east") == [timedelta(minutes=2)]


def test_what_waits_for_a_cluster_that_is_gone_goes_on_when_people_say_so() -> None:
    world = World()
    world.start("west-1")
    world.start("east-1")
    hello = spec({"schedule": "* * * * *", "policy": "Forbid", "clusters": "west,east", "runs": "9999"})
    for name in ("west", "east"):
        world.cluster(name).apply(HELLO, hello)
    world.at(at(70))
    world.processes["west-1"].die()
    world.at(at(600))
    assert made_in(world, "east") == []
    roll(world, "east-1", "east-2", gone_clusters=("west",))
    world.at(at(630))
    assert made_in(world, "east") == [timedelta(minutes=10)]


def test_a_lost_cluster_is_forgotten_and_what_it_still_says_when_it_comes_back_counts_for_nothing() -> None:
    world = World()
    world.start("west-1")
    world.start("east-1")
    own = key_of("default", "own")
    for name, limit in (("east", "1"), ("west", "2")):
        world.cluster(name).apply(
            HELLO, spec({"schedule": "* * * * *", "clusters": "west,east", "runs": "9", "successful": limit})
        )
    world.cluster("west").apply(own, spec({"schedule": "* * * * *", "runs": "9"}))
    world.at(at(70))
    world.processes["west-1"].die()
    world.at(at(80))
    roll(world, "east-1", "east-2", forgotten_clusters=("west",))
    world.at(at(360))
    state = state_of(world, "east-2")
    assert set(state.definitions[HELLO]) == {"east", "west"}, "it has not been silent for long"
    world.at(at(1000))
    state = state_of(world, "east-2")
    assert set(state.clusters) == {"east"}
    assert (own in state.progress, set(state.definitions[HELLO])) == (False, {"east"})
    ran = len(world.cluster("west").made)
    world.start("west-1")
    world.at(at(1100))
    state = state_of(world, "west-1")
    assert set(state.clusters) == {"east", "west"}
    assert (own in state.definitions, set(state.definitions[HELLO])) == (False, {"east"})
    assert len(world.cluster("west").made) == ran
    assert [moment for moment in made_in(world, "east") if moment >= timedelta(minutes=7)] == [
        timedelta(minutes=minute) for minute in range(7, 19)
    ]
    roll(world, "east-2", "east-3")
    world.at(at(1750))
    state = state_of(world, "west-1")
    assert (own in state.definitions, set(state.definitions[HELLO])) == (True, {"east", "west"})
    assert len(world.cluster("west").made) > ran
    assert wrong(world) == []


def state_of(world: World, replica: str) -> State:
    session = world.processes[replica].session
    assert session is not None
    return session.state
