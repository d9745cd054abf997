"""Every metric is fed by an engine over fakes, with what the engine has done and no more."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from hacron.broker.codec import encode_batch
from hacron.core import faults
from hacron.core.messages import Batch, Checkpoint
from hacron.core.reasons import labels
from hacron.ports import SteppedDown, Why
from hacron.telemetry.metrics import CONDITIONS, STEP_DOWNS, Row, table
from hacron.turn import Moment
from tests.fakes.broker import COMMANDS, REPORTS
from tests.fakes.kubernetes import all_made
from tests.roles.gauges import Gauges, Metered, Sample
from tests.scenarios.world import NOON


def a_night_with_everything() -> Gauges:
    """Two clusters, cronjobs of every kind, and whatever may happen to them."""
    night = Gauges("west-1", "west-2", "east-1")
    night.do("skew west-2 0.5")
    night.until(5)
    for name, fields in {
        "fine": "runs=5",
        "fails": "fails=true runs=5",
        "nonsense": "schedule=tomorrow",
        "suspended": "suspend=true",
        "paused": "",
        "forbid": "policy=Forbid runs=90",
        "replace": "policy=Replace runs=90",
        "refused": "restart=Always clusters=west",
        "elsewhere": "clusters=nowhere",
        "long": "runs=1000",
    }.items():
        schedule = "" if "schedule" in fields else 'schedule="* * * * *" '
        night.do(f"apply west {name} {schedule}{fields}")
    night.do("demand west now fine", "undemand west now", "demand west waits suspended")
    night.do("annotate west paused pause=moving")
    night.do("demand west good fine", "demand west bad fails", "demand west nothing fine from=12:00:00 to=11:00:00")
    faults.tally.update(dict.fromkeys(faults.ROLES, 1))  # as if some had been met: tests/core/test_faults.py
    night.until(185)
    night.world.broker.put(COMMANDS, b"broken")
    night.world.broker.put(REPORTS, b"broken")
    night.world.broker.append(b"broken", 0)
    night.do("freeze west-2", "change west fine runs=6")
    night.until(187)
    night.do("thaw west-2", "api west down")
    night.until(190)
    night.do("api west up", "delete west fine")
    night.until(200)
    night.do("silence west")
    night.until(600)
    night.do("restore west")
    night.until(610)
    night.do("freeze east-1", 'apply west late schedule="* * * * *"')
    night.until(613)
    night.do("thaw east-1")
    night.until(620)
    faults.tally.clear()
    return night


@pytest.fixture(scope="module")
def ever() -> set[Sample]:
    return a_night_with_everything().ever


UNTOLD = ("known", "refused", "dropped")  # outcomes; see the herald's own tests
FED_ELSEWHERE = {
    ("kind", "RunOutOfSight"),
    *(("reason", why) for why in STEP_DOWNS),
    *(("outcome", how) for how in UNTOLD),
}  # see below


@pytest.mark.parametrize("row", table(), ids=lambda row: row.name)
def test_every_metric_is_fed(row: Row, ever: set[Sample]) -> None:
    name = f"{row.name}_count" if row.type == "histogram" else row.name
    labels = {labels for shown, labels in ever if shown == name}
    assert labels
    wanted = {(label, value) for label, values in row.labels.items() for value in values}
    assert wanted - FED_ELSEWHERE <= {pair for pairs in labels for pair in pairs}


# --- stepping down --------------------------------------------------------------------------------


def the_executor(night: Gauges) -> str:
    assert night.world.executor is not None
    return night.world.executor.name


def test_the_reasons_to_step_down_are_told_as_the_ports_name_them() -> None:
    assert tuple(Why) == STEP_DOWNS


def test_who_is_executor_is_named_in_every_replica_and_nobody_else_is() -> None:
    night = Gauges("west-1", "west-2", "east-1")
    for _ in range(2):
        night.until((night.world.now - NOON).total_seconds() + 3)
        name = the_executor(night)
        alive = [one.samples() for one in night.of.values() if one.process.session is not None]
        named = [[dict(labels) for sample, labels in samples if "executor_began" in sample] for samples in alive]
        assert named == [[{"replica": name, "cluster": name.partition("-")[0]}]] * len(alive)
        assert len(alive) > 1
        night.do("stop executor")


def test_a_replica_that_begins_to_read_behind_the_checkpoint_names_the_executor_too() -> None:
    night = Gauges("west-1", "east-1")
    night.until(120)  # the beginning is read while it is short
    before = night.of["east-1"].value("executor_began_timestamp_seconds", replica="west-1", cluster="west")
    assert before
    night.do("cut east-1")
    night.until(125)
    session = night.of["east-1"].process.session
    assert session is not None
    assert session.state.position + 1 > session.state.entries_read, "it has read the checkpoint: that shows nothing"
    assert night.of["east-1"].value("executor_began_timestamp_seconds", replica="west-1", cluster="west") == before


def test_an_executor_that_loses_its_connection_has_stepped_down_and_a_standby_has_not() -> None:
    night = Gauges("west-1", "east-1")
    night.until(5)
    night.do("cut east-1", "cut west-1")
    night.until(10)
    counts = {name: metered.value("step_downs_total", reason="ConnectionLost") for name, metered in night.of.items()}
    assert counts == {"west-1": 1, "east-1": 0}
    assert night.of["west-1"].value("broker_reconnects_total") == 1


def test_an_executor_that_is_superseded_says_so() -> None:
    night = Gauges("west-1")
    night.until(5)
    process = night.world.processes["west-1"]
    assert process.session is not None
    assert process.broker is not None
    late = process.session.state.epoch + 1
    rival = Checkpoint(replica="rival", cluster="east", at=NOON, born=NOON)
    night.world.broker.append(encode_batch(Batch(epoch=late, sender="rival", sent_at=NOON, records=(rival,))), 0)
    process.broker.connection.turn(0)
    with pytest.raises(SteppedDown) as caught:
        process.session.turn(process.moment(), ())
    assert caught.value.why is Why.SUPERSEDED


def test_an_executor_that_reads_nothing_back_says_that_it_lacks_a_proof() -> None:
    night = Gauges("west-1")
    night.until(5)
    process = night.world.processes["west-1"]
    assert process.session is not None
    now = process.moment()
    with pytest.raises(SteppedDown) as caught:
        process.session.turn(Moment(now.wall + timedelta(seconds=9), now.mono + 9), ())
    assert caught.value.why is Why.NO_PROOF


def test_an_executor_without_its_token_says_so() -> None:
    night = Gauges("west-1")
    night.until(5)
    process = night.world.processes["west-1"]
    assert process.session is not None
    process.session.broker.token.give_back()
    with pytest.raises(SteppedDown) as caught:
        process.session.turn(process.moment(), ())
    assert caught.value.why is Why.TOKEN_LOST


# --- what the numbers are -------------------------------------------------------------------------


def test_a_verdict_is_counted_once_by_the_executor_that_wrote_it() -> None:
    night = Gauges("west-1", "west-2", "east-1")
    night.do('apply west fine schedule="* * * * *" runs=5', 'apply west fails schedule="* * * * *" runs=5 fails=true')
    night.until(90)
    first = the_executor(night)
    night.do("stop executor")
    night.until(210)
    assert the_executor(night) != first
    told: Counter[tuple[str, str]] = Counter()
    for metered in night.of.values():
        told.update({label: metered.value("verdicts_total", verdict=label[0], reason=label[1]) or 0 for label in labels()})
    assert +told == {("Succeeded", ""): 3, ("Failed", "BackoffLimitExceeded"): 3}
    assert night.of[first].value("verdicts_total", verdict="Succeeded", reason="") == 1


def test_every_replica_knows_how_many_cronjobs_and_open_runs_there_are() -> None:
    night = Gauges("west-1", "east-1")
    night.do('apply west long schedule="* * * * *" runs=500', "apply west nonsense schedule=tomorrow")
    night.do('apply east suspended schedule="* * * * *" suspend=true', 'apply east paused schedule="* * * * *"')
    night.do("annotate east paused pause=moving")
    night.until(130)
    for metered in night.of.values():
        assert [metered.value("cronjobs", condition=condition) for condition in CONDITIONS] == [1, 1, 1, 1]
        assert metered.value("runs_open", state="Running") == 2
    night.do("delete west nonsense", "delete east suspended", "annotate east paused pause-")
    night.until(135)
    assert [night.of["east-1"].value("cronjobs", condition=condition) for condition in CONDITIONS] == [2, 0, 0, 0]


def test_every_replica_knows_how_many_demands_are_open() -> None:
    night = Gauges("west-1", "east-1")
    night.do('apply west report schedule="0 0 * * *" runs=20', "demand west now report")
    night.until(10)
    assert [metered.value("demands_open") for metered in night.of.values()] == [1, 1]
    night.until(60)
    assert [metered.value("demands_open") for metered in night.of.values()] == [0, 0]
    night.do("demand west again report", "undemand west again")
    night.until(65)
    assert [metered.value("demands_open") for metered in night.of.values()] == [0, 0]


def test_the_executor_counts_how_demands_end() -> None:
    night = Gauges("west-1", "east-1")
    night.do('apply west report schedule="0 0 * * *" runs=20', 'apply west broken schedule="0 0 * * *" runs=5 fails=true')
    night.do("demand west good report", "demand west bad broken", "demand west many report from=12:00:00 to=11:00:00")
    night.until(10)
    night.do("demand west gone no-such")
    night.until(15)
    night.do("undemand west gone")
    night.until(60)
    executor = the_executor(night)
    expected = {"Succeeded": 1, "SomeFailed": 1, "Refused": 1, "Withdrawn": 1}
    for name, metered in night.of.items():
        counted = {verdict: metered.value("demands_ended_total", verdict=verdict) for verdict in expected}
        assert counted == (expected if name == executor else dict.fromkeys(expected, 0))
    night.do("kill executor")
    night.until(120)
    again = night.of[the_executor(night)]
    night.do("undemand west good", "undemand west bad", "undemand west many")
    night.until(130)
    assert [again.value("demands_ended_total", verdict=verdict) for verdict in expected] == [0] * 4, "they were over before"


def test_a_counter_goes_on_where_it_was_when_the_connection_is_new() -> None:
    night = Gauges("west-1")
    night.until(20)
    before = night.of["west-1"].value("ledger_messages_read_total")
    assert before is not None
    night.do("cut west-1")
    night.until(22)
    after = night.of["west-1"].value("ledger_messages_read_total")
    assert after is not None
    assert after > before


def test_a_replica_without_a_connection_is_neither_executor_nor_worker() -> None:
    night = Gauges("west-1")
    west = night.of["west-1"]
    night.until(5)
    assert [west.value("broker_connected"), west.value("executor"), west.value("worker", cluster="x")] == [1, 1, 1]
    night.do("broker stop")
    assert [west.value("broker_connected"), west.value("executor"), west.value("worker", cluster="x")] == [0, 0, 0]


def test_whether_the_api_server_can_be_worked_with_is_told_also_without_a_connection() -> None:
    night = Gauges("west-1")
    west = night.of["west-1"]
    assert west.value("kube_reachable") == 1
    night.until(5)
    night.do("broker stop", "api west down")
    assert west.value("kube_reachable") == 0
    night.do("api west up")
    assert west.value("kube_reachable") == 1


def test_the_age_of_the_last_proof_grows_while_nobody_decides() -> None:
    night = Gauges("west-1", "east-1")
    night.until(5)
    night.do("freeze executor")
    night.until(9)
    age = max(metered.value("proof_age_seconds") or 0 for metered in night.of.values())
    assert 3 <= age <= 5


def test_the_skew_of_a_clock_is_told_as_seconds_ahead_of_the_executor() -> None:
    night = Gauges("west-1", "west-2", "east-1")
    night.do("skew west-2 3", "skew east-1 -1.5")
    night.until(10)
    assert the_executor(night) == "west-1"
    skews = [metered.value("clock_skew_seconds") for metered in night.of.values()]
    assert skews == pytest.approx([0, 3, -1.5])


def test_nobody_is_woken_for_a_cluster_that_is_declared_gone() -> None:
    night = Gauges("west-1", "east-1", gone_clusters=("east",))
    night.until(30)
    west = night.of["west-1"]
    assert west.value("cluster_seen_age_seconds", cluster="east") is None
    assert west.value("cluster_seen_age_seconds", cluster="west") is not None


def test_a_cluster_that_is_forgotten_has_no_age_any_more() -> None:
    night = Gauges("west-1", "east-1")
    night.until(30)
    assert night.of["west-1"].value("cluster_seen_age_seconds", cluster="east") is not None
    night.do("kill east-1", "stop west-1")
    night.script.do_replicas("west-2", forgotten_clusters=("east",))
    west = night.of["west-2"] = Metered(night.world.processes["west-2"])
    night.until(40)
    session = night.world.processes["west-2"].session
    assert session is not None
    assert "east" in session.state.clusters
    night.until(400)
    assert night.world.processes["west-2"].session is session
    assert "east" not in session.state.clusters
    assert west.value("cluster_seen_age_seconds", cluster="east") is None
    assert west.value("cluster_seen_age_seconds", cluster="west") is not None


def test_a_tick_that_waited_for_its_turn_is_not_late() -> None:
    """Else who watches the lag would be woken by what was asked for."""
    night = Gauges("west-1")
    night.until(5)
    night.do('apply west forbid schedule="* * * * *" policy=Forbid runs=70', 'apply west fine schedule="* * * * *" runs=5')
    night.until(400)
    late = [one for one in all_made([*night.world.clusters.values()]) if one.at - one.tick > timedelta(seconds=5)]
    made = all_made([*night.world.clusters.values()])
    west = night.of["west-1"]
    assert len(late) >= 3
    assert west.value("tick_lag_seconds_bucket", le="5.0") == west.value("tick_lag_seconds_count") == len(made) - len(late)
