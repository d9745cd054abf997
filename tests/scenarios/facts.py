"""What the judge goes by: which Jobs count, when their runs were decided, and what was lost or said meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.fakes.kubernetes import Made, all_made
from tests.scenarios.world import Named, World

STARTS_WITHIN = timedelta(seconds=20)
TOLD_WITHIN = timedelta(seconds=1)  # the ledger says that a Job was made


def that_count(world: World) -> list[Made]:
    """Return the Jobs that count: no tombstones, and none that their cluster deleted as it made them, as their owner was gone."""
    named = all_made(list(world.clusters.values()))
    return [one for one in named if not one.tombstone and not world.clusters[one.cluster].came_to_nothing(one)]


def given(fencing: int) -> datetime:
    """Return when a fencing number was given, at the earliest, by the clock of who decided."""
    return datetime.fromtimestamp(fencing / 1000, UTC)


def start_by(one: Made) -> datetime:
    return max(one.tick, given(one.fencing)) + STARTS_WITHIN


def was_wiped_between(earlier: int, later: int, world: World) -> bool:
    """Whether the broker's data was lost after the one fencing number had been given, and before the other was."""
    return any(given(earlier) - world.clocks_differ <= wiped <= given(later) + world.clocks_differ for wiped in world.wiped)


def had_been_refused(one: Made, world: World) -> bool:
    """Whether its cluster had said no to it by the time it made it."""
    return any(at <= one.at for at in world.clusters[one.cluster].refused.get(one.job, ()))


def was_to_be_forgotten(time: Named, since: datetime, until: datetime) -> bool:
    """Whether a cluster was to be forgotten, as people said for that time, at any moment of a span."""
    return time.since <= until and (time.until is None or time.until >= since)
