"""A cluster falls silent with a run decided for it: AtMostOnce starts nothing elsewhere, AtLeastOnce does."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from tests.testbed import judge
from tests.testbed.control_plane import ControlPlane
from tests.testbed.cronjobs import await_status, manifest
from tests.testbed.fleet import Fleet
from tests.testbed.judge import Ran
from tests.testbed.replica import Replica
from tests.testbed.wait import until

pytestmark = [pytest.mark.e2e, pytest.mark.broker, pytest.mark.cluster]

PLACED = {"placement": {"clusters": ["west", "east"]}}
GUARANTEES = {"once": "AtMostOnce", "surely": "AtLeastOnce"}


@pytest.fixture
def names() -> tuple[str, ...]:
    """The executor is in east, and all of west dies with one replica."""
    return "east-1", "west-1"


def decided(executor: Replica, cronjob: str) -> list[dict[str, Any]]:
    return [line for line in executor.lines("run decided") if line["cronjob"].endswith(f"/{cronjob}")]


def at(ran: list[Ran], name: str, tick: datetime) -> list[Ran]:
    return [one for one in judge.of(ran, name) if one.tick == tick]


def verdict(status: dict[str, Any], tick: datetime, attempt: int) -> dict[str, Any]:
    found = [v for v in status.get("recent", []) if judge.instant(v["tick"]) == tick and v.get("attempt", 1) == attempt]
    return found[0] if found else {}


@pytest.fixture
def fleet(stopped_fleet: Fleet) -> Fleet:
    """A fleet that decides so far ahead that there is time to kill a replica before a tick that it has in hand."""
    for replica in stopped_fleet:
        replica.env["HACRON_DECIDE_AHEAD_S"] = "14"
    stopped_fleet.start()
    return stopped_fleet


def test_a_silent_cluster_loses_a_run_or_has_it_tried_elsewhere(fleet: Fleet, west: ControlPlane, east: ControlPlane) -> None:
    executor = fleet["east-1"]
    assert fleet.await_executor() is executor
    both = [manifest(name, "@every 15s", guarantee=guarantee, **PLACED) for name, guarantee in GUARANTEES.items()]
    for cluster in (west, east):
        cluster.apply("\n---\n".join(both))  # at once, so that they are due at the same time
    until(lambda: decided(executor, "once") and decided(executor, "surely"), 40, "runs decided ahead", every=0.02)
    fleet["west-1"].kill()  # it has the runs in hand and their ticks are still to come
    first = {name: decided(executor, name)[0] for name in GUARANTEES}
    ticks = {name: judge.instant(line["tick"]) for name, line in first.items()}
    assert all(line["cluster"] == "west" for line in first.values())

    again = until(lambda: at(judge.jobs([west, east]), "surely", ticks["surely"]), 60, "the second attempt", every=0.5)
    assert [(one.cluster, one.attempt) for one in again] == [("east", 2)]
    lost = await_status(east, "once", lambda s: verdict(s, ticks["once"], 1).get("verdict") == "Lost", "the loss told", 60)
    assert verdict(lost, ticks["once"], 1)["cluster"] == "west"
    later = until(
        lambda: [r for r in judge.of(judge.jobs([east]), "once") if r.tick > ticks["once"]], 60, "the next tick in east"
    )
    assert later[0].attempt == 1
    assert at(judge.jobs([west, east]), "once", ticks["once"]) == []

    fleet["west-1"].start()

    told = await_status(
        east, "once", lambda s: verdict(s, ticks["once"], 1).get("verdict") == "Missed", "the truth told by west", 60
    )
    assert verdict(told, ticks["once"], 1)["reason"] == "StartByPassed"
    ran = judge.jobs([west, east])
    assert at(ran, "once", ticks["once"]) == []
    assert [(one.cluster, one.attempt) for one in at(ran, "surely", ticks["surely"])] == [("east", 2)]
    numbers = [one.fencing for one in judge.of(ran, "surely")]
    assert len(set(numbers)) == len(numbers)
