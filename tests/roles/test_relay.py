"""When a relay speaks: what follows from what it says is told in the stories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from hacron.core.manifests import PAUSE
from hacron.core.messages import CronJobDeclared, CronJobWithdrawn, Definition, Progress
from hacron.core.model import Key, Kind, Run, namespace_of
from hacron.core.nesting import encoded
from hacron.core.runs import known_again
from hacron.core.state import State
from hacron.core.status import active_run
from hacron.inventory import LET_THE_WATCH_LIST_S
from hacron.ports import Answer, GetObject, ListInventory, ObjectSeen, Request, WatchBegan, WatchResumed
from hacron.relay import DOUBTS_FOR, LET_THE_WORKER_SPEAK, Relay
from hacron.turn import Moment
from tests.fakes.broker import FakeBroker
from tests.fakes.kube_client import FakeKube
from tests.fakes.kubernetes import FakeCluster, version_of

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
HELLO, OTHER = Key("default/hello"), Key("default/other")
SPEC = {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": {"spec": {}}}}}


@dataclass
class Beside:
    """A worker beside the relay, as far as it is asked."""

    active: bool = True
    knows_jobs: bool = True
    ran: datetime | None = None
    runs: tuple[Run, ...] = ()

    def newest_tick(self, key: Key) -> datetime | None:
        return self.ran if key == HELLO else None

    def running(self, key: Key) -> Sequence[Run] | None:
        if not self.knows_jobs:
            return None
        return self.runs if key == HELLO else ()


class Desk:
    """A relay with an object in its cluster, and whatever it has sent."""

    def __init__(self) -> None:
        cluster = FakeCluster("west", NOON)
        self.session = FakeBroker().connect("west-1", "west")
        self.session.inbox.open()
        self.cluster = cluster
        self.kube = FakeKube(cluster, "west-1", lambda: NOON)
        self.relay = Relay(cluster="west", kube=self.kube)
        self.state = State()
        self.state.epoch = 1
        self.relay.attach(self.state)
        self.relay.take(ObjectSeen(body=cluster.apply(HELLO, SPEC)), Moment(NOON, 0.0))

    def sent(self, beside: Beside, later: timedelta = timedelta(), *, somebody_writes: bool = True) -> list[CronJobDeclared]:
        self.state.counted_position += somebody_writes
        self.relay.turn(self.session.outbox, beside, Moment(NOON + later, later.total_seconds()))
        self.session.connection.turn(0)
        return [message for message in self.session.inbox.take() if isinstance(message, CronJobDeclared)]

    def show(self, definition: Definition) -> None:
        """Have the ledger say that it has taken this in."""
        self.state.definitions[HELLO] = {"west": definition}
        self.state.progress[HELLO] = Progress(key=HELLO, cronjob_id=definition.uid, last_tick=NOON)

    def is_known(self) -> None:
        """Have the relay declare the object, and the ledger show it."""
        (said,) = self.sent(Beside())
        self.show(shown(said))
        self.relay.touch([HELLO])

    def leave(self) -> None:
        """Have the object deleted, which takes a while; and the watch tell so."""
        self.cluster.delete_slowly(HELLO, timedelta(minutes=1))
        self.relay.take(ObjectSeen(body=self.cluster.standing(Kind.CRONJOB)[HELLO]), Moment(NOON, 0.0))

    def withdrawn(self) -> list[str]:
        """Return the uids that the relay says to be gone."""
        self.relay.turn(self.session.outbox, Beside(), Moment(NOON, 0.0))
        self.session.connection.turn(0)
        return [message.uid for message in self.session.inbox.take() if isinstance(message, CronJobWithdrawn)]

    def asked(self) -> list[Request]:
        """Have answered what the relay has asked of objects, and return it."""
        self.kube.serve()
        answers = [one for one in self.kube.arrivals if isinstance(one, Answer) and isinstance(one.request, GetObject)]
        self.kube.arrivals.clear()
        for answer in answers:
            self.relay.take(answer, Moment(NOON, 0.0))
        return [answer.request for answer in answers]


def shown(said: CronJobDeclared) -> Definition:
    """Return what the ledger has when it has taken a declaration in."""
    return Definition(
        key=HELLO,
        cluster="west",
        uid=said.uid,
        generation=said.generation,
        created_at=NOON,
        revision=1,
        changed_at=NOON,
        spec=said.spec,
        version=said.version,
    )


def test_a_worker_that_knows_its_jobs_is_told_from_at_once_with_what_has_run() -> None:
    assert [command.last_schedule_time for command in Desk().sent(Beside(ran=NOON))] == [NOON]


def test_before_the_jobs_are_known_nothing_is_said_for_a_moment() -> None:
    desk = Desk()
    assert desk.sent(Beside(knows_jobs=False)) == []
    assert [command.last_schedule_time for command in desk.sent(Beside(ran=NOON), LET_THE_WORKER_SPEAK)] == [NOON]


def test_a_replica_that_is_not_the_worker_lets_the_worker_speak() -> None:
    desk = Desk()
    assert desk.sent(Beside(active=False)) == []
    assert len(desk.sent(Beside(active=False), LET_THE_WORKER_SPEAK)) == 1


def test_what_the_ledger_does_not_show_is_said_again_but_not_at_once() -> None:
    desk = Desk()
    said = [len(desk.sent(Beside(), timedelta(seconds=second))) for second in range(7)]
    assert said == [1, 0, 0, 1, 0, 0, 1]


def test_where_nobody_writes_anything_it_is_said_again_only_now_and_then() -> None:
    """What was said waits in its queue, which must not fill up for as long as there is no executor."""
    desk = Desk()
    said = []
    for second in range(0, 150, 3):
        desk.relay.take(ObjectSeen(body=desk.cluster.cronjobs[HELLO]), Moment(NOON, float(second)))
        said += [second for _ in desk.sent(Beside(), timedelta(seconds=second), somebody_writes=False)]
    assert said == [0, 63, 126]
    assert desk.sent(Beside(), timedelta(seconds=150)), "somebody writes again"


def test_to_a_ledger_that_nobody_has_begun_nothing_is_said() -> None:
    desk = Desk()
    desk.state.epoch = 0
    assert desk.sent(Beside()) == []
    assert desk.relay.next_turn(Moment(NOON, 0.0)) > 0
    desk.state.epoch, desk.state.born = 1, NOON
    assert [command.ledger for command in desk.sent(Beside())] == [NOON]


@pytest.mark.parametrize(("age_s", "said"), [(1, [NOON]), (60, [])])
def test_only_a_ledger_that_has_just_begun_is_told_what_else_has_run(age_s: int, said: list[datetime]) -> None:
    desk = Desk()
    (first,) = desk.sent(Beside())
    desk.show(shown(first))
    desk.state.progress[HELLO] = Progress(key=HELLO, cronjob_id=first.uid, last_tick=NOON - timedelta(minutes=1))
    desk.state.born = NOON + timedelta(minutes=5) - timedelta(seconds=age_s)
    desk.relay.touch([HELLO])
    assert [command.last_schedule_time for command in desk.sent(Beside(ran=NOON), timedelta(minutes=5))] == said
    desk.state.progress[HELLO] = Progress(key=HELLO, cronjob_id=first.uid, last_tick=NOON)
    desk.relay.touch([HELLO])
    assert desk.sent(Beside(ran=NOON), timedelta(minutes=5, seconds=4)) == []


def run_in(cluster: str) -> Run:
    tick = NOON - timedelta(minutes=1)
    return known_again(Run(id=f"{cluster}.1", tick=tick, cluster=cluster, start_by=tick, fencing=0, job="hello-1"))


def show_running(desk: Desk, *runs: Run) -> None:
    """Have the `.status` of the object here show these, and the watch tell so."""
    uid = desk.cluster.cronjobs[HELLO]["metadata"]["uid"]
    desk.cluster.patch_status(Kind.CRONJOB, HELLO, uid, {"active": [active_run(run) for run in runs]})
    desk.relay.take(ObjectSeen(body=desk.cluster.cronjobs[HELLO]), Moment(NOON, 0.0))


@pytest.mark.parametrize(
    ("beside", "told"),
    [
        (Beside(), ["east.1"]),
        (Beside(runs=(run_in("west"),)), ["east.1", "west.1"]),
        (Beside(knows_jobs=False), ["west.1", "east.1"]),
    ],
    ids=["it has ended here", "it runs here", "the Jobs here are not known"],
)
def test_what_runs_is_told_as_the_status_shows_it_but_for_the_jobs_here(beside: Beside, told: list[str]) -> None:
    desk = Desk()
    show_running(desk, run_in("west"), run_in("east"))
    desk.sent(beside)
    (command,) = desk.sent(beside, 2 * LET_THE_WORKER_SPEAK + timedelta(seconds=3))
    assert [run.id for run in command.running] == told


def young(desk: Desk, *open_runs: Run) -> None:
    """Have a ledger that has just begun say that it knows the object, and these runs."""
    (first,) = desk.sent(Beside())
    desk.show(shown(first))
    desk.state.progress[HELLO] = replace(desk.state.progress[HELLO], open=open_runs)
    desk.state.born = NOON
    desk.relay.touch([HELLO])


def test_a_young_ledger_is_told_what_runs_until_it_says_so() -> None:
    desk, beside = Desk(), Beside(runs=(run_in("west"),))
    young(desk)
    assert [run.id for said in desk.sent(beside, timedelta(seconds=4)) for run in said.running] == ["west.1"]
    desk.state.progress[HELLO] = replace(desk.state.progress[HELLO], open=(run_in("west"),))
    desk.relay.touch([HELLO])
    assert desk.sent(beside, timedelta(seconds=8)) == []


def test_what_runs_here_is_told_as_soon_as_the_jobs_are_known() -> None:
    desk = Desk()
    young(desk)
    assert desk.sent(Beside(knows_jobs=False), timedelta(seconds=4)) == []
    assert [len(said.running) for said in desk.sent(Beside(runs=(run_in("west"),)), timedelta(seconds=5))] == [1]


@pytest.mark.parametrize(("age_s", "told"), [(1, ["east.1"]), (60, [])])
def test_while_the_ledger_is_young_what_was_seen_to_run_is_known_when_a_status_shows_less(age_s: int, told: list[str]) -> None:
    desk = Desk()
    desk.state.born = NOON - timedelta(seconds=age_s)
    show_running(desk, run_in("east"))
    show_running(desk)
    (command,) = desk.sent(Beside())
    assert [run.id for run in command.running] == told


def test_what_was_seen_to_have_run_is_known_when_a_status_shows_less_again() -> None:
    desk = Desk()
    uid = desk.cluster.cronjobs[HELLO]["metadata"]["uid"]
    for ran in ("12:00:00Z", "11:59:00Z"):
        desk.cluster.patch_status(Kind.CRONJOB, HELLO, uid, {"lastScheduleTime": f"2026-11-24T{ran}"})
        desk.relay.take(ObjectSeen(body=desk.cluster.cronjobs[HELLO]), Moment(NOON, 0.0))
    assert [command.last_schedule_time for command in desk.sent(Beside())] == [NOON]


def test_what_the_ledger_has_lost_a_part_of_is_said_again() -> None:
    desk = Desk()
    (said,) = desk.sent(Beside())
    desk.show(shown(said))
    desk.relay.touch([HELLO])
    assert desk.sent(Beside(), timedelta(seconds=4)) == []
    del desk.state.progress[HELLO]
    desk.relay.touch([HELLO])
    assert len(desk.sent(Beside(), timedelta(seconds=8))) == 1


def test_it_is_behind_since_the_first_change_that_the_ledger_lacks_until_it_shows_all() -> None:
    desk = Desk()

    def behind_s(second: int) -> float:
        desk.sent(Beside(), timedelta(seconds=second))
        return desk.relay.behind_s(Moment(NOON + timedelta(seconds=second), float(second)))

    assert [behind_s(second) for second in range(4)] == [0, 1, 2, 3]
    (said,) = desk.sent(Beside(), timedelta(seconds=6))
    desk.show(shown(said))
    desk.relay.touch([HELLO])
    assert behind_s(7) == 0


def test_an_object_that_is_being_deleted_is_withdrawn() -> None:
    desk = Desk()
    (said,) = desk.sent(Beside())
    desk.show(shown(said))
    desk.leave()
    assert desk.withdrawn() == [said.uid]


def test_an_object_that_is_being_deleted_and_is_another_than_the_ledger_knows_is_asked_for() -> None:
    """Its watch may be late: perhaps the one that the ledger knows was made after it."""
    desk = Desk()
    (said,) = desk.sent(Beside())
    desk.show(replace(shown(said), uid="of before"))
    desk.leave()
    assert desk.withdrawn() == []
    assert desk.asked() == [GetObject(key=HELLO)]
    assert desk.withdrawn() == [said.uid], "which was declared, and is not in the ledger yet"
    assert desk.withdrawn() == ["of before"]


def test_who_was_made_anew_stays_when_the_watch_is_late_with_the_end_of_the_other() -> None:
    desk = Desk()
    (said,) = desk.sent(Beside())
    desk.show(shown(said))
    late = {**desk.cluster.cronjobs[HELLO], "metadata": {**desk.cluster.cronjobs[HELLO]["metadata"], "uid": "of before"}}
    late["metadata"]["deletionTimestamp"] = "2026-11-24T12:00:00Z"
    desk.relay.take(ObjectSeen(body=late), Moment(NOON, 0.0))
    assert desk.withdrawn() == []
    assert desk.asked() == [GetObject(key=HELLO)]
    assert desk.withdrawn() == []


# --- what the watch has not told of ---


class Library(Desk):
    """A relay whose requests are answered, and whose watch tells nothing."""

    def turn_at(self, second: float) -> list[Request]:
        """Turn once, have what is asked answered, and return it."""
        moment = Moment(NOON + timedelta(seconds=second), second)
        self.relay.turn(self.session.outbox, Beside(), moment)
        self.kube.serve()
        answers = [arrival for arrival in self.kube.arrivals if isinstance(arrival, Answer)]
        self.kube.arrivals.clear()
        for answer in answers:
            self.relay.take(answer, moment)
        return [answer.request for answer in answers]


def test_what_the_watch_is_about_to_list_is_not_asked_for_one_by_one() -> None:
    """Of ten thousand HACronJobs it tells within seconds; only what it has left out by then is asked for."""
    library = Library()
    library.cluster.apply(OTHER, SPEC)
    library.relay.inventory.hear_of_watch(WatchBegan(), Moment(NOON, 0.0))
    assert library.turn_at(0.0) == [ListInventory()]
    library.relay.touch([OTHER])
    assert library.turn_at(1.0) == []
    assert library.turn_at(LET_THE_WATCH_LIST_S) == [ListInventory()]
    assert library.turn_at(LET_THE_WATCH_LIST_S + 1) == [GetObject(key=OTHER)]


def test_a_watch_that_began_during_an_inventory_asks_for_another() -> None:
    """A deletion that it missed may be newer than the list that is under way."""
    library = Library()
    library.kube.held = True
    assert library.turn_at(0.0) == []
    library.relay.inventory.hear_of_watch(WatchBegan(), Moment(NOON + timedelta(seconds=1), 1.0))
    library.kube.held = False
    assert library.turn_at(2.0) == [ListInventory()]
    assert library.turn_at(3.0) == [ListInventory()]


def test_an_object_that_is_in_the_ledger_but_not_in_the_inventory_is_asked_for() -> None:
    library = Library()
    library.turn_at(0.0)
    gone = Definition(
        key=OTHER, cluster="west", uid="1", generation=1, created_at=NOON, revision=1, changed_at=NOON, spec=msgspec.Raw(b"{}")
    )
    library.state.definitions[OTHER] = {"west": gone}
    library.relay.touch([OTHER])
    assert library.turn_at(1.0) == [GetObject(key=OTHER)]


def test_of_a_namespace_into_which_the_list_could_not_look_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library()
    library.turn_at(0.0)
    library.is_known()
    for hour, left_out, asked in ((1, {namespace_of(HELLO): "forbidden"}, []), (2, {}, [GetObject(key=HELLO)])):
        listed = {"items": [], "left_out": left_out}
        monkeypatch.setattr(library.cluster, "list_inventory", lambda _, listed=listed: (200, listed))
        assert library.turn_at(hour * 3600.0) == [ListInventory()]
        assert library.turn_at(hour * 3600.0 + 1) == asked


# --- what the API server has no more --------------------------------------------------------------------------------------------


def ahead(library: Library) -> Definition:
    """Have the ledger say that the object was changed since, and return that."""
    (said,) = library.sent(Beside())
    newer = replace(shown(said), generation=2, changed_at=NOON + timedelta(seconds=1))
    library.show(newer)
    library.relay.touch([HELLO])
    return newer


def test_what_the_ledger_has_as_over_is_told_when_the_api_server_has_it_still() -> None:
    library = Library()
    library.turn_at(0.0)
    newer = ahead(library)
    assert library.turn_at(1.0) == [], "another replica may have heard of it earlier"
    assert library.turn_at(1.0 + DOUBTS_FOR.total_seconds()) == [GetObject(key=HELLO)]
    assert [told.instead_of for told in library.sent(Beside(), timedelta(seconds=7))] == [newer.changed_at]
    library.state.definitions[HELLO] = {"west": replace(newer, changed_at=NOON + timedelta(seconds=8))}
    library.relay.touch([HELLO])
    assert library.sent(Beside(), timedelta(seconds=9)) == [], "it has not been asked since that was noted"


def test_a_watch_that_is_behind_another_says_nothing_and_asks_nothing() -> None:
    library = Library()
    library.turn_at(0.0)
    ahead(library)
    assert library.turn_at(1.0) == []
    library.relay.take(ObjectSeen(body=library.cluster.apply(HELLO, SPEC | {"suspend": True})), Moment(NOON, 2.0))
    library.state.definitions[HELLO] = {
        "west": replace(library.state.definitions[HELLO]["west"], spec=encoded(SPEC | {"suspend": True}))
    }
    assert library.turn_at(60.0) == []
    assert library.sent(Beside(), timedelta(seconds=61)) == []


def test_another_object_of_the_same_generation_is_noticed_but_not_defaults_that_were_added() -> None:
    library = Library()
    library.turn_at(0.0)
    (said,) = library.sent(Beside())
    for spec, asked in ((SPEC | {"concurrencyPolicy": "Allow"}, []), (SPEC | {"suspend": True}, [GetObject(key=HELLO)])):
        library.state.definitions[HELLO] = {"west": replace(shown(said), spec=encoded(spec))}
        library.relay.touch([HELLO])
        library.turn_at(10.0)
        assert library.turn_at(20.0) == asked


def test_the_watch_is_to_begin_anew_when_a_list_is_older_than_what_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library()
    library.is_known()
    _, listed = library.cluster.list_inventory(Kind.CRONJOB)
    for hour, version, put_back in ((0, "5000", False), (1, "5000", False), (2, "none", False), (3, "4999", True)):
        monkeypatch.setattr(library.cluster, "list_inventory", lambda _, version=version: (200, listed | {"version": version}))
        assert library.turn_at(hour * 3600.0) == [ListInventory()]
        assert library.relay.inventory.was_put_back is put_back


def test_a_list_may_be_older_than_what_was_told_while_it_was_under_way() -> None:
    library = Library()
    library.kube.held = True
    library.turn_at(0.0)
    body = library.cluster.cronjobs[HELLO]
    newer = body | {"metadata": {**body["metadata"], "resourceVersion": "5000"}}
    library.relay.take(ObjectSeen(body=newer), Moment(NOON, 1.0))
    listed = {"items": [body["metadata"]], "version": "4999"}
    library.relay.take(Answer(request=ListInventory(), status=200, body=listed), Moment(NOON, 2.0))
    assert not library.relay.inventory.was_put_back


def test_an_api_server_that_was_away_is_asked_for_what_it_has_but_not_again_and_again() -> None:
    library = Library()
    assert library.turn_at(0.0) == [ListInventory()]
    asked = []
    for second in range(1, 40):
        library.cluster.up = second % 2 == 0
        asked += [second for request in library.turn_at(float(second)) if request == ListInventory()]
    assert asked == [30]


def test_an_api_server_whose_watch_has_just_resumed_is_asked_for_what_it_has_but_not_again_and_again() -> None:
    library = Library()
    assert library.turn_at(0.0) == [ListInventory()]
    asked = []
    for second in range(1, 70):
        if second in (5, 6, 40):
            library.relay.inventory.hear_of_watch(WatchResumed(), Moment(NOON + timedelta(seconds=second), float(second)))
        asked += [second for request in library.turn_at(float(second)) if request == ListInventory()]
    assert asked == [30, 60]


def test_an_object_of_an_earlier_version_than_was_told_shows_that_the_api_server_was_put_back() -> None:
    """Though it has made as many versions since as it had: its newest is no earlier than what was told."""
    library = Library()
    saved = library.cluster.save()
    change(library, suspend=True)
    library.cluster.put_back(saved)
    library.cluster.apply(OTHER, SPEC)
    library.cluster.apply(OTHER, SPEC | {"suspend": True})
    assert library.turn_at(1.0) == [ListInventory()]
    assert library.relay.inventory.was_put_back
    library.relay.inventory.was_put_back = False
    assert GetObject(key=HELLO) in library.turn_at(2.0)
    assert not library.relay.inventory.was_put_back, "said once"
    told = library.sent(Beside(), timedelta(seconds=3))
    assert [one.generation for one in told if one.key == HELLO] == [2, 1]


def test_an_answer_with_an_earlier_version_than_was_told_shows_that_the_api_server_was_put_back() -> None:
    library = Library()
    library.turn_at(0.0)
    saved = library.cluster.save()
    change(library, suspend=True)
    library.cluster.put_back(saved)
    library.relay.take(ObjectSeen(body=library.cluster.cronjobs[HELLO]), Moment(NOON, 1.0))
    assert not library.relay.inventory.was_put_back, "perhaps it is only late"
    assert library.turn_at(2.0) == [GetObject(key=HELLO)]
    assert library.relay.inventory.was_put_back


@pytest.mark.parametrize(("heard", "asked"), [(False, [GetObject(key=HELLO)]), (True, [])])
def test_what_a_list_has_newer_than_the_watch_is_asked_for_unless_the_watch_tells_soon(heard: bool, asked: list[Request]) -> None:
    """Also where neither uid nor generation differs: a pause."""
    library = Library()
    library.turn_at(0.0)
    library.is_known()
    library.cluster.annotate(HELLO, {PAUSE: "moved"})
    assert library.turn_at(300.0) == [ListInventory()]
    if heard:
        library.relay.take(ObjectSeen(body=library.cluster.cronjobs[HELLO]), Moment(NOON, 301.0))
    assert library.turn_at(304.0) == []
    assert library.turn_at(305.0) == asked
    assert library.turn_at(320.0) == []
    *_, told = library.sent(Beside(), timedelta(seconds=321))
    assert told.pause is not None
    assert told.pause.reason == "moved"


def test_what_the_ledger_has_no_more_is_asked_for_before_it_is_told_again() -> None:
    """Another replica of the cluster may have found that the API server was put back."""
    library = Library()
    library.turn_at(0.0)
    saved = library.cluster.save()
    (first,) = library.sent(Beside())
    change(library, suspend=True)
    (edited,) = library.sent(Beside(), timedelta(seconds=4))
    library.show(shown(edited))
    library.relay.touch([HELLO])
    assert library.turn_at(5.0) == []
    library.cluster.put_back(saved)
    library.show(shown(first))
    library.relay.touch([HELLO])
    assert library.sent(Beside(), timedelta(seconds=6)) == []
    assert library.turn_at(7.0) == [GetObject(key=HELLO)]
    assert library.turn_at(30.0) == []
    assert library.sent(Beside(), timedelta(seconds=31)) == []
    change(library, suspend=True)
    assert [told.generation for told in library.sent(Beside(), timedelta(seconds=32))] == [2]


def test_the_version_from_which_a_watch_goes_on_is_one_that_was_told() -> None:
    """Where nothing of a kind changes, it knows only by bookmarks how far the API server had come."""
    library = Library()
    library.turn_at(0.0)
    library.relay.inventory.hear_of_watch(WatchResumed(since=library.cluster.versions[Kind.CRONJOB] + 1), Moment(NOON, 60.0))
    assert library.turn_at(60.0) == [ListInventory()]
    assert library.relay.inventory.was_put_back


def test_a_question_without_an_answer_is_asked_again() -> None:
    library = Library()
    library.turn_at(0.0)
    library.is_known()
    library.cluster.apply(HELLO, SPEC | {"suspend": True})
    assert library.turn_at(300.0) == [ListInventory()]
    library.cluster.busy = True
    assert library.turn_at(301.0) == [GetObject(key=HELLO)]
    assert library.turn_at(303.0) == []
    library.cluster.busy = False
    assert library.turn_at(306.0) == [GetObject(key=HELLO)]
    assert library.turn_at(320.0) == []
    *_, told = library.sent(Beside(), timedelta(seconds=321))
    assert told.generation == 2


@pytest.mark.parametrize("is_gone", [True, False])
def test_an_answer_that_comes_after_what_the_watch_has_told_since_is_passed_over(is_gone: bool) -> None:
    """Watch and answers travel on different ways."""
    library = Library()
    library.turn_at(0.0)
    library.is_known()
    if is_gone:
        library.cluster.delete(HELLO, unseen=True)
    else:
        library.cluster.apply(HELLO, SPEC | {"suspend": True})
    assert library.turn_at(300.0) == [ListInventory()]
    library.relay.turn(library.session.outbox, Beside(), Moment(NOON, 301.0))
    library.kube.serve()
    (answer,) = (one for one in library.kube.arrivals if isinstance(one, Answer))
    newest = library.cluster.apply(HELLO, SPEC | {"schedule": "@hourly"})
    library.relay.take(ObjectSeen(body=newest), Moment(NOON, 302.0))
    library.relay.take(answer, Moment(NOON, 303.0))
    *_, told = library.sent(Beside(), timedelta(seconds=304))
    assert (told.uid, told.version) == (newest["metadata"]["uid"], version_of(newest))
    assert not library.relay.inventory.was_put_back


def test_what_was_declared_and_deleted_before_anybody_took_it_in_is_withdrawn() -> None:
    """The declaration waits in the queue; the withdrawal comes behind it."""
    desk = Desk()
    (said,) = desk.sent(Beside())
    desk.relay.take(ObjectSeen(body=desk.cluster.cronjobs[HELLO], gone=True), Moment(NOON, 1.0))
    assert desk.withdrawn() == [said.uid]
    assert desk.withdrawn() == [], "said once"
    desk.relay.attach(desk.state)
    assert desk.withdrawn() == [said.uid], "but again on a new connection"
    desk.show(shown(said))
    desk.relay.touch([HELLO])
    assert desk.sent(Beside(), timedelta(seconds=4)) == []
    assert desk.asked() == []


def test_what_is_known_nowhere_and_was_not_heard_of_for_long_is_asked_for_before_it_is_told() -> None:
    """It may have been deleted, and forgotten, while this replica did not reach its API server."""
    library = Library()
    library.is_known()
    library.turn_at(0.0)
    del library.state.definitions[HELLO], library.state.progress[HELLO]
    library.cluster.delete(HELLO, unseen=True)
    library.cluster.up = False
    library.relay.touch([HELLO])
    for second in (700.0, 706.0):
        library.turn_at(second)
        assert library.sent(Beside(), timedelta(seconds=second + 1)) == []
        assert library.relay.behind_s(Moment(NOON, second)) == second - 700
    library.cluster.up = True
    library.turn_at(730.0)
    assert library.sent(Beside(), timedelta(seconds=731)) == []
    assert library.relay.uid_here(HELLO) is None


@pytest.mark.parametrize(("age_s", "told"), [(599, 1), (601, 0)])
def test_a_ledger_that_has_forgotten_nothing_yet_is_told_at_once_also_without_an_api_server(age_s: int, told: int) -> None:
    library = Library()
    library.turn_at(0.0)
    library.sent(Beside())
    library.cluster.up = False
    library.state.born = NOON + timedelta(seconds=1000 - age_s)
    library.relay.attach(library.state)
    assert len(library.sent(Beside(), timedelta(seconds=1000))) == told


def test_what_is_known_nowhere_and_is_still_there_is_told() -> None:
    library = Library()
    library.sent(Beside())
    library.relay.touch([HELLO])
    assert GetObject(key=HELLO) in library.turn_at(700.0)
    assert [told.key for told in library.sent(Beside(), timedelta(seconds=706))] == [HELLO]


def made_anew(library: Library) -> tuple[dict[str, Any], dict[str, Any]]:
    """Have the object deleted and made anew, and the watch tell of the second alone; return both."""
    first = library.cluster.cronjobs[HELLO]
    library.cluster.delete(HELLO, unseen=True)
    second = library.cluster.apply(HELLO, SPEC)
    library.relay.take(ObjectSeen(body=second), Moment(NOON, 1.0))
    return first, second


def test_late_news_of_an_object_do_not_take_the_place_of_the_one_that_was_made_anew() -> None:
    """Kopf tells of two objects of one name in any order."""
    library = Library()
    library.turn_at(0.0)
    first, second = made_anew(library)
    library.relay.take(ObjectSeen(body=first), Moment(NOON, 2.0))
    library.relay.take(ObjectSeen(body=first, gone=True), Moment(NOON, 2.0))
    assert library.relay.uid_here(HELLO) == second["metadata"]["uid"]
    assert library.turn_at(3.0) == [GetObject(key=HELLO)]
    assert library.relay.uid_here(HELLO) == second["metadata"]["uid"]


def test_an_answer_about_an_object_that_has_been_deleted_since_does_not_bring_it_back() -> None:
    library = Library()
    library.is_known()
    library.turn_at(0.0)
    body = library.cluster.cronjobs[HELLO]
    library.relay._ask(HELLO, Moment(NOON, 2.0))
    library.relay.turn(library.session.outbox, Beside(), Moment(NOON, 2.0))
    library.kube.serve()
    (answer,) = (one for one in library.kube.arrivals if isinstance(one, Answer))
    library.kube.arrivals.clear()
    library.cluster.delete(HELLO)
    library.relay.take(ObjectSeen(body=body, gone=True), Moment(NOON, 3.0))
    library.relay.take(answer, Moment(NOON, 4.0))
    assert library.relay.uid_here(HELLO) is None
    assert library.turn_at(5.0) == [GetObject(key=HELLO)]
    assert library.relay.uid_here(HELLO) is None


def test_what_was_made_anew_and_deleted_again_unheard_is_no_reason_to_keep_the_first() -> None:
    """The ledger has the first; of the second it has never heard."""
    library = Library()
    library.is_known()
    library.turn_at(0.0)
    first, second = made_anew(library)
    library.cluster.delete(HELLO, unseen=True)
    library.relay.take(ObjectSeen(body=second, gone=True), Moment(NOON, 2.0))
    assert library.turn_at(3.0) == [GetObject(key=HELLO)]
    assert library.withdrawn() == [first["metadata"]["uid"]]


def test_what_was_made_anew_and_deleted_again_before_anybody_took_it_in_is_withdrawn_as_well() -> None:
    """Both words wait in the queue: that the first is gone, and that there is a second."""
    desk = Desk()
    desk.is_known()
    first = desk.cluster.cronjobs[HELLO]
    desk.cluster.delete(HELLO, unseen=True)
    desk.relay.take(ObjectSeen(body=first, gone=True), Moment(NOON, 1.0))
    assert desk.withdrawn() == [first["metadata"]["uid"]]
    second = desk.cluster.apply(HELLO, SPEC)
    desk.relay.take(ObjectSeen(body=second), Moment(NOON, 2.0))
    assert [said.uid for said in desk.sent(Beside(), timedelta(seconds=2))] == [second["metadata"]["uid"]]
    desk.cluster.delete(HELLO, unseen=True)
    desk.relay.take(ObjectSeen(body=second, gone=True), Moment(NOON, 3.0))
    assert desk.withdrawn() == [second["metadata"]["uid"]]


def change(library: Library, **fields: Any) -> None:
    """Have the object edited, and the watch tell so."""
    library.relay.take(ObjectSeen(body=library.cluster.apply(HELLO, SPEC | fields)), Moment(NOON, 0.0))
