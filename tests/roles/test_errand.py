"""What is under way for one run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from msgspec.structs import replace

from hacron.core.model import Run, RunState, key_of
from hacron.errand import FIRST_RETRY_S, LAST_RETRY_S, PATIENT_RETRY_S, Errand, Outgoing, create_request
from hacron.ports import Answer

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
KEY = key_of("default", "hello")
RUN = Run(id="hello-1", tick=NOON, cluster="west", start_by=NOON + timedelta(minutes=1), fencing=1, job="hello-1")


def pause_after(errand: Errand, status: int, retry_after_s: float = 0.0, run: Run = RUN, at_s: float = 0.0) -> float:
    """Return for how many seconds the errand rests after such an answer."""
    now = NOON + timedelta(seconds=at_s)
    errand.try_later(run, answer_of(status, retry_after_s), now)
    assert errand.retry_at is not None
    return (errand.retry_at - now).total_seconds()


def answer_of(status: int, retry_after_s: float = 0.0) -> Answer:
    return Answer(request=create_request(KEY, RUN, msgspec.Raw(b"{}")), status=status, body={}, retry_after_s=retry_after_s)


def errand() -> Errand:
    return Errand(key=KEY, cluster="west", outgoing=Outgoing(), tick=NOON, since=NOON, state=RunState.PENDING)


def test_pauses_grow_up_to_a_limit() -> None:
    under_way = errand()
    pauses = [pause_after(under_way, 503) for _ in range(8)]
    assert pauses == sorted(pauses)
    assert pauses[0] < pauses[1]
    assert pauses[-1] == LAST_RETRY_S


def test_what_is_in_no_hurry_may_wait_for_longer() -> None:
    under_way = errand()
    for _ in range(12):
        under_way.try_later(RUN, answer_of(503), NOON, PATIENT_RETRY_S)
    assert under_way.retry_at == NOON + timedelta(seconds=PATIENT_RETRY_S)
    assert pause_after(under_way, 503) == LAST_RETRY_S, "what is, waits no longer for it"


@pytest.mark.parametrize("retry_after_s", [0.0, 7.0])
def test_what_a_run_in_another_state_needs_waits_only_as_the_api_server_wants_it(retry_after_s: float) -> None:
    under_way = errand()
    for _ in range(12):
        under_way.try_later(RUN, answer_of(503, retry_after_s), NOON, PATIENT_RETRY_S)
    under_way.enter(RunState.STOPPING)
    assert under_way.retry_at == NOON + timedelta(seconds=retry_after_s)
    assert pause_after(under_way, 503) == FIRST_RETRY_S


def test_an_api_server_that_wants_to_be_left_alone_is_left_alone_for_so_long() -> None:
    assert pause_after(errand(), 429, retry_after_s=7.0) == 7.0


def test_a_short_wish_does_not_shorten_the_pause() -> None:
    under_way = errand()
    while pause_after(under_way, 429) < LAST_RETRY_S:
        pass
    assert pause_after(under_way, 429, retry_after_s=0.5) == LAST_RETRY_S


@pytest.mark.parametrize(
    ("at_s", "state", "pause_s"),
    [
        pytest.param(10.0, RunState.PENDING, 30.0, id="it can be made later"),
        pytest.param(40.0, RunState.PENDING, 18.0, id="two seconds before it would be too late"),
        pytest.param(59.0, RunState.PENDING, FIRST_RETRY_S, id="in the last seconds"),
        pytest.param(61.0, RunState.PENDING, 30.0, id="it is too late"),
        pytest.param(40.0, RunState.STOPPING, 30.0, id="it is not to be made"),
    ],
)
def test_an_api_server_is_not_left_alone_for_longer_than_a_run_can_begin(at_s: float, state: RunState, pause_s: float) -> None:
    assert pause_after(errand(), 429, retry_after_s=30.0, run=replace(RUN, state=state), at_s=at_s) == pause_s
