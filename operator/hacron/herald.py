"""The herald: tells in Events what happens to this cluster's HACronJobs and HACronJobRuns, where `kubectl describe` shows it.

Only the cluster's worker posts. All replicas remember what has happened lately, so that a new worker goes on where the old one
stopped: an Event's name is made of what it tells, and one that stands there already answers 409. Nothing waits for Events: when
there are too many the oldest are dropped, and what the API server refuses is not tried again. What only fails, as with a webhook
that is away, is tried a few times after all else. Namespaces take turns: where Events fail, hang or are refused, no others wait.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec.structs import replace

from hacron.core import events, faults
from hacron.core.events import Event
from hacron.core.lanes import Lanes
from hacron.core.messages import Definition, Entry
from hacron.core.model import Home, Key, Kind, namespace_of
from hacron.core.state import Applied, State
from hacron.ports import Answer, Kubernetes, PostEvent
from hacron.turn import Moment

log = logging.getLogger(__name__)

RECALLS = timedelta(seconds=15)  # longer than a takeover of the worker token takes; what is older is history
MOST_WAITING = 5000  # Events
POSTS_UNDER_WAY = 16
PAUSE_S = 5.0  # after an API server that does not answer; one Event that fails is tried again as much later
MOST_ATTEMPTS = 3
NOT_NOW = (401, 429)  # of us, whatever the Event says
WITHOUT_RIGHT_S = 60.0  # in a namespace where we may not, after one that says so; what happens there meanwhile is not told


class News(NamedTuple):
    """Something to be told on an object of ours in this cluster."""

    at: datetime
    kind: Kind
    key: Key
    event: Event
    uid: str = ""  # of the very object that it is about; empty: of that which has the name when it is posted


class Herald:
    """A replica's part in posting Events. What is to be told outlives a broker connection; `attach` begins a new one."""

    def __init__(
        self, *, cluster: str, replica: str, kube: Kubernetes, which: str = "All", most_waiting: int = MOST_WAITING
    ) -> None:
        self._cluster = cluster
        self._replica = replica
        self._kube = kube
        self._which = which  # All, Problems or None
        self._most_waiting = most_waiting
        self._state = State()
        self._news: deque[News] = deque()  # what the worker has not taken up
        self._lanes: Lanes[News | PostEvent] = Lanes(POSTS_UNDER_WAY)  # what it has, or is to send again
        self._failed: deque[tuple[float, PostEvent]] = deque()  # to be sent again from then on (monotonic), earliest first
        self._not_before = 0.0  # monotonic
        self._without_right: dict[str, float] = {}  # namespace → until when nothing is posted there (monotonic)
        self._active = False
        self._complained: set[str] = set()  # namespaces
        self._dropping = False
        self.tally: Counter[str] = Counter()  # what became of Events; telemetry reads it

    def attach(self, state: State) -> None:
        """Begin with a State that is folded afresh."""
        self._state = state

    def note(self, entry: Entry, applied: Applied, live: bool, moment: Moment) -> None:
        """Take in what an entry has changed. `live`: it has come just now, and was not found when the ledger was opened."""
        if self._which == "None" or entry.batch is None or not (applied.was or applied.demands):
            return
        if not live and moment.wall - entry.batch.sent_at > RECALLS:
            return
        at = moment.wall if live else entry.batch.sent_at
        state = self._state
        for key, was in applied.was.items():
            homes = state.definitions.get(key, {})
            is_met_first = not live and (was.progress is None or was.winner is None)
            if self._cluster in homes and not is_met_first:
                told = events.tell(was, state.progress.get(key), homes, state.winner(key), state.cronjob(key))
                self._keep(at, Kind.CRONJOB, key, told)
        for key, before in applied.demands.items():
            after = state.demands.get(key)
            if after is not None and after is not before and self._cluster in after.homes and (live or before is not None):
                self._keep(at, Kind.DEMAND, key, events.tell_demand(before, after))
        self._drop_oldest()

    def template_refused(self, key: Key, uid: str, generation: int, words: str, at: datetime) -> None:
        """Take in what no ledger says: this cluster's API server refuses a template. Only the worker asks it."""
        if self._which != "None":
            self._keep(at, Kind.CRONJOB, key, [events.refused_template(generation, words)], uid)
            self._drop_oldest()

    def take(self, answer: Answer, moment: Moment) -> None:
        """Take in what became of a post."""
        request = answer.request
        if not isinstance(request, PostEvent):
            return
        namespace = namespace_of(request.key)
        self._lanes.end(namespace, answered=answer.answered)
        if answer.ok or answer.status == 409:
            self.tally["posted" if answer.ok else "known"] += 1
            self._complained.discard(namespace)
        elif answer.status in NOT_NOW or (answer.unreachable and not self._kube.reachable):
            self._lanes.put(namespace, request)
            self._not_before = moment.mono + max(PAUSE_S, answer.retry_after_s)
        elif answer.unreachable and request.attempt < MOST_ATTEMPTS and len(self._failed) < self._most_waiting:
            self._failed.append((moment.mono + PAUSE_S, replace(request, attempt=request.attempt + 1)))
        elif answer.unreachable:
            self.tally["dropped"] += 1
            self._complain(request, answer)
        else:
            self.tally["refused"] += 1
            self._complain(request, answer)
            if answer.lacks_right:
                self._without_right[namespace] = moment.mono + WITHOUT_RIGHT_S

    def turn(self, active: bool, moment: Moment) -> None:
        """Post what there is to tell, if this replica is its cluster's worker."""
        self._active = active
        if not active:
            self._put_back()
            self._failed.clear()
            while self._news and abs(moment.wall - self._news[0].at) > RECALLS:  # the clock may have been ahead, too
                self._news.popleft()
            return
        if moment.mono < self._not_before:
            return
        self._take_up(moment)
        posts = list(self._next_posts(moment))
        if posts:
            self._kube.submit(posts)

    def next_turn(self, moment: Moment) -> float:
        """Return in how many seconds a turn is due without anything arriving."""
        if self._active and (self._news or self._lanes.may_take()):
            due = 0.0
        elif self._active and self._failed:
            due = self._failed[0][0]
        else:
            return 5.0  # an answer wakes us
        return max(0.05, max(due, self._not_before) - moment.mono)

    # --- inside ---

    def _keep(self, at: datetime, kind: Kind, key: Key, told: Iterable[Event], uid: str = "") -> None:
        with faults.confined(faults.HERALD, key):
            news = [News(at, kind, key, event, uid) for event in told]
            self._news.extend(one for one in news if one.event.problem or self._which == "All")

    def _put_back(self) -> None:
        """Have what has not been posted be news again, for whoever is the worker next may be this replica."""
        left = [item for item in self._lanes.drain() if isinstance(item, News)]
        if left:
            self._news = deque(sorted((*left, *self._news), key=lambda news: news.at))

    def _take_up(self, moment: Moment) -> None:
        """Have the news wait for their turn, and what has failed, when its time has come, behind them."""
        while self._news:
            news = self._news.popleft()
            self._lanes.put(namespace_of(news.key), news)
        while self._failed and self._failed[0][0] <= moment.mono:
            post = self._failed.popleft()[1]
            self._lanes.put(namespace_of(post.key), post, after_all_else=True)

    def _next_posts(self, moment: Moment) -> Iterator[PostEvent]:
        """Yield what is posted now."""
        while (item := self._lanes.take()) is not None:
            post = None
            with faults.confined(faults.HERALD, item.key):
                post = self._post_of(item, moment)
            if post is not None:
                yield post
            else:
                self._lanes.end(namespace_of(item.key), answered=None)

    def _post_of(self, item: News | PostEvent, moment: Moment) -> PostEvent | None:
        """Return how to tell something; None: we may not where it is, or it is about what is no more."""
        namespace = namespace_of(item.key)
        if moment.mono < self._without_right.get(namespace, 0.0):
            self.tally["refused"] += 1
            return None
        self._without_right.pop(namespace, None)
        if isinstance(item, PostEvent):
            return item
        at, kind, key, event, wanted = item
        uid = self._uid_of(kind, key)
        if uid is None or wanted not in ("", uid):
            return None
        return PostEvent(key=key, body=events.body(event, kind, key, uid, self._replica, at))

    def _uid_of(self, kind: Kind, key: Key) -> str | None:
        """Return the uid of the object here, if there is one to post on."""
        mine: Definition | Home | None
        if kind is Kind.CRONJOB:
            mine = self._state.definitions.get(key, {}).get(self._cluster)
        else:
            demand = self._state.demands.get(key)
            mine = demand.homes.get(self._cluster) if demand is not None else None
        return mine.uid if mine is not None else None

    def _drop_oldest(self) -> None:
        waiting = len(self._news) + self._lanes.waiting
        surplus = waiting - self._most_waiting
        if surplus <= 0:
            self._dropping = self._dropping and waiting > self._most_waiting // 2
            return
        for _ in range(surplus):
            if self._lanes.drop() is None:
                self._news.popleft()
        if not self._active:
            return  # the worker tells
        self.tally["dropped"] += surplus
        if not self._dropping:
            self._dropping = True
            log.warning("Events are dropped: more happens than the API server takes", extra={"waiting": self._most_waiting})

    def _complain(self, request: PostEvent, answer: Answer) -> None:
        """Say once that Events of a namespace are refused, until one is taken."""
        if namespace_of(request.key) not in self._complained:
            self._complained.add(namespace_of(request.key))
            why = str(answer.body.get("message") or answer.reason)[:300]
            log.warning("Event refused", extra={"cronjob": request.key, "status": answer.status, "why": why})
