"""From ticks to runs: which tick is due, may it start, where.

Of the ticks that have passed the latest may still run, or the newest few where catchUp or the policy says so; older ones get a
verdict. A tick is decided a little before it comes if nothing can change the answer any more.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec.structs import replace

from hacron.core import placement
from hacron.core.admission import (
    MOST_OPEN,
    REPLACING,
    Deadline,
    Hold,
    Skip,
    Start,
    admit,
    blocking_runs,
    deadline,
    deadline_of,
    longest_s,
    most_at_once,
)
from hacron.core.draft import with_verdict
from hacron.core.hearing import Hearing
from hacron.core.manifests import job_name
from hacron.core.messages import Progress
from hacron.core.model import (
    ConcurrencyPolicy,
    CronJob,
    Held,
    Run,
    RunState,
    Verdict,
    VerdictKind,
    name_of,
    sentence,
)
from hacron.core.rules import Rules
from hacron.core.runs import NOT_STARTED, identity_of, is_ahead, is_of_an_earlier, never_begun, run_id
from hacron.core.ticks.backlog import newest
from hacron.core.ticks.calendar import Calendar

MOST_WORDS = 300  # about an earlier attempt; they are in each record while the run is open
SECOND, CENTURY = timedelta(seconds=1), timedelta(days=36525)
MANY_AHEAD = 20  # ticks of one cronjob decided in one look (`@every 1s`)
NO_CLUSTER, SPREAD = "NoCluster", "CatchingUp"  # why a tick is held, beside what `admit` says
_AGE = re.compile(r"\d+ s old")
FOR_EARLIER_RUNS = ("JobAlreadyActive", REPLACING, "Queued")
AS_ASKED = (*FOR_EARLIER_RUNS, SPREAD)  # what waits for these is late as it was asked to be


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a decision about one cronjob looks at."""

    cronjob: CronJob
    homes: Collection[str]
    hearing: Hearing
    rules: Rules
    now: datetime
    rests: str = ""  # Suspended or Paused: nothing new is started
    elsewhere: Callable[[], Mapping[str, int]]  # counts the open runs of other cronjobs, by cluster
    called_off: Callable[[str], bool]  # whether what was demanded, by the identity of its runs, is wanted no more

    def choose(self, progress: Progress, without: Collection[str] = ()) -> str | None:
        """Return where the next run of the cronjob goes; None when there is no cluster for it."""

        def load() -> Mapping[str, int]:
            return Counter(run.cluster for run in progress.open) + Counter(self.elsewhere())

        return self._field.choose(self.cronjob.key, load, without)

    def choosable(self, without: Collection[str]) -> int:
        """Return how many clusters may be chosen, now or when they are heard of again."""
        return sum(name not in without and self._may_be_heard_of(name) for name in self._field.candidates())

    def _may_be_heard_of(self, name: str) -> bool:
        """Whether to wait for a cluster: not if it is declared gone, nor if it was never there since anybody listens."""
        if name not in self.hearing.clusters:
            return self.now < self.hearing.since + self.rules.lost_after
        return not self.hearing.is_gone(name, self.now, self.rules.silent_after)

    def why_none(self) -> str:
        return self._field.why_none()

    def is_called_off(self, run: Run) -> bool:
        """Whether a run was demanded, and is not any more: what has not begun of it does not begin."""
        return bool(run.demand) and self.called_off(identity_of(run.id))

    @property
    def _field(self) -> placement.Field:
        return placement.Field(
            wanted=self.cronjob.placement,
            homes=self.homes,
            clusters=self.hearing.clusters,
            now=self.now,
            silent_after=self.rules.silent_after,
        )


def fire(progress: Progress, scene: Scene) -> Progress:
    """Decide every tick that is due by now, then those that come within `decide_ahead`."""
    due = _due(progress, scene)
    if due:
        progress = _pass_over_older(progress, due[0], scene)
    for tick in due:
        progress = _fire_due(progress, tick, scene)
        if progress.last_tick < tick:
            return progress  # it waits, and so do those after it
    return _fire_ahead(progress, scene)


def waits(progress: Progress, cronjob: CronJob, rules: Rules) -> Iterator[datetime]:
    """Yield the instants at which a held tick may be decided although nothing has happened."""
    held = progress.held
    if held is None:
        return
    bound = _deadline_of_tick(held.tick, progress, cronjob, rules)
    if bound is not None:
        yield held.tick + bound.after
    if held.reason == SPREAD and progress.made_up_at is not None:
        yield progress.made_up_at + timedelta(seconds=cronjob.catch_up.spread_s)


