"""How soon what the API server was asked in vain is asked again: ever more rarely where it says no, and would say so again.

Told once for each namespace, and again when it is over: whose right or webhook it is that lacks has ten thousand objects there.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from hacron.core.model import Key, namespace_of
from hacron.ports import Answer

log = logging.getLogger(__name__)

LONGEST = timedelta(minutes=5)


class Retries:
    """The requests of one kind, one for each HACronJob or HACronJobRun at a time."""

    def __init__(self, first: timedelta, *, refused: str, over: str) -> None:
        """`refused` and `over` are what is logged when a namespace's first is refused, and when none is any more."""
        self._first = first
        self._refused = refused
        self._over = over
        self._times: dict[str, dict[Key, int]] = {}  # by namespace: how often those were refused that last were

    def refused(self, key: Key) -> int:
        """Return how often it was refused, one time after the other."""
        return self._times.get(namespace_of(key), {}).get(key, 0)

    def wait(self, key: Key, answer: Answer, *, reachable: bool = True) -> timedelta:
        """Return how long to leave alone what was answered so.

        An API server that is not `reachable` says nothing of this one: it may have just started, and know of no rights.
        """
        if not (answer.refused and reachable):
            return max(self._first, timedelta(seconds=answer.retry_after_s))
        namespace, times = namespace_of(key), self.refused(key)
        if namespace not in self._times:
            why = str(answer.body.get("message", ""))[:300]
            log.warning(self._refused, extra={"cronjob": key, "status": answer.status, "why": why})
        self._times.setdefault(namespace, {})[key] = times + 1
        return min(LONGEST, self._first * (1 << min(times, 10)))

    def ease(self, key: Key) -> None:
        """Note that a part of what is wanted for it was done."""
        if self.refused(key):
            self._times[namespace_of(key)][key] = 1

    def end(self, key: Key) -> None:
        """Note that it was done, or is not wanted any more."""
        namespace = namespace_of(key)
        times = self._times.get(namespace, {})
        if times.pop(key, None) is not None and not times:
            del self._times[namespace]
            log.info(self._over, extra={"namespace": namespace})

    def forget(self) -> None:
        """Begin anew: others have written meanwhile."""
        self._times.clear()
