"""A cluster whose name another one has, and is alive, takes no part."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hacron.core.model import Cluster
from hacron.core.state import State
from hacron.namesake import GONE_AFTER_S, Namesake
from hacron.ports import NameTaken
from hacron.turn import Moment
from tests.fakes.kube_client import FakeKube
from tests.fakes.kubernetes import FakeCluster

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Desk:
    """A replica's look at the ledger, which says of its cluster's name whose it is."""

    def __init__(self, *, ours: str, known: str) -> None:
        cluster = FakeCluster("west", NOON)
        cluster.uid = ours
        self.namesake = Namesake(cluster="west", kube=FakeKube(cluster, "west-1", lambda: NOON))
        self.state = State()
        self.known = known

    def may_take_part(self, second: float, *, heard: float = 0.0) -> bool:
        seen_at = NOON + timedelta(seconds=heard)
        self.state.clusters = {"west": Cluster(name="west", seen_at=seen_at, uid=self.known)}
        refusal = ""
        try:
            self.namesake.look(self.state, Moment(NOON, second))
        except NameTaken as reason:
            refusal = str(reason)
        assert refusal.startswith("another cluster is called west, too") or not refusal
        return not refusal


@pytest.mark.parametrize(("ours", "known"), [("a", "a"), ("", "a"), ("a", ""), ("", "")])
def test_the_same_or_an_unknown_cluster_is_no_other(ours: str, known: str) -> None:
    assert Desk(ours=ours, known=known).may_take_part(0)


def test_a_name_that_nobody_has_is_free() -> None:
    desk = Desk(ours="a", known="b")
    desk.namesake.look(State(), Moment(NOON, 0.0))


def test_another_has_the_name_for_as_long_as_it_is_heard_of() -> None:
    desk = Desk(ours="a", known="b")
    assert [desk.may_take_part(second, heard=second) for second in (0, 50, 100, 150)] == [False] * 4
    assert not desk.may_take_part(150 + GONE_AFTER_S - 1, heard=150)
    assert desk.may_take_part(150 + GONE_AFTER_S, heard=150)
    assert not desk.may_take_part(250, heard=250), "it is back, and was not replaced yet"
    desk.known = "a"
    assert desk.may_take_part(260, heard=260)