def start(
    progress: Progress,
    tick: datetime,
    cluster: str,
    scene: Scene,
    attempt: int = 1,
    refused_by: tuple[str, ...] = (),
    because: str = "",
    *,
    identity: str = "",
    demand: str = "",
    was_in_time: bool = False,
    after: datetime | None = None,
) -> Progress:
    """Write down a run: from here on the tick is decided, and the cluster's worker will make the Job.

    `after`: up to when ticks had been decided before the first attempt, if this is a further one.

    With the name and the identity of a `demand`, it is a run beside the schedule. A tick that was taken back is the attempt that
    it was, where it was and by the name it had: a replica there that has not read of it may be making the Job, and only there
    is its name a lock.
    """
    before = next((run for run in progress.taken_back if run.tick == tick and not is_of_an_earlier(run, progress)), None)
    job = job_name(name_of(progress.key), tick, attempt, identity, scene.cronjob.indexes)
    if before is not None and attempt == 1 and not demand:
        cluster, attempt, job, refused_by, because = before.cluster, before.attempt, before.job, before.refused_by, before.because
    # At least the clock's milliseconds, so that it keeps growing even when the ledger is lost.
    fencing = max(progress.fencing + 1, int(scene.now.timestamp() * 1000))
    held = progress.held
    decided = progress.last_tick if progress.last_tick < tick else after
    run = Run(
        id=run_id(identity or progress.cronjob_id, tick, attempt),
        tick=tick,
        cluster=cluster,
        start_by=max(tick, scene.now) + scene.rules.start_window,
        fencing=fencing,
        attempt=attempt,
        job=job,
        demand=demand,
        refused_by=refused_by,
        because=because[:MOST_WORDS],
        waited=not demand and held is not None and held.tick == tick and held.reason in AS_ASKED,
        was_in_time=not demand and (was_in_time or _others_stop_for(tick, progress)),
        longest_s=longest_s(scene.cronjob),
        after=decided if tick > scene.now and not demand else None,
    )
    bound = deadline_of(run, scene.cronjob, scene.rules)
    if bound is not None:
        run = replace(run, start_by=min(run.start_by, max(tick + bound.after, scene.now)))
    progress = replace(progress, open=(*progress.open, run), fencing=fencing)
    if demand:
        return progress
    last_tick = max(progress.last_tick, tick)
    taken_back = tuple(_still_taken_back(progress, last_tick, scene.now, scene.rules))
    return replace(progress, last_tick=last_tick, held=None, taken_back=taken_back)


def take_back(progress: Progress, now: datetime, rules: Rules, schedule: Calendar | None = None) -> Progress:
    """Undo what was decided ahead: runs whose tick is still to come are no more, and their ticks are undecided again.

    `schedule`: by which they were decided; for those of an earlier version, which do not say up to when ticks were decided.

    Not within the last `skew_margin` before the tick: a worker whose clock is ahead may be making the Job already.
    """
    ahead = [run for run in progress.open if is_ahead(run, now + rules.skew_margin)]
    if not ahead:
        return progress
    first = min(ahead, key=lambda run: run.tick)
    interval = schedule.schedules[0].interval if schedule is not None else None
    before_them = first.after or first.tick - min(interval or SECOND, CENTURY)
    kept = tuple(run for run in progress.open if run not in ahead)
    taken_back = (*_still_taken_back(progress, now, now, rules), *ahead)
    return replace(progress, open=kept, last_tick=min(progress.last_tick, before_them), taken_back=taken_back)


def _still_taken_back(progress: Progress, decided: datetime, now: datetime, rules: Rules) -> Iterator[Run]:
    """Yield of what was taken back that of which it still matters: where the tick was, as long as it may be decided again.

    Of an earlier cronjob of the name, whose ticks are not decided any more: as long as the run may begin.
    """
    for run in progress.taken_back:
        if (run.start_by + rules.skew_margin > now) if is_of_an_earlier(run, progress) else (run.tick > decided):
            yield run


