"""However much there is to decide at once, one decision takes a part of it, and nobody waits for all of the others."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from hacron.core import draft, scheduler
from hacron.core.draft import RUNS_BEGUN
from hacron.core.messages import Outcome, RunFinished, RunsDemanded
from hacron.core.model import key_of
from tests.core.ledger_story import HELLO, NOON, Story, spec

LIMIT = 100
TOO_MANY = RUNS_BEGUN // LIMIT + 10  # cronjobs that catch up
DAILY = key_of("default", "daily")
AGAIN, MORE = key_of("default", "again"), key_of("default", "more")


def after_an_outage(cronjobs: int, **fields: object) -> Story:
    """Return a story two hours later, in which nothing was decided."""
    story = Story(clusters=("west",))
    for number in range(cronjobs):
        story.declare(spec(**fields), key_of("default", f"job-{number:04}"), uid=f"uid-{number}")
    story.declare(spec("1 14 * * *"), DAILY)
    story.now = NOON + timedelta(hours=2)
    return story


def open_runs(story: Story) -> int:
    return sum(len(progress.open) for progress in story.state.progress.values())


def test_a_decision_begins_a_bounded_number_of_runs_and_the_next_one_goes_on() -> None:
    story = after_an_outage(TOO_MANY, catchUp={"policy": "All", "limit": LIMIT})
    story.tell(story.seen("west"))
    assert RUNS_BEGUN <= open_runs(story) < RUNS_BEGUN + LIMIT
    assert story.scheduler.next_look() == story.now
    story.tell()
    assert open_runs(story) == TOO_MANY * LIMIT


def test_a_tick_that_comes_meanwhile_is_not_behind_all_that_are_made_up_for() -> None:
    story = after_an_outage(3 * TOO_MANY, catchUp={"policy": "All", "limit": LIMIT})
    for second in (54, 56, 57):
        story.now = NOON + timedelta(hours=2, seconds=second)
        story.tell(story.seen("west"))
    assert [run.tick for run in story.state.progress[DAILY].open] == [NOON + timedelta(hours=2, minutes=1)]
    assert open_runs(story) < 3 * TOO_MANY * LIMIT


@pytest.mark.parametrize("gone", [True, False], ids=["withdrawn", "not understood"])
def test_what_begins_no_run_is_looked_at_in_a_decision_that_has_begun_enough(monkeypatch: pytest.MonkeyPatch, gone: bool) -> None:
    monkeypatch.setattr(draft, "RUNS_BEGUN", 1)
    story = Story(clusters=("west",))
    story.declare(spec("0 0 1 1 *"))
    story.declare(spec("0 0 1 1 *"), DAILY, uid="uid-daily")
    body = msgspec.Raw(msgspec.json.encode({"cronJob": "hello"}))
    story.tell(RunsDemanded(key=AGAIN, cluster="west", uid="again", generation=1, created_at=NOON, spec=body))
    run = story.run
    if gone:
        story.withdraw()
    else:
        story.declare(spec("nonsense"), generation=2)
    other = msgspec.Raw(msgspec.json.encode({"cronJob": "daily"}))
    story.tell(
        RunsDemanded(key=MORE, cluster="west", uid="more", generation=1, created_at=NOON, spec=other),
        RunFinished(key=HELLO, run_id=run.id, cluster="west", outcome=Outcome.SUCCEEDED, finished=NOON),
    )
    assert story.state.demands[AGAIN].account.finished == NOON


def test_when_a_cluster_is_back_what_waited_is_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "MOST_LOOKS", 10)
    story = Story(clusters=())
    keys = [key_of("default", f"job-{number:04}") for number in range(25)]
    for key in keys:
        story.declare(spec(), key)
    for _ in keys:
        story.now = NOON + timedelta(seconds=61)
        story.tell()
    assert open_runs(story) == 0
    began = []
    for messages in ([story.seen("west")], [], []):
        story.tell(*messages)
        began.append(open_runs(story))
    assert began == [10, 20, 25]
