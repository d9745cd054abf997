"""What must be so when nothing has been wrong for a while: everybody has a place, everything is known, every tick runs, once and
in time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise

import msgspec

from hacron.core import manifests
from hacron.core.messages import Demand
from hacron.core.model import ConcurrencyPolicy, CronJob, Key, RunState
from hacron.core.rules import Rules
from tests.fakes.kubernetes import Made, all_made
from tests.scenarios import declared, ticks
from tests.scenarios.chronicle import clock, short, tick
from tests.scenarios.ended import DECIDED_AHEAD, came_to_nothing, due_at, may_be_open_for
from tests.scenarios.folded import Fold, by_now, unread
from tests.scenarios.world import World

HEALS_WITHIN = timedelta(seconds=30)  # whatever was wrong has no more effect
FINDS_OUT_WITHIN = timedelta(seconds=55)  # that nobody of its cluster gets the worker token takes a replica 47 s
WATCHED_AT_LEAST, BRIEFLY = timedelta(seconds=45), timedelta(seconds=20)
MINUTES_TICK_TAKES = timedelta(seconds=20)  # to start, run and be told of
IN_TIME = timedelta(seconds=1)
HARDLY_LATE = timedelta(seconds=3)
DECIDED_IN_TIME = timedelta(seconds=1.2)  # made by another replica of its cluster, or by one that starts within a second
SHOWN_WITHIN = timedelta(seconds=5)
ALWAYS_SHOWN = Rules().recent_limit // 2  # of the latest ticks, whatever became of them and of those before
USUAL = timedelta(seconds=9)  # that a Job runs; queues are made for that


def heals_until(world: World) -> datetime:
    """Return when nothing that was wrong has an effect any more; it takes longer where the consumer of a queue is stuck."""
    takes = FINDS_OUT_WITHIN if world.broker.has_silent_consumers else HEALS_WITHIN
    return max(world.now + takes, *(cluster.all_landed_at + IN_TIME for cluster in world.clusters.values()))


def watched_until(healed: datetime, briefly: bool) -> datetime:
    """Return until when all must be well: if not briefly, what fires every minute has fired by then."""
    if briefly:
        return healed + BRIEFLY
    next_minute = healed.replace(second=0, microsecond=0) + timedelta(minutes=1)
    return max(healed + WATCHED_AT_LEAST, next_minute + MINUTES_TICK_TAKES)


def not_well(world: World, healed: datetime) -> Iterator[str]:
    """Return what is not as it should be; nothing has been wrong since a while before `healed`."""
    if world.executor is None or world.executor.session is None:
        yield "there is no executor"
        return
    for home in world.clusters:
        if world.worker(home) is None:
            yield f"{home} has no worker"
    for process in world.processes.values():
        if process.engine.worker_tally.held_back:
            yield f"{process.name} has asked about a run again and again"
    yield from unread(world)
    fold = by_now(world)
    yield from _unknown(world, fold)
    yield from _not_met(world, fold)
    yield from _unfinished(world, fold)
    made: dict[Key, list[Made]] = defaultdict(list)
    for one in all_made(list(world.clusters.values())):
        if not one.tombstone:
            made[one.key].append(one)
    for key in dict.fromkeys(key for cluster in world.clusters.values() for key in cluster.cronjobs):
        yield from _ill(key, world, fold, healed, made[key])
    for key, jobs in made.items():
        if not any(key in cluster.cronjobs for cluster in world.clusters.values()):
            yield from (f"{one} was made at {clock(one.at)}, though nobody declares it" for one in jobs if one.at >= healed)


def late(world: World, healed: datetime, since: datetime) -> Iterator[str]:
    """Return the ticks that were late because the executor was lost then, though nothing else has been wrong since `healed`.

    That they are decided ahead, and how soon somebody else decides, must be enough.
    """
    if world.executor is None or world.executor.session is None:
        yield f"nobody decides since the executor was lost at {clock(since)}"
        return
    made = [one for one in all_made(list(world.clusters.values())) if one.at >= healed]
    made = [one for one in made if not (one.demand or one.tombstone or came_to_nothing(one))]
    fold = by_now(world)
    for key in dict.fromkeys(key for cluster in world.clusters.values() for key in cluster.cronjobs):
        cronjob = fold.cronjob(key)
        if not isinstance(cronjob, CronJob) or cronjob.suspend or cronjob.policy is not ConcurrencyPolicy.ALLOW:
            continue
        ran = [one for one in made if one.key == key]
        begun = {one.tick for one in ran if one.at <= one.tick + _may_be_late_by(one.tick, since)}
        due = _due(key, fold, since, world.now - HARDLY_LATE, ran)
        yield from (
            f"{short(key)} {tick(one)} was late: the executor was lost at {clock(since)}" for one in due if one not in begun
        )


def _may_be_late_by(when: datetime, since: datetime) -> timedelta:
    """What had been decided by then waits for no executor."""
    return DECIDED_IN_TIME if when <= since + DECIDED_AHEAD else HARDLY_LATE


def _unknown(world: World, fold: Fold) -> Iterator[str]:
    for home, cluster in world.clusters.items():
        for key, body in cluster.cronjobs.items():
            noted, said = fold.definitions.get(key, {}).get(home), body["metadata"]
            is_known = noted is not None and (noted.uid, noted.generation) == (said["uid"], said["generation"])
            if noted is None or not is_known or msgspec.json.decode(noted.spec) != body["spec"]:
                yield f"{short(key)} as {home} declares it is not known"
    for key, homes in fold.definitions.items():
        for home in homes:
            if key not in world.cluster(home).cronjobs:
                yield f"{short(key)} is still known from {home}"


def _not_met(world: World, fold: Fold) -> Iterator[str]:
    """Return what was demanded and is not known, not there any more, or not done although nothing is in its way."""
    for home, cluster in world.clusters.items():
        for key, body in cluster.demands.items():
            noted = fold.demands.get(key)
            entry = noted.homes.get(home) if noted is not None and noted.withdrawn_at is None else None
            if entry is None or entry.uid != body["metadata"]["uid"]:
                yield f"{short(key)} as {home} demands it is not known"
    for key, demand in fold.demands.items():
        there = [home for home in demand.homes if key in world.cluster(home).demands]
        if demand.withdrawn_at is None and len(there) != len(demand.homes):
            yield f"{short(key)} is still known from {', '.join(demand.homes)}"
        cronjob = fold.cronjob(demand.cronjob) if demand.cronjob else None
        free = isinstance(cronjob, CronJob) and cronjob.policy is ConcurrencyPolicy.ALLOW and not _may_go_on(demand, world)
        if demand.withdrawn_at is None and free and demand.account.finished is None and not demand.wrong:
            rests = demand.held is not None and demand.held.reason in ("Suspended", "Paused")
            if not rests:
                yield f"{short(key)} is not done: {demand.account}, {demand.held}"
        if demand.account.succeeded + demand.account.failed > demand.account.decided:
            yield f"{short(key)} has more results than runs: {demand.account}"


def _may_go_on(demand: Demand, world: World) -> bool:
    """Whether it asks for a run at a time that has only just come, or not yet."""
    at = demand.wanted.at
    if at is None or demand.cronjob is None or (at < world.now - HARDLY_LATE and not demand.account.decided):
        return False
    return at > world.now - may_be_open_for(demand.cronjob, world)


def _unfinished(world: World, fold: Fold) -> Iterator[str]:
    for key, progress in fold.progress.items():
        for run in progress.open:
            if run.state is RunState.LOST or due_at(run) < world.now - may_be_open_for(key, world):
                yield f"{short(key)} {run.tick:%H:%M:%S} is still {run.state} in {run.cluster}"


def _ill(key: Key, world: World, fold: Fold, healed: datetime, made: list[Made]) -> Iterator[str]:
    """Compare the runs of a cronjob with what counts of it: the last word of its homes."""
    said = [declared.read(key, cluster.cronjobs[key]) for cluster in world.clusters.values() if key in cluster.cronjobs]
    ran = [one for one in made if one.at >= healed and not one.demand]
    if all(not isinstance(one, CronJob) or one.suspend for one in said):
        yield from (f"{one} was made at {clock(one.at)}, though it is suspended everywhere" for one in ran)
        return
    cronjob = fold.cronjob(key)  # which change came last is nobody's but the ledger's to say
    if not isinstance(cronjob, CronJob) or cronjob.suspend:
        return
    times = Counter(one.tick for one in ran if one.tick >= healed)
    yield from (f"{short(key)} {tick(one)} has run {many} times" for one, many in times.items() if many > 1)
    ran = [one for one in ran if not came_to_nothing(one)]
    runs_for = declared.longest_job(key, world)
    waits_for = runs_for if cronjob.policy is not ConcurrencyPolicy.ALLOW else timedelta()  # the one before
    due = _due(key, fold, healed, world.now - waits_for - HARDLY_LATE, ran)
    in_time = {one.tick for one in ran if one.at <= one.tick + IN_TIME or _was_its_turn(one, made, cronjob)}
    if cronjob.policy is ConcurrencyPolicy.ALLOW or (_apart(due) > runs_for and not any(one.demand for one in made)):
        yield from (f"{short(key)} {tick(one)} did not run in time" for one in due if one not in in_time)
    elif due and not ran and not _made_way(due, made, cronjob, runs_for):
        yield f"{short(key)} has not run since {clock(healed)}"
    if cronjob.policy is not ConcurrencyPolicy.QUEUE or runs_for <= USUAL:
        latest = _due(key, fold, healed, world.now, ran)[-ALWAYS_SHOWN:]
        held = fold.progress[key].held  # a condition tells of it, and for how many it stands
        if held is not None and cronjob.policy is ConcurrencyPolicy.QUEUE:
            latest = [one for one in latest if one < held.tick]
        yield from _untold(key, world, [one for one in due[-4:] if one in latest])


def _made_way(due: list[datetime], made: list[Made], cronjob: CronJob, runs_for: timedelta) -> bool:
    """Whether what was demanded may have taken the place of each of these ticks."""
    demanded = [one.at for one in made if one.demand]
    return cronjob.policy is ConcurrencyPolicy.REPLACE and all(
        any(when - DECIDED_AHEAD <= at <= when + runs_for for at in demanded) for when in due
    )


def _was_its_turn(one: Made, made: list[Made], cronjob: CronJob) -> bool:
    """Whether a run waited behind those that could not run meanwhile, and began when another had ended."""
    return cronjob.policy in (ConcurrencyPolicy.QUEUE, ConcurrencyPolicy.FORBID) and any(
        other.over is not None and other.over <= one.at <= other.over + IN_TIME for other in made
    )


def _due(key: Key, fold: Fold, begin: datetime, end: datetime, ran: list[Made]) -> list[datetime]:
    """Return the ticks between, by what counts of a cronjob. Those of `@every` are counted from one that ran."""
    definition = fold.counts(key)
    assert definition is not None
    schedule = ticks.schedule_of(msgspec.json.decode(definition.spec))
    return ticks.between(schedule, begin, end, known=min((one.tick for one in ran), default=begin))


def _apart(due: list[datetime]) -> timedelta:
    return min((later - earlier for earlier, later in pairwise(due)), default=timedelta())


def _untold(key: Key, world: World, due: list[datetime]) -> Iterator[str]:
    """Each tick is shown to people, in every home."""
    for home, cluster in world.clusters.items():
        if key not in cluster.cronjobs:
            continue
        status = cluster.cronjobs[key].get("status", {})
        shown = {entry["tick"] for entry in [*status.get("active", []), *status.get("recent", [])]}
        for entry in status.get("recent", []):  # a verdict on several ticks names the last
            told = [one for one in map(manifests.rfc3339, due) if one <= entry["tick"]]
            shown.update(told[-entry["count"] :] if entry.get("count", 1) > 1 else [])
        for one in due:
            if one < world.now - SHOWN_WITHIN and manifests.rfc3339(one) not in shown:
                yield f"{short(key)} {tick(one)} is not in the status that {home} shows"
