"""The executor's end of its queues, without a broker: how much is taken at a time, and what is said of what is set aside."""

from __future__ import annotations

import logging
import time

import msgspec
import pytest

from hacron.broker import codec, inbox
from hacron.broker.channel import Delivery
from hacron.broker.topology import Names
from hacron.core.messages import MOST_MESSAGES, SPEC_BYTES, CronJobWithdrawn, RunsDemanded, RunStopped
from hacron.core.model import Account, Key, Verdict, VerdictKind
from tests.broker.test_contract import declared, withdrawn
from tests.broker.worlds import NOW


class Connection:
    """What an inbox tells its connection."""

    def __init__(self) -> None:
        self.noticed = 0

    def notice(self) -> None:
        self.noticed += 1


class Channel:
    """What an inbox sends back."""

    def __init__(self) -> None:
        self.sent_back: list[int] = []

    def send_back(self, tag: int) -> None:
        self.sent_back.append(tag)


class Inbox:
    """An inbox, and what is delivered to it as of some user."""

    def __init__(self, users: dict[str, str] | None = None) -> None:
        self.connection = Connection()
        self.real = inbox.QueueInbox(self.connection, Names("hacron", "west"), users or {})  # type: ignore[arg-type]
        self.channel = Channel()
        self.real._channels[inbox.COMMANDS] = self.channel  # type: ignore[assignment]
        self._tag = 0

    def deliver(self, *bodies: bytes, way: inbox.Way = inbox.COMMANDS) -> None:
        for body in bodies:
            self._tag += 1
            self.real._on_envelope(way, Delivery(self._tag, body, {}, "mallory"))


def envelope(*messages: object, one: bytes = b"", many: int = 0) -> bytes:
    listed = [*map(msgspec.json.encode, messages), *[one] * many]
    return b'{"v":1,"id":"i","sent_at":"2030-01-01T00:00:00Z","from":"x","messages":[' + b",".join(listed) + b"]}"


def test_an_envelope_of_too_many_messages_is_set_aside_as_one(caplog: pytest.LogCaptureFixture) -> None:
    for many in (MOST_MESSAGES + 1, 200_000, 1_000_000):
        box = Inbox()
        box.deliver(envelope(one=b"0", many=many), envelope(withdrawn(1)))
        began = time.thread_time()
        assert box.real.take() == [withdrawn(1)]
        assert time.thread_time() - began < 3.0  # a heartbeat is missed after five
        assert box.real.unreadable == {"commands": 1, "reports": 0}
    assert len(caplog.records) == 3


def test_an_envelope_may_hold_as_many_as_an_honest_sender_puts_into_one() -> None:
    shortest = [msgspec.structs.replace(withdrawn(1), key="a/b", cluster="w", uid="")] * 5000
    bodies = list(inbox.envelopes(shortest, "r", NOW))
    read = [codec.decode_commands(body) for body in bodies]
    assert [unreadable for _, unreadable in read] == [[]] * len(bodies)
    assert sum(len(commands) for commands, _ in read) == 5000
    told = Verdict(tick=NOW, verdict=VerdictKind.FAILED, message="x" * 4000)
    account = Account(id="u", results=(told,) * (codec.MESSAGE_BYTES // 4100))
    spec = msgspec.Raw(msgspec.json.encode({"cronJob": "x" * 10_000}))
    asked = RunsDemanded(key=Key("a/b"), cluster="w", uid="u", generation=1, created_at=NOW, spec=spec, account=account)
    assert codec.MESSAGE_BYTES - 20_000 < len(bytes(codec.encode_message(asked))) < codec.MESSAGE_BYTES
    for long in (asked, declared(padding=SPEC_BYTES - 200)):
        assert codec.decode_commands(next(inbox.envelopes([long], "x" * 250, NOW))) == ([long], [])


@pytest.mark.parametrize("users", [{}, {"west": "hacron-west"}])
def test_of_what_is_set_aside_in_one_turn_the_first_few_are_told_and_the_others_are_counted(
    users: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    box = Inbox(users)
    for _ in range(2):
        caplog.clear()
        if users:
            box.deliver(envelope(*[withdrawn(1)] * 500))
        else:
            box.deliver(envelope(one=b"0", many=500))
        assert box.real.take() == []
        assert all(record.levelno == logging.WARNING for record in caplog.records)
        assert [vars(record).get("more", 0) for record in caplog.records] == [0, 0, 0, 0, 0, 495]
    assert box.real.unreadable["commands"] == 1000


def test_long_envelopes_that_are_too_many_are_let_go_and_come_again_when_it_is_their_turn() -> None:
    box = Inbox()
    news = {"news": "x" * 1_600_000}  # of a later version
    long, little = envelope(msgspec.to_builtins(withdrawn(1)) | news), envelope(withdrawn(1))
    box.deliver(*[long] * 50, little)
    in_hand = sum(len(delivery.body) for arrived in box.real._arrived.values() for delivery in arrived)
    assert in_hand <= inbox.HAND_BYTES + len(little)
    taken = 0
    for _ in range(100):
        again = len(box.channel.sent_back)
        taken += len(box.real.take())
        box.deliver(*[long] * (len(box.channel.sent_back) - again))
        if not any(box.real._arrived.values()):
            break
    assert taken == 51
    assert 30 <= len(box.channel.sent_back) <= 50  # there was room for twenty at a time
    assert box.real._in_hand == 0


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(envelope(*[withdrawn(1)] * 1500), id="messages"),
        pytest.param(envelope(one=b"0", many=1500), id="what cannot be read"),
        pytest.param(b"x" * 600_000, id="bytes"),
    ],
)
def test_one_turn_takes_so_much_and_the_next_comes_at_once(body: bytes) -> None:
    box = Inbox()
    box.deliver(*[body] * 10)
    turns = 0
    while any(box.real._arrived.values()):
        assert box.connection.noticed == turns
        box.real.take()
        turns += 1
    assert turns == 3
    assert box.connection.noticed == 2
    assert box.real._taken == {inbox.COMMANDS: 10}


def test_reports_do_not_wait_behind_commands_nor_commands_behind_reports() -> None:
    box = Inbox()
    stopped = RunStopped(key=Key("a/b"), run_id="1", cluster="west")
    commands, reports = envelope(*[withdrawn(1)] * 1500), envelope(*[stopped] * 1500)
    box.deliver(*[commands] * 10)
    box.deliver(*[reports] * 10, way=inbox.REPORTS)
    taken = box.real.take()
    assert {type(message) for message in taken} == {CronJobWithdrawn, RunStopped}
    for _ in range(10):
        taken = [*taken, *box.real.take()]
    assert len(taken) == 30_000
