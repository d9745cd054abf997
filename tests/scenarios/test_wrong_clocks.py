"""A replica's clock is wrong by more than silence takes and less than a minute: what it says, or hears, is old on arrival."""

from __future__ import annotations

from datetime import timedelta

import pytest

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
