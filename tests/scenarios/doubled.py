"""Has a tick more Jobs than its guarantee allows? And what excuses that: the limits that docs/proof.md names, a rule for each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import timedelta
from itertools import pairwise

from hacron.core.model import CronJob, Key
from tests.fakes.kubernetes import Made
from tests.scenarios import declared
from tests.scenarios.chronicle import clock, short, tick
from tests.scenarios.decided import was_heard
from tests.scenarios.facts import TOLD_WITHIN, given, had_been_refused, start_by, was_to_be_forgotten
from tests.scenarios.world import MARGIN, World

NAME_KEPT = timedelta(seconds=60)  # at least


def doubled(made: Iterable[Made], cronjobs: Mapping[Key, CronJob], world: World) -> Iterable[str]:
    """AtMostOnce: at most one Job for a tick; AtLeastOnce: at most one for an attempt.

    But for what docs/proof.md names as limits.
    """
    by_tick: dict[tuple[object, ...], list[Made]] = defaultdict(list)
    for one in made:
        attempt = one.attempt if declared.may_run_again(cronjobs.get(one.key)) else 0
        by_tick[one.key, one.cronjob if one.demand else "", one.tick, attempt].append(one)
    for jobs in by_tick.values():
        if not all(_is_excused(one, later, world) for one, later in pairwise(jobs)):
            where = " and ".join(f"{one.cluster} by {one.by} at {clock(one.at)}" for one in jobs)
            yield f"{short(jobs[0].key)} {tick(jobs[0].tick)} has {len(jobs)} Jobs: in {where}"


def _is_excused(one: Made, later: Made, world: World) -> bool:
    return (
        took_the_lock_away(one, later, world)
        or _is_of_another_cronjob(one, later, world)
        or is_unknown(one, later, world)
        or _was_refused(one, later, world)
        or _was_on_its_way(one, later, world)
        or left_as_its_sender_woke(one, later, world)
        or _left_by_a_clock_that_is_behind(one, later)
    )


def took_the_lock_away(one: Made, later: Made, world: World) -> bool:
    """Whether a Job was made again because somebody deleted the first, or its HACronJob, by hand: the name is the lock.

    Only in the same cluster, before the name was taken back, and only if the ledger did not say yet that the first had begun, or
    who made the second had heard nothing since, or its request was under way already when the name became free.
    """
    if not one.by_hand or one.gone_at is None or one.gone_at > later.at:
        return False
    if (one.cluster, one.key, one.job, one.fencing) != (later.cluster, later.key, later.job, later.fencing):
        return False
    named = [it for it in world.clusters[one.cluster].made if (it.key, it.job) == (one.key, one.job)]
    if any(it.tombstone and it.at < later.at for it in named):
        return False
    return not was_heard(one, world) or later.asked.heard_at <= one.at + TOLD_WITHIN or later.asked.at <= one.gone_at


def _is_of_another_cronjob(one: Made, later: Made, world: World) -> bool:
    """Whether a HACronJob was deleted in all of its homes and made anew between two Jobs.

    It may also be another one when the broker's data was lost, and when one of its homes was to be forgotten.
    """
    if one.cronjob == later.cronjob:
        return False
    since, until = min(one.at, given(one.fencing) - world.clocks_differ), later.at
    homes = {name for name, cluster in world.clusters.items() if any(key == one.key for _, key, _, _ in cluster.annals)}
    return (
        declared.is_another(one.key, since, until, world)
        or any(since <= wiped <= until for wiped in world.wiped)
        or any(was_to_be_forgotten(time, since, until) for home in homes for time in world.forgotten.get(home, ()))
    )


def is_unknown(one: Made, later: Made, world: World) -> bool:
    """Whether nobody could tell of a Job: when the broker's data was lost, or only by what somebody has deleted by hand."""
    until = later.at + world.clocks_differ
    if one.forgotten_at is not None and one.forgotten_at <= until:
        return True
    by_hand = one.by_hand and one.gone_at is not None and one.gone_at <= later.at
    was_lost = any(given(one.fencing) - world.clocks_differ <= wiped <= one.at for wiped in world.wiped)  # and only then made
    is_unshown = one.unshown_at is not None and one.unshown_at <= until
    return by_hand and (is_unshown or ((was_lost or one.attempt < later.attempt) and not was_heard(one, world)))


def _was_refused(one: Made, later: Made, world: World) -> bool:
    """Whether its cluster had refused a Job, before it made it after all, for who had not heard that it was settled."""
    settled = given(max(one.fencing, later.fencing)) + world.clocks_differ + TOLD_WITHIN
    return any(
        had_been_refused(it, world) and it.asked.heard_at <= settled
        for it in (one, later)
        if it.attempt < max(one.attempt, later.attempt)
    )


def _was_on_its_way(one: Made, later: Made, world: World) -> bool:
    """Whether one of two Jobs in two clusters had been decided, and not been made, when the broker's data was lost.

    Who asked for it had not heard anything since.
    """
    lost = [
        (it, wiped) for it in (one, later) for wiped in world.wiped if wiped <= it.at and it.asked.heard_at <= wiped + TOLD_WITHIN
    ]
    return one.cluster != later.cluster and any(given(it.fencing) - world.clocks_differ <= wiped for it, wiped in lost)


def left_as_its_sender_woke(one: Made, later: Made, world: World) -> bool:
    """Whether who made it again had been frozen after its last look at the clock, until the name was free."""
    if one.gone_at is None or one.gone_at > later.at:
        return False
    slept = [(since, until) for name, since, until in world.frozen if name == later.by and until == later.asked.at]
    return any(until - since > NAME_KEPT and later.asked.looked_at <= since + world.clocks_differ for since, until in slept)


def _left_by_a_clock_that_is_behind(one: Made, later: Made) -> bool:
    """Whether who made it again asked for it when it was too late, and did not know, until the name was free."""
    if one.gone_at is None or one.gone_at > later.at or later.at < one.at + NAME_KEPT:
        return False
    return later.asked.at > start_by(later) and later.asked.at - later.asked.looked_at > MARGIN