def take_as_begun(progress: Progress, run: Run, scene: Scene | None) -> Progress:
    """Write down a run that was taken back and has begun all the same: its tick is decided by that, and those before it too.

    But not where it is of an earlier cronjob of the name, which is gone.
    """
    left = tuple(one for one in progress.taken_back if one.id != run.id)
    if is_of_an_earlier(run, progress):
        return replace(progress, open=(*progress.open, run), taken_back=left)
    undecided = _older(progress, run.tick, scene.cronjob.schedule) if scene is not None else None
    if undecided is not None:
        older, count = undecided
        message = f"{how_many(count)} passed while nothing could be started, and a later one has begun"
        superseded = Verdict(tick=older, verdict=VerdictKind.MISSED, reason="Superseded", message=message, count=count)
        progress = _decided(progress, older, superseded)
    return replace(
        progress,
        open=(*progress.open, run),
        last_tick=max(progress.last_tick, run.tick),
        held=progress.held if progress.held is not None and progress.held.tick > run.tick else None,
        taken_back=left,
    )


def _due(progress: Progress, scene: Scene) -> list[datetime]:
    """Return the ticks that have come and may still run, oldest first."""
    schedule, last_tick = scene.cronjob.schedule, progress.last_tick
    latest = schedule.latest(last_tick, scene.now) if last_tick < scene.now else None
    if latest is None:
        return []
    return [latest] if scene.cronjob.due_at_once == 1 else newest(schedule, last_tick, scene.now, scene.cronjob.due_at_once)


def _fire_due(progress: Progress, tick: datetime, scene: Scene) -> Progress:
    if len(progress.open) >= MOST_OPEN:
        message = f"{len(progress.open)} runs are open; do its Jobs end? activeDeadlineSeconds ends them"
        skipped = Verdict(tick=tick, verdict=VerdictKind.SKIPPED, reason="TooManyRuns", message=message)
        return _decided(progress, tick, skipped)
    bound = _deadline_of_tick(tick, progress, scene.cronjob, scene.rules)
    match admit(scene.cronjob, tick, _blocking(progress, scene), scene.now, bound):
        case Skip(reason, message):
            return _decided(progress, tick, _not_started(progress, tick, reason, message))
        case Hold(reason, message, stop):
            after = stop_runs(progress, stop)
            if after is not progress and scene.choose(progress) is None:
                return _hold(progress, Held(tick, NO_CLUSTER, scene.why_none()))  # nothing makes way for what would not start
            if len(after.open) < len(progress.open):
                return _fire_due(after, tick, scene)
            return _hold(after, Held(tick, reason, message))
        case Start():
            return _make_up_for(progress, tick, scene) if _is_late(tick, scene) else _start_due(progress, tick, scene)


def _deadline_of_tick(tick: datetime, progress: Progress, cronjob: CronJob, rules: Rules) -> Deadline | None:
    """Return how late a tick may start. None: it was in time, and runs have been told to stop for it; nothing would be left."""
    return None if _others_stop_for(tick, progress) else deadline(cronjob, rules)


def _others_stop_for(tick: datetime, progress: Progress) -> bool:
    """Whether runs have been told to stop for a tick. A lost run cannot be told to stop."""
    held = progress.held
    waits = held is not None and held.tick == tick and (held.in_time or held.reason == REPLACING)
    return waits and all(run.state is not RunState.LOST for run in progress.open)


def _start_due(progress: Progress, tick: datetime, scene: Scene) -> Progress:
    cluster = scene.choose(progress)
    if cluster is None:
        return _hold(progress, Held(tick, NO_CLUSTER, scene.why_none()))
    return start(progress, tick, cluster, scene)


def _make_up_for(progress: Progress, tick: datetime, scene: Scene) -> Progress:
    """Start a tick that has long passed, but not too soon after the one before."""
    spread_s = scene.cronjob.catch_up.spread_s
    if progress.made_up_at is not None and scene.now < progress.made_up_at + timedelta(seconds=spread_s):
        return _hold(progress, Held(tick, SPREAD, f"catchUp.spreadSeconds: starts {spread_s} s after the one before"))
    after = _start_due(progress, tick, scene)
    return replace(after, made_up_at=scene.now) if spread_s and after.held is None else after


def _is_late(tick: datetime, scene: Scene) -> bool:
    return scene.now - tick > scene.rules.start_window


def _fire_ahead(progress: Progress, scene: Scene) -> Progress:
    """Decide ticks before they come, where only the user could still change the answer."""
    for _ in range(MANY_AHEAD):
        if len(progress.open) >= MOST_OPEN or len(_blocking(progress, scene)) >= most_at_once(scene.cronjob):
            return progress  # whether a run will have ended by then is known only then
        tick = scene.cronjob.schedule.next_after(progress.last_tick)
        if tick is None or tick > scene.now + scene.rules.decide_ahead:
            return progress
        if isinstance(admit(scene.cronjob, tick, (), tick, deadline(scene.cronjob, scene.rules)), Skip):
            return progress  # a verdict is final: not before the tick
        cluster = scene.choose(progress)
        if cluster is None:
            return progress  # one may come back until the tick
        progress = start(progress, tick, cluster, scene)
    return progress


