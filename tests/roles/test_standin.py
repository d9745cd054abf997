"""Whether a replica that is not the worker makes Jobs: it tries one, and goes by what becomes of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hacron.standin import NEEDED_FOR, TRY_LASTS, StandIn

TICK = datetime(2030, 1, 1, tzinfo=UTC)
LATE = TICK + timedelta(seconds=1)


def test_a_run_is_overdue_a_second_after_its_tick_or_after_it_became_known() -> None:
    helper = StandIn(timedelta(seconds=1))
    assert helper.overdue_at(TICK, TICK - timedelta(seconds=5)) == LATE
    assert helper.overdue_at(TICK, TICK + timedelta(seconds=3)) == TICK + timedelta(seconds=4)


def test_one_job_is_tried_and_the_others_wait_for_it() -> None:
    helper = StandIn(timedelta(seconds=1))
    assert helper.begin("a", LATE) is None
    again = helper.begin("b", LATE)
    assert again is not None
    assert LATE < again < LATE + timedelta(seconds=0.2)


def test_all_follow_when_the_worker_had_not_made_it() -> None:
    helper = StandIn(timedelta(seconds=1))
    helper.begin("a", LATE)
    helper.end("a", made=True, existed=False, now=LATE)
    assert helper.begin("b", LATE) is None
    assert helper.begin("c", LATE + NEEDED_FOR / 2) is None
    helper.begin("d", LATE + NEEDED_FOR)
    assert helper.begin("e", LATE + NEEDED_FOR) is not None


def test_a_job_that_exists_is_followed_by_one_other_try() -> None:
    helper = StandIn(timedelta(seconds=1))
    helper.begin("a", LATE)
    helper.end("a", made=False, existed=True, now=LATE)
    assert helper.begin("b", LATE) is None
    assert helper.begin("c", LATE) is not None


def test_nothing_is_tried_until_a_second_after_a_run_began() -> None:
    helper = StandIn(timedelta(seconds=1))
    helper.hear(LATE)
    assert helper.begin("a", LATE + timedelta(seconds=0.9)) == LATE + timedelta(seconds=1)
    assert helper.begin("a", LATE + timedelta(seconds=1)) is None


def test_a_worker_that_is_heard_of_again_is_left_alone() -> None:
    helper = StandIn(timedelta(seconds=1))
    helper.begin("a", LATE)
    helper.end("a", made=True, existed=False, now=LATE)
    helper.hear(LATE)
    assert helper.begin("b", LATE) == LATE + timedelta(seconds=1)


def test_a_try_without_an_answer_is_followed_by_another() -> None:
    helper = StandIn(timedelta(seconds=1))
    helper.begin("a", LATE)
    assert helper.begin("a", LATE) is None
    helper.end("a", made=False, existed=False, now=LATE)
    assert helper.begin("b", LATE) is None


def test_a_run_that_is_not_tried_any_more_holds_nobody_up() -> None:
    helper = StandIn(timedelta(seconds=1))
    helper.begin("a", LATE)
    helper.forget("a")
    assert helper.begin("b", LATE) is None


def test_a_try_that_hangs_is_not_waited_for_long() -> None:
    helper = StandIn(timedelta(seconds=1))
    helper.begin("a", LATE)
    assert helper.begin("b", LATE + TRY_LASTS / 2) is not None
    assert helper.begin("b", LATE + TRY_LASTS) is None
    assert helper.begin("c", LATE + TRY_LASTS * 1.5) is not None, "b is tried now"
    helper.end("a", made=False, existed=False, now=LATE + TRY_LASTS * 1.5)
    assert helper.begin("c", LATE + TRY_LASTS * 1.5) is not None
