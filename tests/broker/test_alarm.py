"""A real broker whose memory runs out: it reads nothing more from whoever publishes, until that is over."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hacron.broker.session import open_broker
from hacron.ports import BrokerUnavailable
from tests.broker.test_contract import batch
from tests.broker.worlds import NOW, RealWorld, read
from tests.testbed.broker import Broker
from tests.testbed.wait import until

pytestmark = pytest.mark.broker


@contextmanager
def alarm(broker: Broker) -> Iterator[None]:
    broker.ctl("set_vm_memory_high_watermark", "0.000001")
    try:
        until(lambda: "memory" in broker.ctl("eval", "rabbit_alarm:get_alarms()."), 30, "the alarm")
        yield
    finally:
        broker.ctl("set_vm_memory_high_watermark", "absolute", "1GB")


def test_who_is_patient_has_a_session_as_soon_as_the_alarm_is_over(real: RealWorld, broker: Broker) -> None:
    asked: list[str] = []
    with alarm(broker):
        ending = threading.Thread(target=broker.ctl, args=("set_vm_memory_high_watermark", "absolute", "1GB"))

        def patient(blocked: str) -> bool:
            asked.append(blocked)
            if len(asked) == 2:
                ending.start()
            return True

        session = open_broker(real.access(), lambda: NOW, patient)
    ending.join()
    session.ledger.append([batch()], 0)
    assert read(session, 1)[-1].batch == batch()
    assert set(asked) == {"low on memory"}
    session.connection.close()


def test_who_is_not_is_told_why_there_is_no_session(real: RealWorld, broker: Broker) -> None:
    with alarm(broker), pytest.raises(BrokerUnavailable, match="blocked by the broker, low on memory"):
        real.open()


def test_what_a_session_cannot_publish_ends_it_and_says_why(real: RealWorld, broker: Broker) -> None:
    session = real.open()
    with alarm(broker), pytest.raises(BrokerUnavailable, match="blocked by the broker, low on memory"):
        session.ledger.append([batch()] * 200, 0)  # more than one: that at which the broker notices may still be taken
