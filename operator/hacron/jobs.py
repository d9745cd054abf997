"""The Jobs of ours in one cluster, as last seen: from the watch, and from answers that came before it.

Watch and answers travel on different ways. A Job that the watch has told to be gone stays gone, and what has become of one is not
undone, whatever a late answer says.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Sequence
from datetime import datetime

from msgspec.structs import replace

from hacron.core.manifests import JobView
from hacron.core.model import Key, namespace_of

REMEMBERED = 1000  # of those that are gone; an answer is late by seconds


class Jobs:
    """What is known of the Jobs in this cluster, by cronjob and run."""

    def __init__(self) -> None:
        self.listed = False  # all have been listed: what is not here does not exist, or has only just been made
        self._by_key: dict[Key, dict[str, JobView]] = {}  # by run id
        self._gone: OrderedDict[str, None] = OrderedDict()  # uids

    def get(self, key: Key, run_id: str) -> JobView | None:
        return self._by_key.get(key, {}).get(run_id)

    def of(self, key: Key) -> Collection[JobView]:
        return self._by_key.get(key, {}).values()

    def newest_tick(self, key: Key) -> datetime | None:
        """Return the newest tick of the schedule whose Job is known to exist."""
        return max((job.tick for job in self.of(key) if (job.ran or not job.tombstone) and not job.demand), default=None)

    def running(self, key: Key) -> list[JobView]:
        """Return the Jobs of the schedule that have not ended, as far as is known."""
        return [job for job in self.of(key) if job.terminal is None and not job.tombstone and not job.demand]

    def list_anew(self, views: Sequence[JobView], left_out: Collection[str] = ()) -> list[Key]:
        """Take in a list that is complete, but for the namespaces left out; return the cronjobs that may have changed.

        It is newer than all that the watch has told. What was gone and is listed is there again: the API server was put back.
        """
        self.listed = True
        keys = list(self._by_key)
        self._by_key = {key: known for key, known in self._by_key.items() if namespace_of(key) in left_out}
        for view in views:
            self._gone.pop(view.uid, None)
            self.keep(view)
        return [*keys, *(view.key for view in views)]

    def keep(self, view: JobView) -> bool:
        """Note a Job; return whether that is news."""
        known = self.get(view.key, view.run_id)
        if view.uid in self._gone or (known is not None and _is_older(view, known)):
            return False
        self._by_key.setdefault(view.key, {})[view.run_id] = view
        return known is None or replace(known, version=view.version) != view

    def bury(self, view: JobView) -> None:
        """Note that the watch has told a Job to be gone."""
        self._gone[view.uid] = None
        if len(self._gone) > REMEMBERED:
            self._gone.popitem(last=False)
        self.forget(view.key, view.run_id, view.uid)

    def forget(self, key: Key, run_id: str, uid: str | None = None) -> None:
        """Note that a Job is not there, as far as anybody has asked; with `uid`, only that very one."""
        known = self._by_key.get(key, {})
        if run_id in known and uid in (None, known[run_id].uid):
            del known[run_id]
        if not known:
            self._by_key.pop(key, None)


def _is_older(view: JobView, known: JobView) -> bool:
    return view.uid == known.uid and 0 < view.version < known.version
