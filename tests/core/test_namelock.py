"""How long the name of a Job stays taken, as the defaults are."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from hacron.core.model import Run
from hacron.core.namelock import is_asked_for_no_more, may_be_made_again, name_free_at, outlived
from hacron.core.rules import Rules
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
