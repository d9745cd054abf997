"""Events are told once, by whoever is the cluster's worker, and hold nothing up."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest
from msgspec.structs import replace

from hacron.core.messages import Batch, Checkpoint, Definition, Entry, Progress, Record
from hacron.core.model import Held, Key, Run, key_of
from hacron.core.state import State
from hacron.herald import MOST_ATTEMPTS, PAUSE_S, POSTS_UNDER_WAY, RECALLS, WITHOUT_RIGHT_S, Herald
from hacron.ports import Answer, PostEvent
from hacron.turn import Moment
from tests.core.ledger_story import spec
from tests.fakes.kube_client import FakeKube
from tests.fakes.kubernetes import Body, FakeCluster
from tests.scenarios.script import Script
from tests.scenarios.world import NOON

HELLO = key_of("default", "hello")


class Desk:
    """A herald in west, and a ledger that speaks of cronjobs whose ticks wait."""

    def __init__(self, **settings: object) -> None:
        self.cluster = FakeCluster("west", NOON)
        self.now = NOON
        self.kube = FakeKube(self.cluster, "west-1", lambda: self.now)
        self.herald = Herald(cluster="west", replica="west-1", kube=self.kube, **settings)  # type: ignore[arg-type]
        self.state = State()
        self.herald.attach(self.state)
        self.read(Checkpoint(replica="r", cluster="west", at=NOON, born=NOON), live=False)

    def declare(self, key: Key = HELLO, cluster: str = "west") -> None:
        about = {"generation": 1, "created_at": NOON, "revision": 1, "changed_at": NOON, "spec": spec()}
        definition = Definition(key=key, cluster=cluster, uid=f"uid-{key}", **about)  # type: ignore[arg-type]
        self.read(definition, Progress(key=key, cronjob_id="x", last_tick=NOON), live=False)

    def happens(
        self, tick: int, key: Key = HELLO, reason: str = "JobAlreadyActive", *, live: bool = True, ago_s: float = 0
    ) -> None:
        """Another tick of a cronjob waits."""
        held = Held(NOON + timedelta(minutes=tick), reason, "earlier runs")
        self.read(Progress(key=key, cronjob_id="x", last_tick=NOON, held=held), live=live, ago_s=ago_s)

    def decides(self, tick: int, key: Key) -> None:
        """Another run of a cronjob is decided, ahead of its tick."""
        at = NOON + timedelta(minutes=tick)
        run = Run(id=f"x.{tick}.1", tick=at, cluster="west", start_by=at, fencing=tick, job=f"job-{tick}")
        before = self.state.progress[key]
        self.read(replace(before, last_tick=at, open=(*before.open, run)))

    def read(self, *records: Record, live: bool = True, ago_s: float = 0) -> None:
        batch = Batch(epoch=1, sender="r", sent_at=self.now - timedelta(seconds=ago_s), records=records)
        entry = Entry(offset=self.state.position + 1, size=1, batch=batch)
        self.herald.note(entry, self.state.apply(entry), live, self.moment)

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @property
    def moment(self) -> Moment:
        return Moment(self.now, (self.now - NOON).total_seconds())

    def turn(self, active: bool = True) -> None:
        """Turn until all is quiet."""
        self.herald.turn(active, self.moment)
        while self.kube.has_work:
            self.kube.serve()
            while self.kube.arrivals:
                answer = self.kube.arrivals.popleft()
                self.herald.take(answer, self.moment)  # type: ignore[arg-type]
            self.herald.turn(active, self.moment)

    @property
    def told(self) -> list[Body]:
        return list(self.cluster.events.values())

    @property
    def ticks(self) -> list[str]:
        """The ticks that were told of."""
        return [event["message"].removeprefix("The tick of 2026-11-24T12:")[:2] for event in self.told]


# --- who tells what -----------------------------------------------------------------------------


def test_the_worker_tells_on_the_object_of_its_own_cluster() -> None:
    desk = Desk()
    desk.declare()
    desk.happens(1)
    desk.turn()
    (event,) = desk.told
    assert event["involvedObject"]["uid"] == "uid-default/hello"
    assert event["reportingInstance"] == "west-1"
    assert desk.herald.tally == {"posted": 1}


def test_where_the_cronjob_is_not_declared_there_is_nothing_to_tell_on() -> None:
    desk = Desk()
    desk.declare(cluster="east")
    desk.happens(1)
    desk.turn()
    assert desk.told == []


def test_history_is_not_told_but_for_the_last_seconds() -> None:
    desk = Desk()
    desk.declare()
    desk.happens(1, live=False, ago_s=60)
    desk.happens(2, live=False, ago_s=5)
    desk.turn()
    assert desk.ticks == ["02"], "what the worker before may not have told"


def test_what_is_met_for_the_first_time_while_the_ledger_is_read_is_not_news() -> None:
    desk = Desk()
    desk.happens(1, live=False)  # a record that was written again just now
    desk.declare()
    desk.turn()
    assert desk.told == []


def test_a_new_worker_tells_what_came_while_there_was_none() -> None:
    desk = Desk()
    desk.declare()
    desk.happens(1)
    desk.turn(active=False)
    desk.pass_time(RECALLS.total_seconds() - 1)
    desk.happens(2)
    desk.turn(active=False)
    assert desk.told == []
    desk.pass_time(2)
    desk.turn(active=False)
    desk.turn()
    assert desk.ticks == ["02"]


def test_only_problems_are_told_if_one_wants_no_more() -> None:
    desk = Desk(which="Problems")
    desk.declare()
    desk.happens(1)
    desk.happens(2, reason="NoCluster")
    desk.turn()
    assert [event["type"] for event in desk.told] == ["Warning"]


def test_nothing_is_told_if_one_wants_nothing() -> None:
    desk = Desk(which="None")
    desk.declare()
    desk.happens(1, reason="NoCluster")
    desk.turn()
    assert (desk.told, desk.herald.tally) == ([], {})


def test_a_refused_template_is_told_once_for_each_generation_whoever_tries_it() -> None:
    desk = Desk()
    desk.declare()
    other = Herald(cluster="west", replica="west-2", kube=desk.kube)
    other.attach(desk.state)
    for herald, generation in ((desk.herald, 1), (other, 1), (other, 2)):
        herald.template_refused(HELLO, "uid-default/hello", generation, "no such image", desk.now)
        desk.herald, kept = herald, desk.herald
        desk.turn()
        desk.herald = kept
    assert [event["type"] for event in desk.told] == ["Warning", "Warning"]
    assert {event["message"] for event in desk.told} == {"No Job can be made of the template here: no such image"}
    assert other.tally == {"known": 1, "posted": 1}
    desk.herald.template_refused(HELLO, "uid-of-one-before", 1, "no such image", desk.now)
    desk.turn()
    assert len(desk.told) == 2, "it was made anew since"


# --- what it meets ------------------------------------------------------------------------------


def test_what_stands_there_already_is_fine() -> None:
    desk = Desk()
    desk.declare()
    for _ in range(2):
        desk.happens(1)
        desk.happens(2)
    desk.turn()
    assert desk.ticks == ["01", "02"]
    assert desk.herald.tally == {"posted": 2, "known": 2}


def test_an_api_server_that_does_not_answer_is_asked_again_after_a_pause() -> None:
    desk = Desk()
    desk.declare()
    desk.cluster.up = False
    desk.happens(1)
    desk.turn()
    desk.cluster.up = True
    desk.turn()
    assert desk.told == []
    assert 0 < desk.herald.next_turn(desk.moment) <= PAUSE_S
    desk.pass_time(PAUSE_S)
    desk.turn()
    assert desk.ticks == ["01"]


def test_a_missing_right_is_said_once_and_tried_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    desk.declare()
    desk.cluster.forbids = True
    with caplog.at_level(logging.WARNING):
        for tick in range(1, 5):
            desk.happens(tick)
            desk.turn()
            desk.pass_time(WITHOUT_RIGHT_S * 2 / 3)
    assert [record.message for record in caplog.records] == ["Event refused"]
    assert desk.herald.tally["refused"] == 4
    assert desk.kube.tally["POST", 403] == 2, "the others were not tried"
    desk.cluster.forbids = False
    desk.happens(5)
    desk.turn()
    assert desk.ticks == ["05"]


LACKS_RIGHT = 'events is forbidden: User "hacron" cannot create resource "events" in API group "" in the namespace "bad"'


def posted(desk: Desk) -> list[PostEvent]:
    """Turn, and return what is posted, to which there is no answer yet."""
    sent: list[PostEvent] = []
    desk.kube.submit = sent.extend  # type: ignore[assignment, method-assign]
    desk.herald.turn(True, desk.moment)
    return sent


def answer(desk: Desk, post: PostEvent, status: int, message: str = "") -> None:
    desk.herald.take(Answer(request=post, status=status, body={"message": message}), desk.moment)


def test_a_right_that_is_missing_in_one_namespace_delays_no_event_of_another() -> None:
    desk = Desk()
    bad, fine = key_of("bad", "hello"), key_of("fine", "hello")
    desk.declare(bad)
    desk.declare(fine)
    desk.happens(1, bad)
    (post,) = posted(desk)
    answer(desk, post, 403, LACKS_RIGHT)
    for tick in range(2, 5):
        desk.happens(tick, bad)
        desk.happens(tick, fine)
        (post,) = posted(desk)
        assert post.key == fine
        answer(desk, post, 201)
    assert desk.herald.tally == {"refused": 4, "posted": 3}
    desk.pass_time(WITHOUT_RIGHT_S)
    desk.happens(5, bad)
    assert [post.key for post in posted(desk)] == [bad]


def test_namespaces_whose_events_hang_delay_none_of_another() -> None:
    desk = Desk()
    bad, worse, fine = (key_of(namespace, "hello") for namespace in ("bad", "worse", "fine"))
    for key in (bad, worse, fine):
        desk.declare(key)
    for tick in range(3 * POSTS_UNDER_WAY):
        desk.happens(tick, bad)
        desk.happens(tick, worse)
    hang = posted(desk)
    for tick in range(3):
        desk.pass_time(10)
        for post in hang:
            answer(desk, post, 0)
        hang = posted(desk)
        assert len(hang) == POSTS_UNDER_WAY
        desk.happens(tick, fine)
        (post,) = posted(desk)
        assert post.key == fine
        answer(desk, post, 201)


def test_what_had_its_turn_yet_to_come_is_not_forgotten_while_a_replica_is_not_the_worker() -> None:
    desk = Desk()
    desk.declare()
    for tick in range(1, POSTS_UNDER_WAY + 4):
        desk.happens(tick)
    under_way = posted(desk)
    desk.herald.turn(False, desk.moment)
    for post in under_way:
        answer(desk, post, 201)
    told = [post.body["message"] for post in (*under_way, *posted(desk))]
    assert len(told) == POSTS_UNDER_WAY + 3
    assert told == sorted(told)


def test_a_namespace_that_is_being_deleted_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    other = key_of("default", "other")
    desk.declare()
    desk.declare(other)
    desk.cluster.denies_events = {"hello"}
    with caplog.at_level(logging.WARNING):
        for tick in range(1, 4):
            desk.happens(tick)
        desk.happens(1, other)
        desk.turn()
    assert [event["involvedObject"]["name"] for event in desk.told] == ["other"]
    assert len(caplog.records) == 1


def test_a_webhook_that_fails_for_some_holds_up_no_others(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    other = key_of("fine", "other")
    desk.declare()
    desk.declare(other)
    desk.cluster.fails_events = {"hello"}
    for tick in range(POSTS_UNDER_WAY):
        desk.happens(10 + tick)
    desk.happens(1, other)
    with caplog.at_level(logging.WARNING):
        for _ in range(MOST_ATTEMPTS - 1):
            desk.turn()
            assert desk.ticks == ["01"]
            assert caplog.records == []
            assert desk.herald.next_turn(desk.moment) == pytest.approx(PAUSE_S)
            desk.pass_time(PAUSE_S)
        desk.turn()
    assert [record.message for record in caplog.records] == ["Event refused"]
    assert desk.herald.tally == {"posted": 1, "dropped": POSTS_UNDER_WAY}
    desk.pass_time(60)
    desk.turn()
    assert desk.herald.tally["dropped"] == POSTS_UNDER_WAY, "it is over"


def test_what_a_webhook_failed_for_is_told_when_that_is_back_soon() -> None:
    desk = Desk()
    desk.declare()
    desk.cluster.fails_events = {"hello"}
    desk.happens(1)
    desk.turn()
    desk.cluster.fails_events = set()
    desk.pass_time(PAUSE_S)
    desk.turn()
    assert desk.ticks == ["01"]
    assert desk.herald.tally == {"posted": 1}


@pytest.mark.parametrize("trouble", ["busy", "down"])
def test_an_api_server_that_is_away_or_busy_costs_no_attempt(trouble: str) -> None:
    desk = Desk()
    desk.declare()
    desk.cluster.busy, desk.cluster.up = trouble == "busy", trouble != "down"
    desk.happens(1)
    for _ in range(2 * MOST_ATTEMPTS):
        desk.turn()
        desk.pass_time(PAUSE_S)
    desk.cluster.busy, desk.cluster.up = False, True
    desk.turn()
    assert desk.ticks == ["01"]


def test_only_some_posts_are_under_way_at_once() -> None:
    desk = Desk()
    desk.declare()
    for tick in range(1, 50):
        desk.happens(tick)
    desk.herald.turn(True, desk.moment)
    desk.herald.turn(True, desk.moment)
    desk.kube.serve()
    assert len(desk.told) == POSTS_UNDER_WAY
    desk.turn()
    assert len(desk.told) == POSTS_UNDER_WAY, "the answers are not in yet"


def test_when_too_much_waits_the_oldest_is_dropped_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(most_waiting=10)
    desk.declare()
    desk.turn()
    with caplog.at_level(logging.WARNING):
        for tick in range(1, 31):
            desk.happens(tick)
    assert len(caplog.records) == 1
    desk.turn()
    assert desk.ticks == [str(tick) for tick in range(21, 31)]
    assert desk.herald.tally["dropped"] == 20


def test_what_tells_nothing_takes_no_place_and_is_not_dropped() -> None:
    desk = Desk(most_waiting=10)
    other, elsewhere = key_of("default", "other"), key_of("default", "elsewhere")
    for key, cluster in ((HELLO, "west"), (other, "west"), (elsewhere, "east")):
        desk.declare(key, cluster)
    desk.turn()
    desk.happens(1)
    for tick in range(1, 31):
        desk.decides(tick, other)
        desk.happens(tick, elsewhere)
    desk.turn()
    assert desk.ticks == ["01"]
    assert desk.herald.tally == {"posted": 1}


# --- in a world ---------------------------------------------------------------------------------


def test_the_next_worker_goes_on_without_a_gap_and_repeats_nothing() -> None:
    script = Script()
    for line in ("replicas west-1 west-2 east-1", "at 12:00:05", 'apply west hello schedule="@every 10s" runs=1'):
        script.run(line)
    script.run("at 12:01:01")
    worker = script.world.worker("west")
    assert worker is not None
    script.run(f"kill {worker.name}")
    script.run("at 12:02:00")
    lines = script.run("events west hello")
    made = [line for line in lines if "SuccessfulCreate" in line]
    ended = [line for line in lines if "SawCompletedJob" in line]
    assert len(lines) == len(set(lines)) == len(made) + len(ended)
    assert len(made) == len([job for job in script.world.cluster("west").made if not job.tombstone])
    assert len(ended) == len(made)


def test_each_home_tells_on_its_own_object() -> None:
    script = Script()
    for line in ("replicas west-1 east-1", "at 12:00:05"):
        script.run(line)
    for cluster in ("west", "east"):
        script.run(f'apply {cluster} hello schedule="* * * * *" runs=5')
    script.run("at 12:01:30")
    assert script.run("events west hello") == script.run("events east hello") != []


def test_what_was_noted_by_a_clock_that_was_hours_ahead_is_not_kept_for_hours() -> None:
    desk = Desk()
    desk.declare()
    desk.now += timedelta(hours=2)
    desk.happens(1)
    desk.now -= timedelta(hours=2)
    desk.happens(2)
    desk.herald.turn(False, desk.moment)
    assert len(desk.herald._news) == 1
