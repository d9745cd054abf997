"""A replica as others see it: ready or why not, and how it waits for a broker that is away."""

from __future__ import annotations

import gc
import logging
import math
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest

from hacron import replica
from hacron.core.model import Kind
from hacron.core.ticks.cron import tzdata_version
from hacron.inventory import Inventory
from hacron.kopf_watch import KopfWatch
from hacron.ports import Answer, BrokerUnavailable, FromKubernetes, JobsListed, ListInventory, ObjectSeen
from hacron.replica import Replica, introduce, run, shortcomings
from hacron.settings.fields import Settings
from hacron.telemetry.health import Health
from hacron.telemetry.metrics import Metrics
from hacron.turn import Moment
from tests.cluster.oddities import kubeconfig
from tests.fakes.kube_client import FakeKube
from tests.fakes.kubernetes import FakeCluster
from tests.scenarios.script import Script
from tests.testbed.process import free_port
from tests.testbed.wait import until


def wanting(script: Script, name: str = "west-1") -> list[str]:
    process = script.world.processes[name]
    assert process.session is not None
    return list(shortcomings(process.session, process.engine.relay.inventory, process.kube))


def running(*names: str) -> Script:
    script = Script()
    script.run(f"replicas {' '.join(names)}")
    script.run("at 12:00:02")
    return script


def refuse_inventory(script: Script, status: int, message: str = "") -> None:
    """Answer the next inventory like an API server without the CRD, or without the right to list."""
    process = script.world.processes["west-1"]
    answer = Answer(request=ListInventory(), status=status, body={"message": message})
    process.engine.relay.take(answer, process.moment())


# --- ready ----------------------------------------------------------------------------------------


def test_executor_and_standby_are_ready_once_they_have_read_the_ledger_and_listed_their_cluster() -> None:
    script = running("west-1", "east-1")
    assert wanting(script, "west-1") == wanting(script, "east-1") == []


def test_a_replica_that_has_yet_to_read_the_ledger_is_not_ready() -> None:
    script = running("west-1", "west-2")
    process = script.world.processes["west-2"]
    process.session = process.engine.begin(script.world.broker.connect("west-2"))
    assert wanting(script, "west-2") == ["ledger: still being read"]


def test_an_executor_whose_api_server_is_away_goes_on_but_is_not_ready() -> None:
    script = running("west-1")
    script.run("api west down")
    script.run("at 12:00:09")
    assert script.world.executor is script.world.processes["west-1"]
    assert wanting(script) == ["kubernetes: the API server cannot be worked with: no answer came"]
    script.run("api west up")
    assert wanting(script) == []


def test_a_replica_that_may_not_look_at_jobs_says_so_in_the_words_of_its_api_server() -> None:
    script = running("west-1")
    script.world.cluster("west").forbids = True
    said = 'status 403: User "hacron" cannot get resource "jobs"'
    assert wanting(script) == [f"kubernetes: the API server cannot be worked with: {said}"]


def test_a_replica_that_has_not_listed_its_cluster_is_not_ready() -> None:
    script = Script()
    script.world.cluster("west").busy = True
    script.run("replicas west-1")
    assert wanting(script) == ["kubernetes: HACronJobs are still being listed"]


def test_a_worker_that_hears_nothing_of_jobs_is_not_ready() -> None:
    script = running("west-1")
    script.world.processes["west-1"].kube.hears_of_jobs = False
    assert wanting(script) == ["kubernetes: nothing is heard of Jobs"]


@pytest.mark.parametrize(
    ("status", "message", "helps"),
    [
        (404, "", "the API server does not know the resource: apply crds/hacronjob.yaml"),
        (403, "hacronjobs.hacron.io is forbidden", "we lack the right to: hacronjobs.hacron.io is forbidden"),
        (401, "Unauthorized", "the API server does not accept our credentials"),
    ],
)
def test_a_replica_that_cannot_list_its_cluster_says_what_is_missing(
    status: int, message: str, helps: str, caplog: pytest.LogCaptureFixture
) -> None:
    script = running("west-1")
    refuse_inventory(script, status, message)
    refuse_inventory(script, status, message)
    assert wanting(script) == [f"kubernetes: HACronJobs cannot be listed: {helps}"]
    assert caplog.messages.count("HACronJobs cannot be listed") == 1
    script.run("at 12:05:10")
    assert wanting(script) == []


