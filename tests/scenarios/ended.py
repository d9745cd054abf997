"""What must have become of ticks when nothing is wrong any more: what was admitted has run, and each has its verdict.

What was decided is read from the ledger (`decided`), what ran from the clusters' API servers, and what people wanted from what
they declared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from hacron.core import manifests
from hacron.core.model import ConcurrencyPolicy, CronJob, Key, Kind, Run, name_of
from hacron.core.rules import Rules
from tests.fakes.kubernetes import Body, FakeCluster, Made, all_made
from tests.scenarios import declared, ticks
from tests.scenarios.chronicle import clock, short, tick
from tests.scenarios.decided import Course, Decided, heard_last
from tests.scenarios.resting import FOR_EVER, NEVER, Span, resting
from tests.scenarios.world import World

KNOWN_WITHIN = timedelta(minutes=2)  # what people have said
IS_TOLD_WITHIN = timedelta(seconds=3)  # that a Job has ended
MAY_BE_LATE = timedelta(seconds=10)  # that it is written that a run has ended
MOST_ATTEMPTS = 9
DECIDED_AHEAD, START_WINDOW = Rules().decide_ahead, Rules().start_window
COUNTED = 100  # ticks in one verdict; of more it only says that they are more


@dataclass(slots=True)
class Admitted:
    """A tick under AtLeastOnce."""

    jobs: list[Made] = field(default_factory=list)  # and tombstones, in the order in which they were made
    names: set[str] = field(default_factory=set)  # of the Jobs that it was to have
    is_open: bool = False
    closed_at: datetime | None = None  # as the last ledger says that knew of it


def unfinished(world: World, ledgers: Sequence[Decided]) -> Iterable[str]:
    """AtLeastOnce: return the ticks that were admitted and have no Job that ended by itself, though nothing is wrong any more.

    Admitted is what was decided and not taken back. People may end that: by deleting the Job, by deleting, suspending or pausing
    the cronjob, or by a spec that cannot be understood; of which the ledger must have said so between the run's decision and its
    end. So may every cluster where it may run, if all of them refuse it; and its deadline, as long as it has not begun. And it is
    lost with the broker's data.
    """
    may_run, noted = _must_end(world), resting(world)
    ends_within = {key: declared.longest_job(key, world) + IS_TOLD_WITHIN for key in may_run}
    rests = {key: _rests(key, world) for key in may_run}
    known_ended = {
        (course.key, course.identity): course.ended_at
        for said in ledgers
        for course in said.courses.values()
        if course.ended_at is not None
    }
    for (key, identity, when), one in _admitted(ledgers, world, may_run).items():
        ended = any(job.how in ("Complete", "Failed") for job in one.jobs if not job.tombstone)
        if ended or len(one.names) >= MOST_ATTEMPTS or _goes_on(key, when, one, ends_within[key], world):
            continue
        begun = min([when, *(job.at for job in one.jobs)])
        counts = Span(begun - KNOWN_WITHIN, one.closed_at + world.clocks_differ if one.closed_at is not None else world.now)
        by_people = any(_was_taken_away(job, world) for job in one.jobs) or _was_to_be_forgotten(key, world)
        by_people = by_people or any(map(counts.has, world.wiped))
        decided = Span(begun - DECIDED_AHEAD - world.clocks_differ, counts.end)
        by_people = by_people or any(decided.meets(rest) for rest in noted.get(key, ()))
        known_at = known_ended.get((key, identity))
        if known_at is not None and begun - DECIDED_AHEAD < known_at <= counts.end:
            known_by = known_at + world.clocks_differ
            by_people = by_people or any(rest.begin <= known_by for rest in rests[key])  # however late it became known
        if not (by_people or _refused_everywhere(key, one.names, counts, world) or _came_too_late(key, when, one, counts, world)):
            yield f"{short(key)} {tick(when)} was admitted and has not run to its end"


def may_be_open_for(key: Key, world: World) -> timedelta:
    """Return how long after it was decided a run of a cronjob has ended, and this is written, if nothing is wrong."""
    return START_WINDOW + declared.longest_job(key, world) + MAY_BE_LATE


def _goes_on(key: Key, when: datetime, one: Admitted, ends_within: timedelta, world: World) -> bool:
    runs = any(job.over is None and job.at > world.now - ends_within for job in one.jobs)
    return runs or (one.is_open and when > world.now - may_be_open_for(key, world))


def _must_end(world: World) -> set[Key]:
    """Return the cronjobs that were under AtLeastOnce all the while, and never under `Replace`: a newer tick ends others."""
    cronjobs = [*declared.ever(world)]
    may_not = {key for key, one in cronjobs if not declared.may_run_again(one) or one.policy is ConcurrencyPolicy.REPLACE}
    return {key for key, _ in cronjobs} - may_not


def untold(world: World, ledgers: Sequence[Decided]) -> Iterable[str]:
    """Return the ticks that have no verdict: of those that were decided, and, where nobody ever changed it, of the schedule."""
    for said in ledgers[-1:]:
        for course in said.courses.values():
            yield from (f"{short(course.key)} {tick(when)} has no verdict" for when in _without_verdict(course, said, world))


def brought_back(world: World, ledgers: Sequence[Decided]) -> Iterable[str]:
    """Return the cronjobs that went on although nobody declared them any more; who is made anew is another one."""
    for said in ledgers:
        for course in said.courses.values():
            excused = _was_to_be_forgotten(course.key, world) or _was_put_back(course.key, world)
            if course.brought_back_at is not None and not excused:
                yield f"{short(course.key)} was brought back at {clock(course.brought_back_at)}, after its end"


def needless(ledgers: Sequence[Decided]) -> Iterable[str]:
    """Return the attempts that were begun although the ledger said that a Job of the tick had ended by itself.

    Where a cronjob was made anew, the other of its name may have had the same tick.
    """
    for said in ledgers:
        for key, run in said.needless:
            if sum(course.key == key for course in said.courses.values()) == 1:
                yield f"{short(key)} {tick(run.tick)} has attempt {run.attempt}, and had run to its end"


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
                one.closed_at = course.closed.get(run.tick)
    for made in all_made(list(world.clusters.values())):
        if made.key in keys and not made.demand:
            one = found[made.key, made.cronjob, made.tick]
            one.jobs.append(made)
            one.names.add(made.job)
    return found


def came_to_nothing(made: Made) -> bool:
    """Whether a Job was collected as it was made, by a cluster that did not know its owner: it has not run."""
    return made.how == "collected" and made.over == made.at


def _was_taken_away(made: Made, world: World) -> bool:
    """Whether people have ended a Job: deleted it, or its HACronJob. One that came to nothing may have never had one."""
    return made.by_hand and not (came_to_nothing(made) and not _had_lost_its_owner(made, world))


def _had_lost_its_owner(made: Made, world: World) -> bool:
    """Whether its HACronJob was gone from its cluster, or was another by then, and who made the Job may not have known."""
    annals = world.clusters[made.cluster].annals
    said = [(at, body) for at, key, kind, body in annals if (key, kind) == (made.key, Kind.CRONJOB) and at <= made.at]
    known_by = made.asked.heard_at - KNOWN_WITHIN
    known_by = min([known_by, *(since for who, since, until in world.frozen if who == made.by and until >= known_by)])
    known_by = min([known_by, *(since - KNOWN_WITHIN for since, until in world.unheard if until >= known_by)])
    owners = [*[one for one in said if one[0] <= known_by][-1:], *(one for one in said if one[0] > known_by)]
    uids = [body["metadata"]["uid"] if body is not None else "" for _, body in owners]
    return any(uid and uid != uids[-1] for uid in uids)


def _refused_everywhere(key: Key, names: Collection[str], counts: Span, world: World) -> bool:
    """Whether all clusters that somebody named, as far as was known when it was over, have refused one of its Jobs."""
    refused_by = {cluster.name for cluster in world.clusters.values() if any(name in names for name in cluster.refused)}
    known_since = max(counts.begin, counts.end - KNOWN_WITHIN)
    for home in world.clusters.values() if refused_by else ():
        heard_at = heard_last(home.name, counts.end, world)
        since = min(known_since, heard_at - KNOWN_WITHIN) if heard_at is not None else NEVER
        if any(set(cronjob.placement.clusters) <= refused_by for cronjob in _said_in(home, key, Span(since, counts.end))):
            return True
    return False


def _came_too_late(key: Key, when: datetime, one: Admitted, counts: Span, world: World) -> bool:
    """Whether no Job of a tick was made, and its deadline had passed when it was over."""
    deadlines = [cronjob.starting_deadline_s for cronjob in _said(key, counts, world) if cronjob.starting_deadline_s is not None]
    begun = any(not job.tombstone for job in one.jobs)
    return bool(deadlines) and not begun and when + timedelta(seconds=min(deadlines)) <= counts.end


def _said(key: Key, span: Span, world: World) -> Iterator[CronJob]:
    """Yield what was in force of a cronjob in that while, in any cluster, as far as it can be understood."""
    for cluster in world.clusters.values():
        yield from _said_in(cluster, key, span)


def _said_in(home: FakeCluster, key: Key, span: Span) -> Iterator[CronJob]:
    said = [(at, body) for at, whose, kind, body in home.annals if (whose, kind) == (key, Kind.CRONJOB) and at <= span.end]
    for _, body in [*[one for one in said if one[0] <= span.begin][-1:], *(one for one in said if one[0] > span.begin)]:
        found = declared.read(key, body) if body is not None else None
        if isinstance(found, CronJob):
            yield found


def _rests(key: Key, world: World) -> list[Span]:
    """Return from when until when people said of a cronjob that it is not to fire.

    Of last words, which hold until now, only where all of them say so; otherwise that they were said.
    """
    found, last = [], []
    for cluster in world.clusters.values():
        said = [(at, body) for at, whose, kind, body in cluster.annals if (whose, kind) == (key, Kind.CRONJOB)]
        for (at, body), (until, _) in pairwise(said):
            found += [Span(at, min(until, _rests_until(key, body)))] if not _fires(key, body, at) else []
        last += said[-1:]
    all_rest = all(not _fires(key, body, world.now) for _, body in last)
    return [*found, *(Span(at, world.now if all_rest else at) for at, body in last if not _fires(key, body, at))]


def _fires(key: Key, body: Body | None, at: datetime) -> bool:
    """Whether a cronjob was to fire at that time, by this word."""
    return _rests_until(key, body) <= at


def _rests_until(key: Key, body: Body | None) -> datetime:
    """Return until when it was not to fire: from the beginning of time, if it was."""
    found = declared.read(key, body) if body is not None else None
    if not isinstance(found, CronJob) or found.suspend:
        return FOR_EVER
    paused = manifests.declared("", body).pause
    return NEVER if paused is None else paused.until or FOR_EVER


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


def _without_verdict(course: Course, said: Decided, world: World) -> Iterator[datetime]:
    verdicts = said.verdicts.get(course.key, set())
    told = {verdict.tick for verdict in verdicts}
    for run in course.runs.values():
        if run.tick not in told and not (run.id in course.open and due_at(run) > world.now - may_be_open_for(course.key, world)):
            yield run.tick
    schedule = _never_changed(course.key, world)
    if schedule is None or world.wiped or _was_to_be_forgotten(course.key, world):
        return
    scheduled = ticks.between(schedule, course.since, course.until, known=course.since)
    for verdict in verdicts:
        if verdict.count > 1:
            before = [when for when in scheduled if when <= verdict.tick]
            told.update(scheduled if verdict.count > COUNTED else before[-verdict.count :])
    decided_on = told | {run.tick for run in course.runs.values()}
    yield from (when for when in scheduled if when not in decided_on)


def due_at(run: Run) -> datetime:
    """Return when a run was to start: at its tick, or when it was decided later than that."""
    return max(run.tick, run.start_by - START_WINDOW)


def _never_changed(key: Key, world: World) -> str | None:
    """Return the schedule of a cronjob of which nobody ever said anything else about when it is to fire."""
    found = None
    for cluster in world.clusters.values():
        for _, whose, kind, body in cluster.annals:
            if (whose, kind) != (key, Kind.CRONJOB):
                continue
            if body is None or _rests_until(key, body) is not NEVER:
                return None
            schedule = ticks.schedule_of(body["spec"])
            if found is not None and schedule != found:
                return None
            found = schedule
    return found
