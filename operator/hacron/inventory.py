"""The list of all objects of a kind that the API server has: when it is asked for, and what that list proves.

A watch may have missed a change or a deletion, so what it has told is compared with a list now and then. A list is of metadata
only, and one that is under way while the watch lists everything itself proves less.
"""

from __future__ import annotations

import logging
import math
from typing import Any, Final, NamedTuple

from hacron.core import manifests
from hacron.core.model import Key, Kind, key_of, namespace_of
from hacron.ports import Answer, ListInventory, WatchBegan, WatchResumed
from hacron.turn import Moment

log = logging.getLogger(__name__)

LACKS: Final = "we lack the right to"
LIST_AGAIN_S = 5.0  # after a list that failed
LOOK_IN_AGAIN_S = 20.0  # into a namespace in which we could list nothing
LET_THE_WATCH_LIST_S = 30.0  # what the watch has not told of by then, it will not tell of
LIST_ANEW_S = 30.0  # an API server that is away again and again is asked no more often than this


class Listed(NamedTuple):
    """An object, as a list has it."""

    uid: str
    generation: int
    version: int  # 0: not told


class Listing(NamedTuple):
    """What there is, by a list that has just come."""

    asked_at: float  # monotonic; it is no older than this
    objects: dict[Key, Listed]
    left_out: frozenset[str]  # namespaces in which we may list nothing
    watch_lists_too: bool  # what it does not have may be told by the watch any moment

    def lacks(self, key: Key) -> bool:
        """Whether it says that there is no such object."""
        return key not in self.objects and namespace_of(key) not in self.left_out


class Inventory:
    """When to list, and what the newest list has. Times are monotonic."""

    def __init__(self, kind: Kind, interval_s: float) -> None:
        self._kind = kind
        self._interval_s = interval_s
        self._under_way_since: float | None = None
        self._due_at = 0.0
        self._watch_began = -math.inf
        self._missed_by = -math.inf  # until then something may have gone unheard
        self.came_at = -math.inf
        self._version = 0  # newest that the API server has told of, of any object
        self._version_then = 0  # when the list that is under way was asked for
        self._was_away = False  # the API server
        self._listing: Listing | None = None  # the newest
        self.was_put_back = False  # the API server knows less than it did: what watches go by is of the future
        self.complaint = ""  # why there is none, if the API server answers; told to people

    @property
    def complete(self) -> bool:
        """Whether there has been a list: what was not seen may not exist."""
        return self._listing is not None

    @property
    def left_out(self) -> frozenset[str]:
        """Namespaces that the newest list could not look into."""
        return self._listing.left_out if self._listing is not None else frozenset()

    def lacks(self, key: Key) -> bool:
        """Whether the newest list says that there is no such object."""
        return self._listing is not None and self._listing.lacks(key)

    def hear_of_watch(self, news: WatchBegan | WatchResumed, moment: Moment) -> None:
        """Note that the watch lists everything, perhaps again, and may have missed deletions; or that it goes on where it was."""
        if isinstance(news, WatchResumed):
            self.saw(news.since)
            self._api_was_away(moment)
            return
        self._watch_began = moment.mono
        self._due_at = moment.mono

    def put_back(self) -> None:
        """Note that the API server's data come from a backup: it says of versions that were told that they have not been."""
        if not self.was_put_back:
            log.warning("the API server was put back to an earlier time: all is watched anew", extra={"kind": self._kind})
        self.was_put_back = True
        self._version = self._version_then = 0

    def saw(self, version: int) -> None:
        """Note of which version the API server has told."""
        self._version = max(self._version, version)

    def ask_when_due(self, reachable: bool, moment: Moment) -> ListInventory | None:
        """Return what is to be asked of the API server now."""
        if not reachable:
            self._was_away = True
        elif self._was_away:
            self._was_away = False
            self._api_was_away(moment)
        if self._under_way_since is not None or moment.mono < self._due_at:
            return None
        self._under_way_since, self._version_then = moment.mono, self._version
        return ListInventory(kind=self._kind)

    def next_look_s(self, moment: Moment) -> float:
        """Return in how many seconds to look again whether a list is due."""
        return 5.0 if self._under_way_since is not None else self._due_at - moment.mono

    def take(self, answer: Answer, moment: Moment) -> Listing | None:
        """Take in what came of asking; return the list, if it is one."""
        asked_at, self._under_way_since = self._under_way_since, None
        if not answer.unreachable or answer.status == 401:
            self._complain(_why_not(answer, self._kind))
        if not answer.ok or asked_at is None:
            self._due_at = moment.mono + LIST_AGAIN_S
            return None
        self.came_at = moment.mono
        self._look_whether_put_back(manifests.version(answer.body.get("version")))
        watch_has_listed_by = self._watch_began + LET_THE_WATCH_LIST_S
        watch_lists_too = moment.mono < watch_has_listed_by
        if asked_at < self._watch_began:
            self._due_at = moment.mono  # a deletion that the watch has missed may be newer than this list
        else:
            self._due_at = watch_has_listed_by if watch_lists_too else moment.mono + self._interval_s
            if asked_at < self._missed_by:
                self._due_at = min(self._due_at, moment.mono + LIST_ANEW_S)
        objects = {key_of(item["namespace"], item["name"]): _listed(item) for item in answer.body["items"]}
        self._listing = Listing(asked_at, objects, frozenset(answer.body.get("left_out", ())), watch_lists_too)
        if self._listing.left_out:
            self._due_at = min(self._due_at, moment.mono + LOOK_IN_AGAIN_S)
        return self._listing

    def _api_was_away(self, moment: Moment) -> None:
        """Have it listed soon what there is: what the API server had to say meanwhile may not have been heard."""
        self._missed_by = moment.mono
        self._due_at = min(self._due_at, max(moment.mono, self.came_at + LIST_ANEW_S))

    def _look_whether_put_back(self, version: int) -> None:
        """A list is no older than what was told before it was asked for, unless the API server's data come from a backup."""
        if 0 < version < self._version_then:
            self.put_back()
        self._version = max(version, self._version)

    def _complain(self, complaint: str) -> None:
        if complaint and complaint != self.complaint:
            log.warning(f"{self._kind}s cannot be listed", extra={"why": complaint})
        elif self.complaint and not complaint:
            log.info(f"{self._kind}s can be listed again")
        self.complaint = complaint


def _listed(item: dict[str, Any]) -> Listed:
    return Listed(item["uid"], item["generation"], manifests.version(item.get("resourceVersion")))


def _why_not(answer: Answer, kind: Kind) -> str:
    match answer.status:
        case 200:
            left_out: dict[str, str] = answer.body.get("left_out", {})
            return "; ".join(f"in namespace {namespace} {LACKS}: {why}" for namespace, why in left_out.items())
        case 401:
            return "the API server does not accept our credentials"
        case 403:
            return f"{LACKS}: {answer.body.get('message', '')}"
        case 404:
            return f"the API server does not know the resource: apply crds/{kind.lower()}.yaml"
        case _:
            return f"the API server answered {answer.status}: {answer.body.get('message', '')}"[:300]
