"""How much is to come and where it will fall: the ticks of all cronjobs, added up by cluster and by column of the page.

Cronjobs that are due at the same instants are counted together, so that what it costs depends on how many different schedules
there are, and hardly on how many cronjobs. What a schedule adds is remembered until the next minute.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Final, NamedTuple

from hacron.core.admission import never_in_time
from hacron.core.messages import Definition, Progress
from hacron.core.model import CronJob, InvalidCronJob, Key, Placement, Strategy
from hacron.core.placement import Field
from hacron.core.ticks.calendar import Calendar
from hacron.page.view import View

COLUMNS: Final = 60
MOST_TICKS: Final = 100_000  # looked up in one go, beyond which cronjobs are left out: a second or two

Sums = dict[str, dict[int, int]]
"""Cluster → number of the column → ticks; what no cluster would take stands under ""."""


class Flow(NamedTuple):
    """When something is due. The same for cronjobs that are due at the same instants."""

    calendar: Calendar
    phase: int | None  # with `@every`: unix seconds of its ticks, modulo the interval
    since: datetime | None  # the end of a pause; nothing before


class Wish(NamedTuple):
    """Where it is to run. The same for cronjobs that would go to the same cluster."""

    placement: Placement
    homes: frozenset[str]
    key: Key | None  # with Spread each cronjob has an order of its own


def flow_of(progress: Progress, cronjob: CronJob | InvalidCronJob | None, paused: Definition | None) -> Flow | None:
    """Return when ticks of a cronjob are to come; None when none is, as things stand."""
    if not isinstance(cronjob, CronJob) or cronjob.suspend or never_in_time(cronjob):
        return None
    until = paused.pause.until if paused is not None and paused.pause is not None else None
    if paused is not None and until is None:
        return None
    calendar = cronjob.schedule
    interval = calendar.schedules[0].interval
    if interval is None:
        return Flow(calendar, None, until)
    tick = calendar.next_after(progress.last_tick)
    return Flow(calendar, int(tick.timestamp()) % int(interval.total_seconds()), until) if tick is not None else None


def wish_of(key: Key, cronjob: CronJob, homes: Mapping[str, Definition]) -> Wish:
    spreads = cronjob.placement.strategy is Strategy.SPREAD
    return Wish(cronjob.placement, frozenset(homes), key if spreads else None)


class Outlook:
    """Adds up. What it remembers is of one minute, and of clusters that are as they were."""

    def __init__(self) -> None:
        self._minute = 0
        self._shapes: dict[int, dict[Flow, Mapping[int, int]]] = {}  # by hours
        self._usable: object = None
        self._places: dict[Wish, str] = {}

    def sums(
        self, flows: Mapping[tuple[Flow, Wish], int], view: View, silent_after: timedelta, now: datetime, hours: int
    ) -> tuple[int, Sums, int]:
        """Return the first column's minute (unix), what falls into each, and of how many cronjobs it is not known.

        Columns are `hours` minutes wide and begin with the present one, of which only whole minutes to come count. A run goes
        where it would go if it had to start now; with Spread, as if no run were open.
        """
        minute = int(now.timestamp()) // 60 + 1
        begin = (minute - 1) // hours * hours
        if self._minute != minute:
            self._minute, self._shapes = minute, {}
        shapes = self._shapes.setdefault(hours, {})
        self._forget_places_if_changed(view, silent_after)
        sums: Sums = {}
        left, uncounted = MOST_TICKS, 0
        for (flow, wish), count in flows.items():
            shape = shapes.get(flow)
            if shape is None:
                if left <= 0:
                    uncounted += count
                    continue
                shape = shapes[flow] = shape_of(flow, minute, begin, hours)
                left -= 1 + sum(shape.values()) * (flow.phase is None)
            if shape:
                columns = sums.setdefault(self._place(wish, view, silent_after), {})
                for number, ticks in shape.items():
                    columns[number] = columns.get(number, 0) + ticks * count
        return begin, sums, uncounted

    def _place(self, wish: Wish, view: View, silent_after: timedelta) -> str:
        found = self._places.get(wish)
        if found is None:
            field = _field(wish.placement, wish.homes, view, silent_after)
            found = self._places[wish] = field.choose(wish.key or Key(""), dict) or ""
        return found

    def _forget_places_if_changed(self, view: View, silent_after: timedelta) -> None:
        field = _field(Placement(), (), view, silent_after)
        usable = {name: cluster.labels for name, cluster in view.state.clusters.items() if field.obstacle(name) is None}
        if usable != self._usable or len(self._places) > 2 * len(view.state.progress):
            self._usable, self._places = usable, {}


def shape_of(flow: Flow, minute: int, begin: int, hours: int) -> Mapping[int, int]:
    """Count the ticks from a minute on, by column."""
    end = (begin + COLUMNS * hours) * 60
    first = max(minute * 60, ceil(flow.since.timestamp()) if flow.since is not None else 0)
    if flow.phase is not None:
        return _regular(flow.calendar, flow.phase, first, begin, hours)
    shape: Counter[int] = Counter()
    tick = flow.calendar.next_after(datetime.fromtimestamp(first - 1, UTC))
    while tick is not None and (at := int(tick.timestamp())) < end:
        shape[(at // 60 - begin) // hours] += 1
        tick = flow.calendar.next_after(tick)
    return shape


def _regular(calendar: Calendar, phase: int, first: int, begin: int, hours: int) -> Mapping[int, int]:
    """Count what comes every so many seconds, however many that are."""
    interval = calendar.schedules[0].interval
    assert interval is not None
    step = int(interval.total_seconds())
    if calendar.start is not None:
        first = max(first, int(calendar.start.timestamp()))
    last = int(calendar.end.timestamp()) if calendar.end is not None else None

    def before(second: int) -> int:
        return (second - 1 - phase) // step

    shape: dict[int, int] = {}
    for number in range(COLUMNS):
        since = max(first, (begin + number * hours) * 60)
        until = (begin + (number + 1) * hours) * 60
        until = min(until, last + 1) if last is not None else until
        if since < until and (ticks := before(until) - before(since)):
            shape[number] = ticks
    return shape


def _field(placement: Placement, homes: frozenset[str] | tuple[()], view: View, silent_after: timedelta) -> Field:
    clusters = view.state.clusters
    return Field(wanted=placement, homes=homes, clusters=clusters, now=view.at, silent_after=silent_after)
