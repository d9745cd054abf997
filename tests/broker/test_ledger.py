"""The look at the end of a ledger, without a broker: it ends, and holds only what it needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hacron.broker import ledger
from hacron.broker.channel import Delivery
from hacron.broker.ledger import LOOK_BACK, NOTHING_AFTER, OFFSET, PROBE_PREFETCH


class Stream:
    """Stands in for `Channel`: so many messages stand in it, and so many more are written while the broker answers once.

    The first come with the answer after `silent_for` others, and a connection's turn takes nothing in.
    """

    def __init__(self, stand: int, per_answer: int, silent_for: int = 0) -> None:
        self.answers = 0
        self._silent_for = silent_for
        self._written, self._per_answer = stand, per_answer
        self._next = self._credit = 0
        self._see: Callable[[Delivery], None] = lambda _: None

    def __call__(self, _connection: Any, prefetch: int) -> Stream:
        self._credit = prefetch
        return self

    def consume(self, _queue: str, see: Callable[[Delivery], None], arguments: dict[str, int], **_: Any) -> None:
        self._next, self._see = arguments[OFFSET], see

    def acknowledge(self, _tag: int) -> None:
        self._credit += 1

    def turn(self, _timeout_s: float) -> None:
        pass

    def barrier(self) -> None:
        self.answers += 1
        if self.answers <= self._silent_for:
            return
        self._written += self._per_answer
        credit, self._credit = self._credit, 0
        for offset in range(self._next, min(self._written, self._next + credit)):
            credit -= 1
            self._see(Delivery(offset + 1, b"", {OFFSET: offset}))
            self._next = offset + 1
        self._credit += credit

    def close(self) -> None:
        pass


def end_of(stream: Stream, patch: pytest.MonkeyPatch) -> list[int]:
    patch.setattr(ledger, "Channel", stream)
    return [noted.offset for noted in ledger._from(stream, "ledger", 0)]  # type: ignore[arg-type]


@pytest.mark.parametrize("stand", [0, 1, LOOK_BACK, PROBE_PREFETCH, 3 * PROBE_PREFETCH + 7])
def test_of_what_stands_there_the_last_messages_are_kept(stand: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert end_of(Stream(stand, 0), monkeypatch) == list(range(max(0, stand - LOOK_BACK), stand))


def test_what_is_written_meanwhile_does_not_keep_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream(10, 2)
    assert end_of(stream, monkeypatch) == list(range(12))
    assert stream.answers == 1


@pytest.mark.parametrize("silent_for", [1, NOTHING_AFTER])
def test_what_comes_only_after_some_answers_is_not_missed(silent_for: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert end_of(Stream(7, 0, silent_for), monkeypatch) == list(range(7))


def test_even_where_more_is_written_than_it_reads_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(end_of(Stream(0, 2 * PROBE_PREFETCH), monkeypatch)) == LOOK_BACK
