"""The main job: HACronJobs applied with kubectl become Jobs, each tick exactly once, whichever replica decides."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.testbed import judge
from tests.testbed.control_plane import ControlPlane
from tests.testbed.cronjobs import await_status, await_told, condition, created, manifest
from tests.testbed.fleet import Fleet
from tests.testbed.judge import Ran
from tests.testbed.wait import until

pytestmark = [pytest.mark.e2e, pytest.mark.broker, pytest.mark.cluster]

EVERY = "@every 2s"


def now() -> datetime:
    return datetime.now(UTC)


def ran(fleet: Fleet, name: str) -> list[Ran]:
    return judge.of(judge.jobs(fleet.clusters.values()), name)


def await_runs(fleet: Fleet, name: str, count: int, since: datetime, timeout: float = 30) -> list[Ran]:
    """Return the Jobs whose tick is after `since`, as soon as there are so many."""

    def enough() -> list[Ran] | None:
        found = [one for one in ran(fleet, name) if one.tick > since]
        return found if len(found) >= count else None

    return until(enough, timeout, f"{count} Jobs of {name} since {since:%H:%M:%S}", every=0.5)


def test_every_tick_of_an_applied_cronjob_has_exactly_one_job(fleet: Fleet, west: ControlPlane, east: ControlPlane) -> None:
    west.apply(manifest("both", EVERY))
    east.apply(manifest("both", EVERY))  # the same cronjob, as GitOps would apply it
    west.apply(manifest("mine", EVERY))
    east.apply(manifest("fails", EVERY, fail=True))
    for home, name in ((west, "both"), (east, "both"), (west, "mine"), (east, "fails")):
        await_status(home, name, lambda s: s.get("nextScheduleTime"), "the declaration")
    begin = now()  # what came before it was heard of is made up for by the latest

    await_runs(fleet, "both", 6, begin)

    end = now() - timedelta(seconds=2)
    homes = {"both": {"west", "east"}, "mine": {"west"}, "fails": {"east"}}
    for name, cluster in (("both", west), ("mine", west), ("fails", east)):
        found, born = ran(fleet, name), created(cluster, name)
        assert judge.doubled(found) == []
        assert judge.missing(found, judge.ticks(EVERY, born, begin, end)) == []
        assert {one.cluster for one in found} <= homes[name]
        assert all(-1 <= one.late_s <= 5 for one in found)
    status = await_status(east, "fails", lambda s: s.get("lastResult") == "Failed", "a verdict")
    assert status["recent"][0]["verdict"] == "Failed"
    assert condition(status, "Accepted")["status"] == "True"
    status = await_status(west, "mine", lambda s: s.get("lastSuccessfulTime"), "a success")
    assert status["recent"][0]["cluster"] == "west"
    assert status["nextScheduleTime"]
    assert "mine" in west.kubectl("get", "hacj")
    for replica in fleet:  # each shows all clusters
        assert replica.page("overview.json")["executor"]["replica"] == fleet.await_executor().name
        (row,) = replica.page("cronjobs.json?text=default/fails&verdict=Failed&cluster=east")["cronjobs"]
        assert {verdict["cluster"] for verdict in row["recent"] if verdict["job"]} == {"east"}
    for home, name in ((west, "both"), (east, "both"), (east, "fails")):
        await_told(home, name, {one.job for one in ran(fleet, name) if begin < one.tick <= end})


def test_a_change_in_the_cluster_without_the_executor_counts_at_once(
    fleet: Fleet, west: ControlPlane, east: ControlPlane
) -> None:
    executor = fleet.await_executor()
    other = east if executor.cluster == "west" else west
    other.apply(manifest("changing", "@every 1h"))
    await_status(other, "changing", lambda s: s.get("nextScheduleTime"), "the declaration")
    assert ran(fleet, "changing") == []

    other.apply(manifest("changing", EVERY))
    await_runs(fleet, "changing", 3, now() - timedelta(hours=1))

    other.kubectl("patch", "hacj", "changing", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    await_status(other, "changing", lambda s: condition(s, "Scheduled").get("reason") == "Suspended", "the suspension")
    suspended_at = now()
    other.kubectl("patch", "hacj", "changing", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    resumed = await_runs(fleet, "changing", 2, suspended_at)
    assert judge.doubled(resumed) == []

    other.kubectl("delete", "hacj", "changing")
    until(lambda: ran(fleet, "changing") == [], 120, "the end of its Jobs, whose names are kept for a while", every=0.5)
    deleted_at = now()
    other.apply(manifest("after", EVERY))  # something that shows that time has passed
    await_runs(fleet, "after", 3, deleted_at)
    assert ran(fleet, "changing") == []


def test_what_is_wrong_with_one_cronjob_is_told_there_and_stops_nothing_else(fleet: Fleet, west: ControlPlane) -> None:
    wrong_template = json.loads(manifest("template", EVERY))
    del wrong_template["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"]
    west.apply(json.dumps(wrong_template))
    west.apply(manifest("zone", EVERY, timeZone="Mars/Olympus"))
    west.apply(manifest("schedule", "0 22-3 * * *"))
    west.apply(manifest("good", EVERY))

    await_runs(fleet, "good", 3, now() - timedelta(minutes=1))

    for name, words in (("zone", "Mars/Olympus"), ("schedule", "22-3"), ("template", "image")):
        status = await_status(west, name, lambda s: condition(s, "Accepted").get("status") == "False", f"refusal of {name}")
        assert words in condition(status, "Accepted")["message"]
    assert ran(fleet, "zone") == ran(fleet, "schedule") == ran(fleet, "template") == []


def test_forbid_and_replace_hold_across_clusters(fleet: Fleet, west: ControlPlane, east: ControlPlane) -> None:
    for cluster in (west, east):
        cluster.apply(manifest("forbid", EVERY, run_seconds=3, concurrencyPolicy="Forbid"))
        cluster.apply(manifest("replace", EVERY, run_seconds=600, concurrencyPolicy="Replace"))
    await_runs(fleet, "forbid", 3, now() - timedelta(minutes=1), timeout=60)

    def living() -> list[Ran]:
        return [one for one in ran(fleet, "replace") if one.state == ""]

    newest = until(living, 30, "a run of replace")[-1]
    until(lambda: any(one.tick > newest.tick for one in living()), 60, "a newer run of replace", every=0.5)
    until(living, 30, "a run of replace, between the end of one and the next")
    looks = [{one.job for one in living()} for _ in range(2)]  # each asks west before east: one may end and the next begin
    assert len(looks[0] & looks[1]) <= 1
    status = await_status(west, "forbid", lambda s: any(v["verdict"] == "Succeeded" for v in s.get("recent", [])), "a success")
    forbidden = status["recent"]
    periods = sorted((v["started"], v["finished"]) for v in forbidden if v["verdict"] == "Succeeded")
    assert periods
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(periods))
