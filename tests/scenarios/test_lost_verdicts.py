"""The broker loses its data, and what had its verdict does not run after all: `.status` says up to when ticks were decided."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fakes.kubernetes import FakeCluster, all_made
from tests.scenarios.ordinary import HELLO, at
from tests.scenarios.script import spec
from tests.scenarios.world import World

USUAL = {"schedule": "1,30 12 * * *", "runs": "5"}
Act = Callable[[FakeCluster], None]


def applies(**fields: str) -> Act:
    return lambda cluster: cluster.apply(HELLO, spec(USUAL | fields))


def pauses(reason: str | None) -> Act:
    return lambda cluster: cluster.annotate(HELLO, {"hacron.io/pause": reason})


def refuses(why: str) -> Act:
    return lambda cluster: setattr(cluster, "denies", why)


@pytest.mark.parametrize(
    ("at_twenty", "at_forty", "ran"),
    [
        pytest.param(applies(), applies(), ["12:01", "12:30"], id="it has run"),
        pytest.param(applies(suspend="true"), applies(), ["12:01"], id="it was suspended"),
        pytest.param(pauses("the database is moved"), pauses(None), ["12:01"], id="it was paused"),
        pytest.param(refuses("no"), refuses(""), ["12:01"], id="it was refused"),
        pytest.param(applies(), applies(schedule="1,35 12 * * *"), ["12:01", "12:30"], id="an edit put it into the past"),
    ],
)
def test_what_has_its_verdict_does_not_run(at_twenty: Act, at_forty: Act, ran: list[str]) -> None:
    world = World()
    for name in ("west-1", "west-2"):
        world.start(name)
    west = world.cluster("west")
    west.apply(HELLO, spec(USUAL))
    for minute, act in ((20, at_twenty), (40, at_forty)):
        world.at(at(60 * minute))
        act(west)
    world.at(at(50 * 60))
    world.wipe()
    world.at(at(55 * 60))
    assert [f"{one.tick:%H:%M}" for one in all_made([west]) if not one.tombstone] == ran
