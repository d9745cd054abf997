"""A ledger that has just begun is told what runs: what may not run beside that waits for it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from hacron.core.kinds import CRONJOBS
from hacron.core.manifests import declared, rfc3339
from hacron.core.messages import Outcome
from hacron.core.model import Run, RunState
from hacron.core.rules import Rules
from tests.core.ledger_story import HELLO, LONG_BEFORE, NOON, Story, spec

SETTLE_S = Rules().settle.total_seconds()
AT_11_59 = Run(
    id="uid-west.1795521540.1",
    tick=NOON - timedelta(minutes=1),
    cluster="east",
    start_by=NOON,
    fencing=5,
    job="hello-29925359",
    state=RunState.STOPPING,
    reason="Withdrawn",
    because="whatever a home says",
)
KNOWN = replace(AT_11_59, state=RunState.RUNNING, start_by=NOON, reason="", because="", was_in_time=True, longest_s=0)
"""What the ledger makes of it."""


def lost(policy: str = "Forbid", *running: Run, born_s: float = 0, created_s: float = -3600, **fields: object) -> Story:
    """A ledger begins, and west declares a cronjob of a minute, of which the tick of 11:59 has begun."""
    story = Story()
    story.at(born_s)
    story.state.born = story.now
    tell(story, policy, *running, created_s=created_s, **fields)
    return story


def tell(story: Story, policy: str, *running: Run, cluster: str = "west", created_s: float = -3600, **fields: object) -> None:
    body = spec(concurrencyPolicy=policy, **fields)
    created = NOON + timedelta(seconds=created_s)
    last = story.now.replace(second=0)
    story.declare(body, cluster=cluster, created_at=created, last_schedule_time=last, running=running)


@pytest.mark.parametrize("policy", ["Allow", "Forbid", "Replace", "Queue"])
def test_what_runs_is_open_again_as_little_as_is_believed_of_it(policy: str) -> None:
    assert lost(policy, AT_11_59).progress.open[0] == KNOWN


@pytest.mark.parametrize("policy", ["Forbid", "Queue"])
def test_what_may_not_run_beside_it_waits_for_its_end(policy: str) -> None:
    story = lost(policy, AT_11_59, born_s=50)
    story.at(65)
    assert story.runs == ["-60 Running east #1"]
    assert story.progress.held is not None
    assert "hello-29925359 in east" in story.progress.held.message
    story.finished(AT_11_59)
    assert story.verdicts == ["-60 Succeeded"]
    assert story.runs == ["60 Pending west #1"]


def test_replace_stops_it_first() -> None:
    story = lost("Replace", AT_11_59, born_s=50)
    story.at(65)
    assert story.runs == ["-60 Stopping east #1"]
    story.stopped(AT_11_59)
    assert story.runs == ["60 Pending west #1"]


@pytest.mark.parametrize(
    ("policy", "created_s", "runs_at_once"),
    [("Forbid", -3600, False), ("Queue", -3600, False), ("Replace", -3600, False), ("Forbid", 56, True), ("Allow", -3600, True)],
)
def test_who_may_not_run_beside_anything_waits_for_what_others_tell(policy: str, created_s: float, runs_at_once: bool) -> None:
    story = lost(policy, born_s=55, created_s=created_s)
    story.at(60)
    assert ("60 Pending west #1" in story.runs) is runs_at_once
    tell(story, policy, AT_11_59, cluster="east")
    story.at(64)
    assert "-60 Running east #1" in story.runs
    assert ("60 Pending west #1" in story.runs) is runs_at_once
    story.at(55 + SETTLE_S + 1)
    assert ("60 Pending west #1" in story.runs) is runs_at_once


def test_when_nobody_tells_of_any_it_runs_as_soon_as_all_could_have() -> None:
    story = lost(born_s=55)
    story.at(55 + SETTLE_S)
    assert "60 Pending west #1" in story.runs


def test_it_is_not_open_twice_and_not_open_again_when_it_is_over() -> None:
    story = lost("Forbid", AT_11_59, AT_11_59)
    tell(story, "Forbid", AT_11_59, cluster="east")
    assert story.runs == ["-60 Running east #1"]
    story.finished(AT_11_59, Outcome.FAILED)
    tell(story, "Forbid", AT_11_59, cluster="south")
    assert "-60 Running east #1" not in story.runs
    assert story.verdicts == ["-60 Failed"]


def test_who_declares_it_first_tells_what_runs_however_late_that_is() -> None:
    """Its cluster was away when the ledger was lost; or the ledger has lost a part of what it had."""
    story = Story()
    story.at(65)
    tell(story, "Forbid", AT_11_59)
    story.at(121)
    assert story.runs == ["-60 Running east #1"]


def test_a_ledger_that_is_not_young_knows_better() -> None:
    story = lost()
    story.at(SETTLE_S + 1)
    tell(story, "Forbid", AT_11_59, cluster="east")
    assert HELLO in story.state.definitions
    assert "-60 Running east #1" not in story.runs


def test_what_the_ledger_could_have_decided_itself_is_not_taken_from_others() -> None:
    story = lost("Allow", replace(AT_11_59, tick=NOON + timedelta(seconds=3)), AT_11_59)
    assert "-60 Running east #1" in story.runs
    assert not any(run.startswith("3 ") for run in story.runs)


def test_in_a_silent_cluster_it_is_tried_elsewhere_if_it_may() -> None:
    story = lost("Forbid", AT_11_59, guarantee="AtLeastOnce", clusters=["west", "east"])
    story.alive.remove("east")
    story.at(Rules().lost_after.total_seconds() + 60)
    assert "-60 Pending west #2" in story.runs


@pytest.mark.parametrize("policy", ["Forbid", "Replace", "Queue"])
def test_a_deadline_counts_from_when_it_is_known_that_it_runs_however_old_its_tick_is(policy: str) -> None:
    """It was made up for, or had waited, and began long after its tick."""
    old = replace(AT_11_59, tick=NOON - timedelta(hours=6))
    story = lost(policy, old, jobSpec={"activeDeadlineSeconds": 3600})
    story.alive = {"west"}
    story.at(1800)
    assert [run.cluster for run in story.progress.open] == ["east"]
    story.at(3600 + 200)
    assert "east" not in [run.cluster for run in story.progress.open]


def test_when_it_last_succeeded_is_told_to_a_new_ledger() -> None:
    """Alerts go by how long ago that was, and would find nothing to go by."""
    story = lost("Forbid")
    assert story.progress.last_successful is None
    well = NOON - timedelta(hours=10)
    told = {"created_at": LONG_BEFORE, "last_schedule_time": NOON, "last_successful_time": well}
    story.declare(spec(concurrencyPolicy="Forbid"), cluster="east", **told)
    assert story.progress.last_successful == well
    story.declare(
        spec(concurrencyPolicy="Forbid"), cluster="south", **(told | {"last_successful_time": well - timedelta(days=1)})
    )
    assert story.progress.last_successful == well
    story.at(SETTLE_S + 1)
    story.declare(spec(concurrencyPolicy="Forbid"), cluster="north", **(told | {"last_successful_time": NOON}))
    assert story.progress.last_successful == well


def test_no_success_is_later_than_it_is_told() -> None:
    story = Story()
    story.declare(spec(), created_at=LONG_BEFORE, last_successful_time=NOON + timedelta(days=365))
    assert story.progress.last_successful == NOON


@pytest.mark.parametrize(
    ("known_s", "declared_s", "more"),
    [(None, -60, True), (-120, -60, True), (-60, -60, False), (-60, -120, False), (None, 60, False)],
)
def test_a_relay_tells_of_a_later_success_than_a_young_ledger_has(known_s: int | None, declared_s: int, more: bool) -> None:
    """One after the ledger began it has seen itself, or a clock is wrong."""
    story = lost("Forbid")
    known = replace(story.progress, last_successful=NOON + timedelta(seconds=known_s) if known_s is not None else None)
    story.write([(known,)])
    body = {
        "metadata": {"namespace": "default", "name": "hello", "uid": "uid-west"},
        "spec": {},
        "status": {"lastSuccessfulTime": rfc3339(NOON + timedelta(seconds=declared_s))},
    }
    assert CRONJOBS.knows_more(declared("west", body), story.state) is more
