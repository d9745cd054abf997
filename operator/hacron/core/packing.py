"""Records into batches: what one ledger message holds. A group of records stays together: it counts together or not at all."""

from __future__ import annotations

from collections.abc import Iterable

from hacron.core.messages import Definition, Demand, Progress, Record

BATCH_BYTES = 100_000  # of one ledger message, roughly


def pack(groups: Iterable[tuple[Record, ...]]) -> list[list[Record]]:
    """Put groups together into batches of about BATCH_BYTES. A group stays whole: it counts together or not at all."""
    batches: list[list[Record]] = []
    room = 0
    for group in groups:
        size = sum(map(_size, group))
        if size > room:
            batches.append([])
            room = BATCH_BYTES
        batches[-1].extend(group)
        room -= size
    return batches


def _size(record: Record) -> int:
    match record:
        case Definition():
            return 300 + len(bytes(record.spec))
        case Progress():
            return 300 + sum(350 + len(run.because) for run in record.open) + 250 * len(record.recent)
        case Demand():
            return 600 + 150 * len(record.homes) + 250 * len(record.account.results)
        case _:
            return 200
