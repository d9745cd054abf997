"""The herald: tells in Events what happens to this cluster's HACronJobs and HACronJobRuns, where `kubectl describe` shows it.

Only the cluster's worker posts. All replicas remember what has happened lately, so that a new worker goes on where the old one
stopped: an Event's name is made of what it tells, and one that stands there already answers 409. Nothing waits for Events: when
there are too many the oldest are dropped, and what the API server refuses is not tried again.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from hacron.core import events
from hacron.core.messages import Definition, Demand, Entry, Progress
from hacron.core.model import Home, Key, Kind
from hacron.core.state import Applied, State, Was
from hacron.ports import Answer, Kubernetes, PostEvent
from hacron.turn import Moment

log = logging.getLogger(__name__)

RECALLS = timedelta(seconds=15)  # longer than a takeover of the worker token takes; what is older is history
MOST_WAITING = 5000  # changes
TOLD_PER_TURN = 100
POSTS_UNDER_WAY = 16
PAUSE_S = 5.0  # after an API server that does not answer
WITHOUT_RIGHT_S = 60.0  # after one that says that we may not


class OfCronJob(NamedTuple):
    """A cronjob before and after an entry of the ledger."""

    at: datetime
    key: Key
    was: Was
    progress: Progress | None
    homes: Mapping[str, Definition]


class OfDemand(NamedTuple):
    """A demand before and after an entry of the ledger."""

    at: datetime
    key: Key
    before: Demand | None
    after: Demand | None


class OfTemplate(NamedTuple):
    """What this cluster's API server has against the template of one object of ours."""

    at: datetime
    key: Key
    uid: str
    generation: int
    words: str


News = OfCronJob | OfDemand | OfTemplate


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
        self._news: deque[News] = deque()
        self._posts: deque[PostEvent] = deque()  # made of news, and not sent, or to be sent again
        self._under_way = 0
        self._not_before = 0.0  # monotonic
        self._active = False
        self._complained = False
        self._dropping = False
        self.tally: Counter[str] = Counter()  # what became of Events; telemetry reads it

    def attach(self, state: State) -> None:
        """Begin with a State that is folded afresh."""
        self._state = state

    def note(self, entry: Entry, applied: Applied, live: bool, moment: Moment) -> None:
        """Take in what an entry has changed. `live`: it has come just now, and was not found when the ledger was opened."""
        if self._which == "None" or entry.batch is None:
            return
        if not live and moment.wall - entry.batch.sent_at > RECALLS:
            return
        at = moment.wall if live else entry.batch.sent_at
        for key, was in applied.was.items():
            if live or (was.progress is not None and was.winner is not None):  # else it is only met for the first time
                homes = self._state.definitions.get(key, {})
                self._news.append(OfCronJob(at, key, was, self._state.progress.get(key), homes))
        for key, before in applied.demands.items():
            after = self._state.demands.get(key)
            if after is not before and (live or before is not None):
                self._news.append(OfDemand(at, key, before, after))
        self._drop_oldest()

    def template_refused(self, key: Key, uid: str, generation: int, words: str, at: datetime) -> None:
        """Take in what no ledger says: this cluster's API server refuses a template. Only the worker asks it."""
        if self._which != "None":
            self._news.append(OfTemplate(at, key, uid, generation, words))
            self._drop_oldest()

    def take(self, answer: Answer, moment: Moment) -> None:
        """Take in what became of a post."""
        request = answer.request
        if not isinstance(request, PostEvent):
            return
        self._under_way -= 1
        if answer.ok or answer.status == 409:
            self.tally["posted" if answer.ok else "known"] += 1
            self._complained = False
        elif answer.unreachable:
            self._posts.appendleft(request)
            self._not_before = moment.mono + max(PAUSE_S, answer.retry_after_s)
        else:
            self.tally["refused"] += 1
            self._complain(request, answer)
            if answer.lacks_right:
                self._not_before = moment.mono + WITHOUT_RIGHT_S

    def turn(self, active: bool, moment: Moment) -> None:
        """Post what there is to tell, if this replica is its cluster's worker."""
        self._active = active
        if not active:
            self._posts.clear()
            while self._news and moment.wall - self._news[0].at > RECALLS:
                self._news.popleft()
            return
        if moment.mono < self._not_before:
            return
        self._put_into_words()
        requests = [self._posts.popleft() for _ in range(min(len(self._posts), POSTS_UNDER_WAY - self._under_way))]
        self._under_way += len(requests)
        if requests:
            self._kube.submit(requests)

    def next_turn(self, moment: Moment) -> float:
        """Return in how many seconds a turn is due without anything arriving."""
        if not self._active or not (self._news or self._posts) or self._under_way >= POSTS_UNDER_WAY:
            return 5.0  # an answer wakes us
        return max(0.05, self._not_before - moment.mono)

    # --- inside ---

    def _put_into_words(self) -> None:
        """Make posts of the oldest news, as many as can soon be sent."""
        for _ in range(TOLD_PER_TURN):
            if not self._news or len(self._posts) >= POSTS_UNDER_WAY:
                return
            self._posts.extend(self._worded(self._news.popleft()))

    def _worded(self, news: News) -> Iterator[PostEvent]:
        state, key = self._state, news.key
        mine: Definition | Home | None
        if isinstance(news, OfCronJob):
            kind, mine = Kind.CRONJOB, state.definitions.get(key, {}).get(self._cluster)
            told = events.tell(news.was, news.progress, news.homes, state.winner(key), state.cronjob(key))
        elif isinstance(news, OfTemplate):
            kind, mine = Kind.CRONJOB, state.definitions.get(key, {}).get(self._cluster)
            if mine is not None and mine.uid != news.uid:
                return
            told = iter((events.refused_template(news.generation, news.words),))
        else:
            demand = state.demands.get(key)
            kind, mine = Kind.DEMAND, demand.homes.get(self._cluster) if demand is not None else None
            told = events.tell_demand(news.before, news.after)
        if mine is None:
            return  # there is no object here to post on
        for event in told:
            if event.problem or self._which == "All":
                yield PostEvent(key=key, body=events.body(event, kind, key, mine.uid, self._replica, news.at))

    def _drop_oldest(self) -> None:
        surplus = len(self._news) - self._most_waiting
        if surplus <= 0:
            self._dropping = self._dropping and len(self._news) > self._most_waiting // 2
            return
        for _ in range(surplus):
            self._news.popleft()
        if not self._active:
            return  # the worker tells
        self.tally["dropped"] += surplus
        if not self._dropping:
            self._dropping = True
            log.warning("Events are dropped: more happens than the API server takes", extra={"waiting": len(self._news)})

    def _complain(self, request: PostEvent, answer: Answer) -> None:
        """Say once that Events are refused, until one is taken."""
        if not self._complained:
            self._complained = True
            why = str(answer.body.get("message") or answer.reason)[:300]
            log.warning("Event refused", extra={"cronjob": request.key, "status": answer.status, "why": why})
