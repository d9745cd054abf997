"""What must hold in any world, whatever has happened in it: read from the clusters' API servers, nothing else is believed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from hacron.core import manifests
from hacron.core.admission import most_at_once
from hacron.core.history import REQUEST_LIVES
from hacron.core.model import ConcurrencyPolicy, CronJob, Guarantee, Key
from hacron.core.spec import parse
from tests.fakes.kubernetes import Made, all_made
from tests.scenarios.chronicle import clock, short, tick
from tests.scenarios.world import World

STARTS_WITHIN = timedelta(seconds=20)


def wrong(world: World) -> list[str]:
    """Return a sentence for everything that must never happen and did."""
    made = [one for one in all_made(list(world.clusters.values())) if not one.tombstone and not _came_to_nothing(one)]
    return [
        *_doubled(made, world),
        *_unfenced(made),
        *_early(made, world.clocks_differ),
        *_late(made, world.clocks_differ + world.longest_frozen),
        *_overlapping(made, world),
    ]


def _came_to_nothing(one: Made) -> bool:
    """Whether its HACronJob was gone already, so that the cluster collected it as it was made."""
    return one.how == "collected" and one.over == one.at


def _doubled(made: Iterable[Made], world: World) -> Iterable[str]:
    """AtMostOnce: at most one Job for a tick; AtLeastOnce: at most one for an attempt."""
    by_tick: dict[tuple[object, ...], list[Made]] = defaultdict(list)
    for one in made:
        attempt = one.attempt if _guarantees(one.key, world) is not Guarantee.AT_MOST_ONCE else 0
        by_tick[one.key, one.cronjob, one.tick, attempt].append(one)
    for jobs in by_tick.values():
        if len(jobs) > 1:
            where = " and ".join(f"{one.cluster} by {one.by} at {clock(one.at)}" for one in jobs)
            yield f"{short(jobs[0].key)} {tick(jobs[0].tick)} has {len(jobs)} Jobs: in {where}"


def _unfenced(made: Iterable[Made]) -> Iterable[str]:
    """No two runs of a cronjob have the same fencing number, and it grows with the attempts of a tick."""
    by_key: dict[Key, dict[tuple[str, datetime, int], int]] = defaultdict(dict)
    for one in made:
        by_key[one.key].setdefault((one.cronjob, one.tick, one.attempt), one.fencing)
    for key, runs in by_key.items():
        if len(set(runs.values())) < len(runs):
            yield f"{short(key)}: two runs have the same fencing number: {sorted(runs.values())}"
        for (identity, when, attempt), number in runs.items():
            before = runs.get((identity, when, attempt - 1))
            if before is not None and number <= before:
                yield f"{short(key)} {tick(when)}: attempt {attempt} has the fencing number {number}, the one before {before}"


def _early(made: Iterable[Made], clocks_differ: timedelta) -> Iterable[str]:
    for one in made:
        if one.at < one.tick - clocks_differ:
            yield f"{short(one.key)} {tick(one.tick)} was made before its time, at {clock(one.at)}"


def _late(made: Iterable[Made], leeway: timedelta) -> Iterable[str]:
    """No Job is made when its run has long been given up, but by who was frozen after the last look at the clock.

    When it was decided, its fencing number says at the earliest.
    """
    for one in made:
        decided = datetime.fromtimestamp(one.fencing / 1000, UTC)
        if one.at > max(one.tick, decided) + STARTS_WITHIN + REQUEST_LIVES + leeway:
            yield f"{short(one.key)} {tick(one.tick)} was made at {clock(one.at)}, and had been decided at {clock(decided)}"


def _overlapping(made: Iterable[Made], world: World) -> Iterable[str]:
    """Forbid and Replace: one Job at a time in all clusters; Queue: maxActive. (AtLeastOnce may give one up that still runs.)"""
    by_cronjob: dict[tuple[Key, str], list[Made]] = defaultdict(list)
    identity: dict[Key, str] = {}  # of the cronjob; the runs that were demanded bear their demand's
    for one in made:
        identity[one.key] = identity.get(one.key, "") if one.demand else one.cronjob
        cronjob = _cronjob(one.key, world)
        if cronjob and cronjob.policy is not ConcurrencyPolicy.ALLOW and cronjob.guarantee is Guarantee.AT_MOST_ONCE:
            by_cronjob[one.key, identity[one.key]].append(one)
    for (key, _), jobs in by_cronjob.items():
        cronjob = _cronjob(key, world)
        for number, one in enumerate(jobs):
            beside = [other for other in jobs[:number] if other.over is None or other.over > one.at]
            if any(other.at <= wiped <= one.at for wiped in world.wiped for other in beside):
                continue  # what was running when the broker lost its data is known to nobody
            if cronjob and len(beside) >= most_at_once(cronjob):
                others = ", ".join(tick(other.tick) for other in beside)
                yield f"{short(key)} {tick(one.tick)} began at {clock(one.at)} beside {others}"


def _guarantees(key: Key, world: World) -> Guarantee | None:
    cronjob = _cronjob(key, world)
    return cronjob.guarantee if cronjob else Guarantee.AT_MOST_ONCE


def _cronjob(key: Key, world: World) -> CronJob | None:
    """What any cluster declares under this name; stories do not change a guarantee or a policy."""
    for cluster in world.clusters.values():
        if key in cluster.cronjobs:
            command = manifests.declared(cluster.name, cluster.cronjobs[key])
            try:
                return parse(key, command.spec)
            except ValueError:
                continue
    return None
