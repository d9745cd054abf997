"""One turn of a worker: of much that is to be done at once a part, and how long it waits for its cluster's token."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from hacron.core.model import key_of, namespace_of
from hacron.errands import WorkerTally
from hacron.ports import BrokerUnavailable, Request
from hacron.turn import Moment
from hacron.worker import LOOKS_PER_TURN, Worker
from tests.core.ledger_story import NOON, Story, spec
from tests.fakes.broker import FakeBroker, FakeSession, worker_queue

RUNS = 100  # of each cronjob
CRONJOBS = 2 * LOOKS_PER_TURN // RUNS + 1


class Kube:
    """Notes how much is asked in a turn."""

    reachable, uid = True, ""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.waiting: list[Request] = []

    def submit(self, requests: Sequence[Request]) -> None:
        self.asked.append(len(requests))
        self.waiting += requests

    def watch_jobs(self, on: bool) -> None:
        pass


def caught_up() -> Story:
    """Return a story in which many runs have just been decided."""
    story = Story(clusters=("west",))
    for number in range(CRONJOBS):
        key = key_of("default", f"job-{number:02}")
        story.declare(spec(catchUp={"policy": "All", "limit": RUNS}), key, uid=f"uid-{number}")
    story.now = NOON + timedelta(hours=2)
    story.tell(story.seen("west"))
    return story


def made(story: Story, session: FakeSession, kube: Kube, namespaces: Sequence[str] = ()) -> Worker:
    return Worker(
        replica="west-1",
        cluster="west",
        labels={},
        cordoned="",
        gone=(),
        forgotten=(),
        state=story.state,
        token=session.worker_token,
        outbox=session.outbox,
        kube=kube,  # type: ignore[arg-type]  # it only submits
        uid_here=lambda key: None if namespaces and namespace_of(key) not in namespaces else "uid",
        namespaces=namespaces,
        seen_interval_s=5.0,
        token_missing_after_s=12.0,
        unheard_after_s=30.0,
        backup_after=timedelta(seconds=1),
        request_window=timedelta(seconds=22),
        tally=WorkerTally(),
    )


def test_a_turn_looks_at_a_bounded_number_of_runs() -> None:
    story, kube = caught_up(), Kube()
    session = FakeBroker().connect("west-1", "west", lambda: story.now)
    worker = made(story, session, kube)
    session.worker_token.put_back()
    for _ in range(6):  # the first ones bring it the token
        worker.turn(Moment(story.now, 0.0))
        session.connection.turn(0)
    assert kube.asked == [LOOKS_PER_TURN, LOOKS_PER_TURN, RUNS]


@pytest.mark.parametrize(("without_executor", "gives_up_at"), [([], 44), (range(5, 40), 53)])
def test_a_token_that_nobody_gets_is_put_back_once_and_waited_for_while_there_is_an_executor(
    without_executor: Sequence[int], gives_up_at: int
) -> None:
    broker, story = FakeBroker(), Story()
    worker = made(story, broker.connect("west-1"), Kube())
    broker.connect("west-2").worker_token.compete()
    for second in range(gives_up_at + 1):
        moment = Moment(NOON + timedelta(seconds=second), float(second))
        if second not in without_executor:
            worker.hear(moment)
        if second == gives_up_at:
            with pytest.raises(BrokerUnavailable, match="nobody of this cluster gets the worker token"):
                worker.turn(moment)
        else:
            worker.turn(moment)
    [holder] = [consumer for consumer in broker.queue(worker_queue("west")).line if consumer.sent]
    assert len(holder.sent) == 1
