"""Whose request is next, where a bounded number may be under way at once: namespaces take turns, and none holds up the others.

A namespace may have all lanes while nobody else wants one, but counts for half of them at most: others get what is left of that,
beyond the number if need be. All whose last request got no answer count as one: so requests that hang, in however many
namespaces, are in the way of these alone, once it is known which these are.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


class Lanes(Generic[T]):
    """`count`: how many are under way at once, of one namespace or of all where none has more than half of them."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._half = (count + 1) // 2
        self._under_way: Counter[str] = Counter()
        self._total = 0  # under way
        # By namespace, the latest asked last: the kinds of request of which the last one got no answer.
        self._unanswered: OrderedDict[str, set[str]] = OrderedDict()
        self._waiting_in_all = 0
        self._waiting: tuple[OrderedDict[str, deque[T]], ...] = (OrderedDict(), OrderedDict())  # by namespace, next one first

    @property
    def most(self) -> int:
        """Return how many can be under way at once, whatever comes."""
        return 2 * self._count

    @property
    def waiting(self) -> int:
        """Return how many wait for their turn."""
        return self._waiting_in_all

    def put(self, namespace: str, item: T, *, after_all_else: bool = False) -> None:
        """Have an item wait for its turn, behind those of its namespace."""
        waiting = self._waiting[after_all_else]
        if namespace not in waiting:
            waiting[namespace] = deque()
        waiting[namespace].append(item)
        self._waiting_in_all += 1

    def may_take(self) -> bool:
        """Return whether something may begin now."""
        return self._waiting_in_all > 0 and self._next() is not None

    def take(self) -> T | None:
        """Return what may begin now, which is under way from then on; None: nothing."""
        found = self._next() if self._waiting_in_all else None
        if found is None:
            return None
        waiting, namespace = found
        if namespace in self._unanswered:
            self._unanswered.move_to_end(namespace)
        self._under_way[namespace] += 1
        self._total += 1
        return self._take_first(waiting, namespace)

    def end(self, namespace: str, *, answered: bool | None = True, kind: str = "") -> None:
        """Note that something of a namespace is no longer under way. `answered`: None if it was not asked.

        `kind`: what a webhook may hold up alone; an answer to another kind of request does not show that it is answered again.
        """
        self._total -= 1
        self._under_way[namespace] -= 1
        if not self._under_way[namespace]:
            del self._under_way[namespace]
        if answered is None:
            return
        kinds = self._unanswered.setdefault(namespace, set())
        (kinds.discard if answered else kinds.add)(kind)
        if not kinds:
            del self._unanswered[namespace]
        else:
            self._unanswered.move_to_end(namespace)

    def drop(self) -> T | None:
        """Take out what has waited longest in the namespace in which most wait; None: nothing waits."""
        for waiting in reversed(self._waiting):
            if waiting:
                return self._take_first(waiting, max(waiting, key=lambda namespace: len(waiting[namespace])))
        return None

    def drain(self) -> list[T]:
        """Take out all that waits."""
        found = [item for waiting in self._waiting for items in waiting.values() for item in items]
        for waiting in self._waiting:
            waiting.clear()
        self._waiting_in_all = 0
        return found

    def somebody_waits(self) -> bool:
        """Whether anything waits for its turn, but for where the last request got no answer."""
        return any(namespace not in self._unanswered for waiting in self._waiting for namespace in waiting)

    def _next(self) -> tuple[OrderedDict[str, deque[T]], str] | None:
        """Return which namespace's turn it is."""
        unanswered = sum(number for namespace, number in self._under_way.items() if namespace in self._unanswered)
        if self._counted(unanswered) >= self._count or self._total >= self.most:
            return None
        for waiting in filter(None, self._waiting):
            for namespace in waiting:
                if namespace in self._unanswered:
                    if unanswered < self._half:
                        return waiting, self._longest_unasked(waiting)
                elif self._under_way[namespace] < self._half:
                    return waiting, namespace
            if self._total < self._count:
                first = next(iter(waiting))
                return waiting, self._longest_unasked(waiting) if first in self._unanswered else first
        return None

    def _longest_unasked(self, waiting: Mapping[str, object]) -> str:
        """Return who was asked longest ago of those that wait and did not answer: who has recovered is soon asked."""
        return next(namespace for namespace in self._unanswered if namespace in waiting)

    def _counted(self, unanswered: int) -> int:
        """Return how many are under way, where none counts for more than half."""
        shares = [number for namespace, number in self._under_way.items() if namespace not in self._unanswered]
        return sum(min(share, self._half) for share in (*shares, unanswered))

    def _take_first(self, waiting: OrderedDict[str, deque[T]], namespace: str) -> T:
        """Take out a namespace's first; its others wait for their turn behind those of all other namespaces."""
        items = waiting[namespace]
        item = items.popleft()
        self._waiting_in_all -= 1
        if items:
            waiting.move_to_end(namespace)
        else:
            del waiting[namespace]
        return item
