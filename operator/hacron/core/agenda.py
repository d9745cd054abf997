"""Who has to be looked at next: a queue of keys by instant, for 100,000 keys.

Knows nothing of schedules. `put` costs O(log n) and forgets the key's earlier instant; a key has at most one.
"""

from __future__ import annotations

import heapq
from datetime import datetime
from typing import Generic, TypeVar

K = TypeVar("K", bound=str)


class Agenda(Generic[K]):
    def __init__(self) -> None:
        self._when: dict[K, datetime] = {}
        self._heap: list[tuple[datetime, K]] = []  # may hold outdated pairs; `_when` says which count

    def __len__(self) -> int:
        return len(self._when)

    def __contains__(self, key: K) -> bool:
        return key in self._when

    def put(self, key: K, when: datetime | None) -> None:
        """Note that a key is to be looked at at an instant, instead of whatever was noted before; None forgets it."""
        if when is None:
            self._when.pop(key, None)
        elif self._when.get(key) != when:
            self._when[key] = when
            heapq.heappush(self._heap, (when, key))
            self._drop_outdated_when_many()

    def due(self, now: datetime, at_most: int = 1_000_000) -> list[K]:
        """Take out the keys whose instant has come, earliest first."""
        keys: list[K] = []
        while self._heap and self._heap[0][0] <= now and len(keys) < at_most:
            when, key = heapq.heappop(self._heap)
            if self._when.get(key) == when:
                del self._when[key]
                keys.append(key)
        return keys

    def next(self) -> datetime | None:
        """Return the earliest instant noted."""
        while self._heap and self._when.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def _drop_outdated_when_many(self) -> None:
        if len(self._heap) > 64 and len(self._heap) > 3 * len(self._when):
            self._heap = [(when, key) for key, when in self._when.items()]
            heapq.heapify(self._heap)
