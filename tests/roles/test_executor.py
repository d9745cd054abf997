"""How long an executor waits for the broker."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hacron.core.messages import Entry
from hacron.core.rules import Rules
from hacron.core.scheduler import Scheduler
from hacron.core.state import SKIPPED, State
from hacron.executor import Executor, Lease
from hacron.ports import BrokerUnavailable, SteppedDown, Why
from hacron.turn import Folded, Moment
from tests.fakes.broker import NAMES_NONE, FakeBroker, FakeSession

NOON = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


def executor_of(session: FakeSession, lease: Lease, *, may_execute: bool = True) -> Executor:
    """Return the executor of a replica of west that has read nothing."""
    state = State()
    return Executor(
        replica="r1",
        cluster="west",
        state=state,
        scheduler=Scheduler(state, Rules()),
        token=session.token,
        ledger=session.ledger,
        inbox=session.inbox,
        lease=lease,
        may_execute=may_execute,
    )


def test_its_checkpoint_may_take_longer_than_a_proof_since_nothing_is_decided_before() -> None:
    broker, lease = FakeBroker(), Lease()
    session = broker.connect("r1", "west", lambda: NOON)
    executor = executor_of(session, lease)

    def turn(mono: float) -> None:
        executor.turn(Moment(NOON + timedelta(seconds=mono), mono), [])
        session.connection.turn(0)

    turn(0)
    turn(0)
    assert executor.epoch is not None  # it has written its checkpoint, and the broker brings nothing
    turn(lease.proof_lease_s + 1)
    assert not executor.decides
    with pytest.raises(SteppedDown) as caught:
        turn(lease.token_missing_after_s + 1)
    assert caught.value.why is Why.NO_PROOF
    assert broker.ledger[0].floor == NAMES_NONE, "it had read nothing"


def test_who_reads_only_what_does_not_count_connects_anew() -> None:
    broker, lease = FakeBroker(), Lease()
    session = broker.connect("r1", "west", lambda: NOON)
    executor = executor_of(session, lease, may_execute=False)
    stray = Folded(Entry(offset=5, size=100, batch=None), SKIPPED)
    executor.turn(Moment(NOON, 0.0), [stray])
    with pytest.raises(BrokerUnavailable, match="nothing is heard from the ledger"):
        executor.turn(Moment(NOON + timedelta(seconds=24), 24.0), [stray])
