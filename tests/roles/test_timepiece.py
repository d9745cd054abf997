"""A replica whose clock is wrong takes no part; how it knows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hacron.kube.clock import DistantClock
from hacron.ports import ClockWrong
from hacron.timepiece import Timepiece
from hacron.turn import Moment
from tests.fakes.kube_client import FakeKube
from tests.fakes.kubernetes import FakeCluster, all_made
from tests.scenarios.judge import wrong
from tests.scenarios.ordinary import HELLO, at
from tests.scenarios.script import spec
from tests.scenarios.world import World

WHEN = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


def every_five_minutes() -> World:
    world = World()
    for name in ("west-1", "west-2", "east-1"):
        world.start(name)
    for name in ("west", "east"):
        world.cluster(name).apply(HELLO, spec({"schedule": "*/5 * * * *", "runs": "5", "clusters": "west,east"}))
    world.at(at(290))
    return world


def ran(world: World) -> list[str]:
    return [f"{one.tick:%H:%M}" for one in all_made([*world.clusters.values()]) if not one.tombstone]


@pytest.mark.parametrize("ahead", [timedelta(hours=2), timedelta(hours=-2), timedelta(minutes=2)])
@pytest.mark.parametrize("name", ["west-1", "west-2", "east-1"])
def test_a_clock_that_is_set_wrong_costs_no_tick(name: str, ahead: timedelta) -> None:
    """Also if it is the executor's, or the worker's."""
    world = every_five_minutes()
    world.processes[name].skew = ahead
    world.at(at(660))
    assert world.processes[name] not in (world.executor, world.worker(name.partition("-")[0]))
    world.processes[name].skew = timedelta()
    world.at(at(960))
    assert ran(world) == ["12:05", "12:10", "12:15"]
    assert wrong(world) == []


def test_nobody_decides_rather_than_somebody_whose_clock_is_wrong() -> None:
    """What comes meanwhile is made up for."""
    world = every_five_minutes()
    for name in ("west-1", "west-2"):
        world.processes[name].die()
    world.processes["east-1"].skew = timedelta(hours=2)
    world.at(at(400))
    assert world.executor is None
    world.start_again("west-1")
    world.at(at(610))
    assert ran(world) == ["12:05", "12:10"]


@pytest.mark.parametrize("ahead", [timedelta(hours=2), timedelta(hours=-2)])
def test_without_a_word_of_its_api_server_the_last_executors_time_counts(ahead: timedelta) -> None:
    world = every_five_minutes()
    world.cluster("east").up = False
    world.processes["east-1"].die()
    world.processes["east-1"].skew = ahead
    world.start_again("east-1")
    world.at(at(295))
    for name in ("west-1", "west-2"):
        world.processes[name].die()
    world.at(at(320))
    assert world.executor is None
    world.processes["east-1"].skew = timedelta()
    world.at(at(350))
    assert world.executor is world.processes["east-1"]


@pytest.mark.parametrize("outage_s", [70, 610])
def test_after_an_outage_of_everything_nobody_is_kept_out_for_how_old_the_last_word_is(outage_s: int) -> None:
    """Also a replica in a cluster whose API server is away may decide for others."""
    world = every_five_minutes()
    world.cluster("east").up = False
    for process in world.processes.values():
        process.die()
    world.at(at(290 + outage_s))
    world.start_again("east-1")
    world.at(at(290 + outage_s + 10))
    assert world.executor is world.processes["east-1"]


@pytest.mark.parametrize(
    ("signs", "ours_s", "wrong_as"),
    [
        # given and read at those seconds by the true clock, N: of now, O: not;  what ours shows at second 100
        pytest.param("O-500@99", 100, "", id="a sign of any age"),
        pytest.param("O-400@99", 150, "", id="that is not of now says nothing of a clock that is ahead by an outage"),
        pytest.param("O-400@99", 7300, "ahead", id="but of one that is ahead by hours"),
        pytest.param("O50@99", -20, "behind", id="but of one behind"),
        pytest.param("O50@60 O-500@99", -20, "behind", id="an older one is no news"),
        pytest.param("N99@99", 7300, "ahead", id="one of now tells of a clock that is ahead"),
        pytest.param("N99@99", -20, "behind", id="and behind"),
        pytest.param("N90@90 O95@99", 7300, "ahead", id="and still does on the next connection"),
        pytest.param("O9000@98 N99@99", 100, "", id="of what a clock that was ahead has left behind"),
        pytest.param("N-201@-201", 7300, "", id="it was read too long ago"),
    ],
)
def test_what_signs_of_an_executors_life_tell_of_a_clock(signs: str, ours_s: int, wrong_as: str) -> None:
    cluster = FakeCluster("east", WHEN)
    cluster.up = False
    timepiece = Timepiece(FakeKube(cluster, "east-1", lambda: WHEN))
    for sign in signs.split():
        given_s, _, read_s = sign[1:].partition("@")
        timepiece.hear(WHEN + timedelta(seconds=int(given_s)), sign[0] == "N", Moment(WHEN, float(read_s)))
    found = ""
    try:
        timepiece.look(Moment(WHEN + timedelta(seconds=ours_s), 100.0))
    except ClockWrong as error:
        found = str(error)
    assert (wrong_as in found) if wrong_as else not found


@pytest.mark.parametrize("ahead_s", [25, -25])
def test_a_clock_that_is_a_little_wrong_is_no_reason(ahead_s: int) -> None:
    world = every_five_minutes()
    for process in world.processes.values():
        process.skew = timedelta(seconds=ahead_s)
    world.at(at(400))
    assert world.executor is not None


@pytest.mark.parametrize(
    ("date", "took_s", "later_s", "told"),
    [
        pytest.param("Tue, 24 Nov 2026 12:00:00 GMT", 0.2, 5.0, WHEN + timedelta(seconds=5.4), id="it goes on"),
        pytest.param("Tue, 24 Nov 2026 12:00:00 GMT", 12.0, 15.0, None, id="an answer that took long says little"),
        pytest.param("Tue, 24 Nov 2026 12:00:00 GMT", 0.0, 601.0, None, id="after long it is not known any more"),
        pytest.param("Tue, 24 Nov 2026 13:00:00 +0100", 0.0, 0.0, WHEN + timedelta(seconds=0.5), id="in another zone"),
        pytest.param("yesterday", 0.0, 0.0, None, id="no date"),
        pytest.param(None, 0.0, 0.0, None, id="nothing"),
    ],
)
def test_what_time_it_is_elsewhere(date: str | None, took_s: float, later_s: float, told: datetime | None) -> None:
    clock = DistantClock()
    clock.hear(date, 100.0, 100.0 + took_s)
    assert clock.time_at(100.0 + later_s) == told
