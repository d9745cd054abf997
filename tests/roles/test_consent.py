"""Whom a cluster asks before a run may enter one of its namespaces, and for how long it believes the answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from hacron.consent import BELIEVED_FOR_S, Consent
from hacron.core.messages import Definition
from hacron.core.model import Key, Run, key_of
from hacron.core.state import State
from hacron.ports import Answer, GetNamespace, GetObject
from hacron.turn import Moment

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
TICK = 100  # seconds after noon
KEY = key_of("shop", "report")
OF_THE_OBJECT = GetObject(key=KEY, run_id="run")
OF_THE_NAMESPACE = GetNamespace(key=KEY, run_id="run", namespace="shop")
HERE: dict[str, Any] = {"metadata": {"name": "report"}}
LEAVING: dict[str, Any] = {"metadata": {"name": "report", "deletionTimestamp": "2026-11-24T12:00:00Z"}}
STATUS: dict[str, Any] = {"kind": "Status", "metadata": {}, "code": 404}


def definition(cluster: str) -> Definition:
    return Definition(
        key=KEY,
        cluster=cluster,
        uid="u",
        generation=1,
        created_at=NOON,
        revision=1,
        changed_at=NOON,
        spec=msgspec.Raw(b"{}"),
    )


class Door:
    """West's consent to a cronjob that the ledger has of these clusters, the first of which wins."""

    def __init__(self, *homes: str) -> None:
        state = State()
        state.definitions[KEY] = {cluster: definition(cluster) for cluster in homes}
        self.seen: set[Key] = set()
        self.consent = Consent(cluster="west", state=state, uid_here=lambda key: "1" if key in self.seen else None)
        self.winner = definition(homes[0])

    def at(self, second: float) -> bool | GetObject | GetNamespace:
        run = Run(id="run", tick=NOON + timedelta(seconds=TICK), cluster="west", start_by=NOON + timedelta(minutes=9), fencing=1)
        return self.consent.to(self.winner, run, Moment(NOON + timedelta(seconds=second), second))

    def answer(
        self, request: GetObject | GetNamespace, status: int = 200, body: dict[str, Any] | None = None, second: float = 0
    ) -> bool:
        return self.consent.take(
            request, Answer(request=request, status=status, body=body or {}), Moment(NOON + timedelta(seconds=second), second)
        )


def test_what_the_watch_shows_may_enter_without_a_question() -> None:
    door = Door("west")
    door.seen.add(KEY)
    assert door.at(0) is True


def test_the_api_server_is_asked_for_what_the_ledger_alone_says_is_declared_here() -> None:
    door = Door("west")
    assert door.at(0) == OF_THE_OBJECT
    assert door.answer(OF_THE_OBJECT, body=HERE)
    assert door.at(BELIEVED_FOR_S) is True
    assert door.at(BELIEVED_FOR_S + 1) == OF_THE_OBJECT


def test_what_is_not_there_or_is_being_deleted_enters_where_the_namespace_accepts_it() -> None:
    for status, body in ((404, STATUS), (200, LEAVING), (200, {})):
        door = Door("west")
        door.answer(OF_THE_OBJECT, status, body)
        assert door.at(1) == OF_THE_NAMESPACE
        door.answer(OF_THE_NAMESPACE, body={"metadata": {"annotations": {}}})
        assert door.at(1) is False
        door.answer(OF_THE_NAMESPACE, body={"metadata": {"annotations": {"hacron.io/accept-from": "east, west"}}})
        assert door.at(1) is True


def test_what_was_not_there_and_is_seen_since_may_enter() -> None:
    door = Door("west")
    door.answer(OF_THE_OBJECT, 404, STATUS)
    door.seen.add(KEY)
    assert door.at(1) is True


def test_of_what_another_cluster_declares_the_namespace_alone_is_asked() -> None:
    door = Door("east")
    door.seen.add(KEY)  # what it says is not in the ledger yet
    assert door.at(0) == OF_THE_NAMESPACE
    door.answer(OF_THE_NAMESPACE, 404, STATUS)
    assert door.at(1) is False


def test_no_answer_is_none() -> None:
    door = Door("west")
    for status in (0, 403, 429, 503):
        assert not door.answer(OF_THE_OBJECT, status)
    assert door.at(1) == OF_THE_OBJECT


def test_a_no_of_before_the_tick_is_asked_for_again_when_that_has_come() -> None:
    door = Door("west")
    door.answer(OF_THE_OBJECT, 404, STATUS, second=TICK - 5)
    door.answer(OF_THE_NAMESPACE, body={"metadata": {}}, second=TICK - 5)
    assert door.at(TICK - 1) is False
    assert door.at(TICK) == OF_THE_OBJECT
    door.answer(OF_THE_OBJECT, 404, STATUS, second=TICK)
    assert door.at(TICK) == OF_THE_NAMESPACE
    door.answer(OF_THE_NAMESPACE, body={"metadata": {}}, second=TICK)
    assert door.at(TICK + 1) is False


def test_a_yes_of_before_the_tick_is_believed() -> None:
    door = Door("east")
    door.answer(OF_THE_NAMESPACE, body={"metadata": {"annotations": {"hacron.io/accept-from": "*"}}}, second=TICK - 5)
    assert door.at(TICK) is True
