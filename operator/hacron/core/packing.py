"""Records into batches: what one ledger message holds. A group of records stays together: it counts together or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from hacron.core.foreign import Stranger
from hacron.core.messages import BODY_BYTES, MOST_RECORDS, RECORD_BYTES, Record

BATCH_BYTES = 100_000  # of one ledger message; a group that is longer has one of its own
FRAME_BYTES = 4096  # what surrounds the records of a batch, at most

_encoder = msgspec.json.Encoder()  # as in broker.codec, which encodes what is packed here


Written = Record | Stranger


class Packed(NamedTuple):
    """What can be appended, and what cannot, because nobody could read it: it would be decided again for ever."""

    batches: list[list[Written]]
    too_long: list[Sequence[Written]]


def pack(groups: Iterable[Sequence[Written]], as_written: Callable[[Written], bytes | None] = lambda _: None) -> Packed:
    """Put groups together into batches of at most BATCH_BYTES, but for a group that is longer alone.

    `as_written`: how a record will stand there, if not as it is encoded.
    """
    packed = Packed([], [])
    room = 0
    for group in groups:
        encoded = [msgspec.Raw(found) if (found := as_written(one)) is not None else one for one in group]
        size = len(_encoder.encode(encoded))
        if not _is_readable(encoded, size):
            packed.too_long.append(group)
            continue
        if size > room:
            packed.batches.append([])
            room = BATCH_BYTES
        packed.batches[-1].extend(group)
        room -= size
    return packed


def _is_readable(group: Sequence[object], size: int) -> bool:
    if len(group) > MOST_RECORDS or size > BODY_BYTES - FRAME_BYTES:
        return False
    return size <= RECORD_BYTES or all(len(_encoder.encode(record)) <= RECORD_BYTES for record in group)
