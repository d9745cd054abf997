"""What an API server has whose data were put back from a backup counts again, though the ledger knows what came after."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import product

import msgspec
import pytest
from msgspec.structs import replace

from hacron.core.kinds import CRONJOBS, DEMANDS
from hacron.core.messages import CronJobDeclared, Definition, RunsDemanded
from hacron.core.model import Pause
from tests.core.ledger_story import HELLO, NOON, Story, spec
from tests.core.test_demands import AGAIN

EVERY_MINUTE, YEARLY = spec(), spec("0 0 1 1 *")
VERSIONS = list(product(["uid-west", "another"], [-1, 0, 1], [1, 2, 3], [4, 5, 6]))


def edited(*, elsewhere: bool = False) -> tuple[Story, datetime]:
    """A cronjob of the second generation, and when the ledger noted that."""
    story = Story()
    story.declare(EVERY_MINUTE, created_at=NOON)
    if elsewhere:
        story.declare(YEARLY, cluster="east")
    story.at(70)
    story.declare(YEARLY, generation=2, created_at=NOON)
    story.at(130)
    return story, story.state.definitions[HELLO]["west"].changed_at


def declared() -> CronJobDeclared:
    return CronJobDeclared(key=HELLO, cluster="west", uid="uid-west", generation=1, created_at=NOON, spec=EVERY_MINUTE)


@pytest.mark.parametrize("pause", [None, Pause(reason="moving")], ids=["goes on", "paused"])
@pytest.mark.parametrize(("uid", "seconds", "generation", "version"), VERSIONS)
def test_a_relay_tells_just_what_the_executor_takes_in(
    uid: str, seconds: int, generation: int, version: int, pause: Pause | None
) -> None:
    story = Story()
    story.tell(replace(declared(), generation=2, version=5))
    made = NOON + timedelta(seconds=seconds if uid == "another" else 0)
    seen = replace(declared(), uid=uid, created_at=made, generation=generation, version=version, pause=pause)
    entry = story.state.definitions[HELLO]["west"]
    stands = entry.uid == uid and CRONJOBS.stands(story.state, entry, seen)
    tells = not stands and CRONJOBS.contradicted(story.state, seen) is None
    story.tell(seen)
    assert (story.state.definitions[HELLO]["west"] != entry) == tells


def generations(story: Story) -> list[int]:
    return [record.generation for record in story.written if isinstance(record, Definition) and record.cluster == "west"]


def test_an_earlier_generation_counts_from_the_moment_that_it_is_told() -> None:
    story, noted = edited()
    story.finished(story.run)
    story.declare(EVERY_MINUTE, created_at=NOON, instead_of=noted)
    assert (generations(story), story.runs) == ([1, 2, 1], [])
    story.at(176)
    assert story.runs == ["180 Pending west #1"], "nothing of the past is made up for"


def test_what_was_deleted_and_forgotten_begins_now_when_a_backup_brings_it_back() -> None:
    """Its status tells of what was decided before the backup; that more has come since is known to nobody."""
    story = Story()
    story.declare(EVERY_MINUTE)
    story.at(70)
    story.finished(story.run)
    story.withdraw()
    story.at(70 + story.rules.forget_after.total_seconds() + 60)
    assert HELLO not in story.state.progress
    story.declare(spec("1,2 12 * * *"), created_at=NOON, last_schedule_time=NOON + timedelta(seconds=60))
    story.at(70 + story.rules.forget_after.total_seconds() + 70)
    assert (story.runs, story.verdicts) == ([], []), "12:02 may have run"


def test_what_the_ledger_cannot_have_forgotten_yet_is_made_up_for() -> None:
    """Records of it may be lost, or it has fired by another ledger until now."""
    story = Story()
    story.at(170)
    story.declare(EVERY_MINUTE, created_at=NOON - timedelta(hours=1), last_schedule_time=NOON + timedelta(seconds=60))
    assert story.runs == ["120 Pending west #1"]


@pytest.mark.parametrize("generation", [1, 2])
def test_what_is_said_twice_or_late_changes_nothing(generation: int) -> None:
    story, noted = edited()
    for _ in range(2):
        story.declare(EVERY_MINUTE, generation=generation, created_at=NOON, instead_of=noted)
        story.at(140)
    assert generations(story) == [1, 2, generation]
    story.declare(YEARLY, generation=3, created_at=NOON)
    story.declare(EVERY_MINUTE, generation=generation, created_at=NOON, instead_of=noted)
    assert generations(story) == [1, 2, generation, 3]


def test_what_was_withdrawn_fires_again_and_is_edited_as_ever() -> None:
    story = Story()
    story.declare(EVERY_MINUTE, created_at=NOON)
    story.at(70)
    story.withdraw()
    (gone,) = story.progress.gone
    story.at(190)
    story.declare(EVERY_MINUTE, created_at=NOON)
    assert HELLO not in {key for key, homes in story.state.definitions.items() if homes}, "a relay that has not seen it go"
    story.declare(EVERY_MINUTE, created_at=NOON, instead_of=gone.at)
    assert story.runs == ["60 Stopping west #1"], "what passed meanwhile is nobody's"
    story.at(236)
    assert story.runs[-1] == "240 Pending west #1"
    story.declare(YEARLY, generation=2, created_at=NOON)
    assert generations(story) == [1, 1, 2]


@pytest.mark.parametrize("is_known_to_be_gone", [True, False], ids=["known to be gone", "from before the ledger was lost"])
def test_an_object_that_was_made_anew_gives_way_to_the_one_before(is_known_to_be_gone: bool) -> None:
    story = Story()
    if is_known_to_be_gone:
        story.declare(EVERY_MINUTE, created_at=NOON)
    story.at(70)
    story.declare(YEARLY, created_at=story.now, uid="another")
    story.declare(EVERY_MINUTE, created_at=NOON)
    assert story.state.definitions[HELLO]["west"].uid == "another", "the watch of a relay may be that late"
    noted = CRONJOBS.contradicted(story.state, declared())
    assert noted is not None
    story.declare(EVERY_MINUTE, created_at=NOON, instead_of=noted)
    assert story.state.definitions[HELLO]["west"].uid == "uid-west"
    assert [one.uid for one in story.progress.gone] == ["another"]
    assert story.progress.cronjob_id == "uid-west"


def test_it_does_not_win_over_what_another_home_says_until_it_is_edited() -> None:
    story, noted = edited(elsewhere=True)
    assert story.state.winner(HELLO).cluster == "west"
    story.declare(EVERY_MINUTE, created_at=NOON, instead_of=noted)
    assert story.state.winner(HELLO).cluster == "east"
    story.declare(EVERY_MINUTE, generation=2, created_at=NOON)
    assert story.state.winner(HELLO).cluster == "west"


def test_a_demand_that_was_made_anew_gives_way_to_the_one_before() -> None:
    story = Story()
    story.declare(spec("0 0 1 1 *"))
    before, after = (
        RunsDemanded(key=AGAIN, cluster="west", uid=uid, generation=1, created_at=made, spec=msgspec.Raw(b'{"cronJob": "hello"}'))
        for uid, made in (("before", NOON), ("after", NOON + timedelta(seconds=9)))
    )
    story.at(20)
    story.tell(after)
    story.tell(before)
    assert story.state.demands[AGAIN].homes["west"].uid == "after"
    assert DEMANDS.contradicted(story.state, after) is None
    story.tell(replace(before, instead_of=DEMANDS.contradicted(story.state, before)))
    assert story.state.demands[AGAIN].homes["west"].uid == "before"