def _pass_over_older(progress: Progress, first: datetime, scene: Scene) -> Progress:
    """Give the ticks before the first that may still run their verdict: they will not run any more."""
    undecided = _older(progress, first, scene.cronjob.schedule)
    if undecided is None:
        return progress
    older, count = undecided
    held = progress.held
    if scene.cronjob.policy is ConcurrencyPolicy.QUEUE:
        message = f"{how_many(count)} gave way: no more than {scene.cronjob.catch_up.limit} may wait (catchUp.limit)"
        verdict = Verdict(tick=older, verdict=VerdictKind.SKIPPED, reason="QueueFull", message=message, count=count)
    elif count == 1 and held is not None and held.tick == older:
        kind = VerdictKind.SKIPPED if held.reason in FOR_EARLIER_RUNS else VerdictKind.MISSED
        verdict = Verdict(tick=older, verdict=kind, reason=held.reason, message=held.message)
    else:
        made_up_for = "the latest is" if scene.cronjob.due_at_once == 1 else f"the newest {scene.cronjob.due_at_once} are"
        late = f"the last {(scene.now - older).total_seconds():.0f} s ago"
        message = f"{how_many(count)} passed while nothing could be started, {late}; only {made_up_for} made up for"
        verdict = Verdict(tick=older, verdict=VerdictKind.MISSED, reason="Superseded", message=message, count=count)
    return _decided(progress, older, verdict)


def _older(progress: Progress, first: datetime, schedule: Calendar) -> tuple[datetime, int] | None:
    """Return the last tick before this one that is not decided, and how many such there are; None when there are none."""
    older = schedule.latest(progress.last_tick, first - timedelta(microseconds=1)) if progress.last_tick < first else None
    return (older, schedule.count(progress.last_tick, older)) if older is not None else None


def how_many(count: int) -> str:
    """Say how many ticks; counting ends a little above a hundred."""
    return "1 tick" if count == 1 else f"{count} ticks" if count <= 100 else "more than 100 ticks"


def _blocking(progress: Progress, scene: Scene) -> tuple[Run, ...]:
    return blocking_runs(scene.cronjob, progress.open, scene.hearing, scene.now, scene.rules)


def _not_started(progress: Progress, tick: datetime, reason: str, message: str) -> Verdict:
    """Say that a tick is over, and what it waited for until then."""
    held = progress.held
    if held is None or held.tick != tick:
        return Verdict(tick=tick, verdict=VerdictKind.MISSED, reason=reason, message=message)
    waited = sentence(held.message, message)
    if held.reason in FOR_EARLIER_RUNS:
        return Verdict(tick=tick, verdict=VerdictKind.SKIPPED, reason=held.reason, message=waited)
    return Verdict(tick=tick, verdict=VerdictKind.MISSED, reason=reason, message=waited)


def _decided(progress: Progress, tick: datetime, verdict: Verdict) -> Progress:
    progress = with_verdict(progress, verdict)
    return replace(progress, last_tick=max(progress.last_tick, tick), held=None)


def _hold(progress: Progress, held: Held) -> Progress:
    """Note why a due tick waits; written once, however often it is looked at."""
    if _others_stop_for(held.tick, progress):
        held = replace(held, in_time=True)
    return progress if is_known(progress.held, held) else replace(progress, held=held)


def is_known(before: Held | None, held: Held) -> bool:
    """Whether a wait is as it was noted before; how old the words of a cluster are is another number at each look."""
    if before is None or (before.tick, before.reason) != (held.tick, held.reason):
        return False
    return _AGE.sub("", before.message) == _AGE.sub("", held.message)


def stop_runs(progress: Progress, runs: Collection[Run]) -> Progress:
    """Tell runs to stop, so that another may take their place. One that waits for its next attempt is over at once."""

    def stopped(run: Run) -> Run:
        if run not in runs or run.state not in (RunState.PENDING, RunState.RUNNING):
            return run  # a LOST run cannot be told to stop
        return replace(run, state=RunState.STOPPING, reason="Replaced")

    waiting = [run for run in runs if run.reason == NOT_STARTED]
    kept = tuple(stopped(run) for run in progress.open if run not in waiting)
    if kept == progress.open:
        return progress
    for run in waiting:
        progress = with_verdict(progress, never_begun(run, "Replaced", "it made way for a later run"))
    return replace(progress, open=kept)
