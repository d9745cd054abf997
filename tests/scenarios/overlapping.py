"""Did more Jobs of a cronjob run at a time than its concurrency policy allows? And which of them are no runs for that."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hacron.core.model import ConcurrencyPolicy, CronJob, Key
from tests.fakes.kubernetes import Made
from tests.scenarios import declared
from tests.scenarios.chronicle import clock, short, tick
from tests.scenarios.decided import GivenUp, Number, decided, heard_last
from tests.scenarios.doubled import is_unknown, left_as_its_sender_woke, took_the_lock_away
from tests.scenarios.facts import TOLD_WITHIN, given, had_been_refused, that_count, was_to_be_forgotten, was_wiped_between
from tests.scenarios.world import World


def overlapping(made: Sequence[Made], cronjobs: Mapping[Key, CronJob], world: World) -> Iterable[str]:
    """Forbid and Replace: one Job at a time in all clusters; Queue: maxActive."""
    said: Said | None = None  # read when it is needed
    for (key, _), jobs in _that_wait_for_each_other(made, cronjobs).items():
        cronjob = cronjobs[key]
        for number, one in enumerate(jobs):
            beside = [other for other in jobs[:number] if other.over is None or other.over > one.at]
            beside = [other for other in beside if not _may_run_beside(other, one, world)]
            if len(beside) < _most_at_once(cronjob):
                continue
            said = said or Said.of(world, cronjobs)
            beside = [other for other in beside if not _is_no_run(other, one, said, world)]
            if len(beside) >= _most_at_once(cronjob) and not _is_no_run(one, one, said, world):
                others = ", ".join(tick(other.tick) for other in beside)
                yield f"{short(key)} {tick(one.tick)} began at {clock(one.at)} beside {others}"


def _most_at_once(cronjob: CronJob) -> int:
    return cronjob.max_active if cronjob.policy is ConcurrencyPolicy.QUEUE else 1


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

    What had been decided when the broker's data was lost is known to nobody afterwards if its Job is made only then, or nobody
    can tell that it runs. And of a cluster that is to be forgotten people say that nothing runs there.
    """
    lost = was_wiped_between(*sorted((one.fencing, later.fencing)), world)
    return (lost and _is_unwatched(one, later, world)) or _was_given_up_with_its_cluster(one, later, world)


def _is_unwatched(one: Made, later: Made, world: World) -> bool:
    """Whether no ledger could be told that a Job runs, by the time the later one was decided."""
    if one.demand or (one.unwatched_at is not None and one.unwatched_at <= given(later.fencing) + world.clocks_differ):
        return True
    return any(given(one.fencing) - world.clocks_differ <= wiped <= one.at for wiped in world.wiped)


def _was_given_up_with_its_cluster(one: Made, later: Made, world: World) -> bool:
    """Whether its cluster was to be forgotten when the later one was decided, or when it was and some time before that."""
    decided_at, later_at = given(one.fencing) - world.clocks_differ, given(later.fencing) + world.clocks_differ
    return any(was_to_be_forgotten(time, decided_at, later_at) for time in world.forgotten.get(one.cluster, ()))


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
    where nobody could tell of its first Job, or somebody has deleted that, or who was frozen as it asked wakes long after.
    """
    number = one.key, one.fencing
    if _was_taken_back(one, said.taken_back.get(number), world):
        return True
    never_at, until = said.never_began.get(number), later.at + world.clocks_differ
    if never_at is not None and never_at <= until and had_been_refused(one, world):
        return True
    up = said.given_up.get(number)
    if up is not None and up.since <= until and (up.until is None or given(later.fencing) <= up.until + world.clocks_differ):
        return True
    told_at, decided_by = said.stopping.get(number), given(later.fencing) + world.clocks_differ
    if told_at is not None and told_at <= decided_by and _was_silent(one.cluster, decided_by, world):
        return True
    same = [it for it in that_count(world) if (it.key, it.cronjob, it.tick) == (one.key, one.cronjob, one.tick)]
    again = (is_unknown, took_the_lock_away, left_as_its_sender_woke)
    return any(is_again(it, one, world) for it in same if it.at < one.at for is_again in again)


def _was_silent(cluster: str, at: datetime, world: World) -> bool:
    """Whether nothing had been heard of a cluster for so long that its runs are given up."""
    patience = timedelta(seconds=min(process.settings.lost_after_s for process in world.processes.values()))
    heard_at = heard_last(cluster, at, world)
    return heard_at is None or heard_at + patience <= at


def _was_taken_back(one: Made, at: datetime | None, world: World) -> bool:
    """Whether a run was taken back, and its Job made by who had not heard of that."""
    return at is not None and one.asked.heard_at <= at + world.clocks_differ + TOLD_WITHIN
