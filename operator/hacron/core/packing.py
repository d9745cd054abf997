"""Records into batches: what one ledger message holds. A group of records stays together: it counts together or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from hacron.core.foreign import Stranger
from hacron.core.messages import BODY_BYTES, MOST_RECORDS, RECORD_BYTES, Record, Written, as_they_stand

BATCH_BYTES = 100_000  # of one ledger message; a group that is longer has one of its own
FRAME_BYTES = 4096  # what surrounds the records of a batch, at most

_encoder = msgspec.json.Encoder()  # as in broker.codec, which encodes what is packed here


class Load(NamedTuple):
    """What one batch is to hold."""

    records: list[Written]
    foreign: dict[int, bytes]  # of these, how those stand there that say more than is known here


class Packed(NamedTuple):
    """What can be appended, and what cannot, because nobody could read it: it would be decided again for ever."""

    loads: list[Load]
    too_long: list[Sequence[Written]]


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
        stand = as_they_stand(group, foreign)
        size = len(_encoder.encode(stand))
        if not _is_readable(stand, size):
            packed.too_long.append(group)
            continue
        if size > room:
            packed.loads.append(Load([], {}))
            room = BATCH_BYTES
        load = packed.loads[-1]
        load.foreign.update({len(load.records) + number: more for number, more in foreign.items()})
        load.records.extend(group)
        room -= size
    return packed


def _is_readable(group: Sequence[object], size: int) -> bool:
    if len(group) > MOST_RECORDS or size > BODY_BYTES - FRAME_BYTES:
        return False
    return size <= RECORD_BYTES or all(len(_encoder.encode(record)) <= RECORD_BYTES for record in group)
