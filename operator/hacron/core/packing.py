"""Records into batches: what one ledger message holds. A group of records stays together: it counts together or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from hacron.core.messages import BODY_BYTES, MOST_RECORDS, RECORD_BYTES, Record

BATCH_BYTES = 100_000  # of one ledger message; a group that is longer has one of its own
FRAME_BYTES = 4096  # what surrounds the records of a batch, at most

_encoder = msgspec.json.Encoder()  # as in broker.codec, which encodes what is packed here


class Packed(NamedTuple):
    """What can be appended, and what cannot, because nobody could read it: it would be decided again for ever."""

    batches: list[list[Record]]
    too_long: list[Sequence[Record]]


def pack(groups: Iterable[Sequence[Record]]) -> Packed:
    """Put groups together into batches of at most BATCH_BYTES, but for a group that is longer alone."""
    packed = Packed([], [])
    room = 0
    for group in groups:
        size = len(_encoder.encode(group))
        if not _is_readable(group, size):
            packed.too_long.append(group)
            continue
        if size > room:
            packed.batches.append([])
            room = BATCH_BYTES
        packed.batches[-1].extend(group)
        room -= size
    return packed


def _is_readable(group: Sequence[Record], size: int) -> bool:
    if len(group) > MOST_RECORDS or size > BODY_BYTES - FRAME_BYTES:
        return False
    return size <= RECORD_BYTES or all(len(_encoder.encode(record)) <= RECORD_BYTES for record in group)
