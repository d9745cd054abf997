"""What users want, taken in: a HACronJob declared, changed or withdrawn in one of its home clusters.

Several clusters may declare the same cronjob. The newest change wins; the cronjob is gone when nobody declares it any more.
An edit counts from the moment of the edit: ticks that the new schedule would have had before are nobody's.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from msgspec.structs import replace

from hacron.core import pausing
from hacron.core.admission import MOST_OPEN
from hacron.core.draft import Draft, with_verdict
from hacron.core.firing import how_many, take_back
from hacron.core.messages import CronJobDeclared, CronJobWithdrawn, Definition, Progress
from hacron.core.model import CronJob, Gone, InvalidCronJob, Key, Pause, Run, Uid, Verdict, VerdictKind, sentence
from hacron.core.runs import known_again
from hacron.core.tending import stop_all
from hacron.core.ticks.calendar import Calendar
from hacron.core.ticks.cron import INSTANT

MOST_GONE = 8  # objects of one cronjob whose end is remembered


def declare(draft: Draft, command: CronJobDeclared) -> None:
    """Take in a declaration; one that is known already, or older than what is known, or of what is gone, changes nothing.

    Where the ledger has lost how far the cronjob has come, it begins anew, now, when a home says again what it declares.
    """
    if command.instead_of is not None:
        _put_back(draft, command)
        return
    homes, progress = draft.homes(command.key), draft.progress(command.key)
    mine, is_lost = homes.get(command.cluster), bool(homes) and progress is None
    if mine is not None and not is_newer(command, mine) and not (is_lost and _is_the_same(command, mine)):
        if mine.uid == command.uid and progress is not None:
            draft.put(_as_told(draft, progress, command))  # another replica of that cluster, which knows more
        return
    if _is_gone(draft, command):
        return
    known_until = draft.forgotten_at(command.cluster)
    is_old = known_until is not None and command.created_at <= known_until
    starts_now = is_old or is_lost or (progress is None and _was_forgotten(draft, command))
    _take_in(draft, command, _definition(draft, command, mine), not_before=draft.now if starts_now else None)


def is_newer(declared: CronJobDeclared, known: Definition) -> bool:
    """Whether a home says something newer than what the ledger has of it: another object, another spec, another pause.

    Of two objects the one that was made later is the newer. Creation times are whole seconds: of two objects of one second, the
    later has the greater version. A spec has its generation; a pause, which is an annotation, has none, so the version decides.
    """
    if declared.uid != known.uid:
        return (declared.created_at, declared.version) >= (known.created_at, known.version)
    if declared.generation != known.generation:
        return declared.generation > known.generation
    return declared.pause != known.pause and declared.version >= known.version


def _put_back(draft: Draft, command: CronJobDeclared) -> None:
    """Take in what an API server has whose data were put back to an earlier time, if what it contradicts still stands.

    It counts only where no other home declares the cronjob: nobody knows how old it is.
    """
    mine, progress = draft.homes(command.key).get(command.cluster), draft.progress(command.key)
    noted = [mine.changed_at] if mine is not None else []
    noted += [one.at for one in progress.gone if one.uid == command.uid] if progress is not None else []
    if command.instead_of not in noted:
        return
    if progress is not None:
        draft.put(replace(progress, gone=tuple(one for one in progress.gone if one.uid != command.uid)))
    definition = _definition(draft, command, None)
    others = [other.revision for home, other in draft.homes(command.key).items() if home != command.cluster]
    if others:
        definition = replace(definition, revision=min(others) - 1)
    _take_in(draft, command, definition, not_before=draft.now)


def _take_in(draft: Draft, command: CronJobDeclared, definition: Definition, not_before: datetime | None) -> None:
    """Let a definition take the place of what its home has declared. `not_before`: no earlier tick counts if it begins afresh."""
    homes = draft.homes(command.key)
    mine = homes.get(command.cluster)
    before = Standing.of(draft, command.key)
    if mine is not None and mine.uid != command.uid:
        _remember(draft, command.key, mine.uid)
        if len(homes) == 1:
            _retire(draft, command)  # deleted and made anew: another cronjob of the same name
            before = Standing()
    draft.define(definition)
    progress = draft.progress(command.key)
    if progress is None or progress.withdrawn_at is not None:
        draft.put(_as_told(draft, _begin(draft, progress, command, not_before), command))
        return
    draft.put(_edited(draft, _as_told(draft, progress, command), before))


def withdraw(draft: Draft, command: CronJobWithdrawn, *, may_return: bool = False) -> None:
    """Take in that a home cluster no longer has the object with this uid, or, if it may return, that it does not count now."""
    mine = draft.homes(command.key).get(command.cluster)
    if mine is None or mine.uid != command.uid:
        return
    before = Standing.of(draft, command.key)
    if not may_return:
        _remember(draft, command.key, mine.uid)
    if len(draft.homes(command.key)) == 1:
        _retire(draft, command)
        return
    draft.undefine(command.key, command.cluster)
    progress = draft.progress(command.key)
    if progress is not None:
        draft.put(_edited(draft, progress, before))


class Standing(NamedTuple):
    """What all home clusters together say of a cronjob."""

    cronjob: CronJob | InvalidCronJob | None = None
    pause: Pause | None = None

    @classmethod
    def of(cls, draft: Draft, key: Key) -> Standing:
        paused = pausing.longest(draft.homes(key))
        return cls(draft.cronjob(key), paused.pause if paused is not None else None)

    def rests(self, now: datetime) -> str:
        """Return in a word why nothing fires, although the spec is in order."""
        if isinstance(self.cronjob, CronJob) and self.cronjob.suspend:
            return "Suspended"
        return "Paused" if self.pause is not None and not self.pause.is_over(now) else ""


def end_pause(progress: Progress, standing: Standing, now: datetime) -> Progress:
    """Draw the line under a pause that has ended by itself, once; what came before its end is decided as a whole."""
    cronjob, until = standing.cronjob, standing.pause.until if standing.pause is not None else None
    if not isinstance(cronjob, CronJob) or until is None or now < until or progress.pause_over == until:
        return progress
    if not cronjob.catch_up.after_edits:
        progress = _pass_over_rest(progress, cronjob, until - INSTANT, "Paused")
    return replace(progress, pause_over=until, turned_at=max(until, progress.turned_at or until))


def _definition(draft: Draft, command: CronJobDeclared, mine: Definition | None) -> Definition:
    if mine is not None and _is_the_same(command, mine):
        definition = mine
    else:
        definition = Definition(
            key=command.key,
            cluster=command.cluster,
            uid=command.uid,
            generation=command.generation,
            created_at=command.created_at,
            # At least the clock's milliseconds, so that it keeps growing when all definitions are gone.
            revision=max(draft.revision + 1, int(draft.now.timestamp() * 1000)),
            changed_at=draft.now,
            spec=command.spec,
        )
    paused_at = None
    if command.pause is not None:
        paused_at = draft.now if mine is None or mine.pause is None else mine.paused_at
    return replace(definition, pause=command.pause, paused_at=paused_at, version=command.version)


def _is_the_same(command: CronJobDeclared, mine: Definition) -> bool:
    return (command.uid, command.generation) == (mine.uid, mine.generation)


def _begin(draft: Draft, old: Progress | None, command: CronJobDeclared, not_before: datetime | None) -> Progress:
    """Start afresh under a new identity. Runs of an earlier cronjob of this name still count until they are gone.

    So do its ticks: one that was decided for it, because nobody had seen it go, does not come again. `not_before`: it is not
    known any more what was decided. What became of the earlier one as it was deleted is written with the new one.
    """
    created_at = min(command.created_at, draft.now)
    instants = [created_at, *filter(None, (_decided(draft, command), not_before)), *([old.last_tick] if old else [])]
    progress = Progress(
        key=command.key,
        cronjob_id=command.uid,
        last_tick=max(instants),
        gone=old.gone if old else (),
        open=old.open if old else (),
        taken_back=old.taken_back if old else (),
        fencing=old.fencing if old else 0,
        recent=draft.untold(old) if old else (),
        told=old.told if old else (),
        last_scheduled=min(command.last_schedule_time, draft.now) if command.last_schedule_time else None,
        last_successful=_succeeded(draft, command),
    )
    return _watching(progress, command, draft.now, draft.now) if old is None else progress


def _decided(draft: Draft, command: CronJobDeclared) -> datetime | None:
    """Return up to when the home cluster knows what has become of ticks: that they have run, or have their verdict."""
    known = max(filter(None, (command.last_schedule_time, command.decided_until)), default=None)
    return min(known, draft.now) if known is not None else None


def _succeeded(draft: Draft, command: CronJobDeclared) -> datetime | None:
    """Return when the newest success had ended that the home cluster knows of."""
    return min(command.last_successful_time, draft.now) if command.last_successful_time is not None else None


def _was_forgotten(draft: Draft, command: CronJobDeclared) -> bool:
    """Whether its `.status` tells of what was decided in the time of this ledger, which has had the time to forget that.

    So it was gone: its cluster was put back from a backup. Or who says so has not heard that it is gone.
    """
    decided, born, rules = _decided(draft, command), draft.born, draft.rules
    if draft.is_settling or decided is None or born is None:
        return False
    return born + rules.decide_ahead + rules.skew_margin < decided <= draft.now - rules.forget_after


def _as_told(draft: Draft, progress: Progress, command: CronJobDeclared) -> Progress:
    """Take in, as long as the ledger is young, how far a home knows the cronjob to have come, and what it knows to run."""
    if not draft.is_settling or draft.born is None:
        return progress
    decided = _decided(draft, command)
    if decided is not None and decided > progress.last_tick:
        progress = replace(progress, last_tick=decided)
    well = _succeeded(draft, command)
    if well is not None and (progress.last_successful is None or progress.last_successful < well):
        progress = replace(progress, last_successful=well)
    return _watching(progress, command, draft.born, draft.now)


def _watching(progress: Progress, command: CronJobDeclared, until: datetime, now: datetime) -> Progress:
    """Let those runs be open again that a home tells of, and the ledger has lost. They have begun by now, however late."""
    lost = [replace(known_again(run), start_by=now) for run in lost_runs(progress, command.running, until)]
    return replace(progress, open=(*progress.open, *lost[: max(0, MOST_OPEN - len(progress.open))]))


def lost_runs(progress: Progress, running: Iterable[Run], until: datetime) -> list[Run]:
    """Return those of a home's runs that are neither open nor over, as far as the ledger knows, with ticks up to then.

    What comes later it has decided itself.
    """
    known = {run.id for run in (*progress.open, *progress.taken_back)}
    over = {(verdict.tick, verdict.attempt) for verdict in progress.recent}
    told = {run.id: run for run in running if run.tick <= until and run.id not in known}
    return [run for run in told.values() if (run.tick, run.attempt) not in over]


def _is_gone(draft: Draft, command: CronJobDeclared) -> bool:
    progress = draft.progress(command.key)
    remembered_since = draft.now - draft.rules.forget_after
    return progress is not None and any(one.uid == command.uid and one.at > remembered_since for one in progress.gone)


def _remember(draft: Draft, key: Key, uid: Uid) -> None:
    """Note that an object is gone: a relay whose watch has not told it yet must not bring it back."""
    progress = draft.progress(key)
    if progress is not None:
        draft.put(replace(progress, gone=(*progress.gone, Gone(uid, draft.now))[-MOST_GONE:]))


def _retire(draft: Draft, command: CronJobDeclared | CronJobWithdrawn) -> None:
    """Nobody declares the cronjob any more: what runs is stopped, what was decided ahead is not started."""
    draft.undefine(command.key, command.cluster)
    progress = draft.progress(command.key)
    if progress is None:
        return
    progress = take_back(progress, draft.now, draft.rules)
    held = progress.held
    if held is not None:
        waited = sentence(f"waited when the HACronJob was deleted ({held.message})")
        skipped = Verdict(tick=held.tick, verdict=VerdictKind.SKIPPED, reason="Withdrawn", message=waited)
        progress = with_verdict(progress, skipped)
    draft.put(replace(stop_all(progress), held=None, withdrawn_at=draft.now))


def _edited(draft: Draft, progress: Progress, before: Standing) -> Progress:
    """Let a change of what counts, be it the spec or a pause, count from now on."""
    now, after = draft.now, Standing.of(draft, progress.key)
    if before == after:
        return progress  # also a new template: it is read when the Job is made
    progress = end_pause(progress, before, now)
    fires_now = isinstance(after.cronjob, CronJob) and not after.rests(now)
    fired_before = isinstance(before.cronjob, CronJob) and not before.rests(now)
    if fires_now and fired_before and before.cronjob == after.cronjob:
        return progress  # a pause that is over already
    decided = progress.last_tick
    progress = take_back(progress, now, draft.rules, before.cronjob.schedule if isinstance(before.cronjob, CronJob) else None)
    if isinstance(after.cronjob, CronJob) and isinstance(before.cronjob, CronJob):
        if fires_now and fired_before and _same_is_due(progress, before.cronjob.schedule, after.cronjob.schedule, now):
            return progress
        if after.cronjob.catch_up.after_edits:
            return replace(progress, held=None, turned_at=now)
    if isinstance(before.cronjob, CronJob):
        progress = _pass_over_due(progress, before, after, now)
    return _counting_on(replace(progress, held=None, turned_at=now), before, after, now, decided)


def _same_is_due(progress: Progress, before: Calendar, after: Calendar, now: datetime) -> bool:
    """Whether an edit leaves alone what has come and is not decided, and what is to come."""
    return after.goes_on(before) and _latest(progress, after, now) == _latest(progress, before, now)


def _counting_on(progress: Progress, before: Standing, after: Standing, now: datetime, decided: datetime) -> Progress:
    """Let ticks count from now on: those of an unchanged schedule from the last that has come, which matters to `@every`.

    Also where a tick ahead of now was taken back, as far as no tick comes again that had been `decided` before. While a spec
    cannot be understood, it is not known whether its schedule is the same: an interval is counted on when it can.
    """
    if not isinstance(after.cronjob, CronJob):
        return progress
    schedule = after.cronjob.schedule
    known = before.cronjob.schedule if isinstance(before.cronjob, CronJob) else None
    if schedule.goes_on(known) if known is not None else schedule.schedules[0].interval is not None:
        return _decided_until(progress, _latest(progress, schedule, now))
    if known is not None:
        first = schedule.next_after(now, base=now)
        if progress.last_tick < decided and (first is None or first > decided):
            return replace(progress, last_tick=now, passed_over=now)
    return _decided_until(progress, now)


def _pass_over_due(progress: Progress, before: Standing, after: Standing, now: datetime) -> Progress:
    """Decide the ticks that had come and not been decided, as a whole: they are not what the new spec means."""
    assert isinstance(before.cronjob, CronJob)
    if before.rests(now):
        return _pass_over_rest(progress, before.cronjob, now, before.rests(now))
    reason = after.rests(now) or "Edited"
    waited = f"waited when it was {reason.lower()} ({progress.held.message})" if progress.held is not None else ""
    what = waited or f"had passed when it was {reason.lower()}, and nobody had decided"
    return _pass_over(progress, before.cronjob, now, reason, what)


def _pass_over_rest(progress: Progress, resting: CronJob, until: datetime, reason: str) -> Progress:
    """Decide what passed while it rested as a whole: resuming never starts the past."""
    return _pass_over(progress, resting, until, reason, f"while {reason.lower()}")


def _pass_over(progress: Progress, cronjob: CronJob, until: datetime, reason: str, what: str) -> Progress:
    last = _latest(progress, cronjob.schedule, until)
    if last is None:
        return progress
    count = cronjob.schedule.count(progress.last_tick, last)
    message = sentence(f"{how_many(count)} {what}")
    verdict = Verdict(tick=last, verdict=VerdictKind.SKIPPED, reason=reason, message=message, count=count)
    held = progress.held if progress.held is not None and progress.held.tick > last else None
    return _decided_until(replace(with_verdict(progress, verdict), held=held), last)


def _latest(progress: Progress, schedule: Calendar, until: datetime) -> datetime | None:
    """Return the latest tick that has come by then and is not decided."""
    return schedule.latest(progress.last_tick, until) if progress.last_tick < until else None


def _decided_until(progress: Progress, instant: datetime | None) -> Progress:
    if instant is None:
        return progress
    return replace(progress, last_tick=max(progress.last_tick, instant), passed_over=instant)