def test_a_replica_that_lacks_the_right_in_one_namespace_says_in_which_and_knows_of_the_others() -> None:
    script = running("west-1")
    process = script.world.processes["west-1"]
    listed = {"items": [], "version": "9", "left_out": {"shop": "hacronjobs.hacron.io is forbidden"}}
    process.engine.relay.inventory.ask_when_due(True, Moment(process.moment().wall, math.inf))
    process.engine.relay.take(Answer(request=ListInventory(), status=200, body=listed), process.moment())
    helps = "in namespace shop we lack the right to: hacronjobs.hacron.io is forbidden"
    assert wanting(script) == [f"kubernetes: HACronJobs cannot be listed: {helps}"]
    script.run("at 12:01:10")
    assert wanting(script) == []


def test_without_the_resource_of_runs_a_replica_is_ready_and_says_once_what_is_missing(caplog: pytest.LogCaptureFixture) -> None:
    script = Script()
    script.world.cluster("west").lacks.add(Kind.DEMAND)
    script.run("replicas west-1")
    script.run("at 12:00:40")
    assert wanting(script) == []
    assert caplog.messages.count("HACronJobRuns cannot be listed") == 1
    script.world.cluster("west").lacks.clear()
    script.run("at 12:01:00")
    assert script.world.processes["west-1"].engine.demand_relay.inventory.complaint == ""


def test_the_first_line_of_the_log_says_which_time_zones_it_goes_by(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="hacron")
    introduce(Settings(cluster="west", replica="west-1", broker_url="amqp://user:secret@127.0.0.1"))
    (line,) = caplog.records
    assert (line.message, vars(line)["tzdata"]) == ("starts", tzdata_version())
    assert "secret" not in str(vars(line))


# --- the broker is away ---------------------------------------------------------------------------


class Alone:
    """A replica that cannot reach a broker, running in a thread."""

    def __init__(self) -> None:
        url = f"amqp://user:secret@127.0.0.1:{free_port()}"
        settings = Settings(cluster="west", replica="west-1", broker_url=url)
        self.cluster = FakeCluster("west", datetime.now(UTC))
        self.kube = FakeKube(self.cluster, "west-1", lambda: datetime.now(UTC))
        self.said: list[Health] = []
        self.arrivals: queue.SimpleQueue[FromKubernetes] = queue.SimpleQueue()
        self.replica = Replica(settings, self.kube, self.arrivals, Metrics(replica="west-1", cluster="west", tzdata=""))
        self.replica.health = self.said.append
        self.thread = threading.Thread(target=self.replica.run)


@pytest.fixture
def alone() -> Iterator[Alone]:
    alone = Alone()
    yield alone
    alone.replica.stop()
    alone.thread.join()


def test_a_replica_without_a_broker_says_so_goes_on_trying_and_stops_at_once(
    alone: Alone, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "hacron.replica"):
        alone.thread.start()
        until(lambda: len(alone.said) > 4, 10, "two more attempts")
    alone.replica.stop()
    alone.thread.join(60)
    assert not alone.thread.is_alive()
    told = [health for health in alone.said if "trying again in" in health.reasons[0]]
    assert not any(health.ready for health in alone.said)
    assert all("Connection refused" in health.reasons[0] and "secret" not in health.reasons[0] for health in told)
    lines = [record for record in caplog.records if record.message == "broker unavailable"]
    assert [record.levelname for record in lines[:2]] == ["WARNING", "DEBUG"]  # the same again is no news


def test_a_replica_without_a_broker_tells_of_its_api_server(alone: Alone, caplog: pytest.LogCaptureFixture) -> None:
    def told() -> list[str]:
        return [record.message for record in caplog.records if record.name == "hacron.lookout"]

    with caplog.at_level(logging.INFO, "hacron.lookout"):
        alone.thread.start()
        until(lambda: alone.said, 10, "an attempt")
        alone.cluster.up = False
        until(lambda: told() == ["the API server cannot be worked with"], 30, "that it is away")
        alone.cluster.up = True
        until(lambda: told()[1:] == ["the API server can be worked with again"], 30, "that it is back")


