"""Metrics by Prometheus' conventions."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from prometheus_client import generate_latest

from hacron.core.messages import Progress
from hacron.core.model import Run, key_of
from hacron.core.state import State
from hacron.telemetry.census import SLICE, Census
from hacron.telemetry.instruments import Totals
from hacron.telemetry.metrics import Metrics, table
from hacron.telemetry.version import program_version

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def new_metrics() -> Metrics:
    return Metrics(replica="west-0", cluster="west", tzdata="2026f", monotonic=lambda: 0.0)


def test_every_metric_begins_with_hacron_and_has_a_sentence() -> None:
    for family in new_metrics().registry.collect():
        if not family.name.startswith("process_"):
            assert all(sample.name.startswith("hacron_") for sample in family.samples)
            assert family.documentation.endswith(".")


def test_times_and_sizes_carry_their_unit() -> None:
    for family in new_metrics().registry.collect():
        if re.search(r"_(age|lag|duration)", family.name):
            assert family.name.endswith("_seconds")
        if "_span" in family.name:
            assert family.name.endswith("_bytes")


def test_two_replicas_in_one_process_do_not_share_numbers() -> None:
    one, other = new_metrics(), new_metrics()
    one.takeovers.inc()
    assert one.registry.get_sample_value("hacron_takeovers_total") == 1
    assert other.registry.get_sample_value("hacron_takeovers_total") == 0


def test_the_info_tells_which_replica_this_is() -> None:
    labels = {
        "version": program_version(),
        "replica": "west-0",
        "cluster": "west",
        "tzdata": "2026f",
    }
    assert new_metrics().registry.get_sample_value("hacron_info", labels) == 1


def test_labels_are_the_documented_ones() -> None:
    metrics = new_metrics()
    metrics.step_downs.labels(reason="Superseded").inc()
    metrics.cronjobs.labels(condition="valid").set(3)
    metrics.runs_open.labels(state="Pending").set(1)
    metrics.verdicts.labels(verdict="Failed", reason="BackoffLimitExceeded").inc()
    metrics.records_written.labels(kind="Progress").inc()
    metrics.commands_taken.labels(kind="CronJobDeclared").inc()
    metrics.reports_taken.labels(kind="RunStarted").inc()
    metrics.messages_unreadable.labels(queue="commands").inc()
    metrics.kube_requests.labels(verb="create", code="201").inc()
    assert metrics.registry.get_sample_value("hacron_kube_requests_total", {"verb": "create", "code": "201"}) == 1


def test_tick_lag_is_told_apart_from_a_millisecond_to_an_hour() -> None:
    metrics = new_metrics()
    metrics.tick_lag.observe(0.003)
    bucket = "hacron_tick_lag_seconds_bucket"
    assert metrics.registry.get_sample_value(bucket, {"le": "0.001"}) == 0
    assert metrics.registry.get_sample_value(bucket, {"le": "0.005"}) == 1
    assert metrics.registry.get_sample_value(bucket, {"le": "3600.0"}) == 1


def test_an_age_grows_without_being_set() -> None:
    clock = [100.0]
    metrics = Metrics(replica="west-0", cluster="west", tzdata="2026f", monotonic=lambda: clock[0])
    metrics.proof_age.set(0.5)
    metrics.cluster_seen_age.set(2.0, "south")
    clock[0] = 103.0
    assert metrics.registry.get_sample_value("hacron_proof_age_seconds") == 3.5
    assert metrics.registry.get_sample_value("hacron_cluster_seen_age_seconds", {"cluster": "south"}) == 5.0


def test_a_proof_that_was_never_read_is_as_old_as_the_replica() -> None:
    clock = [100.0]
    metrics = Metrics(replica="west-0", cluster="west", tzdata="2026f", monotonic=lambda: clock[0])
    clock[0] = 160.0
    assert metrics.registry.get_sample_value("hacron_proof_age_seconds") == 60.0


def test_what_has_not_happened_yet_is_shown_as_zero() -> None:
    shown = [sample for family in new_metrics().registry.collect() for sample in family.samples]
    for row in table():
        for label, values in row.labels.items():
            for value in values:
                assert {sample.value for sample in shown if sample.name == row.name and sample.labels[label] == value} == {0}


def test_the_table_names_metrics_as_they_are_shown() -> None:
    text = generate_latest(new_metrics().registry).decode()
    for row in table():
        assert f"# TYPE {row.name} {row.type}\n" in text


# --- counters that follow a total -----------------------------------------------------------------


def test_a_counter_grows_by_as_much_as_its_total() -> None:
    metrics, totals = new_metrics(), Totals()
    for total in (3, 3, 5):
        totals.bring(metrics.takeovers, total)
    assert metrics.registry.get_sample_value("hacron_takeovers_total") == 5


def test_totals_that_begin_anew_are_added() -> None:
    metrics = new_metrics()
    for total in (3, 2):
        Totals().bring_each(metrics.messages_unreadable, {"ledger": total})
    assert metrics.registry.get_sample_value("hacron_messages_unreadable_total", {"queue": "ledger"}) == 5


# --- the census -----------------------------------------------------------------------------------


def many_cronjobs(count: int) -> State:
    state = State()
    run = Run(id="x.0.1", tick=NOON, cluster="west", start_by=NOON, fencing=1)
    for number in range(count):
        key = key_of("default", f"job-{number}")
        state.progress[key] = Progress(key=key, cronjob_id="x", last_tick=NOON, open=(run,))
    return state


def test_a_census_of_many_cronjobs_takes_several_slices() -> None:
    metrics, state = new_metrics(), many_cronjobs(2 * SLICE + 1)
    census = Census(state, metrics)
    shown = []
    for _ in range(4):
        census.go_on()
        shown.append(metrics.registry.get_sample_value("hacron_runs_open", {"state": "Pending"}))
    assert shown == [0, 0, 2 * SLICE + 1, 2 * SLICE + 1]  # the fourth has begun a new round


def test_a_cronjob_that_goes_away_during_a_census_is_not_counted() -> None:
    metrics, state = new_metrics(), many_cronjobs(SLICE + 1)
    census = Census(state, metrics)
    census.go_on()
    state.progress.clear()
    census.go_on()
    assert metrics.registry.get_sample_value("hacron_runs_open", {"state": "Pending"}) == SLICE
    census.go_on()
    assert metrics.registry.get_sample_value("hacron_runs_open", {"state": "Pending"}) == 0
