"""What must hold in any world, whatever has happened in it: read from the clusters' API servers, nothing else is believed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hacron.core.admission import most_at_once
from hacron.core.model import ConcurrencyPolicy, CronJob, Key
from hacron.core.namelock import REQUEST_LIVES
from tests.fakes.kubernetes import Made, all_made
from tests.scenarios import declared
from tests.scenarios.chronicle import clock, short, tick
from tests.scenarios.decided import GivenUp, Number, decided, heard_last, was_heard
from tests.scenarios.world import MARGIN, Named, World

STARTS_WITHIN = timedelta(seconds=20)
NAME_KEPT = timedelta(seconds=60)  # at least
TOLD_WITHIN = timedelta(seconds=1)  # the ledger says that a Job was made


def wrong(world: World) -> list[str]:
    """Return a sentence for everything that must never happen and did."""
    made = _made(world)
    cronjobs = declared.at_least(world)
    return [
        *_doubled(made, cronjobs, world),
        *_orphaned(made, world),
        *_unfenced(made, world),
        *_early(made, world.clocks_differ),
        *_late(made, world),
        *_overlapping(made, cronjobs, world),
    ]


def _made(world: World) -> list[Made]:
    """Return the Jobs that count: no tombstones, and none that their cluster deleted as it made them, as their owner was gone."""
    named = all_made(list(world.clusters.values()))
    return [one for one in named if not one.tombstone and not world.clusters[one.cluster].came_to_nothing(one)]


def _doubled(made: Iterable[Made], cronjobs: Mapping[Key, CronJob], world: World) -> Iterable[str]:
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
        _took_the_lock_away(one, later, world)
        or _is_of_another_cronjob(one, later, world)
        or _is_unknown(one, later, world)
        or _was_refused(one, later, world)
        or _was_on_its_way(one, later, world)
        or _left_as_its_sender_woke(one, later, world)
        or _left_by_a_clock_that_is_behind(one, later)
    )


def _took_the_lock_away(one: Made, later: Made, world: World) -> bool:
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
    since, until = min(one.at, _given(one.fencing) - world.clocks_differ), later.at
    homes = {name for name, cluster in world.clusters.items() if any(key == one.key for _, key, _, _ in cluster.annals)}
    return (
        declared.is_another(one.key, since, until, world)
        or any(since <= wiped <= until for wiped in world.wiped)
        or any(_overlaps(time, since, until) for home in homes for time in world.forgotten.get(home, ()))
    )


def _overlaps(time: Named, since: datetime, until: datetime) -> bool:
    return time.since <= until and (time.until is None or time.until >= since)


def _is_unknown(one: Made, later: Made, world: World) -> bool:
    """Whether nobody could tell of a Job: when the broker's data was lost, or only by what somebody has deleted by hand."""
    until = later.at + world.clocks_differ
    if one.forgotten_at is not None and one.forgotten_at <= until:
        return True
    by_hand = one.by_hand and one.gone_at is not None and one.gone_at <= later.at
    was_lost = any(_given(one.fencing) - world.clocks_differ <= wiped <= one.at for wiped in world.wiped)  # and only then made
    is_unshown = one.unshown_at is not None and one.unshown_at <= until
    return by_hand and (is_unshown or ((was_lost or one.attempt < later.attempt) and not was_heard(one, world)))


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
    if one.gone_at is None or one.gone_at > later.at or later.at < one.at + NAME_KEPT:
        return False
    return later.asked.at > _start_by(later) and later.asked.at - later.asked.looked_at > MARGIN


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


def _late(made: Iterable[Made], world: World) -> Iterable[str]:
    """No Job is made when its run has long been given up, but by who was frozen after the last look at the clock."""
    for one in made:
        if one.at > _start_by(one) + REQUEST_LIVES + world.clocks_differ + _frozen_after_its_look(one, world):
            decided = clock(_given(one.fencing))
            yield f"{short(one.key)} {tick(one.tick)} was made at {clock(one.at)}, and had been decided at {decided}"


def _frozen_after_its_look(one: Made, world: World) -> timedelta:
    """Return for how long who asked for a Job was frozen, from the last look at the clock until the request left."""
    looked_at, left_at = one.asked.looked_at - world.clocks_differ, one.asked.at
    slept = [min(until, left_at) - max(since, looked_at) for name, since, until in world.frozen if name == one.by]
    return sum((span for span in slept if span > timedelta()), timedelta())


def _overlapping(made: Sequence[Made], cronjobs: Mapping[Key, CronJob], world: World) -> Iterable[str]:
    """Forbid and Replace: one Job at a time in all clusters; Queue: maxActive."""
    said = Said.of(world, cronjobs)
    for (key, _), jobs in _that_wait_for_each_other(made, cronjobs).items():
        cronjob = cronjobs[key]
        for number, one in enumerate(jobs):
            beside = [other for other in jobs[:number] if other.over is None or other.over > one.at]
            beside = [other for other in beside if not _may_run_beside(other, one, world)]
            if len(beside) < most_at_once(cronjob):
                continue
            beside = [other for other in beside if not _is_no_run(other, one, said, world)]
            if len(beside) >= most_at_once(cronjob) and not _is_no_run(one, one, said, world):
                others = ", ".join(tick(other.tick) for other in beside)
                yield f"{short(key)} {tick(one.tick)} began at {clock(one.at)} beside {others}"


