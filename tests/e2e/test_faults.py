"""What fails in the night: replicas killed, frozen and stopped, tokens lost and doubled, the broker and the API server away.

After each fault the Kubernetes APIs are asked what has run. A tick that fell into a gap in which nothing could be decided may be
missing where the rules say that only the latest is made up for; a tick that ran twice may never be.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pika
import pytest

from hacron.broker.channel import way_in
from tests.testbed import judge
from tests.testbed.api import Api, Arrivals, Witness
from tests.testbed.broker import Broker
from tests.testbed.control_plane import ControlPlane
from tests.testbed.cronjobs import await_status, await_told, created, manifest
from tests.testbed.fleet import Fleet
from tests.testbed.judge import Ran
from tests.testbed.wait import until

pytestmark = [pytest.mark.e2e, pytest.mark.broker, pytest.mark.cluster]

EVERY = "@every 2s"
LATE_S = 3.0  # as in docs/proof.md; a tenth of it is usual, and a second more where another replica of the cluster has to help
ON_ITS_WAY = timedelta(seconds=3)  # a Job of a tick so shortly before the end may be


def now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def channel(broker: Broker) -> Iterator[pika.adapters.blocking_connection.BlockingChannel]:
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        yield connection.channel()


class Watched:
    """Cronjobs that fire every two seconds, one in each cluster and one in both, and what became of their ticks."""

    NAMES = ("in-west", "in-east", "in-both")

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.clusters = list(fleet.clusters.values())
        west, east = fleet.clusters["west"], fleet.clusters["east"]
        for cluster, name in ((west, "in-west"), (east, "in-east"), (west, "in-both"), (east, "in-both")):
            cluster.apply(manifest(name, EVERY))
        self.born = {
            "in-west": created(west, "in-west"),
            "in-east": created(east, "in-east"),
            "in-both": created(west, "in-both"),
        }
        self.await_runs(since=now())

    def jobs(self) -> list[Ran]:
        return judge.jobs(self.clusters)

    def await_runs(self, since: datetime, count: int = 4, timeout: float = 60) -> datetime:
        """Return when each cronjob has run so many ticks after `since`."""

        def all_ran() -> bool:
            found = [one for one in self.jobs() if one.tick > since]
            return all(len(judge.of(found, name)) >= count for name in self.NAMES)

        until(all_ran, timeout, f"{count} runs of each cronjob since {since:%H:%M:%S}", every=0.5)
        return now()

    def judge(self, since: datetime, until_: datetime, gap: timedelta = timedelta(0)) -> None:
        """Nothing has run twice, and nothing is missing but in one stretch that is no longer than `gap`."""
        for name in self.NAMES:
            ticks = judge.ticks(EVERY, self.born[name], since, until_ - ON_ITS_WAY)
            assert len(ticks) >= 3

            def all_there(name: str = name, ticks: list[datetime] = ticks) -> bool:
                have = {one.tick for one in judge.of(self.jobs(), name)}
                gone = [tick for tick in ticks if tick not in have]
                return not gone or gone[-1] - gone[0] < gap

            until(all_there, 20, f"a Job of {name} for each of {', '.join(f'{tick:%H:%M:%S}' for tick in ticks)}", every=1)
        assert judge.doubled(self.jobs()) == []

    def late_s(self, arrivals: list[Arrivals], since: datetime, until_: datetime) -> list[float]:
        """Return how late each run was, the latest last."""
        seen = (one for each in arrivals for one in each.seen)
        return sorted(one.late_s for one in seen if since < one.tick <= until_ - ON_ITS_WAY)


@pytest.fixture
def watched(fleet: Fleet) -> Watched:
    return Watched(fleet)


def test_a_stopped_executor_gives_the_token_back_and_no_tick_is_missed(fleet: Fleet, watched: Watched) -> None:
    begin = now()
    executor = fleet.await_executor()
    assert executor.terminate() == 0, executor.log()[-2000:]  # within what Kubernetes gives; 0.4 s is usual
    successor = fleet.await_executor(other_than=executor)
    end = watched.await_runs(since=now(), count=6)
    watched.judge(begin, end)
    assert executor.lines("gives the token back")
    assert successor.lines("is the executor")
    assert not successor.lines("puts a token back: no sign of an executor")


def test_a_killed_executor_makes_no_run_late(fleet: Fleet, watched: Watched) -> None:
    with ExitStack() as stack:
        arrivals = [stack.enter_context(Arrivals(Api(cluster))) for cluster in watched.clusters]
        witnesses = [stack.enter_context(Witness(Api(cluster))) for cluster in watched.clusters]
        begin = now()
        executor = fleet.await_executor()
        executor.kill()
        fleet.await_executor(other_than=executor)
        end = watched.await_runs(since=now(), count=6)
        watched.judge(begin, end)
        executor.start()
        executor.wait_ready()
        end = watched.await_runs(since=now(), count=6)
        watched.judge(begin, end)
        late = watched.late_s(arrivals, begin, end)
        anybody = max(late_s for witness in witnesses for _, late_s in witness.late)  # which is what stalls cost
    assert late[-1] < LATE_S + anybody, f"the latest of {len(late)} were {late[-5:]} s late, others {anybody:.3f} s"


def test_a_killed_worker_is_replaced_and_no_tick_is_missed(fleet: Fleet, watched: Watched) -> None:
    begin = now()
    west = fleet.in_cluster("west")
    worker = until(lambda: next((replica for replica in west if replica.told().get("worker")), None), 30, "a worker")
    worker.kill()
    end = watched.await_runs(since=now(), count=6)
    watched.judge(begin, end)
    for name in ("in-west", "in-both"):
        made = {one.job for one in judge.of(watched.jobs(), name) if begin < one.tick < end}
        await_told(watched.clusters[0], name, made)


def test_a_frozen_executor_is_replaced_and_changes_nothing_when_it_wakes_up(fleet: Fleet, watched: Watched) -> None:
    begin = now()
    frozen = fleet.await_executor()
    epoch = until(lambda: frozen.told().get("epoch"), 30, "its epoch")
    frozen.freeze()
    successor = fleet.await_executor(other_than=frozen, timeout=60)
    watched.await_runs(since=now())
    frozen.thaw()
    until(lambda: frozen.told().get("role") == "standby", 30, "the old executor to stand by")
    end = watched.await_runs(since=now())
    # 5 s decided ahead, 5 s until it is replaced: what lies between may be missing, but nothing is doubled.
    watched.judge(begin, end, gap=timedelta(seconds=30))
    assert fleet.await_executor() is successor
    assert until(lambda: successor.told().get("epoch"), 30, "its epoch") > epoch


def test_a_purged_token_is_put_back(fleet: Fleet, watched: Watched, broker: Broker, prefix: str) -> None:
    begin = now()
    for replica in fleet:  # while it is held, the token cannot be purged
        replica.freeze()
    with channel(broker) as at_broker:
        until(lambda: at_broker.queue_purge(f"{prefix}.token").method.message_count, 20, "the token in its queue")
    for replica in fleet:
        replica.thaw()
    fleet.await_executor(timeout=60)
    watched.judge(begin, watched.await_runs(since=now()), gap=timedelta(seconds=60))
    put_back = [replica for replica in fleet if replica.lines("puts a token back: no sign of an executor")]
    assert put_back


def test_a_deleted_token_queue_comes_back(fleet: Fleet, watched: Watched, broker: Broker, prefix: str) -> None:
    begin = now()
    with channel(broker) as at_broker:
        at_broker.queue_delete(f"{prefix}.token")
    until(lambda: any(replica.lines("broker unavailable") for replica in fleet), 20, "the loss to be noticed")
    fleet.await_executor(timeout=60)
    watched.judge(begin, watched.await_runs(since=now()), gap=timedelta(seconds=45))


def test_a_second_token_makes_no_second_executor(fleet: Fleet, watched: Watched, broker: Broker, prefix: str) -> None:
    begin = now()
    executor = fleet.await_executor()
    with channel(broker) as at_broker:
        for _ in range(3):
            at_broker.basic_publish(way_in(f"{prefix}.token"), f"{prefix}.token", b"{}")
    watched.judge(begin, watched.await_runs(since=now(), count=6))
    assert fleet.await_executor() is executor
    executor.kill()  # now the surplus would show
    fleet.await_executor(other_than=executor)
    watched.judge(begin, watched.await_runs(since=now(), count=6))


def test_the_broker_is_restarted(fleet: Fleet, watched: Watched, broker: Broker) -> None:
    begin = now()
    broker.stop()
    until(lambda: not any(replica.is_ready() for replica in fleet), 30, "replicas that say they are not ready")
    until(lambda: all("broker" in " ".join(replica.told().get("reasons", [])) for replica in fleet), 30, "and why")
    broker.start()
    for replica in fleet:
        replica.wait_ready(60)
    fleet.await_executor(timeout=60)
    watched.judge(begin, watched.await_runs(since=now()), gap=timedelta(seconds=60))


def test_the_broker_is_wiped_while_everything_runs(fleet: Fleet, watched: Watched, broker: Broker, west: ControlPlane) -> None:
    begin = now()
    west.apply(manifest("every-minute", "* * * * *"))
    fencing = max(one.fencing for one in watched.jobs())
    broker.wipe()
    for replica in fleet:
        replica.wait_ready(60)
    fleet.await_executor(timeout=60)
    wiped = now()
    watched.judge(begin, watched.await_runs(since=wiped, timeout=90), gap=timedelta(seconds=60))
    assert all(one.fencing > fencing for one in watched.jobs() if one.tick > wiped)
    await_status(west, "every-minute", lambda s: s.get("nextScheduleTime"), "every-minute to be declared again")


def _succeeded(status: dict[str, Any], job: str) -> bool:
    return any((one.get("job"), one["verdict"]) == (job, "Succeeded") for one in status.get("recent", []))


def _both(west: ControlPlane, east: ControlPlane) -> list[Ran]:
    """Return two runs, as soon as there are two."""
    ran = judge.of(judge.jobs([west, east]), "alone")
    return ran[:2] if len(ran) > 1 else []


def test_what_is_to_be_alone_is_alone_when_the_broker_has_lost_everything(
    fleet: Fleet, west: ControlPlane, east: ControlPlane, broker: Broker
) -> None:
    for cluster in (west, east):
        cluster.apply(manifest("alone", "@every 5s", run_seconds=25, concurrencyPolicy="Forbid"))
    until(lambda: judge.of(judge.jobs([west, east]), "alone"), 30, "the first run")
    await_status(west, "alone", lambda status: status.get("activeCount") == 1, "it to be shown")
    broker.wipe()
    for replica in fleet:
        replica.wait_ready(60)
    until(lambda: _both(west, east), 60, "the next run")
    first, second = _both(west, east)  # west was asked before east, and the first may have ended between the two
    assert first.ended is not None
    assert first.ended <= second.created
    await_status(west, "alone", lambda status: _succeeded(status, first.job), "its verdict, in the new ledger")


def test_an_api_server_that_is_away_holds_up_its_own_cluster_only(fleet: Fleet, watched: Watched, west: ControlPlane) -> None:
    begin = now()
    west.stop_apiserver()
    try:
        away = now()

        def east_goes_on() -> bool:
            found = judge.jobs([fleet.clusters["east"]])
            return all(len([j for j in judge.of(found, name) if j.tick > away]) >= 3 for name in ("in-east", "in-both"))

        until(east_goes_on, 60, "runs in east while the API server of west is away", every=0.5)
    finally:
        west.start_apiserver()
    watched.judge(begin, watched.await_runs(since=now()), gap=timedelta(seconds=90))


def test_all_replicas_of_a_cluster_are_stopped_and_started(fleet: Fleet, watched: Watched) -> None:
    begin = now()
    west = fleet.in_cluster("west")
    for replica in west:
        replica.terminate(timeout=10)
    away = now()
    until(
        lambda: len([j for j in judge.of(watched.jobs(), "in-both") if j.tick > away and j.cluster == "east"]) >= 3,
        60,
        "in-both to run in east",
        every=0.5,
    )
    for replica in west:
        replica.start()
    for replica in west:
        replica.wait_ready()
    watched.judge(begin, watched.await_runs(since=now()), gap=timedelta(seconds=90))


def test_replicas_wait_for_a_broker_that_is_not_there_yet(stopped_fleet: Fleet, broker: Broker) -> None:
    broker.stop()
    try:
        for replica in stopped_fleet:
            replica.start()
        until(lambda: all("broker" in str(replica.told().get("reasons")) for replica in stopped_fleet), 30, "a reason")
        assert not any(replica.is_ready() for replica in stopped_fleet)
    finally:
        broker.start()
    for replica in stopped_fleet:
        replica.wait_ready(60)
    stopped_fleet.await_executor()
