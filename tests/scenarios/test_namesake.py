"""Two clusters are given the same name, by a setting that was copied: the first goes on as if the second were not there."""

from __future__ import annotations

from datetime import timedelta

from hacron.core.model import key_of
from hacron.namesake import GONE_AFTER_S
from tests.fakes.kubernetes import Made, all_made
from tests.scenarios.judge import wrong
from tests.scenarios.script import spec
from tests.scenarios.world import NOON, World

OURS, THEIRS, BOTH = (key_of("default", name) for name in ("ours", "theirs", "both"))
EVERY_MINUTE = {"schedule": "* * * * *"}


def made_since(world: World, minute: int) -> list[Made]:
    return [one for one in all_made(list(world.clusters.values())) if one.at >= NOON + timedelta(minutes=minute)]


def test_whoever_has_the_name_keeps_it_and_another_takes_over_when_it_is_gone() -> None:
    world = World()
    for name in ("west", "copied"):
        world.cluster(name).uid = f"uid of {name}"
    for name in ("west-1", "east-1"):
        world.start(name)
    for cluster, key in (("west", OURS), ("west", BOTH), ("copied", BOTH), ("copied", THEIRS)):
        world.cluster(cluster).apply(key, spec(EVERY_MINUTE))
    world.at(NOON + timedelta(seconds=30))
    world.start("copied-1", cluster="west")
    world.at(NOON + timedelta(minutes=6))
    ran = made_since(world, 1)
    assert {(one.cluster, one.key) for one in ran} == {("west", OURS), ("west", BOTH)}
    assert len(ran) == 2 * 6, "every tick, once"
    assert world.processes["copied-1"].session is None

    world.processes["west-1"].die()
    world.at(NOON + timedelta(minutes=12))
    assert {(one.cluster, one.key) for one in made_since(world, 9)} >= {("copied", THEIRS), ("copied", BOTH)}
    world.start_again("west-1")
    world.at(NOON + timedelta(minutes=15))
    assert world.processes["west-1"].session is None
    assert {one.cluster for one in made_since(world, 13)} == {"copied"}
    assert wrong(world) == []


def test_a_cluster_that_may_not_be_told_apart_is_taken_for_the_same() -> None:
    world = World()
    world.cluster("west").uid = "uid of west"
    world.start("west-1")
    world.start("other-1", cluster="west")
    world.at(NOON + timedelta(minutes=2))
    assert all(process.session is not None for process in world.processes.values())


def test_a_copied_name_takes_no_token_while_the_other_may_be_alive_though_there_is_no_executor() -> None:
    world = World()
    for name in ("west", "copied"):
        world.cluster(name).uid = f"uid of {name}"
    world.start("west-1", may_execute=False)
    world.start("east-1")
    world.at(NOON + timedelta(seconds=30))
    world.processes["east-1"].die()
    world.at(NOON + timedelta(seconds=50))
    copied = world.start("copied-1", cluster="west")
    world.at(NOON + timedelta(seconds=50 + GONE_AFTER_S))
    assert copied.engine.tally.records == {}
    world.start_again("east-1")
    world.at(NOON + timedelta(minutes=5))
    assert copied.engine.tally.records == {}
    assert world.processes["west-1"].session is not None
    assert copied.session is None


def test_where_nobody_else_may_decide_it_does_when_the_other_is_gone() -> None:
    """A cluster that was built anew beside a broker that stayed: its ledger knows the name by the uid of before."""
    world = World()
    for name in ("west", "anew"):
        world.cluster(name).uid = f"uid of {name}"
    world.start("west-1")
    world.at(NOON + timedelta(seconds=30))
    world.processes["west-1"].die()
    world.start("anew-1", cluster="west")
    world.at(NOON + timedelta(seconds=30 + GONE_AFTER_S - 1))
    assert world.executor is None
    world.at(NOON + timedelta(seconds=30 + GONE_AFTER_S + 25))
    assert world.executor is world.processes["anew-1"]
    assert world.worker("west") is world.processes["anew-1"]