def _that_wait_for_each_other(made: Iterable[Made], cronjobs: Mapping[Key, CronJob]) -> dict[tuple[Key, str], list[Made]]:
    """Return the Jobs of each cronjob, by its identity, that may not all run at the same time."""
    found: dict[tuple[Key, str], list[Made]] = defaultdict(list)
    identity: dict[Key, str] = {}  # of the cronjob; the runs that were demanded bear their demand's
    for one in made:
        identity[one.key] = identity.get(one.key, "") if one.demand else one.cronjob
        cronjob = cronjobs.get(one.key)
        if cronjob and cronjob.policy is not ConcurrencyPolicy.ALLOW:
            found[one.key, identity[one.key]].append(one)
    return found


def _may_run_beside(one: Made, later: Made, world: World) -> bool:
    """Whether nobody could know of a Job when the later one was decided, or people had said that there is none.

    What had been decided when the broker's data was lost is known to nobody afterwards, also if its Job is made only then. And of
    a cluster that is to be forgotten people say that nothing runs there.
    """
    lost = _was_wiped_between(*sorted((one.fencing, later.fencing)), world)
    return lost or _was_given_up_with_its_cluster(one, later, world)


def _was_given_up_with_its_cluster(one: Made, later: Made, world: World) -> bool:
    """Whether its cluster was to be forgotten when the later one was decided, or when it was and some time before that."""
    decided_at, later_at = _given(one.fencing) - world.clocks_differ, _given(later.fencing) + world.clocks_differ
    return any(_overlaps(time, decided_at, later_at) for time in world.forgotten.get(one.cluster, ()))


@dataclass(frozen=True, slots=True)
class Said:
    """What the ledgers say of runs, and when that was written."""

    taken_back: Mapping[Number, datetime]
    never_began: Mapping[Number, datetime]
    given_up: Mapping[Number, GivenUp]  # under AtLeastOnce
    stopping: Mapping[Number, datetime]  # likewise

    @classmethod
    def of(cls, world: World, cronjobs: Mapping[Key, CronJob]) -> Said:
        ledgers = decided(world)
        courses = [course for said in ledgers for course in said.courses.values()]
        taken_back = {(course.key, number): at for course in courses for number, at in course.taken_back.items()}
        never_began = {number: at for said in reversed(ledgers) for number, at in said.never_began.items()}
        given_up = {number: at for said in reversed(ledgers) for number, at in said.given_up.items()}
        stopping = {number: at for said in reversed(ledgers) for number, at in said.stopping.items()}
        again = {key for key, cronjob in cronjobs.items() if declared.may_run_again(cronjob)}
        return cls(
            taken_back,
            never_began,
            {number: up for number, up in given_up.items() if number[0] in again},
            {number: at for number, at in stopping.items() if number[0] in again},
        )


def _is_no_run(one: Made, later: Made, said: Said, world: World) -> bool:
    """Whether a Job is of a run that was over when the later one was made, as far as known, or of a tick that had run already.

    Over is what was taken back, where nobody had heard of that; what was refused, and made after all; and, under AtLeastOnce,
    what was given up although it may still run, or was told to stop in a cluster that was silent for too long. A tick runs again
    where nobody could tell of its first Job, or somebody has deleted that.
    """
    number = one.key, one.fencing
    if _was_taken_back(one, said.taken_back.get(number), world):
        return True
    never_at, until = said.never_began.get(number), later.at + world.clocks_differ
    if never_at is not None and never_at <= until and _had_been_refused(one, world):
        return True
    up = said.given_up.get(number)
    if up is not None and up.since <= until and (up.until is None or _given(later.fencing) <= up.until + world.clocks_differ):
        return True
    told_at, decided_by = said.stopping.get(number), _given(later.fencing) + world.clocks_differ
    if told_at is not None and told_at <= decided_by and _was_silent(one.cluster, decided_by, world):
        return True
    same = [it for it in _made(world) if (it.key, it.cronjob, it.tick) == (one.key, one.cronjob, one.tick)]
    return any(_is_unknown(it, one, world) or _took_the_lock_away(it, one, world) for it in same if it.at < one.at)


def _was_silent(cluster: str, at: datetime, world: World) -> bool:
    """Whether nothing had been heard of a cluster for so long that its runs are given up."""
    patience = timedelta(seconds=min(process.settings.lost_after_s for process in world.processes.values()))
    heard_at = heard_last(cluster, at, world)
    return heard_at is None or heard_at + patience <= at


def _was_taken_back(one: Made, at: datetime | None, world: World) -> bool:
    """Whether a run was taken back, and its Job made by who had not heard of that."""
    return at is not None and one.asked.heard_at <= at + world.clocks_differ + TOLD_WITHIN
