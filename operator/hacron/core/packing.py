"""Records into batches: what one ledger message holds. A group of records stays together: it counts together or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from hacron.core import instants
from hacron.core.foreign import Stranger
from hacron.core.messages import BODY_BYTES, MOST_RECORDS, RECORD_BYTES, Record, Written, as_they_stand

BATCH_BYTES = 100_000  # of one ledger message; a group that is longer has one of its own
FRAME_BYTES = 4096  # what surrounds the records of a batch, at most

_encoder = msgspec.json.Encoder()  # as in broker.codec, which encodes what is packed here
_record: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


class Load(NamedTuple):
    """What one batch is to hold."""

    records: list[Written]
    foreign: dict[int, bytes]  # of these, how those stand there that say more than is known here


class SetAside(NamedTuple):
    """A group that is not appended, since nobody could read it."""

    group: Sequence[Written]
    why: str


class Packed(NamedTuple):
    """What can be appended, and what cannot."""

    loads: list[Load]
    set_aside: list[SetAside]


def pack(groups: Iterable[Sequence[Written]], as_written: Callable[[Record], bytes | None] = lambda _: None) -> Packed:
    """Put groups together into loads of at most BATCH_BYTES, but for a group that is longer alone.

    `as_written`: how a record will stand there, if not as it is encoded.
    """
    packed = Packed([], [])
    room = 0
    for group in groups:
        foreign = {
            number: more
            for number, one in enumerate(group)
            if not isinstance(one, Stranger) and (more := as_written(one)) is not None
        }
        bodies = [_encoder.encode(one) for one in as_they_stand(group, foreign)]
        size = sum(map(len, bodies)) + len(bodies)
        why = _why_unreadable(group, bodies, size)
        if why is not None:
            packed.set_aside.append(SetAside(group, why))
            continue
        if size > room:
            packed.loads.append(Load([], {}))
            room = BATCH_BYTES
        load = packed.loads[-1]
        load.foreign.update({len(load.records) + number: more for number, more in foreign.items()})
        load.records.extend(group)
        room -= size
    return packed


def _why_unreadable(group: Sequence[Written], bodies: Sequence[bytes], size: int) -> str | None:
    """Say why nobody could read a group; None if all can. Bounds are checked by who reads, not where a record is made."""
    longest = max(map(len, bodies), default=0)
    if len(group) > MOST_RECORDS or size > BODY_BYTES - FRAME_BYTES or longest > RECORD_BYTES:
        return f"too long: {len(group)} records of {size} bytes, the longest of {longest}"
    try:
        for one, body in zip(group, bodies, strict=True):
            if isinstance(one, Stranger):
                continue
            _record.decode(body)
            if instants.may_have_far(body) and instants.has_far(one):
                return instants.FAR
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as reason:  # as in broker.codec
        return str(reason)
    return None
