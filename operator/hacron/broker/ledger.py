"""The ledger: append, read back, and where to begin.

A stream keeps everything in one order and hands it to every reader alike. Each message says in a header how far back the past
still matters (the floor), so that a reader who starts looks at the end, jumps to the floor, and reads from there.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from hacron.broker import codec
from hacron.broker.channel import CONFIRM_TIMEOUT_S, FINDING_TIMEOUT_S, Channel, Delivery, Outgoing, Publisher
from hacron.broker.connection import Connection
from hacron.core.messages import Batch, Entry

log = logging.getLogger(__name__)

PREFETCH: Final = 250
"""Messages in hand, of about 100 KB at most: 25 MB. More makes reading no faster."""

PROBE_PREFETCH: Final = 1000
FLOOR: Final = "floor"
OFFSET: Final = "x-stream-offset"


class StreamLedger:
    """The ledger on a stream, opened at its floor. Implements `ports.Ledger`."""

    def __init__(self, connection: Connection, publisher: Publisher, queue: str) -> None:
        self._publisher = publisher
        self._queue = queue
        self._confirm_timeout_s = FINDING_TIMEOUT_S  # of the first append; nothing is decided before it is read back
        self._arrived: deque[Delivery] = deque()
        self.unreadable = 0  # batches, or records in them, that this version cannot read
        self.truncated = False  # the broker has dropped what still mattered: retention is too small
        self._floor, self._end = _look_at_end(connection, queue)
        self._read_up_to = -1  # offset
        self._channel: Channel = connection.channel(PREFETCH)
        start: str | int = "first" if self._floor is None else self._floor
        self._channel.consume(queue, self._arrived.append, {OFFSET: start}, timeout_s=FINDING_TIMEOUT_S)

    @property
    def caught_up(self) -> bool:
        return self._read_up_to >= self._end

    def read(self) -> Sequence[Entry]:
        entries: list[Entry] = []
        last = 0
        while self._arrived:
            delivery = self._arrived.popleft()
            last = delivery.tag
            if delivery.unreadable:  # its offset, too: it cannot even be told where it stands
                self._set_aside(delivery.unreadable)
                continue
            offset = _number(delivery.headers, OFFSET)
            if offset is None or offset <= self._read_up_to:
                continue
            self._check_beginning(offset)
            self._read_up_to = offset
            entries.append(Entry(offset=offset, size=len(delivery.body), batch=self._decode(offset, delivery.body)))
        if last:
            # On a stream this takes nothing away; it is what lets the broker send more.
            self._channel.acknowledge(last, all_before=True)
        return entries

    def append(self, batches: Sequence[Batch], floor: int) -> None:
        outgoing = (Outgoing(self._queue, codec.encode_batch(batch), {FLOOR: floor}) for batch in batches)
        self._publisher.publish(outgoing, self._confirm_timeout_s)
        self._confirm_timeout_s = CONFIRM_TIMEOUT_S

    def _check_beginning(self, offset: int) -> None:
        if self._read_up_to < 0 and self._floor is not None and offset > self._floor:
            self.truncated = True
            log.error(
                "the ledger has lost records that still matter: its retention is too small",
                extra={"floor": self._floor, "oldest": offset},
            )

    def _decode(self, offset: int, body: bytes) -> Batch | None:
        try:
            batch, unreadable = codec.decode_batch(body)
        except codec.Unreadable as whole:
            batch, unreadable = None, [whole]
        for reason in unreadable:
            self._set_aside(str(reason), offset)
        return batch

    def _set_aside(self, why: str, offset: int | None = None) -> None:
        self.unreadable += 1
        log.warning("record set aside: it cannot be read", extra={"why": why, "offset": offset})


def _look_at_end(connection: Connection, queue: str) -> tuple[int | None, int]:
    """Return the floor that the end of the ledger names, if any, and the offset of its last message (-1: empty).

    "last" begins with the last chunk, which holds one message or thousands. The broker sends what there is before it answers
    the next question on that channel: when an answer brings nothing new, that was the end.
    """
    seen: list[Delivery] = []
    channel = connection.channel(PROBE_PREFETCH)

    def see(delivery: Delivery) -> None:
        seen.append(delivery)
        channel.acknowledge(delivery.tag)

    channel.consume(queue, see, {OFFSET: "last"}, timeout_s=FINDING_TIMEOUT_S)
    before = -1
    while len(seen) > before:
        before = len(seen)
        channel.barrier()
    # Not cancelled first: pika would reject what comes after it, which a stream does not allow.
    channel.close()
    floor, end = None, -1
    for delivery in seen:
        offset = _number(delivery.headers, OFFSET)
        if offset is None:
            continue
        end = max(end, offset)
        said = _number(delivery.headers, FLOOR)
        if said is not None and said <= offset:  # anything else is not ours
            floor = said
    return floor, end


def _number(headers: Mapping[str, object], name: str) -> int | None:
    value = headers.get(name)
    # pika has an int of its own for long ones, which msgspec would not write.
    return int(value) if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
