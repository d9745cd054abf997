"""Runs beside the schedule, which HACronJobRuns ask for: started when they may, and accounted for.

They are runs like any other, but for their ids and names. The ticks of the schedule come first, and never notice them otherwise
than by the concurrency policy. Each tick that is wanted becomes a run once, whatever happens to the executor: which one is next
stands in the record, and that is written together with the run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from hacron.core.admission import MOST_OPEN, Hold, beside, blocking_runs
from hacron.core.demand.wanted import MOST
from hacron.core.draft import Draft
from hacron.core.firing import Scene, is_known, start, stop_runs, take_back
from hacron.core.messages import Demand, Progress
from hacron.core.model import (
    Account,
    ConcurrencyPolicy,
    CronJob,
    Guarantee,
    Held,
    Key,
    Run,
    RunState,
    Verdict,
    VerdictKind,
    Wanted,
    name_of,
)
from hacron.core.rules import Rules
from hacron.core.runs import identity_of, is_ahead, is_unplaced
from hacron.core.ticks.calendar import Calendar

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
SOON = timedelta(milliseconds=100)  # until the ticks of a range are counted on
ITS_OWN = ("NotYet", "Suspended", "Paused")  # reasons to wait that others need not have: `_obstacle_of_its_own`
AT_ONCE = 10  # runs that one look at a cronjob starts; what has changed is looked at again at once
BY_ITSELF = (VerdictKind.SUCCEEDED, VerdictKind.FAILED)  # how a Job ends that nobody stops
RESULTS_KEPT = 100  # what has not succeeded is kept longest
WORDS_KEPT = 200  # of what is said of a run
MOST_WATCHED = 2 * MOST_OPEN  # of one cronjob: those that were open when the ledger was lost, and those that were started since


def resume(draft: Draft, progress: Progress, scene: Scene) -> Progress:
    """Watch the runs again that were open when the ledger was lost, before anything is started beside them."""
    for demand in _to_be_resumed(draft, progress.key):
        watched = {run.id: run for run in progress.open}  # it may have been told after the loss of what is open all the same
        room = max(0, MOST_WATCHED - len(watched))
        for run in demand.account.open[:room]:
            watched.setdefault(run.id, replace(run, demand=name_of(demand.key), start_by=scene.now))
        draft.put_demand(replace(demand, account=replace(demand.account, open=demand.account.open[room:])))
        progress = replace(progress, open=tuple(watched.values()))
    return progress


def are_to_be_resumed(draft: Draft, cronjob: CronJob) -> bool:
    """Whether runs are open that are not watched again yet, and beside which its ticks may not start."""
    return cronjob.policy is not ConcurrencyPolicy.ALLOW and any(_to_be_resumed(draft, cronjob.key))


def _to_be_resumed(draft: Draft, cronjob: Key) -> list[Demand]:
    return [demand for demand in draft.pending_of(cronjob) if demand.account.open and not demand.is_over]


def serve(draft: Draft, progress: Progress, scene: Scene) -> Progress:
    """Start what is wanted and may start now, after the ticks of the schedule have been decided.

    What holds up one holds up all that come after it, unless it is its own: however many there are, few are looked at closely.
    """
    room, stuck = AT_ONCE, False
    for demand in draft.pending_of(progress.key):
        if demand.is_over:
            continue
        if room <= 0:
            break
        if stuck:
            draft.put_demand(_behind(demand, scene), apart=True)
            continue
        after, served = _serve(draft, progress, _planned(draft, demand, scene), scene, most=room)
        room -= served.account.decided - demand.account.decided
        stuck = served.held is not None and served.held.reason not in ITS_OWN
        draft.put_demand(served, apart=after is progress)
        progress = after
    return progress


def close(draft: Draft, cronjob: Key) -> None:
    """Note what is over, and forget what was withdrawn long ago."""
    awaited = _awaited(draft, cronjob)
    for demand in draft.pending_of(cronjob):
        if demand.account.id in awaited:
            continue
        if demand.withdrawn_at is not None:
            if draft.now - demand.withdrawn_at >= draft.rules.forget_after:
                draft.forget_demand(demand.key)
        elif not demand.is_over and demand.account.total and demand.account.next_tick is None and not demand.account.open:
            draft.put_demand(replace(demand, account=replace(demand.account, finished=draft.now), held=None))


def account_for(draft: Draft, progress: Progress) -> Progress:
    """Put what was told of runs that were demanded into the accounts of their demands."""
    for verdict in progress.told:
        demand = draft.demand_of_run(progress.key, identity_of(verdict.run))
        if demand is not None:
            runs = [*demand.account.open, *(run for run in progress.open if _is_of(run, demand))]
            account = with_result(demand.account, verdict, {run.tick for run in runs})
            draft.put_demand(replace(demand, account=account))
    return replace(progress, told=()) if progress.told else progress


def instants(demand: Demand, runs: bool, rules: Rules, after: datetime | None) -> Iterator[datetime]:
    """Yield when to look at its cronjob; with `after`, having looked at that instant and found nothing to write.

    `runs`: there is a cronjob that may run.
    """
    if demand.withdrawn_at is not None:
        due = demand.withdrawn_at + rules.forget_after
        yield due if after is None or due > after else after + rules.look_again
    elif runs and not demand.is_over:
        due = demand.account.next_tick or demand.created_at
        again = SOON if demand.counted and not demand.account.total else rules.look_again
        yield due if after is None or due > after else after + again


def with_result(account: Account, verdict: Verdict, open_ticks: Collection[datetime] = ()) -> Account:
    """Add what became of a run. A later word on a tick replaces the earlier one, but a success stands, and so does a failure
    beside what is no end by itself.

    `open_ticks` have a run that is open, so there may be a later word: what was said of them before is kept until then.
    """
    before = next((one for one in account.results if one.tick == verdict.tick), None)
    if before is not None and before.verdict is VerdictKind.SUCCEEDED:
        return account
    if before is not None and before.verdict is VerdictKind.FAILED and verdict.verdict not in BY_ITSELF:
        return account  # of another attempt
    if before is None and account.total and account.succeeded + account.failed >= account.total:
        return account  # it has been counted, and is not kept any more
    verdict = replace(verdict, run="", message=verdict.message[:WORDS_KEPT])
    results = _bounded([*(one for one in account.results if one is not before), verdict], open_ticks)
    good = verdict.verdict is VerdictKind.SUCCEEDED
    return replace(
        account,
        results=results,
        succeeded=account.succeeded + good,
        failed=account.failed + (not good) - (before is not None),
    )


def _bounded(results: list[Verdict], open_ticks: Collection[datetime]) -> tuple[Verdict, ...]:
    results.sort(key=lambda verdict: verdict.tick)
    surplus = max(len(results) - RESULTS_KEPT, 0)
    closed = [one for one in results if one.tick not in open_ticks]
    closed.sort(key=lambda verdict: verdict.verdict is not VerdictKind.SUCCEEDED)  # the oldest success goes first
    dropped = {one.tick for one in closed[:surplus]}
    return tuple(one for one in results if one.tick not in dropped)


def _is_of(run: Run, demand: Demand) -> bool:
    return bool(run.demand) and identity_of(run.id) == demand.account.id


def _awaited(draft: Draft, cronjob: Key) -> set[str]:
    """Return the identities of demands that have a run whose last word has not been told."""
    progress, found = draft.progress(cronjob), draft.cronjob(cronjob)
    # While a spec is not understood, another attempt may follow when it is corrected.
    guarantee = Guarantee.AT_MOST_ONCE if found is None else getattr(found, "guarantee", Guarantee.AT_LEAST_ONCE)
    runs = progress.open if progress is not None else ()
    untold = (run for run in runs if run.state is not RunState.LOST or is_unplaced(run, guarantee))
    return {identity_of(run.id) for run in untold if run.demand}


# --- one demand -----------------------------------------------------------------------------------------------------------------


def _planned(draft: Draft, demand: Demand, scene: Scene) -> Demand:
    """Find the ticks that are wanted, when the cronjob is looked at first. A long range takes several looks."""
    account, wanted = demand.account, demand.wanted
    if account.total:
        return demand
    if wanted.begin is None:
        return replace(demand, account=replace(account, total=1, next_tick=_its_one_tick(demand)))
    calendar = scene.cronjob.schedule
    before = max(wanted.begin, EARLIEST) - timedelta(microseconds=1)
    count, last = demand.counted, demand.counted_to or before
    while count <= MOST:
        if draft.ticks_to_count <= 0:
            return replace(demand, counted=count, counted_to=last)
        draft.ticks_to_count -= len(calendar.schedules)
        tick = _next(calendar, last, wanted)
        if tick is None:
            break
        count, last = count + 1, tick
    if count > wanted.limit:
        many = f"{count}" if count <= MOST else f"more than {MOST}"
        sentence = f"the range has {many} ticks and range.limit is {wanted.limit}: raise it, or take a shorter range"
        return replace(demand, wrong=sentence)
    if count == 0:
        return replace(demand, wrong="the schedule has no tick in the range")
    return replace(demand, account=replace(account, total=count, next_tick=_next(calendar, before, wanted)))


def _its_one_tick(demand: Demand) -> datetime:
    """Return the tick of a demand for a single run: the one it names, or when it was made."""
    return demand.wanted.at or demand.created_at.replace(microsecond=0)


def _next(schedule: Calendar, after: datetime, wanted: Wanted) -> datetime | None:
    """Return the next tick of the range. Those of `@every` are counted from its beginning."""
    tick = schedule.next_after(after, base=wanted.begin)
    return tick if tick is not None and wanted.end is not None and tick <= wanted.end else None


def _serve(draft: Draft, progress: Progress, demand: Demand, scene: Scene, most: int) -> tuple[Progress, Demand]:
    for _ in range(most):
        tick = demand.account.next_tick
        if tick is None or demand.wrong:
            return progress, demand
        progress, held = _obstacle(progress, demand, tick, scene)
        cluster = scene.choose(progress) if held is None else None
        if held is None and cluster is None:
            held = Held(tick, "NoCluster", scene.why_none())
        if held is not None:
            return progress, _hold(demand, held)
        assert cluster is not None
        progress = start(progress, tick, cluster, scene, identity=demand.account.id, demand=name_of(demand.key))
        demand = replace(demand, account=_passed(draft, demand, tick, scene), held=None)
    return progress, demand


def _passed(draft: Draft, demand: Demand, tick: datetime, scene: Scene) -> Account:
    """Go on to the tick after one that has become a run. An edit of the schedule counts from there on, to the range's end.

    What an edit has added is counted a part at a time, too: what is left when that part has run.
    """
    account, wanted = demand.account, demand.wanted
    decided = account.decided + 1
    following = _next(scene.cronjob.schedule, tick, wanted) if wanted.begin is not None and decided < wanted.limit else None
    total = account.total if following is not None else decided
    if wanted.end is not None and following is not None and decided == total:  # an edit has made it denser
        total += _count(draft, scene.cronjob.schedule, tick, wanted.end, wanted.limit - decided)
    return replace(account, decided=decided, total=total, next_tick=following)


def _count(draft: Draft, schedule: Calendar, after: datetime, until: datetime, at_most: int) -> int:
    """Count ticks of which there is one at least, as far as this decision may."""
    many = min(at_most, max(1, draft.ticks_to_count // len(schedule.schedules)))
    count = max(1, schedule.count(after, until, many)) if many > 1 else 1  # `@every` is counted from another base there
    draft.ticks_to_count -= count * len(schedule.schedules)
    return count


def _obstacle(progress: Progress, demand: Demand, tick: datetime, scene: Scene) -> tuple[Progress, Held | None]:
    """Return why the run may not start now, if so; under Replace with what runs told to stop, and what is to come taken back."""
    cronjob = scene.cronjob
    held = _obstacle_of_its_own(demand, tick, scene)
    if held is not None:
        return progress, held
    if progress.held is not None:
        return progress, Held(tick, "TickWaits", "a tick of the schedule waits, and comes first")
    if len(progress.open) >= MOST_OPEN:
        return progress, Held(tick, "TooManyRuns", f"{len(progress.open)} runs of the HACronJob are open")
    replaces = cronjob.policy is ConcurrencyPolicy.REPLACE
    one_by_one = replaces and demand.wanted.begin is not None
    policy = ConcurrencyPolicy.FORBID if one_by_one else cronjob.policy  # a range whose runs stop each other would do nothing
    if replaces and not one_by_one:  # it comes before a tick that was decided ahead, which then replaces it
        if scene.choose(progress) is None:
            return progress, Held(tick, "NoCluster", scene.why_none())  # nothing makes way for what would not start
        progress = take_back(progress, scene.now, scene.rules, cronjob.schedule)
        if any(is_ahead(run, scene.now) for run in progress.open):
            return progress, Held(tick, "TickWaits", "a tick of the schedule is about to start, and comes first")
    blocking = blocking_runs(cronjob, progress.open, scene.hearing, scene.now, scene.rules)
    decision = beside(replace(cronjob, policy=policy), blocking)
    if isinstance(decision, Hold):
        after = stop_runs(progress, decision.stop)
        if len(after.open) < len(progress.open):
            return _obstacle(after, demand, tick, scene)
        return after, Held(tick, decision.reason, decision.message)
    return progress, None


def _obstacle_of_its_own(demand: Demand, tick: datetime, scene: Scene) -> Held | None:
    """Return why the run may not start now, whatever else there is."""
    if tick > scene.now:
        return Held(tick, "NotYet", "its time has not come")
    if scene.rests and not demand.wanted.ignore_suspend:
        rests = "Suspended" if scene.cronjob.suspend else "Paused"
        return Held(tick, rests, f"the HACronJob is {rests.lower()}, and ignoreSuspend is not true")
    return None


def _behind(demand: Demand, scene: Scene) -> Demand:
    """Note what holds up one that is behind others, apart from these."""
    tick = demand.account.next_tick
    if tick is None and not demand.account.total:
        tick = _its_one_tick(demand)
    return _hold(demand, _obstacle_of_its_own(demand, tick, scene)) if tick is not None else demand


def _hold(demand: Demand, held: Held | None) -> Demand:
    """Note why it waits; written once, however often it is looked at."""
    same = demand.held is None if held is None else is_known(demand.held, held)
    return demand if same else replace(demand, held=held)
