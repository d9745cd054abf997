"""What only a real broker and a real network can do to a session."""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pika
import pytest

from hacron.broker import codec, topology
from hacron.broker.channel import FINDING_TIMEOUT_S
from hacron.broker.inbox import envelopes
from hacron.broker.session import Access, open_broker
from hacron.ports import BrokerUnavailable
from tests.broker.test_contract import batch, holder, withdrawn
from tests.broker.worlds import NOW, RealWorld, read, settle, take, until
from tests.testbed.broker import USER, VHOST, Broker

pytestmark = pytest.mark.broker


def took(act: Callable[[], object]) -> float:
    start = time.monotonic()
    act()
    return time.monotonic() - start


def refused(act: Callable[[], object]) -> str:
    """Return the words of the BrokerUnavailable that `act` raises."""
    with pytest.raises(BrokerUnavailable) as caught:
        act()
    return str(caught.value)


def access(*urls: str) -> Access:
    return Access(urls=urls, prefix="hacron-test", cluster="west", replica="r1")


# --- opening ------------------------------------------------------------------------------------------------------------


def test_a_queue_with_other_arguments_is_named_with_what_to_do(real: RealWorld) -> None:
    real.delete("commands")
    real.declare("commands", {"x-queue-type": "classic"})
    words = refused(real.open)
    assert "commands exists with other arguments" in words
    assert "\n" not in words


def test_nobody_listening_a_wrong_password_and_a_wrong_url_are_told_apart_and_no_password_is_shown(real: RealWorld) -> None:
    port = real.proxy.port
    wrong = refused(lambda: open_broker(access(f"amqp://guest:s3cret@127.0.0.1:{port}"), lambda: NOW))
    assert "ACCESS_REFUSED" in wrong or "authentication" in wrong.lower()
    nobody = refused(lambda: open_broker(access("amqp://guest:s3cret@127.0.0.1:1"), lambda: NOW))
    assert "127.0.0.1:1: " in nobody
    assert "refused" in nobody.lower()
    unread = refused(lambda: open_broker(access("amqp://guest:s3cret@127.0.0.1:port"), lambda: NOW))
    assert "cannot be read" in unread
    for words in (wrong, nobody, unread, repr(access("amqp://guest:s3cret@h"))):
        assert "s3cret" not in words


def test_of_several_nodes_one_that_answers_is_enough(real: RealWorld) -> None:
    url = real.proxied_url
    for _ in range(5):
        open_broker(
            access("amqp://guest:guest@127.0.0.1:1/", url, "amqp://guest:guest@127.0.0.1:2/"), lambda: NOW
        ).connection.drop()


def test_a_node_that_answers_and_has_no_copy_of_the_ledger_is_left_for_one_that_has(real: RealWorld, broker: Broker) -> None:
    bare = f"bare-{secrets.token_hex(4)}"  # stands in for such a node
    broker.ctl("add_vhost", bare)
    try:
        broker.ctl("set_permissions", "-p", bare, USER, ".*", ".*", ".*")
        having, lacking = real.access(direct=True), f"{broker.url.rpartition('/')[0]}/{bare}"
        for _ in range(5):
            several = replace(having, urls=[lacking, *having.urls, lacking], declares=False)
            open_broker(several, lambda: NOW).connection.drop()
        assert "404" in refused(lambda: open_broker(replace(having, urls=[lacking], declares=False), lambda: NOW))
    finally:
        broker.ctl("delete_vhost", bare)


def test_a_node_that_accepts_but_never_answers_is_given_up(real: RealWorld) -> None:
    real.proxy.freeze()
    assert took(lambda: refused(real.open)) < 10


def test_sessions_leave_no_file_open(real: RealWorld) -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = 0
    for number in range(20):
        if number == 5:
            before = count()
        session = open_broker(real.access(direct=True), lambda: NOW)
        (session.connection.drop if number % 2 else session.connection.close)()
        with pytest.raises(BrokerUnavailable):
            open_broker(access("amqp://guest:guest@127.0.0.1:1/"), lambda: NOW)
    assert count() <= before


# --- turns --------------------------------------------------------------------------------------------------------------


def test_a_turn_ends_when_somebody_wakes_it(real: RealWorld) -> None:
    session = real.open()
    settle(session)
    threading.Timer(0.2, session.connection.wake).start()
    assert took(lambda: session.connection.turn(60)) < 30
    session.connection.wake()
    assert took(lambda: session.connection.turn(60)) < 30
    assert took(lambda: session.connection.turn(0.3)) >= 0.29


def test_a_turn_ends_when_something_is_delivered_even_if_that_was_before_the_turn(real: RealWorld) -> None:
    session = real.open()
    settle(session)
    session.ledger.append([batch()], 0)
    assert took(lambda: read(session, 1)) < 5
    session.inbox.open()
    session.outbox.send_commands([withdrawn(1)])
    settle(session)
    session.outbox.send_commands([withdrawn(2)])
    assert took(lambda: take(session, 2)) < 5


# --- a broker that does not answer --------------------------------------------------------------------------------------