def test_who_doubts_its_connection_drops_it_before_it_waits(alone: Alone, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it held there, be it the token, is free for others."""
    dropped = threading.Event()
    broker = SimpleNamespace(connection=SimpleNamespace(drop=dropped.set, wake=lambda: None))

    def live(self: Replica) -> None:
        self._broker = broker  # type: ignore[assignment]  # only dropped
        raise BrokerUnavailable("no answer for 2 s: a confirm")

    monkeypatch.setattr(Replica, "_live", live)
    monkeypatch.setattr(replica, "FIRST_BACKOFF_S", 120.0)
    alone.thread.start()
    assert dropped.wait(30)


def test_what_kubernetes_says_does_not_pile_up_while_there_is_no_broker(alone: Alone) -> None:
    alone.thread.start()
    for number in range(10_000):
        metadata = {"namespace": "default", "name": f"many-{number % 10}", "uid": "1", "generation": number}
        alone.arrivals.put(ObjectSeen(body={"metadata": metadata, "spec": {"suspend": True}, "status": {}}))
    until(alone.arrivals.empty, 20, "an empty queue")


# --- how its parts are put together ----------------------------------------------------------------


class Recorder(KopfWatch):
    """A watch that only notes what it is told."""

    begun_again: ClassVar[list[Kind]] = []

    def start(self) -> None:
        """Watch nothing."""

    def stop(self) -> None:
        """There is nothing to end."""

    def begin_again(self) -> None:
        self.begun_again.append(self._kind)


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)}
    interval, threshold = sys.getswitchinterval(), gc.get_threshold()
    yield
    signal.alarm(0)
    for number, handler in before.items():
        signal.signal(number, handler)
    sys.setswitchinterval(interval)
    gc.set_threshold(*threshold)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_whatever_the_signal_has_interrupted(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here its thread, as it begins to wait between two attempts, and has the lock of what would end that."""
    ended = []

    def hang(*_: object) -> None:
        raise TimeoutError

    def turn(replica: Replica) -> None:
        with replica._stopping._cond:
            signal.raise_signal(number)
        ended.append(replica._stopping.wait(5))

    signal.signal(signal.SIGALRM, hang)
    signal.alarm(10)
    monkeypatch.setattr("hacron.kopf_watch.KopfWatch", Recorder)
    monkeypatch.setattr(Replica, "run", turn)
    path = kubeconfig(tmp_path / "kubeconfig", "https://127.0.0.1:1")
    settings = Settings(cluster="west", replica="west-1", broker_url="amqp://127.0.0.1:1", kubeconfig=path, http_port=free_port())
    assert run(settings) == 0
    assert ended == [True]


@pytest.mark.usefixtures("handlers")
def test_all_watches_begin_anew_when_the_certificates_of_the_api_server_are_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hacron.kopf_watch.KopfWatch", Recorder)
    monkeypatch.setattr(Recorder, "begun_again", [])
    monkeypatch.setattr(Replica, "run", lambda replica: replica._kube.on_new_connections())
    path = kubeconfig(tmp_path / "kubeconfig", "https://127.0.0.1:1")
    settings = Settings(cluster="west", replica="west-1", broker_url="amqp://127.0.0.1:1", kubeconfig=path, http_port=free_port())
    assert run(settings) == 0
    assert sorted(Recorder.begun_again) == sorted(Kind)


def test_all_watches_begin_anew_once_when_the_api_server_was_put_back() -> None:
    alone = Alone()
    begun: list[Kind] = []
    alone.replica.watch_again = lambda kind, _: begun.append(kind)
    alone.kube.watch_jobs(True)
    alone.kube.arrivals.clear()
    inventory = Inventory(Kind.CRONJOB, 300.0)
    inventory.put_back()
    for _ in range(2):
        alone.replica._watch_as_lists_tell(Kind.CRONJOB, inventory)
    assert begun == [Kind.CRONJOB]
    assert [type(arrival) for arrival in alone.kube.arrivals] == [JobsListed]


def test_a_watch_that_found_nothing_to_watch_begins_anew_when_there_is_something() -> None:
    """The custom resource came before the first list was asked for: nobody has ever complained."""
    alone = Alone()
    begun: list[Kind] = []
    alone.replica.watch_again = lambda kind, _: begun.append(kind)
    inventory = Inventory(Kind.CRONJOB, 300.0)
    inventory.ask_when_due(True, Moment(datetime(2026, 11, 24, 12, tzinfo=UTC), 100.0))
    inventory.take(
        Answer(request=ListInventory(), status=200, body={"items": []}), Moment(datetime(2026, 11, 24, 12, tzinfo=UTC), 100.0)
    )
    for began, again in ((None, 0), (80.0, 0), (5.0, 1), (5.0, 1), (6.0, 2)):
        alone.replica.never_heard_since = {Kind.CRONJOB: began}.get
        alone.replica._watch_as_lists_tell(Kind.CRONJOB, inventory)
        assert len(begun) == again
