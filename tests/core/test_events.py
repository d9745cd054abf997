"""What people are told in Events: which tick, in which cluster, how late and why, in one sentence each."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from hacron.core.events import MOST_CHARACTERS, Event, body
from hacron.core.messages import Outcome, RunFinished, RunRefused, RunsDemanded, RunStopped
from hacron.core.model import Kind, Pause, key_of
from tests.core.ledger_story import HELLO, NOON, Story, spec

TOLD = Path(__file__).with_name("events.txt")
ELSEWHERE = {"clusters": ["east", "west"]}


def ordinary(story: Story) -> None:
    story.declare(spec())
    story.at(62)
    story.started(story.run)
    story.at(70)
    story.finished(story.run)


def failed(story: Story) -> None:
    story.declare(spec())
    story.at(60)
    story.started(story.run)
    run = story.run
    story.at(65)
    story.tell(
        RunFinished(
            key=HELLO,
            run_id=run.id,
            cluster="west",
            outcome=Outcome.FAILED,
            finished=story.now,
            reason="BackoffLimitExceeded",
            message="Job has reached the specified backoff limit",
        )
    )


def too_short_to_be_seen_running(story: Story) -> None:
    story.declare(spec())
    story.at(60)
    story.at(61)
    run, at = story.run, story.now
    story.tell(
        RunFinished(key=HELLO, run_id=run.id, cluster="west", outcome=Outcome.SUCCEEDED, started=at, finished=at),
    )


def held_by_forbid(story: Story) -> None:
    story.declare(spec(concurrencyPolicy="Forbid"))
    story.at(60)
    story.started(story.run)
    story.events.clear()
    story.at(180)


def replaced(story: Story) -> None:
    story.declare(spec(concurrencyPolicy="Replace"))
    story.at(60)
    story.started(story.run)
    story.events.clear()
    story.at(120)
    story.stopped(story.run)


def job_deleted(story: Story) -> None:
    story.declare(spec())
    story.at(60)
    story.started(story.run)
    story.events.clear()
    story.tell(RunStopped(key=HELLO, run_id=story.run.id, cluster="west", reason="JobGone"))


def refused_and_taken(story: Story) -> None:
    story.declare(spec(placement=ELSEWHERE))
    story.at(60)
    run = story.run
    words = "the namespace default of east does not accept it"
    story.tell(RunRefused(key=HELLO, run_id=run.id, cluster="east", reason="NotAccepted", message=words))
    story.started(story.run)
    story.finished(story.run)


def refused(story: Story) -> None:
    story.declare(spec())
    story.at(60)
    words = 'Job.batch "hello-29925361" is invalid: spec.template.spec.containers[0].image: Required value'
    story.tell(RunRefused(key=HELLO, run_id=story.run.id, cluster="west", reason="Invalid", message=words))


def silent(story: Story) -> None:
    story.declare(spec())
    story.at(60)
    story.started(story.run)
    story.at(120)
    story.events.clear()
    story.alive.remove("west")
    story.at(175)


def silent_and_placed_elsewhere(story: Story) -> None:
    story.declare(spec(guarantee="AtLeastOnce", placement={"clusters": ["west", "east"]}))
    story.at(57)
    story.alive.remove("west")
    story.at(85)


def too_late(story: Story) -> None:
    story.declare(spec(startingDeadlineSeconds=10))
    story.at(5)
    story.alive.clear()
    story.at(75)


def no_cluster(story: Story) -> None:
    story.declare(spec(placement={"clusters": ["nowhere"]}))
    story.at(125)


def hours_without_a_broker(story: Story) -> None:
    story.declare(spec())
    story.at(1)
    story.events.clear()
    story.now = NOON + timedelta(hours=3, seconds=5)
    story.take_over()


def minutes_without_a_broker(story: Story) -> None:
    story.declare(spec())
    story.at(1)
    story.events.clear()
    story.now = NOON + timedelta(minutes=3, seconds=5)
    story.take_over()


def taken_back(story: Story) -> None:
    story.declare(spec())
    story.at(56)
    story.declare(spec(suspend=True), generation=2)
    story.at(130)
    story.declare(spec(), generation=3)


def taken_back_for_what_is_demanded(story: Story) -> None:
    story.declare(spec("*/5 * * * *", concurrencyPolicy="Replace"))
    story.at(296)
    again, asked = key_of("default", "again"), msgspec.Raw(b'{"cronJob": "hello"}')
    story.tell(RunsDemanded(key=again, cluster="west", uid="asked", generation=1, created_at=story.now, spec=asked))


def edited_while_it_waited(story: Story) -> None:
    story.declare(spec(placement={"clusters": ["nowhere"]}))
    story.at(61)
    story.events.clear()
    story.declare(spec("0 2 * * *"), generation=2)


def edited_before_anybody_decided(story: Story) -> None:
    story.declare(spec())
    story.at(1)
    story.now = NOON + timedelta(minutes=3, seconds=5)
    story.declare(spec("0 2 * * *"), generation=2)


def suspended_while_several_waited(story: Story) -> None:
    story.declare(spec(concurrencyPolicy="Queue"))
    story.at(60)
    story.started(story.run)
    story.at(185)
    story.events.clear()
    story.declare(spec(concurrencyPolicy="Queue", suspend=True), generation=2)


def paused(story: Story) -> None:
    story.declare(spec())
    story.declare(spec(), cluster="east")
    story.at(50)
    story.declare(spec(), cluster="east", pause=Pause(reason="the database is moved", by="ann"), version=7)
    story.at(100)
    story.declare(spec(), cluster="east", pause=Pause(reason="moved, and copied", by="ann"), version=8)
    story.at(130)
    story.declare(spec(), cluster="east", version=9)
    story.declare(spec(), cluster="west", pause=Pause(), version=3)
    story.at(150)
    story.withdraw(cluster="west")


def paused_until(story: Story) -> None:
    story.declare(spec())
    pause = Pause(until=NOON + timedelta(seconds=90))
    story.declare(spec(), pause=pause, version=7)
    story.at(95)
    story.rewrite()
    story.take_over()
    story.at(99)


def paused_before_it_was_declared_here(story: Story) -> None:
    story.declare(spec(), cluster="east", pause=Pause(by="ann", until=NOON + timedelta(hours=1)), version=7)
    story.events.clear()
    story.declare(spec(), cluster="west")
    story.declare(spec(), cluster="west", pause=Pause(reason="shorter", until=NOON + timedelta(minutes=1)), version=4)
    story.at(70)
    story.declare(spec(), cluster="east", version=8)


def the_queue_is_full(story: Story) -> None:
    story.declare(spec(concurrencyPolicy="Queue", catchUp={"limit": 2}))
    story.at(60)
    story.started(story.run)
    story.at(185)
    story.events.clear()
    story.at(245)


def withdrawn_while_it_waited(story: Story) -> None:
    story.declare(spec(placement={"clusters": ["nowhere"]}))
    story.at(61)
    story.withdraw()


def demanded(story: Story) -> None:
    story.declare(spec("0 2 * * *"))
    span = {"from": "2026-11-24T02:00:00Z", "to": "2026-11-25T02:00:00Z"}
    for name, asked in {"again": {}, "range": {"range": span}, "nonsense": {"range": {"from": "yesterday"}}}.items():
        told = {"uid": name, "generation": 1, "created_at": story.now, "cluster": "west"}
        body = msgspec.Raw(msgspec.json.encode({"cronJob": "hello"} | asked))
        story.tell(RunsDemanded(key=key_of("default", name), spec=body, **told))  # type: ignore[arg-type]
    for run in story.progress.open:
        story.started(run)
        story.finished(run, Outcome.SUCCEEDED if run.demand == "range" else Outcome.FAILED)


def invalid(story: Story) -> None:
    story.declare(spec("0 25 * * *"))
    story.declare(spec("0 2 * * *", timeZone="Europe/Atlantis"), generation=2)
    story.declare(spec("0 2 * * *", concurrencyPolicy="Perhaps"), generation=3)
    story.declare(spec("0 2 31 2 *"), generation=4)
    story.declare(spec("0 2 30 * *"), generation=5)
    story.declare(spec("0 2 30 * *", endTime="2026-11-25T00:00:00Z"), generation=6)
    story.declare(spec("0 2 30 * *", startingDeadlineSeconds=0), generation=7)


def lost_and_found(story: Story) -> None:
    silent(story)
    story.alive.add("west")
    story.started(story.progress.open[0])
    story.finished(story.progress.open[0])


STORIES: tuple[Callable[[Story], None], ...] = (
    ordinary,
    failed,
    too_short_to_be_seen_running,
    held_by_forbid,
    replaced,
    job_deleted,
    refused,
    refused_and_taken,
    silent,
    silent_and_placed_elsewhere,
    lost_and_found,
    too_late,
    no_cluster,
    minutes_without_a_broker,
    hours_without_a_broker,
    taken_back,
    taken_back_for_what_is_demanded,
    edited_while_it_waited,
    edited_before_anybody_decided,
    suspended_while_several_waited,
    paused,
    paused_until,
    paused_before_it_was_declared_here,
    the_queue_is_full,
    withdrawn_while_it_waited,
    demanded,
    invalid,
)


def test_each_is_told_in_sentences_that_stand_alone() -> None:
    """What is told is in events.txt, to be reviewed like code; REWRITE=1 writes it anew."""
    lines = []
    for happens in STORIES:
        story = Story()
        happens(story)
        lines += ["", happens.__name__.replace("_", " ")]
        lines += [f"    {'Warning' if event.problem else 'Normal'} {event.reason}: {event.message}" for event in story.events]
    if os.environ.get("REWRITE"):
        TOLD.write_text("\n".join(lines[1:]) + "\n")
    assert lines[1:] == TOLD.read_text().splitlines()


@pytest.mark.parametrize("happens", STORIES, ids=lambda happens: happens.__name__)
def test_every_verdict_has_its_event_and_no_two_events_share_a_name(happens: Callable[[Story], None]) -> None:
    story = Story()
    happens(story)
    names = [body(event, Kind.CRONJOB, HELLO, "uid", "west-1", NOON)["metadata"]["name"] for event in story.events]
    assert len(names) == len(set(names))
    told = " ".join(event.subject for event in story.events)
    for verdict in story.progress.recent:
        assert f"verdict.{int(verdict.tick.timestamp())}.{verdict.attempt}.{verdict.verdict}" in told


def test_a_run_taken_back_without_an_edit_is_not_said_to_be_taken_back_by_one() -> None:
    story = Story()
    story.declare(spec())
    story.at(56)
    story.events.clear()
    story.write([(replace(story.progress, open=()),)])  # so did executors of earlier versions, for a run that did not begin then
    assert [event.message.partition(": ")[2] for event in story.events] == ["a HACronJobRun is to begin a run before"]


def test_what_is_only_written_again_is_not_told_again() -> None:
    story = Story()
    ordinary(story)
    story.declare(spec("0 25 * * *"), generation=2)
    before = len(story.events)
    story.rewrite()
    assert len(story.events) == before


# --- the object -----------------------------------------------------------------------------------------------------------------


def test_it_is_an_event_on_the_object_of_this_cluster_and_fits() -> None:
    event = Event("verdict.1.1.Refused.Invalid", "FailedCreate", "ä" * MOST_CHARACTERS, True)
    made = body(event, Kind.CRONJOB, HELLO, "uid-1", "west-1", NOON)
    assert made["involvedObject"] == {
        "apiVersion": "hacron.io/v1",
        "kind": "HACronJob",
        "namespace": "default",
        "name": "hello",
        "uid": "uid-1",
    }
    assert made["metadata"]["namespace"] == "default"
    assert (made["type"], made["source"], made["reportingInstance"]) == ("Warning", {"component": "hacron"}, "west-1")
    assert made["firstTimestamp"] == made["lastTimestamp"] == "2026-11-24T12:00:00Z"
    assert len(made["message"].encode()) <= 1024


def test_its_name_is_the_same_in_every_replica_and_another_for_an_object_made_anew() -> None:
    event = Event("placed.7", "PlacedElsewhere", "…")
    one = body(event, Kind.CRONJOB, HELLO, "uid-1", "west-1", NOON)["metadata"]["name"]
    assert body(event, Kind.CRONJOB, HELLO, "uid-1", "west-2", NOON + timedelta(seconds=9))["metadata"]["name"] == one
    assert body(event, Kind.CRONJOB, HELLO, "uid-2", "west-1", NOON)["metadata"]["name"] != one


@pytest.mark.parametrize("end", [".", "-", "-."])
def test_its_name_is_one_also_where_that_of_its_object_is_cut(end: str) -> None:
    key = key_of("default", "a" * (200 - len(end)) + end + "b")
    made = body(Event("x", "Completed", "All runs have ended", False), Kind.DEMAND, key, "uid", "west-1", NOON)
    name, _, hashed = made["metadata"]["name"].rpartition(".")
    assert (name, len(hashed)) == ("a" * (200 - len(end)), 16)
