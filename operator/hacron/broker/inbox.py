"""Commands and reports: the way to the executor, and the executor's end of it.

Many messages travel in one envelope, and each is read alone. What cannot be read is counted, and acknowledged with its
neighbours: nobody could do better with it later, and it must not stand in the way of what comes behind it. The same goes for
what a user says of a cluster that it does not speak for.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple

import msgspec

from hacron.broker import codec
from hacron.broker.channel import Channel, Delivery, Outgoing, Publisher
from hacron.broker.connection import Connection
from hacron.broker.setaside import Complaints
from hacron.broker.topology import Names
from hacron.core.messages import MOST_MESSAGES, Command, Envelope, Report

log = logging.getLogger(__name__)

PREFETCH: Final = 200
"""Envelopes in hand, of each queue: about 20 MB of those that are closed when they are full."""

HAND_BYTES: Final = 32 * 2**20
"""When so much is in hand, those with one long message are let go as they come, and come again when it is their turn. A smaller
prefetch would bound them as well, and hold up all that is small."""

TURN_BYTES: Final = 2 * 2**20
TURN_MESSAGES: Final = 5000
"""After so much no further envelope is taken in one turn, which must stay below a second whatever has been sent."""

ENVELOPE_BYTES: Final = 100_000
"""An envelope is closed when it is about so long; a message that is longer has one of its own."""


class Way(NamedTuple):
    """One of the two kinds of message, and how it is read."""

    kind: str
    decode: Callable[[bytes], tuple[list[Command] | list[Report], list[codec.Unreadable]]]


COMMANDS: Final = Way("commands", codec.decode_commands)
REPORTS: Final = Way("reports", codec.decode_reports)


class QueueInbox:
    """The executor's end of both queues; `users` says who speaks for which cluster. Implements `ports.Inbox`."""

    def __init__(self, connection: Connection, names: Names, users: Mapping[str, str]) -> None:
        self._connection = connection
        self._names = names
        self._users = users
        # One for each queue: the broker may be at one message for seconds, and would answer nothing on that channel meanwhile.
        self._channels: dict[Way, Channel] = {}
        self._arrived: dict[Way, deque[Delivery]] = {COMMANDS: deque(), REPORTS: deque()}
        self._in_hand = 0  # bytes of what has arrived
        self._taken: dict[Way, int] = {}  # delivery tags of the last envelopes that were taken and not acknowledged yet
        self._onlooker: Channel | None = None
        self._asked: set[Way] = set()  # of which the broker has not answered yet how many wait there
        self._waiting: set[Way] = set()  # of which some did by its last answer, and none has come since
        self._complaints = Complaints(log)
        self.unreadable = {COMMANDS.kind: 0, REPORTS.kind: 0}  # messages, or whole envelopes, that were set aside

    def open(self) -> None:
        if self._channels:
            return
        for queue, way in self._queues:
            self._channels[way] = Channel(self._connection, PREFETCH, codec.LONGEST_ENVELOPE)
            self._channels[way].consume(queue, partial(self._on_envelope, way))

    def look(self) -> None:
        self._onlooker = self._onlooker or Channel(self._connection)
        for queue, way in self._queues:
            if way not in self._asked:
                self._asked.add(way)
                self._onlooker.count_ready(queue, partial(self._on_count, way))

    @property
    def held_up(self) -> Collection[str]:
        in_hand = self._taken.keys() | {way for way, arrived in self._arrived.items() if arrived} if self._waiting else ()
        return [way.kind for way in self._waiting if way not in in_hand]

    def take(self) -> Sequence[Command | Report]:
        messages: list[Command | Report] = []
        size = number = 0
        # However many commands wait, no cluster is to seem silent; and however many reports, edits are to count.
        for way, share in ((REPORTS, 0.5), (COMMANDS, 1.0), (REPORTS, 1.0)):
            arrived = self._arrived[way]
            while arrived and size < share * TURN_BYTES and number < share * TURN_MESSAGES:
                delivery = arrived.popleft()
                self._in_hand -= len(delivery.body)
                size += delivery.size
                if delivery.let_go and not delivery.unreadable:
                    self._channels[way].send_back(delivery.tag)
                    continue
                self._taken[way] = delivery.tag
                read, unreadable = self._read(delivery, way)
                messages.extend(self._credible(read, delivery.user, way))
                number += len(read) + unreadable
        self._complaints.end()
        if any(self._arrived.values()):
            self._connection.notice()  # the rest is for the next turn, which is to come at once
        return messages

    def acknowledge(self) -> None:
        for way, tag in self._taken.items():
            self._channels[way].acknowledge(tag, all_before=True)
        self._taken.clear()

    @property
    def _queues(self) -> Iterable[tuple[str, Way]]:
        return (self._names.commands, COMMANDS), (self._names.reports, REPORTS)

    def _on_count(self, way: Way, ready: int) -> None:
        self._asked.discard(way)
        (self._waiting.add if ready else self._waiting.discard)(way)

    def _on_envelope(self, way: Way, delivery: Delivery) -> None:
        self._waiting.discard(way)
        if delivery.size > 1.2 * ENVELOPE_BYTES and self._in_hand + delivery.size > HAND_BYTES:
            delivery = delivery.without_body()
        self._in_hand += len(delivery.body)
        self._arrived[way].append(delivery)

    def _credible(self, messages: Sequence[Command | Report], user: str | None, way: Way) -> Iterator[Command | Report]:
        """Yield what this user may say: the broker vouches for the user, and the settings for the clusters it speaks for."""
        for message in messages:
            if not self._users or (user is not None and self._users.get(message.cluster) == user):
                yield message
                continue
            self.unreadable[way.kind] += 1
            said = {"queue": way.kind, "user": user, "said_of": message.cluster}
            self._complaints.note("message set aside: this user does not speak for that cluster (HACRON_BROKER_USERS)", said)

    def _read(self, delivery: Delivery, way: Way) -> tuple[Sequence[Command | Report], int]:
        """Return what can be read, and how many messages cannot."""
        try:
            if delivery.unreadable:
                raise codec.Unreadable(delivery.unreadable)
            messages, unreadable = way.decode(delivery.body)
        except codec.Unreadable as whole:
            messages, unreadable = [], [whole]
        self.unreadable[way.kind] += len(unreadable)
        for reason in unreadable:
            said = {"queue": way.kind, "why": str(reason), "bytes": delivery.size}
            self._complaints.note("message set aside: it cannot be read", said)
        return messages, len(unreadable)


