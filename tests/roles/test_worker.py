"""However much there is to do at once, one turn of a worker does a part of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from hacron.core.model import key_of
from hacron.ports import Request
from hacron.turn import Moment
from hacron.worker import LOOKS_PER_TURN, Worker
from tests.core.ledger_story import NOON, Story, spec
from tests.fakes.broker import FakeBroker

RUNS = 100  # of each cronjob
CRONJOBS = 2 * LOOKS_PER_TURN // RUNS + 1


class Kube:
    """Notes how much is asked in a turn."""

    reachable, uid = True, ""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def submit(self, requests: Sequence[Request]) -> None:
        self.asked.append(len(requests))

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


def test_a_turn_looks_at_a_bounded_number_of_runs() -> None:
    story, kube = caught_up(), Kube()
    session = FakeBroker().connect("west-1", "west", lambda: story.now)
    worker = Worker(
        replica="west-1",
        cluster="west",
        labels={},
        state=story.state,
        token=session.worker_token,
        outbox=session.outbox,
        kube=kube,  # type: ignore[arg-type]  # it only submits
        seen_here=lambda _: True,
    )
    session.worker_token.put_back()
    for _ in range(6):  # the first ones bring it the token
        worker.turn(Moment(story.now, 0.0))
        session.connection.turn(0)
    assert kube.asked == [LOOKS_PER_TURN, LOOKS_PER_TURN, RUNS]