def test_no_call_hangs_on_a_frozen_broker(real: RealWorld) -> None:
    attempts: list[Callable[[Any], Any]] = [
        lambda session: session.ledger.append([batch()], 0),
        lambda session: session.token.give_back(),
    ]
    for attempt in attempts:
        real.put("token", b"{}")
        session = holder(real)
        session.ledger.append([batch()], 0)
        real.proxy.freeze()
        assert took(lambda attempt=attempt, session=session: refused(lambda: attempt(session))) < 10  # type: ignore[misc]
        assert not session.token.held
        assert took(session.connection.drop) < 1
        real.proxy.thaw()


def test_the_first_record_is_waited_for_while_the_broker_looks_for_the_ledger_and_no_later_one(real: RealWorld) -> None:
    session = real.open()
    real.proxy.freeze()
    thawing = threading.Timer(4, real.proxy.thaw)
    thawing.start()
    session.ledger.append([batch()], 0)
    thawing.join()
    real.proxy.freeze()
    assert "a publisher confirm" in refused(lambda: session.ledger.append([batch()], 0))


def test_a_first_record_that_the_broker_has_taken_and_does_not_confirm_is_not_waited_for_long(
    real: RealWorld, broker: Broker
) -> None:
    session = real.open()
    ledger = f'rabbit_misc:r(<<"{VHOST}">>, queue, <<"{real.access().prefix}.ledger">>)'
    broker.ctl("eval", f"{{ok, Queue}} = rabbit_amqqueue:lookup({ledger}), sys:suspend(amqqueue:get_pid(Queue)).")
    assert took(lambda: refused(lambda: session.ledger.append([batch()], 0))) < FINDING_TIMEOUT_S / 2


def test_a_queue_that_does_not_answer_is_named_with_what_to_do_if_it_stays_so(real: RealWorld) -> None:
    session = real.open()
    real.proxy.freeze()
    words = refused(session.token.compete)
    real.proxy.thaw()
    assert "consuming from" in words
    assert ".token; a queue that never answers while others do has lost its leader for good: delete it" in words


def test_closing_and_dropping_do_not_hang_on_a_frozen_broker(real: RealWorld) -> None:
    closing, dropping = real.open(), real.open()
    real.proxy.freeze()
    assert took(closing.connection.close) < 5
    assert took(dropping.connection.drop) < 1


def test_what_had_not_left_when_the_connection_was_dropped_never_arrives(real: RealWorld) -> None:
    session = real.open()
    real.proxy.freeze()
    refused(lambda: session.ledger.append([batch(records=80, padding=100_000)], 0))  # more than the socket takes
    session.connection.drop()
    real.proxy.thaw()
    reader = real.open("r2")
    settle(reader)
    assert reader.ledger.read() == []


# --- who and what -------------------------------------------------------------------------------------------------------


def test_every_message_says_who_sent_it_and_is_persistent(real: RealWorld) -> None:
    session = real.open()
    session.outbox.send_commands([withdrawn(1)])
    properties = real.get("commands")
    assert (properties.user_id, properties.delivery_mode) == (real.user, 2)


def test_publishing_to_a_queue_that_is_gone_is_no_success(real: RealWorld) -> None:
    session = real.open()
    real.delete("commands")
    assert "commands" in refused(lambda: session.outbox.send_commands([withdrawn(1)]))


@pytest.mark.parametrize("headers", [{"floor": "x"}, {"floor": 2**62}, {"floor": -1}, {"x": b"\xff"}, {"x": [{"y": None}]}])
@pytest.mark.parametrize("queue", ["commands", "ledger", "token"])
def test_hostile_headers_do_no_harm(real: RealWorld, queue: str, headers: dict[str, Any]) -> None:
    real.put(queue, b"{}", pika.BasicProperties(headers=headers))
    session = real.open()
    session.token.compete()
    session.inbox.open()
    session.outbox.send_commands([withdrawn(1)])
    session.ledger.append([batch()], 0)
    assert read(session, 2 if queue == "ledger" else 1)[-1].batch == batch()
    assert take(session, 1) == [withdrawn(1)]
    settle(session)


def test_names_of_all_queues_begin_with_the_prefix_and_hold_the_cluster() -> None:
    names = topology.Names("acme", "south")
    assert (names.token, names.worker) == ("acme.token", "acme.worker.south")
    assert (names.commands, names.reports, names.ledger) == ("acme.commands", "acme.reports", "acme.ledger")


def test_what_versions_publish_that_had_one_exchange_for_all_queues_arrives(real: RealWorld) -> None:
    prefix = real.access().prefix
    (envelope,) = envelopes([withdrawn(1)], "r0", NOW)
    with pika.BlockingConnection(pika.URLParameters(real.access(direct=True).urls[0])) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.exchange_declare(prefix, "topic", durable=True)
        for queue, body in (("token", b"{}"), ("commands", envelope), ("ledger", codec.encode_batch(batch()))):
            name = f"{prefix}.{queue}"
            channel.queue_bind(name, prefix, name)
            channel.basic_publish(prefix, name, body, mandatory=True)
        session = real.open()
        session.token.compete()
        session.inbox.open()
        until(session, lambda: session.token.held)
        assert take(session, 1) == [withdrawn(1)]
        assert read(session, 1)[0].batch == batch()
        channel.exchange_delete(prefix)


def test_pika_says_nothing_of_its_own(real: RealWorld, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="hacron"):
        refused(lambda: open_broker(access("amqp://guest:guest@127.0.0.1:1/"), lambda: NOW))
        real.open().connection.drop()
    assert not [record for record in caplog.records if record.name.startswith("pika")]