class QueueOutbox:
    """The way of commands and reports. Implements `ports.Outbox`."""

    def __init__(self, publisher: Publisher, names: Names, sender: str, clock: Callable[[], datetime]) -> None:
        self._publisher = publisher
        self._names = names
        self._sender = sender
        self._clock = clock

    def send_commands(self, commands: Sequence[Command]) -> None:
        self._send(self._names.commands, commands)

    def send_reports(self, reports: Sequence[Report]) -> None:
        self._send(self._names.reports, reports)

    def _send(self, queue: str, messages: Iterable[Command | Report]) -> None:
        self._publisher.publish(Outgoing(queue, body) for body in envelopes(messages, self._sender, self._clock()))


def envelopes(messages: Iterable[Command | Report], sender: str, now: datetime) -> Iterator[bytes]:
    """Put messages into as few envelopes as hold them, in order."""
    for number, raws in enumerate(_packed(messages)):
        name = f"{sender}/{now.isoformat()}/{number}"  # for whoever reads the queue; nothing here depends on it
        yield codec.encode_envelope(Envelope(id=name, sent_at=now, sender=sender, messages=raws))


def _packed(messages: Iterable[Command | Report]) -> Iterator[tuple[msgspec.Raw, ...]]:
    packed: list[msgspec.Raw] = []
    size = 0
    for message in messages:
        raw = codec.encode_message(message)
        length = memoryview(raw).nbytes
        if packed and (size + length > ENVELOPE_BYTES or len(packed) == MOST_MESSAGES):
            yield tuple(packed)
            packed, size = [], 0
        packed.append(raw)
        size += length
    if packed:
        yield tuple(packed)
