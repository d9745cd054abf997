"""The ledger: append, read back, and where to begin.

A stream keeps everything in one order and hands it to every reader alike. Each message says in a header how far back the past
still matters (the floor), so that a reader who starts looks at the end, jumps to the floor, and reads from there. What an earlier
executor had sent may land behind what the present one wrote, and in another ledger than it was meant for, after a loss: so of
the last messages those of the newest epoch are believed.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from hacron.broker import codec
from hacron.broker.channel import FINDING_TIMEOUT_S, Channel, Delivery, Outgoing, Publisher
from hacron.broker.connection import Connection
from hacron.broker.setaside import Complaints
from hacron.core.messages import Batch, Entry

log = logging.getLogger(__name__)

PREFETCH: Final = 250
"""Messages in hand, of about 100 KB at most: 25 MB. More makes reading no faster."""

PROBE_PREFETCH: Final = 1000
MOST_PROBES: Final = 40
"""Questions, each of which may bring so many messages: two seconds where an answer takes 50 ms. Then the end is far enough."""

NOTHING_AFTER: Final = 10
"""Questions in a row, each answered before anything has come, until nothing stands there. In between it waits for so long:"""

LOOK_AGAIN_S: Final = 0.05

LOOK_BACK: Final = 50
"""Messages at the end that are looked at for the floor. An executor writes one a second; what lands late are a few."""

YOUNG: Final = 50
"""A ledger whose floor is among its first so many messages is read from its beginning.

All that stands there may have been sent to another, which is lost, and name a floor of that: who begins there takes it for the
past of this one.
"""

FLOOR: Final = "floor"
OFFSET: Final = "x-stream-offset"


class StreamLedger:
    """The ledger on a stream, opened at its floor. Implements `ports.Ledger`."""

    def __init__(self, connection: Connection, publisher: Publisher, queue: str) -> None:
        self._publisher = publisher
        self._queue = queue
        self._found_within_s = FINDING_TIMEOUT_S  # by the first append; nothing is decided before it is read back
        self._arrived: deque[Delivery] = deque()
        self._complaints = Complaints(log)
        self.unreadable = 0  # batches, or records in them, that this version cannot read
        self.truncated = False  # the broker has dropped what still mattered: retention is too small
        self._floor, self._end = _look_at_end(connection, queue)
        self._read_up_to = -1  # offset
        self._channel = Channel(connection, PREFETCH)
        start: str | int = "first" if self._floor is None else start_for(self._floor)
        self._channel.consume(queue, self._arrived.append, {OFFSET: start}, timeout_s=FINDING_TIMEOUT_S)

    @property
    def caught_up(self) -> bool:
        return self._read_up_to >= self._end

    @property
    def is_whole(self) -> bool:
        return not self.truncated and not self.unreadable

    def read(self) -> Sequence[Entry]:
        entries: list[Entry] = []
        last = 0
        while self._arrived:
            delivery = self._arrived.popleft()
            last = delivery.tag
            offset = _number(delivery.headers, OFFSET)
            if offset is None and delivery.unreadable:  # its offset, too: it cannot even be told where it stands
                self._set_aside(delivery.unreadable)
            if offset is None or offset <= self._read_up_to or self._is_before_what_matters(offset):
                continue
            self._check_beginning(offset)
            self._read_up_to = offset
            entries.append(self._decode(offset, delivery))
        if last:
            # On a stream this takes nothing away; it is what lets the broker send more.
            self._channel.acknowledge(last, all_before=True)
        if self.caught_up:
            self._complaints.end()
        return entries

    def append(self, batches: Sequence[Batch], floor: int | None) -> None:
        headers = {FLOOR: floor} if floor is not None else {}
        outgoing = (Outgoing(self._queue, codec.encode_batch(batch), headers) for batch in batches)
        self._publisher.publish(outgoing, self._found_within_s)
        self._found_within_s = 0.0

    def _is_before_what_matters(self, offset: int) -> bool:
        """Whether the beginning is gone, and this one of what is left before the floor: it need not have counted."""
        return self._read_up_to < 0 < offset < (self._floor or 0)

    def _check_beginning(self, offset: int) -> None:
        if self._read_up_to < 0 and self._floor is not None and offset > self._floor:
            self.truncated = True
            log.error(
                "the ledger has lost records that still matter: its retention is too small",
                extra={"floor": self._floor, "oldest": offset},
            )

    def _decode(self, offset: int, delivery: Delivery) -> Entry:
        if delivery.unreadable:
            self._set_aside(delivery.unreadable, offset)
            return Entry(offset=offset, size=delivery.size, batch=None)
        entry, unreadable = codec.read_entry(offset, delivery.body, delivery.size)
        for reason in unreadable:
            self._set_aside(str(reason), offset)
        return entry

    def _set_aside(self, why: str, offset: int | None = None) -> None:
        self.unreadable += 1
        self._complaints.note("record set aside: it cannot be read", {"why": why, "offset": offset})


class Noted(NamedTuple):
    """A message, and how far back it says that the past still matters."""

    offset: int
    body: bytes
    floor: int | None


def floor_named(last: Iterable[Noted]) -> int | None:
    """Return the floor that the last of these messages names which is of the newest epoch; None when none does."""
    found, newest = None, 0
    for offset, body, floor in last:
        if floor is not None and 0 <= floor <= offset and (epoch := codec.epoch_of(body)) >= newest:
            found, newest = floor, epoch
    return found


def start_for(floor: int, young: int = YOUNG) -> int:
    """Return the offset at which to begin to read, where the end of the ledger names this floor."""
    return floor if floor >= young else 0


def _look_at_end(connection: Connection, queue: str) -> tuple[int | None, int]:
    """Return the floor that the end of the ledger names, if any, and the offset of its last message (-1: empty)."""
    last = _from(connection, queue, "last")  # the last chunk, which holds one message or thousands
    if 0 < len(last) < LOOK_BACK:
        last = _from(connection, queue, max(0, last[-1].offset - LOOK_BACK + 1))
    return floor_named(last), last[-1].offset if last else -1


def _from(connection: Connection, queue: str, start: str | int) -> list[Noted]:
    """Return the last of what stands in the ledger from there on, in its order.

    Once it sends, the broker sends what there is, up to the prefetch, before it answers the next question on that channel: when
    an answer brings less, that was the end, though more may be written meanwhile. But it begins only when the stream's own
    process has told it where the stream ends, and answers meanwhile: that nothing stands there is believed after half a second.
    """
    last: deque[Delivery] = deque(maxlen=LOOK_BACK)
    seen = 0
    channel = Channel(connection, PROBE_PREFETCH)

    def see(delivery: Delivery) -> None:
        nonlocal seen
        seen += 1
        last.append(delivery)
        channel.acknowledge(delivery.tag)

    channel.consume(queue, see, {OFFSET: start}, timeout_s=FINDING_TIMEOUT_S)
    for probe in range(MOST_PROBES):
        before = seen
        channel.barrier()
        if seen - before < PROBE_PREFETCH and (seen or probe >= NOTHING_AFTER):
            break
        if not seen:
            connection.turn(LOOK_AGAIN_S)
    # Not cancelled first: pika would reject what comes after it, which a stream does not allow.
    channel.close()
    found = [(_number(delivery.headers, OFFSET), delivery) for delivery in last]
    return [Noted(at, delivery.body, _number(delivery.headers, FLOOR)) for at, delivery in found if at is not None]


def _number(headers: Mapping[str, object], name: str) -> int | None:
    value = headers.get(name)
    # pika has an int of its own for long ones, which msgspec would not write.
    return int(value) if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
