"""Which messages of the ledger count, from its beginning and from its floor."""

from __future__ import annotations

from datetime import timedelta

from hacron.core.messages import Batch, Checkpoint, Entry, Proof, Record
from hacron.core.state import LONG_AGO, State
from tests.core.ledger_story import LONG_BEFORE, NOON

PROOF = Proof(replica="r1", at=NOON, cluster="west", since=LONG_BEFORE, born=LONG_BEFORE)
CHECKPOINT = Checkpoint(replica="r1", cluster="west", at=NOON, born=LONG_BEFORE)


def told(state: State, offset: int, record: Record, epoch: int, sender: str = "r1") -> bool:
    """Have one message read; return whether it counts."""
    batch = Batch(epoch=epoch, sender=sender, sent_at=NOON, records=(record,))
    return state.apply(Entry(offset=offset, size=100, batch=batch)).counts


def test_at_the_floor_whatever_stands_there_has_counted() -> None:
    state = State()
    assert told(state, 1000, PROOF, 7)
    assert (state.epoch, state.born) == (7, LONG_BEFORE)
    assert not told(state, 1001, PROOF, 6)
    assert not told(state, 1002, CHECKPOINT, 7)
    assert not told(state, 1003, PROOF, 8), "nobody has begun that epoch"
    assert told(state, 1004, CHECKPOINT, 8)
    assert not told(state, 1005, PROOF, 7)


def test_what_another_replica_sent_in_the_same_epoch_of_a_ledger_that_is_lost_does_not_count() -> None:
    state = State()
    assert told(state, 0, CHECKPOINT, 7, "r2")
    assert not told(state, 1, PROOF, 7, "r1")
    assert told(state, 2, PROOF, 7, "r2")


def test_what_was_meant_for_a_ledger_that_is_lost_does_not_begin_the_next_one() -> None:
    state = State()
    assert not told(state, 0, PROOF, 7)
    assert (state.epoch, state.born, state.executor) == (0, None, None)
    assert told(state, 1, Checkpoint(replica="r2", cluster="east", at=NOON, born=NOON), 6)
    assert (state.epoch, state.born) == (6, NOON)


def test_a_ledger_is_as_old_as_its_first_checkpoint_whatever_that_believes() -> None:
    state = State()
    assert told(state, 0, CHECKPOINT, 7)
    assert state.born == NOON
    assert told(state, 1, Proof(replica="r1", at=NOON + timedelta(seconds=1), born=LONG_BEFORE), 7)
    assert state.born == NOON


def test_a_later_checkpoint_does_not_change_a_birth_that_is_known() -> None:
    """Whoever wrote it may have read nothing of the ledger yet."""
    state, young = State(), Checkpoint(replica="r2", cluster="east", at=NOON, born=NOON)
    assert told(state, 1000, PROOF, 7)
    assert told(state, 1001, young, 8)
    assert state.born == LONG_BEFORE


def test_where_an_executor_does_not_know_the_birth_nobody_goes_by_another() -> None:
    state = State()
    assert told(state, 1000, PROOF, 7)
    assert told(state, 1001, Checkpoint(replica="r2", cluster="east", at=NOON, born=LONG_AGO), 8)
    assert state.born == LONG_AGO


def test_who_begins_behind_the_first_proof_goes_by_what_the_executor_has_read_since() -> None:
    state = State()
    assert told(state, 1000, Checkpoint(replica="r2", cluster="east", at=NOON, born=NOON), 8, "r2")
    assert told(state, 1001, CHECKPOINT, 9)
    assert told(state, 1002, PROOF, 9)
    assert state.born == LONG_BEFORE
