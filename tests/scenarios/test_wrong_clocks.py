"""A replica's clock is wrong by more than silence takes and less than a minute: what it says, or hears, is old on arrival."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.fakes.kubernetes import FAILS, Fate, all_made
from tests.scenarios.ordinary import HELLO, at
from tests.scenarios.script import spec
from tests.scenarios.world import World


def west_2_decides() -> World:
    """Return a world in which west-2 is the executor, west-1 the worker in west, and a cronjob of every minute runs in east."""
    world = World()
    for name, may_execute in (("west-1", False), ("west-2", True), ("east-1", True), ("east-2", True)):
        world.start(name, may_execute=may_execute)
        world.settle()
    world.cluster("east").apply(HELLO, spec({"schedule": "* * * * *", "runs": "5"}))
    world.at(at(30))
    assert (world.executor, world.worker("west")) == (world.processes["west-2"], world.processes["west-1"])
    return world


@pytest.mark.parametrize(
    ("whose", "ahead_s", "unheard"),
    [
        pytest.param("west-1", -20, "west", id="a worker's, behind"),
        pytest.param("west-1", -50, "west", id="a worker's, far behind"),
        pytest.param("west-2", 20, "east", id="the executor's, ahead"),
    ],
)
def test_a_worker_whose_word_is_late_is_there(whose: str, ahead_s: float, unheard: str) -> None:
    """Nobody of its cluster puts a token back, or takes the connection of a worker that is there for one that is stuck."""
    world = west_2_decides()
    said: list[str] = []
    world.say = lambda who, what: said.append(f"{who} {what}")
    world.processes[whose].skew = timedelta(seconds=ahead_s)
    world.at(at(150))
    assert world.executor is not None
    assert world.executor.session is not None
    assert world.executor.session.state.clusters[unheard].late_s == abs(ahead_s)
    assert [line for line in said if "token" in line or "loses" in line] == []


@pytest.mark.parametrize(("ahead_s", "behind_s"), [(50, 40), (59, 59)])
def test_where_a_webhook_fails_one_replica_does_not_give_up_a_run_that_another_may_still_ask_for(
    ahead_s: int, behind_s: int
) -> None:
    """Their clocks are wrong in opposite directions, and the API server acts on the last request of who is behind much later."""
    world = World()
    for name in ("east-1", "west-1", "west-2"):
        world.start(name)
        world.settle()
    for cluster in ("west", "east"):
        world.cluster(cluster).apply(HELLO, spec({"schedule": "1 12 * * *", "clusters": "west,east", "runs": "5"}))
    world.at(at(30))
    world.processes["west-1"].skew = timedelta(seconds=ahead_s)
    world.processes["west-2"].skew = timedelta(seconds=-behind_s)
    webhooks, last_asked = world.cluster("west").webhooks, 60 + 20 + behind_s
    for seconds, fate in ((last_asked - 3, FAILS), (last_asked, Fate(delay_s=50)), (400, FAILS)):
        webhooks["default"] = fate
        world.at(at(seconds))
    assert [one.by for one in all_made(list(world.clusters.values()))] == ["west-2"]
