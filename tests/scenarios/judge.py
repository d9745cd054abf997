"""What must hold in any world, whatever has happened in it: read from the clusters' API servers, nothing else is believed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from hacron.core.model import ConcurrencyPolicy, Key
from hacron.core.namelock import REQUEST_LIVES
from tests.fakes.kubernetes import Made
from tests.scenarios import declared
from tests.scenarios.chronicle import clock, short, tick
from tests.scenarios.doubled import doubled
from tests.scenarios.facts import given, start_by, that_count, was_wiped_between
from tests.scenarios.overlapping import overlapping
from tests.scenarios.world import World


def wrong(world: World) -> list[str]:
    """Return a sentence for everything that must never happen and did."""
    made = that_count(world)
    cronjobs = declared.at_least(world)
    return [
        *doubled(made, cronjobs, world),
        *_orphaned(made, world),
        *_unfenced(made, world),
        *_early(made, world.clocks_differ),
        *_late(made, world),
        *_past_its_deadline(made, world),
        *overlapping(made, cronjobs, world),
    ]


def _orphaned(made: Iterable[Made], world: World) -> Iterable[str]:
    """No Job names an owner that its cluster never had: it is collected as it is made, and the tick does not run.

    But a cluster that has taken over the name of another one goes by what that one declared, until its relay has told.
    """
    for one in made:
        is_namesake = world.processes[one.by].settings.cluster != one.cluster
        if one.how == "collected" and one.over == one.at and not is_namesake:
            yield f"{short(one.key)} {tick(one.tick)} belongs to what has never been in {one.cluster}: {one.owner_uid}"


def _unfenced(made: Iterable[Made], world: World) -> Iterable[str]:
    """No two runs of a cronjob have the same fencing number, and it grows with the attempts of a tick.

    But attempts are counted anew when the broker's data was lost: a later one may have been decided before that. And numbers go
    by the clock, so one that was given just before that may be given again just after it.
    """
    by_key: dict[Key, dict[tuple[str, datetime, int], int]] = defaultdict(dict)
    for one in made:
        by_key[one.key].setdefault((one.cronjob, one.tick, one.attempt), one.fencing)
    for key, runs in by_key.items():
        twice = {number for number, times in Counter(runs.values()).items() if times > 1}
        if not all(was_wiped_between(number, number, world) for number in twice):
            yield f"{short(key)}: two runs have the same fencing number: {sorted(runs.values())}"
        for (identity, when, attempt), number in runs.items():
            before = runs.get((identity, when, attempt - 1))
            if before is not None and number <= before and not was_wiped_between(number, before, world):
                yield f"{short(key)} {tick(when)}: attempt {attempt} has the fencing number {number}, the one before {before}"


def _early(made: Iterable[Made], clocks_differ: timedelta) -> Iterable[str]:
    for one in made:
        if one.at < one.tick - clocks_differ:
            yield f"{short(one.key)} {tick(one.tick)} was made before its time, at {clock(one.at)}"


def _late(made: Iterable[Made], world: World) -> Iterable[str]:
    """No Job is made when its run has long been given up, but by who was frozen after the last look at the clock."""
    for one in made:
        if one.at > start_by(one) + _longest_on_its_way(one, world):
            decided = clock(given(one.fencing))
            yield f"{short(one.key)} {tick(one.tick)} was made at {clock(one.at)}, and had been decided at {decided}"


def _past_its_deadline(made: Iterable[Made], world: World) -> Iterable[str]:
    """No first attempt begins later than `startingDeadlineSeconds` has it: the longest that anybody ever declared.

    But under Replace: the runs before it have been stopped for it.
    """
    bounds: dict[Key, list[int | None]] = defaultdict(list)
    for key, cronjob in declared.ever(world):
        replaces = cronjob.policy is ConcurrencyPolicy.REPLACE
        bounds[key].append(None if replaces else cronjob.starting_deadline_s)
    for one in made:
        known = [bound for bound in bounds[one.key] if bound is not None]
        if one.attempt > 1 or one.demand or not known or len(known) < len(bounds[one.key]):
            continue
        if one.at > one.tick + timedelta(seconds=max(known)) + _longest_on_its_way(one, world):
            yield f"{short(one.key)} {tick(one.tick)} began at {clock(one.at)}, after its deadline"


def _longest_on_its_way(one: Made, world: World) -> timedelta:
    """Return how long after who asked for a Job might still do so it may be made, by our clock."""
    return REQUEST_LIVES + world.clocks_differ + _frozen_after_its_look(one, world)


def _frozen_after_its_look(one: Made, world: World) -> timedelta:
    """Return for how long who asked for a Job was frozen, from the last look at the clock until the request left."""
    looked_at, left_at = one.asked.looked_at - world.clocks_differ, one.asked.at
    slept = [min(until, left_at) - max(since, looked_at) for name, since, until in world.frozen if name == one.by]
    return sum((span for span in slept if span > timedelta()), timedelta())
