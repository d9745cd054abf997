"""A rolling restart of all replicas under load, from the version before to the next one and back to this one: nothing is lost,
doubled or late. And a next message version, which is not read by who knows only this one: nothing is doubled."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e.other_version import NEWER, NEXT, OLDER
from tests.testbed import judge
from tests.testbed.api import Api, Arrivals, Witness
from tests.testbed.broker import Broker
from tests.testbed.control_plane import ControlPlane
from tests.testbed.cronjobs import created, manifest, remove_all
from tests.testbed.fleet import Fleet
from tests.testbed.wait import until

pytestmark = [pytest.mark.e2e, pytest.mark.broker, pytest.mark.cluster]

EVERY_S = 4
QUIET_S = 20.0
WHERE = {"in-west": ("west",), "in-east": ("east",), "in-both": ("west", "east")}
EACH = 4
TIMES = 4  # so many times as late as without a restart, or as others are meanwhile, is late
HICCUP_S = 0.1  # what a busy machine does to anybody
HELP_S = 1.0  # after so long another replica of the cluster makes a Job
LOST_S = 11.0  # so long runs wait for an executor that goes without a word: twice the heartbeat and a second
LAST_S = 6.0  # well below that
OUTDATED = (
    "version: the ledger is written in message version 2, and this program knows 1: upgrade it (docs/operations.md#upgrading)"
)
# So great a share of the runs is within the times above, and so much for what a restart may cost a few.
SHARES = ((0.5, 0.0), (0.8, 0.0), (0.9, HELP_S), (1.0, LAST_S))


@pytest.fixture
def fleet(broker: Broker, west: ControlPlane, east: ControlPlane, prefix: str, tmp_path: Path) -> Iterator[Fleet]:
    """A fleet of the version before, with the settings that are given; started again with NEWER, of the next one."""
    fleet = Fleet(
        tmp_path,
        broker_url=broker.url,
        clusters={"west": west, "east": east},
        prefix=prefix,
        names=("west-1", "west-2", "east-1", "east-2"),
        command=(sys.executable, "-m", "tests.e2e.other_version", "run"),
    )
    for replica in fleet:
        replica.env.update(OLDER)
    try:
        fleet.start()
        yield fleet
    finally:
        fleet.stop()
        for cluster in (west, east):
            remove_all(cluster)


def now() -> datetime:
    return datetime.now(UTC)


def declare(fleet: Fleet) -> dict[str, datetime]:
    """Declare the load; return when each cronjob was born."""
    born = {}
    for where, homes in WHERE.items():
        for number in range(EACH):
            guarantee = ("AtMostOnce", "AtLeastOnce")[number % 2]
            for home in homes:
                fleet.clusters[home].apply(manifest(f"{where}-{number}", f"@every {EVERY_S}s", guarantee=guarantee))
            born[f"{where}-{number}"] = created(fleet.clusters[homes[0]], f"{where}-{number}")
    return born


def restart_all(fleet: Fleet) -> None:
    """Restart one replica after the other, the executor among them, as a Deployment does."""
    for replica in fleet:
        assert replica.terminate(timeout=20) == 0
        replica.start()
        replica.wait_ready(60)


def test_a_rolling_restart_to_another_version_and_to_a_third_loses_doubles_and_delays_nothing(fleet: Fleet) -> None:
    with ExitStack() as stack:
        watches = [stack.enter_context(Arrivals(Api(cluster))) for cluster in fleet.clusters.values()]
        born = declare(fleet)
        until(lambda: len({one.cronjob for one in judge.jobs(fleet.clusters.values())}) == len(born), 60, "a run of each")
        quiet = now()
        end = time.monotonic() + QUIET_S
        until(lambda: time.monotonic() >= end, QUIET_S + 60, "time to pass")
        begin = now()
        witness = stack.enter_context(Witness(Api(fleet.clusters["west"])))
        for replica in fleet:
            replica.env.update(NEWER)
        restart_all(fleet)
        unknown = [replica.metrics()['hacron_messages_unreadable_total{queue="ledger"}'] for replica in fleet]
        for replica in fleet:
            for name in NEWER:
                del replica.env[name]
        restart_all(fleet)
        over = now()
        last = over + timedelta(seconds=LOST_S)  # so late a run may be
        until(lambda: all(max((one.tick for one in watch.seen), default=over) > last for watch in watches), 60, "runs after it")
        ran = judge.jobs(fleet.clusters.values())
        seen = [one for watch in watches for one in watch.seen]
    assert sum(unknown) > 0  # records of the next version have been read, and set aside
    assert judge.doubled(ran) == []
    gone = {
        name: judge.missing(judge.of(ran, name), judge.ticks(f"@every {EVERY_S}s", since, quiet, over))
        for name, since in born.items()
    }
    assert not any(gone.values()), gone
    before = sorted(one.late_s for one in seen if quiet < one.tick <= begin)
    during = sorted(one.late_s for one in seen if begin < one.tick <= over)
    others = sorted(late_s for due, late_s in witness.late if due <= over)
    for share, grace_s in SHARES:
        usual, found, anybody = (stretch[math.ceil(share * len(stretch)) - 1] for stretch in (before, during, others))
        assert found <= grace_s + TIMES * max(usual, anybody, HICCUP_S), (
            f"{share:.0%} were within {usual:.3f} s, and {found:.3f} s while restarting, others within {anybody:.3f} s; "
            f"the latest were {during[-9:]}"
        )


def test_who_cannot_read_the_next_message_version_stands_aside_and_nothing_runs_twice(fleet: Fleet) -> None:
    born = declare(fleet)
    until(lambda: _ran_since(fleet, min(born.values())) >= born.keys(), 60, "a run of each")
    _upgrade(fleet, "east-1")
    for name in ("west-1", "west-2", "east-2"):
        assert fleet[name].terminate(timeout=20) == 0
    assert fleet.await_executor() is fleet["east-1"]
    del fleet["west-1"].env["TALKS"]
    fleet["west-1"].start()
    until(lambda: fleet["west-1"].told().get("reasons") == [OUTDATED], 60, "what a replica says that stands aside")
    since = now()
    until(lambda: _ran_since(fleet, since) >= {"in-east-0", "in-both-0"}, 60, "runs that the next version decides")
    alone = now()
    for name in ("west-1", "west-2", "east-2"):
        _upgrade(fleet, name)
    over = now()
    until(lambda: _ran_since(fleet, over) >= born.keys(), 60, "a run of each")
    ran = judge.jobs(fleet.clusters.values())
    assert fleet["west-1"].lines("takes no part")
    assert not [one for one in ran if one.cluster == "west" and since < one.created < alone]
    assert judge.doubled(ran) == []


def _upgrade(fleet: Fleet, name: str) -> None:
    """Have a replica be of the next message version, as rolling a Deployment does, if it still runs."""
    fleet[name].terminate(timeout=20)
    fleet[name].env.update(NEXT)
    fleet[name].start()
    fleet[name].wait_ready(60)


def _ran_since(fleet: Fleet, since: datetime) -> set[str]:
    """Return the cronjobs of which there are Jobs for ticks since then."""
    return {one.cronjob.rpartition("/")[2] for one in judge.jobs(fleet.clusters.values()) if one.tick > since}
