"""Whose request is next, where a bounded number may be under way at once: namespaces take turns, and none holds up the others.

A namespace may have all lanes while nobody else wants one, but counts for half of them at most: others get what is left of that,
beyond the number if need be. So requests that hang are in the way of their own namespace alone.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Collection
from typing import Generic, TypeVar

T = TypeVar("T")


class Lanes(Generic[T]):
    """`count`: how many are under way at once, of one namespace or of all where none has more than half of them."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._half = (count + 1) // 2
        self._under_way: defaultdict[str, int] = defaultdict(int)
        self._counted = 0  # under way, of each namespace half of the lanes at most
        self._total = 0  # under way
        self._waiting: tuple[OrderedDict[str, deque[T]], ...] = (OrderedDict(), OrderedDict())  # by namespace, next one first

    @property
    def most(self) -> int:
        """Return how many can be under way at once, whatever comes."""
        return self._count + self._count - self._half

    def put(self, namespace: str, item: T, *, after_all_else: bool = False) -> None:
        """Have an item wait for its turn, behind those of its namespace."""
        waiting = self._waiting[after_all_else]
        if namespace not in waiting:
            waiting[namespace] = deque()
        waiting[namespace].append(item)

    def take(self) -> T | None:
        """Return what may begin now, which is under way from then on; None: nothing."""
        if self._counted >= self._count:
            return None
        for waiting in filter(None, self._waiting):
            namespace = next((one for one in waiting if self._under_way.get(one, 0) < self._half), None)
            if namespace is None and self._total < self._count:
                namespace = next(iter(waiting), None)
            if namespace is not None:
                return self._begin(namespace, waiting)
        return None

    def end(self, namespace: str) -> None:
        """Note that something of a namespace is no longer under way."""
        self._total -= 1
        self._counted -= self._under_way[namespace] <= self._half
        self._under_way[namespace] -= 1
        if not self._under_way[namespace]:
            del self._under_way[namespace]

    def somebody_waits(self, besides: Collection[str] = ()) -> bool:
        """Whether anything waits for its turn, of other namespaces than these."""
        return any(namespace not in besides for waiting in self._waiting for namespace in waiting)

    def _begin(self, namespace: str, waiting: OrderedDict[str, deque[T]]) -> T:
        items = waiting[namespace]
        item = items.popleft()
        if items:
            waiting.move_to_end(namespace)
        else:
            del waiting[namespace]
        self._counted += self._under_way[namespace] < self._half
        self._under_way[namespace] += 1
        self._total += 1
        return item
