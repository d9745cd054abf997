"""The page goes by State, `kubectl` by `.status`: of the next ticks and of what is active both say the same."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import msgspec
import pytest

from hacron.commands import next as coming
from hacron.core.manifests import rfc3339
from hacron.core.model import Pause
from hacron.core.status import render
from hacron.page.board import make_row, next_ticks
from hacron.page.troubles import Severity
from hacron.plugin.looks import Look
from tests.core.ledger_story import HELLO, NOON, Story, spec

UNTIL = NOON + timedelta(seconds=2000)


def look_at(story: Story) -> Look:
    definition = story.state.definitions[HELLO]["west"]
    metadata = {"namespace": "default", "name": "hello", "creationTimestamp": rfc3339(definition.created_at)}
    status = render(story.state, HELLO, "west", story.now)
    return Look({"metadata": metadata, "spec": msgspec.json.decode(definition.spec), "status": status})


def late(story: Story) -> None:
    story.declare(spec(concurrencyPolicy="Forbid"))
    story.at(130)


def ahead(story: Story) -> None:
    story.declare(spec())
    story.at(57)


def running(story: Story) -> None:
    ahead(story)
    story.at(60)
    story.started(story.run)


def paused(story: Story) -> None:
    story.declare(spec("@every 10m"), pause=Pause(until=UNTIL))
    story.at(950)


def paused_before(story: Story) -> None:
    paused(story)
    story.at(2010)


def suspended(story: Story) -> None:
    story.declare(spec(suspend=True))


def last_one_ahead(story: Story) -> None:
    story.declare(spec(endTime=rfc3339(NOON + timedelta(seconds=60))))
    story.at(57)


def ended(story: Story) -> None:
    last_one_ahead(story)
    story.at(60)
    story.started(story.run)


def never_fires(story: Story) -> None:
    story.declare(spec("0 0 30 2 *"))


def never_starts(story: Story) -> None:
    story.declare(spec(startingDeadlineSeconds=0))


def suspended_for_ever(story: Story) -> None:
    story.declare(spec("0 0 30 2 *", suspend=True))


STANDS = [
    (ahead, "Scheduled", None),
    (last_one_ahead, "Scheduled", None),
    (ended, "Ended", Severity.NOTE),
    (never_fires, "NeverFires", Severity.WRONG),
    (never_starts, "NeverStarts", Severity.WRONG),
    (paused, "Paused", Severity.NOTE),
    (suspended_for_ever, "Suspended", Severity.NOTE),
]


@pytest.mark.parametrize(("act", "reason", "severity"), STANDS, ids=[act.__name__ for act, _, _ in STANDS])
def test_how_it_stands(act: Callable[[Story], None], reason: str, severity: Severity | None) -> None:
    story = Story(clusters=("west",))
    act(story)
    row = make_row(story.state, story.progress, story.state.definitions[HELLO])
    assert row.condition == look_at(story).condition("Scheduled")["reason"] == reason
    assert [(one.severity, one.kind) for one in row.troubles] == ([(severity, reason)] if severity is not None else [])


@pytest.mark.parametrize("act", [late, ahead, running, paused, paused_before, suspended], ids=lambda act: act.__name__)
def test_it(act: Callable[[Story], None]) -> None:
    story = Story(clusters=("west",))
    act(story)
    row = make_row(story.state, story.progress, story.state.definitions[HELLO])
    look = look_at(story)
    assert next_ticks(row, story.now, story.now, 1) == ((look.next,) if look.next else ())
    begun = [rfc3339(run.tick) for run in row.progress.open if run.state != "Pending" or run.tick <= story.now]  # as in page.js
    assert begun == [run["tick"] for run in look.active]


def test_the_last_result_is_not_that_of_the_ticks_that_were_skipped_for_a_run() -> None:
    story = Story(clusters=("west",))
    late(story)
    assert story.verdicts == []
    story.at(250)
    look = look_at(story)
    assert (look.last_result["verdict"], look.status["lastResult"]) == ("Skipped", "Skipped")
    story.finished(story.run)
    look = look_at(story)
    assert (look.last_result["verdict"], look.last_result["cluster"]) == ("Succeeded", "west")
    assert (look.status["lastResult"], look.status["lastCluster"]) == ("Succeeded", "west")


def test_the_ticks_of_an_interval_go_on_through_a_pause() -> None:
    story = Story(clusters=("west",))
    paused(story)
    row = make_row(story.state, story.progress, story.state.definitions[HELLO])
    ticks = next_ticks(row, story.now, story.now + timedelta(hours=1), 3)
    assert [(tick - NOON).total_seconds() for tick in ticks] == [2400, 3000, 3600]
    subject = look_at(story).subject()
    assert subject.cronjob is not None
    assert tuple(coming.ticks(subject, subject.cronjob, UNTIL, 3)) == ticks, "as `kubectl hacron next` has it"
    assert tuple(coming.ticks(subject, subject.cronjob, story.now, 5))[2:] == ticks, "after those that pass"
