"""How long the name of a Job stays taken, as the defaults are."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from hacron.core.duties import TakeName, Wait, owed
from hacron.core.manifests import tombstone_body
from hacron.core.model import Run, RunState
from hacron.core.namelock import (
    CLOCKS_DIFFER,
    REQUEST_LIVES,
    is_asked_for_no_more,
    may_be_made_again,
    name_free_at,
    outlived,
)
from hacron.core.rules import Rules
from hacron.core.runs import NOT_STARTED
from tests.core.ledger_story import HELLO
from tests.roles.views import NOON, YOUNG

RULES = Rules()
REQUEST_WINDOW = RULES.start_window + RULES.skew_margin
RUN = Run(id="hello.1", tick=NOON, cluster="west", start_by=NOON + RULES.start_window, fencing=1)
MOMENT = timedelta(milliseconds=1)


def test_a_name_is_free_82_seconds_after_its_job_was_made() -> None:
    assert name_free_at(YOUNG, REQUEST_WINDOW) == NOON + timedelta(seconds=82)


def test_a_request_to_make_it_may_be_on_its_way() -> None:
    last = NOON + timedelta(seconds=80)
    assert may_be_made_again(RUN, last)
    assert not may_be_made_again(RUN, last + MOMENT)


def test_two_minutes_later_nobody_has_sent_one_though_his_clock_is_as_wrong_as_it_may_be_and_ours_the_other_way() -> None:
    last = NOON + timedelta(seconds=200)
    assert not is_asked_for_no_more(RUN, last)
    assert is_asked_for_no_more(RUN, last + MOMENT)


@pytest.mark.parametrize(("ran", "stands"), [(True, timedelta(seconds=82)), (False, timedelta(hours=1))])
def test_a_tombstone_stands_until_nobody_can_run_into_it(ran: bool, stands: timedelta) -> None:
    tombstone = replace(YOUNG, tombstone=True, ran=ran)
    assert outlived([tombstone], NOON + stands, REQUEST_WINDOW) == []
    assert outlived([tombstone], NOON + stands + MOMENT, REQUEST_WINDOW) == [tombstone]


def test_neither_a_job_nor_what_is_deleted_already_is_a_tombstone_to_delete() -> None:
    going = replace(YOUNG, tombstone=True, ran=True, deleting=True)
    assert outlived([YOUNG, going], NOON + timedelta(days=1), REQUEST_WINDOW) == []


def test_what_was_refused_and_waits_keeps_its_name_only_while_it_may_be_asked_for() -> None:
    """It may wait for days, and others of its cronjob with it: in a namespace that is not theirs there would be ever more."""
    waits = replace(RUN, state=RunState.LOST, reason=NOT_STARTED)
    last = RUN.start_by + REQUEST_LIVES + 2 * CLOCKS_DIFFER
    assert owed(HELLO, waits, None, last) == TakeName()
    assert owed(HELLO, waits, None, last + timedelta(seconds=1)) == Wait(None)
    assert owed(HELLO, replace(waits, reason="ClusterSilent"), None, last + timedelta(seconds=1)) == TakeName()


def test_a_tombstone_has_no_room_for_a_pod() -> None:
    """Should somebody resume it, as queues do that take in whatever is suspended."""
    assert tombstone_body(RUN, HELLO, ran=False)["spec"] | {"template": {}} == {"suspend": True, "parallelism": 0, "template": {}}
