"""What users want, taken in: a HACronJob declared, changed or withdrawn in one of its home clusters.

Several clusters may declare the same cronjob. The newest change wins; the cronjob is gone when nobody declares it any more.
An edit counts from the moment of the edit: ticks that the new schedule would have had before are nobody's.
"""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from hacron.core.draft import Draft, with_verdict
from hacron.core.firing import how_many, take_back
from hacron.core.messages import CronJobDeclared, CronJobWithdrawn, Definition, Progress
from hacron.core.model import CronJob, InvalidCronJob, RunState, Verdict, VerdictKind
from hacron.core.rules import Rules


def declare(draft: Draft, command: CronJobDeclared, now: datetime, rules: Rules, recovering: bool) -> None:
    """Take in a declaration; one that is known already, or older than what is known, changes nothing.

    `recovering`: the ledger has just begun, and what a home cluster knows to have run is not in it yet.
    """
    homes = draft.homes(command.key)
    mine = homes.get(command.cluster)
    if mine is not None and not _is_newer(command, mine):
        return
    before = draft.cronjob(command.key)
    if mine is not None and mine.uid != command.uid and len(homes) == 1:
        _retire(draft, command, now, rules)  # deleted and made anew: another cronjob of the same name
        before = None
    draft.define(
        Definition(
            key=command.key,
            cluster=command.cluster,
            uid=command.uid,
            generation=command.generation,
            created_at=command.created_at,
            # At least the clock's milliseconds, so that it keeps growing when all definitions are gone.
            revision=max(draft.revision + 1, int(now.timestamp() * 1000)),
            changed_at=now,
            spec=command.spec,
        )
    )
    progress = draft.progress(command.key)
    ran = min(command.last_schedule_time, now) if command.last_schedule_time else None
    if progress is None or progress.withdrawn_at is not None:
        draft.put(_begin(progress, command, ran))
        return
    if recovering and ran is not None and ran > progress.last_tick:
        progress = replace(progress, last_tick=ran)
    draft.put(_edited(progress, before, draft.cronjob(command.key), now, rules))


def withdraw(draft: Draft, command: CronJobWithdrawn, now: datetime, rules: Rules) -> None:
    """Take in that a home cluster no longer has the object with this uid."""
    mine = draft.homes(command.key).get(command.cluster)
    if mine is None or mine.uid != command.uid:
        return
    before = draft.cronjob(command.key)
    if len(draft.homes(command.key)) == 1:
        _retire(draft, command, now, rules)
        return
    draft.undefine(command.key, command.cluster)
    progress = draft.progress(command.key)
    if progress is not None:
        draft.put(_edited(progress, before, draft.cronjob(command.key), now, rules))


def _is_newer(command: CronJobDeclared, mine: Definition) -> bool:
    if command.uid == mine.uid:
        return command.generation > mine.generation
    return command.created_at >= mine.created_at


def _begin(old: Progress | None, command: CronJobDeclared, ran: datetime | None) -> Progress:
    """Start afresh under a new identity. Runs of an earlier cronjob of this name still count until they are gone."""
    return Progress(
        key=command.key,
        cronjob_id=command.uid,
        last_tick=max(command.created_at, ran or command.created_at),
        open=old.open if old else (),
        fencing=old.fencing if old else 0,
        last_scheduled=ran,
    )


def _retire(draft: Draft, command: CronJobDeclared | CronJobWithdrawn, now: datetime, rules: Rules) -> None:
    """Nobody declares the cronjob any more: what runs is stopped, what was decided ahead is not started."""
    draft.undefine(command.key, command.cluster)
    progress = draft.progress(command.key)
    if progress is None:
        return
    progress = take_back(progress, now, rules)
    stopping = tuple(
        replace(run, state=RunState.STOPPING, reason="Withdrawn") if run.state in (RunState.PENDING, RunState.RUNNING) else run
        for run in progress.open
    )
    draft.put(replace(progress, open=stopping, held=None, withdrawn_at=now))


def _edited(
    progress: Progress,
    before: CronJob | InvalidCronJob | None,
    after: CronJob | InvalidCronJob | None,
    now: datetime,
    rules: Rules,
) -> Progress:
    """Let a change of the winning definition count from now on."""
    if before == after:
        return progress  # also a new template: it is read when the Job is made
    progress = take_back(progress, now, rules)
    runs_now = isinstance(after, CronJob) and not after.suspend
    ran_before = isinstance(before, CronJob) and not before.suspend
    same_schedule = isinstance(before, CronJob) and isinstance(after, CronJob) and before.schedule == after.schedule
    if runs_now and ran_before and same_schedule:
        return progress
    held = progress.held
    if held is not None:
        skipped = Verdict(tick=held.tick, verdict=VerdictKind.SKIPPED, reason="Edited", message="edited while it waited")
        progress = with_verdict(progress, skipped, rules.recent_limit)
    elif runs_now and isinstance(before, CronJob) and before.suspend:
        progress = _pass_over_paused(progress, before, now, rules)
    return replace(progress, last_tick=max(progress.last_tick, now), held=None)


def _pass_over_paused(progress: Progress, paused: CronJob, now: datetime, rules: Rules) -> Progress:
    """Decide a paused range as a whole: resuming never starts the past."""
    count = paused.schedule.count(progress.last_tick, now)
    last = paused.schedule.latest(progress.last_tick, now)
    if last is None:
        return progress
    verdict = Verdict(
        tick=last,
        verdict=VerdictKind.SKIPPED,
        reason="Suspended",
        message=f"{how_many(count)} while suspended",
        count=count,
    )
    return with_verdict(progress, verdict, rules.recent_limit)
