"""What must hold in any world, whatever has happened in it: read from the clusters' API servers, nothing else is believed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from hacron.core.admission import most_at_once
from hacron.core.history import REQUEST_LIVES
from hacron.core.model import ConcurrencyPolicy, CronJob, Guarantee, Key
from tests.fakes.kubernetes import Made, all_made
from tests.scenarios import declared
from tests.scenarios.chronicle import clock, short, tick
from tests.scenarios.decided import decided
from tests.scenarios.world import MARGIN, World

STARTS_WITHIN = timedelta(seconds=20)
NAME_KEPT = timedelta(seconds=60)  # at least
TOLD_WITHIN = timedelta(seconds=1)  # the ledger says that a Job was made


def wrong(world: World) -> list[str]:
    """Return a sentence for everything that must never happen and did."""
    named = all_made(list(world.clusters.values()))
    tombstones = [one for one in named if one.tombstone]
    made = [one for one in named if not one.tombstone and not _came_to_nothing(one)]
    made = [one for one in made if not any(_took_the_lock_away(one, earlier, tombstones) for earlier in made)]
    cronjobs = declared.at_least(world)
    return [
        *_doubled(made, cronjobs, world),
        *_unfenced(made, world),
        *_early(made, world.clocks_differ),
        *_late(made, world.clocks_differ + world.longest_frozen),
        *_overlapping(made, cronjobs, world),
    ]


def _took_the_lock_away(one: Made, earlier: Made, tombstones: Iterable[Made]) -> bool:
    """Whether a Job was made again because somebody deleted the first, or its HACronJob, by hand: the name is the lock.

    Only in the same cluster, before the name was taken back, and only if the ledger did not say yet that the first had begun, or
    who made the second had heard nothing since, or its request was under way already when the name became free.
    """
    if not earlier.by_hand or earlier.gone_at is None or earlier.gone_at > one.at:
        return False
    if (one.cluster, one.key, one.job, one.fencing) != (earlier.cluster, earlier.key, earlier.job, earlier.fencing):
        return False
    if any((it.cluster, it.key, it.job) == (one.cluster, one.key, one.job) and it.at < one.at for it in tombstones):
        return False
    return earlier.unheard or one.asked.heard_at <= earlier.at + TOLD_WITHIN or one.asked.at <= earlier.gone_at


def _came_to_nothing(one: Made) -> bool:
    """Whether its HACronJob was gone already, so that the cluster collected it as it was made."""
    return one.how == "collected" and one.over == one.at


def _doubled(made: Iterable[Made], cronjobs: Mapping[Key, CronJob], world: World) -> Iterable[str]:
    """AtMostOnce: at most one Job for a tick; AtLeastOnce: at most one for an attempt.

    But for what docs/proof.md names as limits.
    """
    by_tick: dict[tuple[object, ...], list[Made]] = defaultdict(list)
    for one in made:
        attempt = one.attempt if declared.may_run_again(cronjobs.get(one.key)) else 0
        by_tick[one.key, one.cronjob, one.tick, attempt].append(one)
    for jobs in by_tick.values():
        if len(jobs) > 1 and not all(_is_excused(one, jobs[-1], world) for one in jobs[:-1]):
            where = " and ".join(f"{one.cluster} by {one.by} at {clock(one.at)}" for one in jobs)
            yield f"{short(jobs[0].key)} {tick(jobs[0].tick)} has {len(jobs)} Jobs: in {where}"


def _is_excused(one: Made, later: Made, world: World) -> bool:
    return (
        _is_unknown(one, later, world)
        or _was_refused(one, later, world)
        or _was_on_its_way(one, later, world)
        or _left_as_its_sender_woke(one, later, world)
        or _left_by_a_clock_that_is_behind(one, later)
    )


def _is_unknown(one: Made, later: Made, world: World) -> bool:
    """Whether nobody could tell of a Job: when the broker's data was lost, or only by what somebody has deleted by hand."""
    if one.forgotten:
        return True
    by_hand = one.by_hand and one.gone_at is not None and one.gone_at <= later.at
    was_lost = any(_given(one.fencing) - world.clocks_differ <= wiped <= one.at for wiped in world.wiped)  # and only then made
    return by_hand and (one.unshown or (one.unheard and (was_lost or one.attempt < later.attempt)))


def _was_refused(one: Made, later: Made, world: World) -> bool:
    """Whether its cluster had refused a Job, before it made it after all, for who had not heard that it was settled."""
    settled = _given(max(one.fencing, later.fencing)) + world.clocks_differ + TOLD_WITHIN
    return any(
        _had_been_refused(it, world) and it.asked.heard_at <= settled
        for it in (one, later)
        if it.attempt < max(one.attempt, later.attempt)
    )


def _had_been_refused(one: Made, world: World) -> bool:
    """Whether its cluster had said no to it by the time it made it."""
    return any(at <= one.at for at in world.clusters[one.cluster].refused.get(one.job, ()))


def _was_on_its_way(one: Made, later: Made, world: World) -> bool:
    """Whether one of two Jobs in two clusters had been decided, and not been made, when the broker's data was lost.

    Who asked for it had not heard anything since.
    """
    lost = [
        (it, wiped) for it in (one, later) for wiped in world.wiped if wiped <= it.at and it.asked.heard_at <= wiped + TOLD_WITHIN
    ]
    return one.cluster != later.cluster and any(_given(it.fencing) - world.clocks_differ <= wiped for it, wiped in lost)


