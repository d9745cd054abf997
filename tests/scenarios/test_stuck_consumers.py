"""The connection lives, and a consumer on it brings nothing any more: what RabbitMQ has been seen to do."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.fakes.broker import COMMANDS, REPORTS, TOKEN, FakeSession, worker_queue
from tests.scenarios.judge import wrong
from tests.scenarios.ordinary import HELLO, at
from tests.scenarios.script import spec
from tests.scenarios.world import World


def east_makes_hello() -> World:
    """The executor is in west, and a Job of every minute in east."""
    world = World()
    for name in ("west-1", "east-1"):
        world.start(name)
        world.settle()
    world.cluster("east").apply(HELLO, spec({"schedule": "* * * * *", "runs": "5"}))
    world.at(at(70))
    assert world.executor is world.processes["west-1"]
    return world


def west_1_decides(others: tuple[str, ...]) -> World:
    """Return a world in which west-1 is the executor, and a cronjob of every minute has run once."""
    world = World()
    for name in ("west-1", *others):
        world.start(name)
        world.settle()
    world.cluster("west").apply(HELLO, spec({"schedule": "* * * * *", "runs": "5"}))
    world.at(at(70))
    return world


def connection(world: World, name: str) -> FakeSession:
    found = world.processes[name].broker
    assert found is not None
    return found


def last_seen(world: World, cluster: str) -> datetime:
    assert world.executor is not None
    assert world.executor.session is not None
    return world.executor.session.state.clusters[cluster].seen_at


# --- the ledger's ---


def test_a_worker_that_reads_nothing_connects_anew_when_it_has_put_a_token_back_in_vain() -> None:
    world = east_makes_hello()
    deaf = connection(world, "east-1")
    deaf.reads_nothing = True
    world.at(at(70 + 23))
    assert world.processes["east-1"].broker is deaf
    world.at(at(70 + 25))
    assert world.processes["east-1"].broker is not deaf
    world.at(at(310))
    assert [one.tick for one in world.cluster("east").made] == [at(60 * minute) for minute in range(1, 6)]
    assert wrong(world) == []


def test_its_cluster_is_silent_meanwhile() -> None:
    world = east_makes_hello()
    deaf = connection(world, "east-1")
    deaf.reads_nothing = True
    world.at(at(70 + 23))
    assert at(70 + 5) < last_seen(world, "east") <= at(70 + 12)
    world.at(at(70 + 25))
    assert last_seen(world, "east") >= at(70 + 24)


def test_a_worker_that_reads_nothing_from_the_first_on_connects_anew() -> None:
    world = east_makes_hello()
    world.processes["east-1"].opens_deaf = True
    world.cut("east-1")
    world.at(at(71))
    deaf = connection(world, "east-1")
    assert deaf.reads_nothing
    world.at(at(82))
    assert connection(world, "east-1") is deaf
    world.at(at(85))
    assert connection(world, "east-1") is not deaf
    world.at(at(310))
    assert [one.tick for one in world.cluster("east").made] == [at(60 * minute) for minute in range(1, 6)]
    assert wrong(world) == []


def test_replicas_that_hear_nothing_since_there_is_no_executor_choose_one_as_soon_as_they_may() -> None:
    world = World()
    for name in ("west-1", "east-1"):
        world.start(name, may_execute=False)
    world.at(at(100))
    assert world.executor is None
    world.start("east-2")
    world.settle()
    assert world.executor is world.processes["east-2"]
    world.at(at(101))
    assert {last_seen(world, "west"), last_seen(world, "east")} <= {at(100), at(101)}


def test_who_may_not_execute_puts_no_token_back() -> None:
    """Its user at the broker may have no right to, and would lose its connection by trying."""
    world = World()
    world.start("west-1", may_execute=False)
    world.at(at(300))
    assert not world.broker.has(TOKEN)


# --- the inbox's ---


@pytest.mark.parametrize("others", [("west-2", "east-1", "east-2"), ()])
def test_an_executor_that_hears_no_worker_not_even_its_own_steps_down(others: tuple[str, ...]) -> None:
    world = west_1_decides(others)
    stuck = connection(world, "west-1")
    assert world.executor is world.processes["west-1"]
    for queue in (COMMANDS, REPORTS):
        world.broker.stick(stuck, queue)
    world.at(at(70 + 28))
    assert world.processes["west-1"].broker is stuck
    world.at(at(70 + 31))
    assert world.processes["west-1"].broker is not stuck
    world.at(at(310))
    assert [one.tick for one in world.cluster("west").made] == [at(60 * minute) for minute in range(1, 6)]
    assert wrong(world) == []


@pytest.mark.parametrize("others", [("west-2", "east-1"), ()])
def test_an_executor_to_which_no_commands_come_steps_down(others: tuple[str, ...]) -> None:
    world = west_1_decides(others)
    stuck = connection(world, "west-1")
    world.broker.stick(stuck, COMMANDS)
    world.at(at(130))
    assert connection(world, "west-1") is stuck, "nothing waits"
    world.cluster("west").apply(HELLO, spec({"schedule": "* * * * *", "suspend": "true"}))
    world.at(at(130 + 30))
    assert connection(world, "west-1") is stuck
    world.at(at(130 + 37))
    assert connection(world, "west-1") is not stuck
    world.at(at(310))
    assert [one.tick for one in world.cluster("west").made] == [at(60), at(120)]
    assert wrong(world) == []


def test_who_is_next_in_line_keeps_its_connection_until_it_has_stepped_down_and_decides() -> None:
    world = west_1_decides(("west-2", "east-1", "east-2"))
    standbys = {name: connection(world, name) for name in ("west-2", "east-1", "east-2")}
    world.broker.stick(connection(world, "west-1"), REPORTS)
    world.at(at(70 + 90))
    assert world.executor is not world.processes["west-1"]
    assert {name: connection(world, name) for name in standbys} == standbys
    assert wrong(world) == []


def test_one_that_hears_a_single_cluster_goes_on() -> None:
    world = World()
    for name in ("west-1", "east-1"):
        world.start(name)
        world.settle()
    world.silence("east")
    world.at(at(200))
    assert world.executor is world.processes["west-1"]
    assert world.executor.engine.tally.takeovers == 1


# --- the worker token's ---


def test_where_nobody_gets_the_worker_token_who_waits_for_it_connects_anew() -> None:
    world = World()
    for name in ("west-1", "east-1", "east-2"):
        world.start(name)
        world.settle()
    world.cluster("east").apply(HELLO, spec({"schedule": "* * * * *", "runs": "5"}))
    world.at(at(70))
    assert world.worker("east") is world.processes["east-1"]
    stuck = connection(world, "east-2")
    world.broker.stick(stuck, worker_queue("east"))
    world.processes["east-1"].die()
    world.at(at(80))
    world.start_again("east-1")
    world.at(at(70 + 41))
    assert connection(world, "east-2") is stuck
    world.at(at(70 + 50))
    assert connection(world, "east-2") is not stuck
    assert world.worker("east") is not None
    world.at(at(310))
    assert last_seen(world, "east") > at(300)
    assert wrong(world) == []
