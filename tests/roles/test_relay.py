"""When a relay speaks: what follows from what it says is told in the stories."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hacron.core.messages import CronJobDeclared
from hacron.core.model import Key
from hacron.core.state import State
from hacron.ports import CronJobSeen
from hacron.relay import LET_THE_WORKER_SPEAK, Relay
from hacron.turn import Moment
from tests.fakes.broker import FakeBroker
from tests.fakes.kube_client import FakeKube
from tests.fakes.kubernetes import FakeCluster

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
HELLO = Key("default/hello")
SPEC = {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": {"spec": {}}}}}


@dataclass
class Beside:
    """A worker beside the relay, as far as it is asked."""

    active: bool = True
    knows_jobs: bool = True
    ran: datetime | None = None

    def newest_tick(self, key: Key) -> datetime | None:
        return self.ran if key == HELLO else None


class Desk:
    """A relay with an object in its cluster, and whatever it has sent."""

    def __init__(self) -> None:
        cluster = FakeCluster("west", NOON)
        self.session = FakeBroker().connect("west-1", "west")
        self.session.inbox.open()
        self.relay = Relay(cluster="west", kube=FakeKube(cluster, "west-1", lambda: NOON))
        self.relay.attach(State())
        self.relay.take(CronJobSeen(body=cluster.apply(HELLO, SPEC)), Moment(NOON, 0.0))

    def sent(self, beside: Beside, later: timedelta = timedelta()) -> list[CronJobDeclared]:
        self.relay.turn(self.session.outbox, beside, Moment(NOON + later, later.total_seconds()))
        self.session.connection.turn(0)
        return [message for message in self.session.inbox.take() if isinstance(message, CronJobDeclared)]


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
