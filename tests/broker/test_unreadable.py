"""Messages whose headers pika cannot read, at a real broker: one of them must not keep anybody from opening, or from going on."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import pytest

from hacron.broker import codec
from hacron.broker.inbox import HAND_BYTES
from hacron.core.messages import Envelope
from tests.broker.test_contract import NOW, batch, started, withdrawn
from tests.broker.worlds import RealWorld, read, take, until
from tests.testbed.raw_headers import UNREADABLE

pytestmark = pytest.mark.broker
UNREAD = [pytest.param(headers, id=name) for name, headers in UNREADABLE.items()]


@pytest.mark.parametrize("headers", UNREAD)
@pytest.mark.parametrize("queue", ["commands", "reports"])
def test_in_an_executors_queue_it_is_set_aside_by_whoever_becomes_executor(real: RealWorld, queue: str, headers: object) -> None:
    for body in (b"{}", b"", b"x" * 300_000):  # a body in several frames, and one in none
        real.put(queue, body, headers)
    session = real.open()
    session.inbox.open()
    session.outbox.send_commands([withdrawn(1)])
    assert take(session, 1) == [withdrawn(1)]
    until(session, lambda: session.inbox.take() or session.inbox.unreadable[queue] == 3)
    session.inbox.acknowledge()
    session.outbox.send_commands([withdrawn(2)])
    session.outbox.send_reports([started(2)])
    take(session, 2)  # a way through each queue and back: the broker has had what was acknowledged before
    session.connection.drop()
    again = real.open("r2")
    again.inbox.open()
    assert set(take(again, 2)) == {withdrawn(2), started(2)}
    assert again.inbox.unreadable[queue] == 0


@pytest.mark.parametrize("headers", UNREAD)
def test_it_may_come_to_an_executor_that_is_at_work(real: RealWorld, headers: object) -> None:
    session = real.open()
    session.token.compete()
    session.inbox.open()
    with ThreadPoolExecutor() as aside:  # the broker may take seconds over each, and wants heartbeats
        for queue in ("commands", "reports", "ledger", "token"):
            putting = aside.submit(real.put, queue, b"{}", headers)
            until(session, putting.done)
            putting.result()
    session.outbox.send_commands([withdrawn(1)])
    assert take(session, 1) == [withdrawn(1)]
    session.ledger.append([batch()], 0)
    until(session, lambda: batch() in [entry.batch for entry in session.ledger.read()])
    until(session, lambda: session.token.held)


@pytest.mark.parametrize("headers", UNREAD)
def test_as_the_token_it_is_a_token(real: RealWorld, headers: object) -> None:
    real.put("token", b"{}", headers)
    session = real.open()
    session.token.compete()
    until(session, lambda: session.token.held)


def test_at_the_end_of_the_ledger_it_keeps_nobody_from_what_is_before_and_behind_it(
    real: RealWorld, caplog: pytest.LogCaptureFixture
) -> None:
    unreadable = UNREADABLE["a year beyond 9999"]  # of those, the one that a stream does not leave out
    writer = real.open()
    writer.ledger.append([batch(1)], 0)
    real.put("ledger", b"{}", unreadable)
    reader = real.open("r2")
    with caplog.at_level(logging.WARNING, "hacron.broker.ledger"):
        entries = read(reader, 1)
        writer.ledger.append([batch(2)], 0)
        entries += read(reader, 1)
    assert [entry.batch for entry in entries] == [batch(1), batch(2)]
    assert reader.ledger.caught_up
    assert reader.ledger.unreadable == 1
    assert not reader.ledger.truncated
    assert "out of range" in vars(caplog.records[0])["why"]


@pytest.mark.parametrize("queue", ["commands", "reports"])
def test_bodies_that_are_too_long_are_not_kept_while_they_wait(real: RealWorld, queue: str) -> None:
    for _ in range(20):
        real.put(queue, b"x" * (3 * 2**20))
    session = real.open()
    session.inbox.open()
    until(session, lambda: sum(map(len, session.inbox._arrived.values())) == 20)
    assert sum(len(delivery.body) for arrived in session.inbox._arrived.values() for delivery in arrived) == 0
    until(session, lambda: session.inbox.take() or session.inbox.unreadable[queue] == 20)
    session.inbox.acknowledge()


def test_commands_that_are_long_and_many_all_arrive_and_the_hand_stays_bounded(real: RealWorld) -> None:
    real.open().connection.close()  # it has made the queues
    for number in range(40):  # which takes the broker seconds
        raw = codec.encode_message(withdrawn(number))
        real.put("commands", codec.encode_envelope(Envelope(id="x" * 1_700_000, sent_at=NOW, sender="west-1", messages=(raw,))))
    session = real.open()
    session.outbox.send_commands([withdrawn(40)])
    session.inbox.open()
    until(session, lambda: sum(map(len, session.inbox._arrived.values())) == 41)
    assert sum(len(delivery.body) for arrived in session.inbox._arrived.values() for delivery in arrived) <= HAND_BYTES + 1000
    taken = take(session, 41)
    assert sorted(taken, key=lambda one: int(one.uid)) == [withdrawn(number) for number in range(41)]
    session.inbox.acknowledge()
    assert session.inbox.unreadable["commands"] == 0
    session.outbox.send_commands([withdrawn(2)])
    assert take(session, 1) == [withdrawn(2)]  # a way to the broker and back: it has had what was acknowledged before
    session.connection.drop()
    again = real.open("r2")
    again.inbox.open()
    assert take(again, 1) == [withdrawn(2)]
