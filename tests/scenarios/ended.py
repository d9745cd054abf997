"""What must have become of ticks when nothing is wrong any more: what was admitted has run, and each has its verdict.

What was decided is read from the ledger (`decided`), what ran from the clusters' API servers, and what people wanted from what
they declared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hacron.core import manifests
from hacron.core.model import ConcurrencyPolicy, CronJob, InvalidCronJob, Key, Kind, Run, name_of
from hacron.core.rules import Rules
from tests.fakes.kubernetes import Body, Made, all_made
from tests.scenarios import declared
from tests.scenarios.chronicle import clock, short, tick
from tests.scenarios.decided import Course, Decided, decided
from tests.scenarios.world import World

KNOWN_WITHIN = timedelta(minutes=2)  # what people have said
IS_TOLD_WITHIN = timedelta(seconds=3)  # that a Job has ended
ENDS_WITHIN = timedelta(seconds=60)
MOST_ATTEMPTS = 9
DECIDED_AHEAD, START_WINDOW = Rules().decide_ahead, Rules().start_window
COUNTED = 100  # ticks in one verdict; of more it only says that they are more


@dataclass(slots=True)
class Admitted:
    """A tick under AtLeastOnce."""

    jobs: list[Made] = field(default_factory=list)  # and tombstones, in the order in which they were made
    names: set[str] = field(default_factory=set)  # of the Jobs that it was to have
    is_open: bool = False


def unfinished(world: World) -> Iterable[str]:
    """AtLeastOnce: return the ticks that were admitted and have no Job that ended by itself, though nothing is wrong any more.

    Admitted is what was decided and not taken back. People may end that: by deleting the Job, by deleting, suspending or pausing
    the cronjob, or by a spec that cannot be understood; all of which may have become known only some time later. So may every
    cluster where it may run, if all of them refuse it.
    """
    may_run = _must_end(world)
    ends_within = {key: declared.longest_job(key, world) + IS_TOLD_WITHIN for key in may_run}
    rests = {key: _rested(key, world) for key in may_run}
    ledgers = decided(world)
    known_ended = {
        (course.key, course.identity): course.ended_at
        for said in ledgers
        for course in said.courses.values()
        if course.ended_at is not None
    }
    for (key, identity, when), one in _admitted(ledgers, world, may_run).items():
        begun = min([when, *(job.at for job in one.jobs)])
        known_by = begun - KNOWN_WITHIN
        ended = any(job.how in ("Complete", "Failed") for job in one.jobs if not job.tombstone)
        goes_on = any(job.over is None and job.at > world.now - ends_within[key] for job in one.jobs)
        goes_on = goes_on or (one.is_open and when > world.now - ENDS_WITHIN)
        by_people = any(job.by_hand or job.how == "collected" for job in one.jobs) or any(
            at >= known_by for at in [*rests[key], *world.wiped]
        )
        by_people = by_people or _was_to_be_forgotten(key, world)
        known_at = known_ended.get((key, identity))
        if known_at is not None and known_at > begun - DECIDED_AHEAD:
            by_people = by_people or any(at <= known_at for at in rests[key])  # however late it became known
        if ended or goes_on or by_people or len(one.names) >= MOST_ATTEMPTS:
            continue
        if not _refused_everywhere(key, one.names, known_by, world):
            yield f"{short(key)} {tick(when)} was admitted and has not run to its end"


def _must_end(world: World) -> set[Key]:
    """Return the cronjobs that were under AtLeastOnce all the while, and never under `Replace`: a newer tick ends others."""
    cronjobs = [*declared.ever(world)]
    may_not = {key for key, one in cronjobs if not declared.may_run_again(one) or one.policy is ConcurrencyPolicy.REPLACE}
    return {key for key, _ in cronjobs} - may_not


def untold(world: World) -> Iterable[str]:
    """Return the ticks that have no verdict: of those that were decided, and, where nobody ever changed it, of the schedule."""
    for said in decided(world)[-1:]:
        for course in said.courses.values():
            yield from (f"{short(course.key)} {tick(when)} has no verdict" for when in _without_verdict(course, said, world))


def brought_back(world: World) -> Iterable[str]:
    """Return the cronjobs that went on although nobody declared them any more; who is made anew is another one."""
    for said in decided(world):
        for course in said.courses.values():
            excused = _was_to_be_forgotten(course.key, world) or _was_put_back(course.key, world)
            if course.brought_back_at is not None and not excused:
                yield f"{short(course.key)} was brought back at {clock(course.brought_back_at)}, after its end"


def unearned(world: World) -> Iterable[str]:
    """Return the HACronJobRuns that show more successes than Jobs of theirs have ended well since they were made.

    Of those that only one cluster ever had: who has the same one in another joins it, and what it did.
    """
    homes: dict[Key, set[str]] = defaultdict(set)
    for cluster in world.clusters.values():
        for _, key, kind, _ in cluster.annals:
            if kind is Kind.DEMAND:
                homes[key].add(cluster.name)
    made = all_made(list(world.clusters.values()))
    for cluster in world.clusters.values():
        for key, body in cluster.demands.items():
            uid, shown = body["metadata"]["uid"], body.get("status", {}).get("succeeded") or 0
            if not shown or len(homes[key]) > 1:
                continue
            since = min(at for at, whose, _, said in cluster.annals if whose == key and said and said["metadata"]["uid"] == uid)
            well = {one.tick for one in made if one.demand == name_of(key) and one.at >= since and one.how == "Complete"}
            if shown > len(well):
                yield f"{short(key)} shows {shown} successes in {cluster.name} and has {len(well)} since {clock(since)}"


def _admitted(ledgers: Iterable[Decided], world: World, keys: Collection[Key]) -> dict[tuple[Key, str, datetime], Admitted]:
    """Return what was decided of these cronjobs, and whatever has taken a name."""
    found: dict[tuple[Key, str, datetime], Admitted] = defaultdict(Admitted)
    for said in ledgers:
        for course in said.courses.values():
            for run in course.runs.values() if course.key in keys else ():
                one = found[course.key, course.identity, run.tick]
                one.names.add(run.job)
                one.is_open |= run.id in course.open
    for made in all_made(list(world.clusters.values())):
        if made.key in keys and not made.demand:
            one = found[made.key, made.cronjob, made.tick]
            one.jobs.append(made)
            one.names.add(made.job)
    return found


def _refused_everywhere(key: Key, names: Collection[str], since: datetime, world: World) -> bool:
    """Whether every cluster where it might run all the while has refused one of its Jobs, and at least one has."""
    refused_by = {cluster.name for cluster in world.clusters.values() if any(name in names for name in cluster.refused)}
    return bool(refused_by) and _where(key, since, world) <= refused_by


def _where(key: Key, since: datetime, world: World) -> set[str]:
    """Return the clusters where a cronjob might run whichever home counted, since then."""
    wanted = [set(found.placement.clusters) for _, found in _words(key, world, since) if isinstance(found, CronJob)]
    return set.intersection(*wanted) if wanted else set()


def _words(key: Key, world: World, since: datetime) -> Iterator[tuple[datetime, CronJob | InvalidCronJob | None]]:
    """Yield what people said of a cronjob, in force then or later, and when they said it; None: that it is to be no more."""
    for cluster in world.clusters.values():
        said = [(at, body) for at, whose, kind, body in cluster.annals if (whose, kind) == (key, Kind.CRONJOB)]
        before = [one for one in said if one[0] <= since][-1:]
        for at, body in [*before, *(one for one in said if one[0] > since)]:
            yield at, _read(key, body)


def _read(key: Key, body: Body | None) -> CronJob | InvalidCronJob | None:
    return declared.read(key, body) if body is not None else None


def _rested(key: Key, world: World) -> list[datetime]:
    """Return when people said of a cronjob that it is not to fire, and when that ended: now, if all of them still say so."""
    instants, last_words = [], []
    for cluster in world.clusters.values():
        rests = known = False
        for at, whose, kind, body in cluster.annals:
            if (whose, kind) != (key, Kind.CRONJOB):
                continue
            was, rests = rests, body is None or not _fires(key, body)
            instants += [at] if was or rests else []
            known = True
        last_words += [rests] if known else []
    return [*instants, world.now] if all(last_words) else instants


def _was_to_be_forgotten(key: Key, world: World) -> bool:
    """Whether a cluster that declared a cronjob was to be forgotten: it did not count there for a while."""
    return any(
        key == whose and kind is Kind.CRONJOB for name in world.forgotten for _, whose, kind, _ in world.clusters[name].annals
    )


def _was_put_back(key: Key, world: World) -> bool:
    """Whether an object that was gone was there again: its cluster was put back from a backup."""
    for cluster in world.clusters.values():
        gone: set[str] = set()
        last = ""
        for _, whose, kind, body in cluster.annals:
            if (whose, kind) == (key, Kind.CRONJOB):
                uid = body["metadata"]["uid"] if body is not None else ""
                gone |= {last} - {uid, ""}
                if uid in gone:
                    return True
                last = uid
    return False


def _fires(key: Key, body: Body) -> bool:
    found = _read(key, body)
    return isinstance(found, CronJob) and not found.suspend and manifests.declared("", body).pause is None


def _without_verdict(course: Course, said: Decided, world: World) -> Iterator[datetime]:
    verdicts = said.verdicts.get(course.key, set())
    told = {verdict.tick for verdict in verdicts}
    for run in course.runs.values():
        if run.tick not in told and not (run.id in course.open and due_at(run) > world.now - ENDS_WITHIN):
            yield run.tick
    cronjob = _never_changed(course.key, world)
    if cronjob is None or world.wiped or _was_to_be_forgotten(course.key, world):
        return
    ticks = _ticks(cronjob, course)
    for verdict in verdicts:
        if verdict.count > 1:
            told.update(ticks if verdict.count > COUNTED else [when for when in ticks if when <= verdict.tick][-verdict.count :])
    decided_on = told | {run.tick for run in course.runs.values()}
    yield from (when for when in ticks if when not in decided_on)


def due_at(run: Run) -> datetime:
    """Return when a run was to start: at its tick, or when it was decided later than that."""
    return max(run.tick, run.start_by - START_WINDOW)


def _never_changed(key: Key, world: World) -> CronJob | None:
    """Return a cronjob of which nobody ever said anything else about when it is to fire."""
    found = None
    for cluster in world.clusters.values():
        for _, whose, kind, body in cluster.annals:
            if (whose, kind) != (key, Kind.CRONJOB):
                continue
            one = _read(key, body)
            if body is None or not isinstance(one, CronJob) or not _fires(key, body):
                return None
            if found is not None and one.schedule != found.schedule:
                return None
            found = one
    return found


def _ticks(cronjob: CronJob, course: Course) -> list[datetime]:
    found, at = [], cronjob.schedule.next_after(course.since, base=course.since)
    while at is not None and at <= course.until:
        found.append(at)
        at = cronjob.schedule.next_after(at, base=course.since)
    return found
