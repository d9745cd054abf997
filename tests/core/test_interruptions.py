"""From where ticks count when a cronjob has rested or was edited. Told in seconds after noon, at which it is made."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from hacron.core.messages import ClusterSeen, CronJobDeclared
from hacron.core.model import Pause
from tests.core.ledger_story import HELLO, NOON, Story, spec

EVERY = "@every 10m"


def paused_until(seconds: float) -> Pause:
    return Pause(until=NOON + timedelta(seconds=seconds))


class Home(Story):
    """Its only home is west."""

    def __init__(self, schedule: str, **fields: Any) -> None:
        super().__init__(clusters=("west",))
        self.fields = {"schedule": schedule} | fields
        self.versions = 1
        self.say()

    def say(self, pause: Pause | None = None, **fields: Any) -> None:
        """Change the spec, if `fields` does, and put up or take away a pause."""
        self.tell(self.word(pause, **fields))

    def word(self, pause: Pause | None = None, **fields: Any) -> CronJobDeclared:
        self.versions += 1
        self.fields |= fields
        generation = self.versions if fields else self.generation
        return CronJobDeclared(
            key=HELLO,
            cluster="west",
            uid="uid",
            generation=generation,
            created_at=NOON,
            spec=spec(**{name: value for name, value in self.fields.items() if value is not None}),
            pause=pause,
            version=self.versions,
        )

    @property
    def generation(self) -> int:
        homes = self.state.definitions.get(HELLO, {})
        return homes["west"].generation if homes else 1

    @property
    def ticks(self) -> list[int]:
        """Those that became a run."""
        return [int((run.tick - NOON).total_seconds()) for run in self.progress.open]


def suspend(story: Home) -> None:
    story.say(suspend=True)
    story.at(610)
    story.say(suspend=False)


def pause(story: Home) -> None:
    story.say(Pause())
    story.at(610)
    story.say()


def pause_with_an_end(story: Home) -> None:
    story.say(paused_until(610))


def pause_and_another_policy(story: Home) -> None:
    story.say(Pause())
    story.at(610)
    story.say(concurrencyPolicy="Forbid")


def zone(story: Home) -> None:
    story.at(610)
    story.say(timeZone="Europe/Berlin")


def end(story: Home) -> None:
    story.at(610)
    story.say(endTime="2026-11-24T18:00:00Z")


def interval(story: Home) -> None:
    story.at(610)
    story.say(schedule="@every 7m")


def start(story: Home) -> None:
    story.at(610)
    story.say(startTime="2026-11-24T12:17:00Z")


def typing_error(story: Home) -> None:
    story.at(610)
    story.say(timeZone="Europe/Nowhere")
    story.at(620)
    story.say(timeZone=None)


def typing_error_before_the_tick(story: Home) -> None:
    story.say(concurrencyPolicy="Forbit")
    story.at(630)
    story.say(concurrencyPolicy="Allow")


def pause_and_another_interval(story: Home) -> None:
    story.say(Pause())
    story.at(610)
    story.say(schedule="@every 7m")


@pytest.mark.parametrize(
    ("interrupt", "ticks"),
    [
        (suspend, [1200, 1800]),
        (pause, [1200, 1800]),
        (pause_with_an_end, [1200, 1800]),
        (pause_and_another_policy, [1200]),
        (zone, [600, 1200, 1800]),
        (end, [600, 1200, 1800]),
        (interval, [600, 610 + 420, 610 + 840, 610 + 1260]),
        (start, [600, 1020, 1620]),
        (typing_error, [600, 1200, 1800]),
        (typing_error_before_the_tick, [1200, 1800]),
        (pause_and_another_interval, [610 + 420, 610 + 840, 610 + 1260]),
    ],
)
def test_an_interval_is_counted_from_the_last_tick_unless_itself_or_its_start_is_edited(
    interrupt: Callable[[Home], None], ticks: list[int]
) -> None:
    story = Home(EVERY)
    story.at(590)
    interrupt(story)
    story.at(1900)
    assert story.ticks == ticks


def test_an_interval_that_is_paused_again_and_again_runs_all_the_same() -> None:
    story = Home(EVERY)
    for minute in range(7, 60, 7):
        story.at(60 * minute)
        story.say(Pause())
        story.at(60 * minute + 30)
        story.say()
    assert story.ticks == [600, 1200, 1800, 2400, 3000]


def test_of_an_interval_what_waits_goes_on_waiting_in_another_zone() -> None:
    story = Home(EVERY, concurrencyPolicy="Forbid")
    story.at(600)
    story.started(story.run)
    story.at(1250)
    story.say(timeZone="Europe/Berlin")
    assert story.progress.held is not None
    assert story.verdicts == []
    story.finished(story.run)
    assert story.runs == ["1200 Pending west #1"]


def test_an_end_that_is_put_before_what_waits_ends_that_too() -> None:
    story = Home(EVERY, concurrencyPolicy="Forbid")
    story.at(600)
    story.started(story.run)
    story.at(1250)
    story.say(endTime="2026-11-24T12:15:00Z")
    assert (story.progress.held, story.verdicts) == (None, ["1200 Skipped Edited"])


def test_an_end_that_is_put_off_does_not_start_the_past() -> None:
    story = Home(EVERY, endTime="2026-11-24T12:15:00Z")
    story.at(2000)
    story.say(endTime="2026-11-24T18:00:00Z")
    story.at(2500)
    assert (story.ticks, story.verdicts) == ([600, 2400], [])


@pytest.mark.parametrize("schedule", ["*/10 * * * *", EVERY])
def test_a_tick_at_the_end_of_a_pause_is_after_it(schedule: str) -> None:
    story = Home(schedule)
    story.at(30)
    story.say(paused_until(1200))
    story.at(1200)
    assert (story.runs, story.verdicts) == (["1200 Pending west #1"], ["600 Skipped Paused"])


@pytest.mark.parametrize("change", [{}, {"concurrencyPolicy": "Forbid"}])
def test_a_pause_that_ended_while_nobody_decided_passes_over_what_came_in_it_also_when_it_is_gone(change: dict[str, Any]) -> None:
    story = Home("*/10 * * * *")
    story.at(30)
    story.say(paused_until(700))
    story.now = NOON + timedelta(seconds=800)  # nobody has decided meanwhile
    story.tell(ClusterSeen(cluster="west", replica="west-1", api_ok=True, clock=story.now), story.word(**change))
    assert (story.runs, story.verdicts) == ([], ["600 Skipped Paused"])
    story.at(1200)
    assert story.runs == ["1200 Pending west #1"]


def test_the_first_tick_of_an_interval_of_centuries_is_taken_back() -> None:
    story = Home("@every 1200000h", startTime="2026-11-24T12:10:00Z")
    story.at(597)
    assert story.ticks == [600]
    story.say(suspend=True)
    assert story.ticks == []
    story.say(suspend=False)
    assert story.ticks == [600]


def test_what_waited_in_a_pause_that_is_heard_of_only_later_waits_no_more() -> None:
    """The cluster in which somebody paused was cut off meanwhile."""
    story = Home("0 * * * *", concurrencyPolicy="Forbid")
    story.at(3600)
    story.started(story.run)
    story.at(7200)
    held = story.progress.held
    assert held is not None
    assert held.reason == "JobAlreadyActive"
    story.at(9000)
    story.say(paused_until(8000))
    assert story.verdicts == ["7200 Skipped Paused"]
    assert story.progress.held is None
