"""Jobs of which the ledger knows nothing: whether it has been read so far that it must."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from hacron.core.messages import Proof
from hacron.core.state import LONG_AGO, State
from hacron.errand import Outgoing
from hacron.jobs import Jobs
from hacron.tidying import Tidying
from tests.roles.views import HELLO, NOON, YOUNG


def state(proof_at: datetime, born: datetime | None = NOON - timedelta(days=1)) -> State:
    found = State()
    found.born = born
    found.proof = Proof(replica="west-1", at=proof_at)
    return found


def deleted(read: State, now: datetime, ledger: str) -> tuple[int, datetime | None]:
    """Return how many Jobs are asked to be deleted, and when to look again."""
    jobs, outgoing = Jobs(), Outgoing()
    jobs.keep(replace(YOUNG, ledger=ledger))
    tidying = Tidying(cluster="east", state=read, jobs=jobs, outgoing=outgoing, start_window=timedelta(seconds=22))
    tidying.knows_all = True
    again = tidying.look(HELLO, now)
    return len(outgoing.requests), again


def test_its_run_may_not_have_been_read_yet() -> None:
    read = state(NOON + timedelta(minutes=9))
    assert deleted(read, NOON + timedelta(hours=1), read.mark) == (0, NOON + timedelta(hours=1, seconds=6))


def test_ten_minutes_later_it_is_deleted() -> None:
    read = state(NOON + timedelta(minutes=11))
    assert deleted(read, NOON + timedelta(minutes=11), read.mark) == (1, None)


@pytest.mark.parametrize("born", [None, LONG_AGO])
def test_a_ledger_that_does_not_know_when_it_began_deletes_nothing(born: datetime | None) -> None:
    read = state(NOON + timedelta(minutes=11), born)
    assert deleted(read, NOON + timedelta(minutes=11), read.mark) == (0, None)