def _left_as_its_sender_woke(one: Made, later: Made, world: World) -> bool:
    """Whether who made it again had been frozen after its last look at the clock, until the name was free."""
    if one.gone_at is None or one.gone_at > later.at:
        return False
    slept = [(since, until) for name, since, until in world.frozen if name == later.by and until == later.asked.at]
    return any(until - since > NAME_KEPT and later.asked.looked_at <= since + world.clocks_differ for since, until in slept)


def _left_by_a_clock_that_is_behind(one: Made, later: Made) -> bool:
    """Whether who made it again asked for it when it was too late, and did not know, until the name was free."""
    if one.gone_at is None or one.gone_at > later.at:
        return False
    return later.asked.at > _start_by(later) and later.asked.at - later.asked.looked_at > MARGIN


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
        if not all(_was_wiped_between(number, number, world) for number in twice):
            yield f"{short(key)}: two runs have the same fencing number: {sorted(runs.values())}"
        for (identity, when, attempt), number in runs.items():
            before = runs.get((identity, when, attempt - 1))
            if before is not None and number <= before and not _was_wiped_between(number, before, world):
                yield f"{short(key)} {tick(when)}: attempt {attempt} has the fencing number {number}, the one before {before}"


def _was_wiped_between(earlier: int, later: int, world: World) -> bool:
    """Whether the broker's data was lost after the one fencing number had been given, and before the other was."""
    return any(_given(earlier) - world.clocks_differ <= wiped <= _given(later) + world.clocks_differ for wiped in world.wiped)


def _given(fencing: int) -> datetime:
    """Return when a fencing number was given, at the earliest, by the clock of who decided."""
    return datetime.fromtimestamp(fencing / 1000, UTC)


def _start_by(one: Made) -> datetime:
    return max(one.tick, _given(one.fencing)) + STARTS_WITHIN


def _early(made: Iterable[Made], clocks_differ: timedelta) -> Iterable[str]:
    for one in made:
        if one.at < one.tick - clocks_differ:
            yield f"{short(one.key)} {tick(one.tick)} was made before its time, at {clock(one.at)}"


def _late(made: Iterable[Made], leeway: timedelta) -> Iterable[str]:
    """No Job is made when its run has long been given up, but by who was frozen after the last look at the clock."""
    for one in made:
        if one.at > _start_by(one) + REQUEST_LIVES + leeway:
            decided = clock(_given(one.fencing))
            yield f"{short(one.key)} {tick(one.tick)} was made at {clock(one.at)}, and had been decided at {decided}"


def _overlapping(made: Sequence[Made], cronjobs: Mapping[Key, CronJob], world: World) -> Iterable[str]:
    """Forbid and Replace: one Job at a time in all clusters; Queue: maxActive. (AtLeastOnce may give one up that still runs.)

    But what had been decided when the broker's data was lost is known to nobody afterwards, also if its Job is made only then.
    And of a cluster that is to be forgotten people say that nothing runs there.
    And what was taken back runs all the same where nobody has heard of that.
    """
    by_cronjob: dict[tuple[Key, str], list[Made]] = defaultdict(list)
    identity: dict[Key, str] = {}  # of the cronjob; the runs that were demanded bear their demand's
    for one in made:
        identity[one.key] = identity.get(one.key, "") if one.demand else one.cronjob
        cronjob = cronjobs.get(one.key)
        if cronjob and cronjob.policy is not ConcurrencyPolicy.ALLOW and cronjob.guarantee is Guarantee.AT_MOST_ONCE:
            by_cronjob[one.key, identity[one.key]].append(one)
    for (key, _), jobs in by_cronjob.items():
        cronjob = cronjobs[key]
        for number, one in enumerate(jobs):
            beside = [other for other in jobs[:number] if other.over is None or other.over > one.at]
            beside = [other for other in beside if not _was_wiped_between(*sorted((one.fencing, other.fencing)), world)]
            beside = [other for other in beside if not any(at <= one.at for at in world.forgotten.get(other.cluster, ()))]
            if len(beside) < most_at_once(cronjob):
                continue
            taken_back = _taken_back(world)
            beside = [other for other in beside if not _is_no_run(other, taken_back, made, world)]
            if not _is_no_run(one, taken_back, made, world) and len(beside) >= most_at_once(cronjob):
                others = ", ".join(tick(other.tick) for other in beside)
                yield f"{short(key)} {tick(one.tick)} began at {clock(one.at)} beside {others}"


def _taken_back(world: World) -> dict[int, datetime]:
    """Return what was taken back, by its fencing number, and when that was written. All ledgers are read for it."""
    courses = [course for said in decided(world) for course in said.courses.values()]
    return {number: at for course in courses for number, at in course.taken_back.items()}


def _was_taken_back(one: Made, taken_back: Mapping[int, datetime], world: World) -> bool:
    """Whether a run was taken back, and its Job made by who had not heard of that."""
    at = taken_back.get(one.fencing)
    return at is not None and one.asked.heard_at <= at + world.clocks_differ + TOLD_WITHIN


def _is_no_run(one: Made, taken_back: Mapping[int, datetime], made: Sequence[Made], world: World) -> bool:
    """Whether a Job is none that anybody knows of: taken back, refused, or of a tick that had run before the data was lost."""
    if _was_taken_back(one, taken_back, world) or one.job in world.clusters[one.cluster].refused:
        return True
    before = [it for it in made if (it.key, it.cronjob, it.tick) == (one.key, one.cronjob, one.tick) and it.at < one.at]
    return any(_is_unknown(it, one, world) for it in before)
