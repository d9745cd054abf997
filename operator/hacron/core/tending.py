"""What happens to runs that are open: reports come in, or do not come in.

A refused attempt goes to the next cluster. Silence is where the guarantees differ: AtMostOnce gives the run up as LOST and starts
nothing elsewhere; AtLeastOnce starts another attempt in another cluster.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

from msgspec.structs import replace

from hacron.core.admission import Hold, Skip, admit, beside, blocking_runs, counts_until, deadline_of, latest_end, longest_s
from hacron.core.draft import with_verdict
from hacron.core.firing import MOST_WORDS, NO_CLUSTER, Scene, start, take_as_begun
from hacron.core.hearing import Hearing
from hacron.core.messages import Progress, RunFinished, RunOutOfSight, RunRefused, RunReport
from hacron.core.model import ConcurrencyPolicy, CronJob, Guarantee, Run, RunState, Verdict, VerdictKind, sentence
from hacron.core.rules import Rules
from hacron.core.runs import (
    MOST_ATTEMPTS,
    NOT_STARTED,
    NOT_WATCHED,
    PLACED_ELSEWHERE,
    advance,
    asked_again_at,
    identity_of,
    is_of_an_earlier,
    is_unplaced,
    never_begun,
    to_try_again,
    verdict_of,
)


def hear(progress: Progress, report: RunReport, scene: Scene | None) -> Progress:
    """Take in a report about a run. Without a scene (withdrawn, not understood) nothing new is started."""
    run = next((run for run in progress.open if run.id == report.run_id), None)
    if isinstance(report, RunOutOfSight):
        return _out_of_sight(progress, run) if run is not None and run.cluster == report.cluster else progress
    if run is None:
        run = _taken_back(progress, report)
        progress = take_as_begun(progress, run, scene) if run is not None else progress
    after = advance(run, report) if run else None
    if run is None or after is None:
        return progress
    if after.started is not None and run.started is None and not run.demand:
        progress = replace(progress, last_scheduled=max(progress.last_scheduled or run.tick, run.tick))
    if after.state.is_open:
        return _with(progress, run, after)
    if isinstance(report, RunRefused) and after.state is RunState.REFUSED:
        return _refused(progress, run, report, scene)
    progress = _without(progress, run)
    if isinstance(report, RunFinished):
        progress = _needing_no_more(progress, run)
        if after.state is RunState.SUCCEEDED:
            progress = replace(progress, last_successful=max(progress.last_successful or report.finished, report.finished))
        verdict = verdict_of(after, reason=report.reason, message=report.message, finished=report.finished)
    else:
        verdict = verdict_of(after, reason=after.reason or getattr(report, "reason", ""))
    return _with_what_became_of(run, progress, verdict)


def _needing_no_more(progress: Progress, ended: Run) -> Progress:
    """Let no further attempt follow from the others of a tick of which a Job has ended by itself.

    One that waits for a cluster is over with that. One that may have begun, or is about to, is watched for as long as it counts.
    """
    kept = tuple(
        replace(run, tried_again=True) if _is_of_the_same(run, ended) else run
        for run in progress.open
        if run.reason != NOT_STARTED or not _is_of_the_same(run, ended)
    )
    return progress if kept == progress.open else replace(progress, open=kept)


def _is_of_the_same(one: Run, other: Run) -> bool:
    """Whether two runs are attempts at the same tick."""
    return one.tick == other.tick and identity_of(one.id) == identity_of(other.id)


def _out_of_sight(progress: Progress, run: Run) -> Progress:
    """Give up a run of which its cluster can tell nothing any more. One that is known not to have begun waits on."""
    if run.reason in (NOT_STARTED, NOT_WATCHED):
        return progress
    lost = replace(run, state=RunState.LOST, reason=NOT_WATCHED)
    if run.state is not RunState.LOST and not run.lost:
        progress = _with_what_became_of(run, progress, verdict_of(lost))
    if run.state is RunState.STOPPING:
        return _with(progress, run, replace(run, reason=NOT_WATCHED, lost=True))
    return _with(progress, run, replace(lost, tried_again=run.tried_again or run.reason == PLACED_ELSEWHERE))


def _with_what_became_of(run: Run, progress: Progress, verdict: Verdict) -> Progress:
    """Write down the verdict on a run. What became of the same tick of a later cronjob of the name stands."""
    told = ((one.tick, one.attempt) for one in progress.recent)
    if is_of_an_earlier(run, progress) and (run.tick, run.attempt) in told:
        return progress
    return with_verdict(progress, verdict)


def _taken_back(progress: Progress, report: RunReport) -> Run | None:
    """Return the run that a report is about, if it was taken back and has begun: its cluster had not read of that."""
    if isinstance(report, RunRefused):
        return None
    run = next((run for run in progress.taken_back if run.id == report.run_id), None)
    if run is None or advance(run, report) is None:
        return None
    is_gone = progress.withdrawn_at is not None or is_of_an_earlier(run, progress)
    return _withdrawn(run) if is_gone else run


def _refused(progress: Progress, run: Run, report: RunRefused, scene: Scene | None) -> Progress:
    """Offer the tick to the next cluster, or say that nobody took it."""
    without = _without(progress, run)
    late = Verdict(
        tick=run.tick,
        verdict=VerdictKind.MISSED if report.too_late else VerdictKind.REFUSED,
        reason=report.reason,
        message=sentence(report.message, run.because),
        cluster=run.cluster,
        attempt=run.attempt,
        run=run.id if run.demand else "",
    )
    if run.state is RunState.LOST and (scene is None or not is_unplaced(run, scene.cronjob.guarantee)):
        return with_verdict(without, late)  # the truth about a tick that was given up
    if run.state is not RunState.LOST and run.tried_again:
        return without  # an attempt before it has ended, and that is what became of the tick
    if scene is None or not _may_go_on(run, scene):
        return with_verdict(without, late)
    overtaken = report.too_late and progress.last_tick > run.tick and _gives_way(scene)
    if (overtaken and not run.demand) or _is_past_deadline(run, scene):
        return with_verdict(without, late)
    refused_by = run.refused_by
    if not report.too_late and run.cluster not in refused_by:
        refused_by = (*refused_by, run.cluster)
    if not _at_most_once(scene) and scene.choosable(without=refused_by):
        because = run.because if run.reason == NOT_STARTED else _because(run, report)[:MOST_WORDS]
        waits = to_try_again(run, refused_by, because)
        return _tend_lost(_with(progress, run, waits), waits, scene)
    cluster = _next(progress, run, refused_by, scene)
    if cluster is None:
        return with_verdict(without, late)
    return _again(without, run, cluster, scene, refused_by, _because(run, report))


def _next(progress: Progress, run: Run, refused_by: Collection[str], scene: Scene) -> str | None:
    """Return who gets what one cluster did not start: rather another one, also if it may take a further attempt."""
    return scene.choose(progress, without={*refused_by, run.cluster}) or scene.choose(progress, without=refused_by)


def _gives_way(scene: Scene) -> bool:
    """Whether a tick that could not start in time is over when a newer one has come."""
    return _at_most_once(scene) or scene.cronjob.policy is ConcurrencyPolicy.REPLACE


def _because(run: Run, report: RunRefused) -> str:
    """Say why there is a further attempt, the latest reason first, and once: what is too long is cut at its end."""
    why = f"{run.cluster} had refused it ({report.reason}: {report.message})"
    return run.because if run.because.startswith(why) else sentence(why, run.because)


def expire(progress: Progress, scene: Scene) -> Progress:
    """Draw the consequence where a word from a cluster is overdue."""
    progress = _with_known_ends(progress, scene)
    for run in progress.open:
        if run.state is RunState.LOST:
            progress = _tend_lost(progress, run, scene)
        elif run.state is RunState.STOPPING:
            progress = _tend_stopping(progress, run, scene)
        elif _overdue(run, scene):
            progress = _silence(progress, run, scene)
    return progress


def _with_known_ends(progress: Progress, scene: Scene) -> Progress:
    """Note how long Jobs may take of which that is not known, by what is declared now: an edit does not change it any more.

    Those of runs that an earlier version decided, or that are known again after the ledger was lost.
    """
    if all(run.longest_s is not None for run in progress.open):
        return progress
    now_s = longest_s(scene.cronjob)
    known = tuple(run if run.longest_s is not None else replace(run, longest_s=now_s) for run in progress.open)
    return replace(progress, open=known)


def stop_all(progress: Progress) -> Progress:
    """End the runs of a cronjob that is deleted. Jobs in a cluster that is silent are deleted, too, as soon as that is back."""
    for run in progress.open:
        if run.reason == NOT_STARTED:
            progress = with_verdict(_without(progress, run), never_begun(run, "Withdrawn", "the HACronJob was deleted"))
        elif run.state is not RunState.STOPPING:
            progress = _with(progress, run, _withdrawn(run))
    return progress


def _withdrawn(run: Run) -> Run:
    return replace(run, state=RunState.STOPPING, reason="Withdrawn", lost=run.state is RunState.LOST)


def give_up(progress: Progress) -> Progress:
    """Close what is still open of a cronjob that is about to be forgotten: nothing will be heard of it any more."""
    told = {(verdict.tick, verdict.attempt) for verdict in progress.recent if verdict.verdict is VerdictKind.LOST}
    for run in progress.open:
        if not run.lost and (run.demand or (run.tick, run.attempt) not in told):
            lost = replace(run, state=RunState.LOST, reason="Withdrawn")
            message = f"the HACronJob was deleted, and how it ended was not heard from {run.cluster} in time"
            progress = with_verdict(progress, verdict_of(lost, message=message))
    return replace(progress, open=())


def give_up_silent(progress: Progress, hearing: Hearing, now: datetime, rules: Rules) -> Progress:
    """Give up what a silent cluster does not tell of, where the spec is not understood: nothing starts in its place for now."""
    for run in progress.open:
        if run.state in (RunState.PENDING, RunState.RUNNING) and now >= _given_up_at(run, hearing, rules):
            progress = _lost(progress, run, hearing, "ClusterSilent")
    return progress


def deadlines(progress: Progress, cronjob: CronJob | None, hearing: Hearing, rules: Rules) -> Iterator[datetime]:
    """Yield the instants at which `expire` may have something to do; without a cronjob, `give_up_silent`."""
    for run in progress.open:
        if run.state in (RunState.PENDING, RunState.RUNNING):
            yield _given_up_at(run, hearing, rules)
        if cronjob is not None:
            yield from _own_deadlines(run, cronjob, hearing, rules)


def _own_deadlines(run: Run, cronjob: CronJob, hearing: Hearing, rules: Rules) -> Iterator[datetime]:
    if run.state is RunState.PENDING:
        yield _given_time(run, hearing, rules)
    if is_unplaced(run, cronjob.guarantee):
        yield run.start_by
        if run.reason == NOT_STARTED:
            yield _asked_again_at(run, hearing, rules)
    bound = deadline_of(run, cronjob, rules)
    if run.reason == NOT_STARTED and bound is not None:
        yield run.tick + bound.after
    until = counts_until(run, cronjob, hearing, rules)
    if until is not None and run.state in (RunState.LOST, RunState.STOPPING):
        yield until
    end = latest_end(run, cronjob, rules)
    if end is not None and run.state is RunState.STOPPING:
        yield end


def awaits_cluster(progress: Progress, cronjob: CronJob) -> bool:
    """Whether something would start as soon as there is a cluster for it."""
    held = progress.held is not None and progress.held.reason == NO_CLUSTER
    return held or any(is_unplaced(run, cronjob.guarantee) for run in progress.open)


def _overdue(run: Run, scene: Scene) -> bool:
    rules = scene.rules
    if run.state is RunState.PENDING and not _at_most_once(scene):
        return scene.now >= _given_time(run, scene.hearing, rules)
    # A cluster that speaks will yet tell whether the Job exists.
    return run.state in (RunState.PENDING, RunState.RUNNING) and scene.now >= _given_up_at(run, scene.hearing, rules)


def _given_up_at(run: Run, hearing: Hearing, rules: Rules) -> datetime:
    """Return when a run that may yet begin, or is running, is given up unless its cluster is heard of."""
    silent_since = hearing.silent_since(run.cluster)
    if run.state is RunState.PENDING:
        return max(run.start_by + rules.skew_margin, silent_since + rules.silent_after)
    return silent_since + rules.lost_after


def _given_time(run: Run, hearing: Hearing, rules: Rules) -> datetime:
    """Return until when a cluster may still tell that a run was started, and this executor hear of it."""
    return max(run.start_by + rules.skew_margin, hearing.since + rules.silent_after)


def _is_silent(run: Run, scene: Scene, silent_after: timedelta) -> bool:
    return scene.now >= scene.hearing.silent_since(run.cluster) + silent_after


def _silence(progress: Progress, run: Run, scene: Scene) -> Progress:
    """Give the run up, and under AtLeastOnce place another attempt."""
    if _at_most_once(scene):
        return _lost(progress, run, scene.hearing, "ClusterSilent")
    if run.tried_again:
        return _lost_again(progress, run, scene) if _is_silent(run, scene, scene.rules.silent_after) else progress
    elsewhere = _elsewhere(progress, run, scene)
    if elsewhere is not None:
        return _unheard_again(_lost(progress, run, scene.hearing, PLACED_ELSEWHERE), run, elsewhere, scene)
    if _is_silent(run, scene, scene.rules.silent_after):
        return _lost(progress, run, scene.hearing, "ClusterSilent")
    return progress  # late, but its worker lives and there is no other


def _lost_again(progress: Progress, run: Run, scene: Scene) -> Progress:
    """Give a run up from which no further attempt follows: there is one, or another has told what became of its tick."""
    if any(_is_of_the_same(other, run) and other.attempt > run.attempt for other in progress.open):
        return _lost(progress, run, scene.hearing, PLACED_ELSEWHERE)
    return _with(progress, run, replace(run, state=RunState.LOST, reason="ClusterSilent"))


def _tend_lost(progress: Progress, run: Run, scene: Scene) -> Progress:
    """Place a lost run elsewhere as soon as there is an elsewhere; forget it when nothing depends on it any more."""
    if run.reason == NOT_STARTED:
        return _tend_refused(progress, run, scene)
    if not is_unplaced(run, scene.cronjob.guarantee) or scene.is_called_off(run):
        blocks = blocking_runs(scene.cronjob, (run,), scene.hearing, scene.now, scene.rules)
        return progress if blocks else _without(progress, run)
    elsewhere = _elsewhere(progress, run, scene)
    if elsewhere is None:
        return progress
    tried = replace(run, tried_again=True) if run.reason == NOT_WATCHED else replace(run, reason=PLACED_ELSEWHERE)
    placed = _with(progress, run, tried)
    return _unheard_again(placed, run, elsewhere, scene)


def _tend_refused(progress: Progress, run: Run, scene: Scene) -> Progress:
    """Offer a run that was refused to a cluster again, until its deadline, and as long as it is wanted and another may come.

    Where it has been edited to AtMostOnce meanwhile, it is over: an attempt before it may have begun, and is forgotten.
    """
    over = _over(run, scene)
    if over is not None:
        return with_verdict(_without(progress, run), over)
    elsewhere = _elsewhere(progress, run, scene)
    if elsewhere is None:
        return progress
    refused_by = tuple(name for name in run.refused_by if name != elsewhere)  # if it is asked again, it may say yes
    return _again(_without(progress, run), run, elsewhere, scene, refused_by, run.because)


def _over(run: Run, scene: Scene) -> Verdict | None:
    """Return the verdict on a run that was refused, and has nothing left to wait for."""
    if scene.is_called_off(run):
        return never_begun(run, "Withdrawn", "the HACronJobRun was deleted")
    if scene.rests and not run.demand:
        return never_begun(run, scene.rests, f"the HACronJob was {scene.rests.lower()}")
    if _is_past_deadline(run, scene):
        return replace(never_begun(run, "DeadlineExceeded", "its deadline came"), verdict=VerdictKind.MISSED)
    if _at_most_once(scene):
        return _refused_by_all(run, "its guarantee became AtMostOnce")
    if not scene.choosable(without=run.refused_by):
        return _refused_by_all(run, "no other cluster that may have it will come")
    return None


def _tend_stopping(progress: Progress, run: Run, scene: Scene) -> Progress:
    """Close a run that was to be stopped when its Job has ended, or is gone with its cluster, and nothing tells of it.

    Not sooner, also where it blocks no longer: what runs on in a silent cluster is stopped when that is back.
    """
    if run.reason == NOT_WATCHED:
        blocks = blocking_runs(scene.cronjob, (run,), scene.hearing, scene.now, scene.rules)
        return progress if blocks else _without(progress, run)
    end = latest_end(run, scene.cronjob, scene.rules)
    over = end is not None and scene.now >= end and _is_silent(run, scene, scene.rules.silent_after)
    if not over and not scene.hearing.is_gone(run.cluster, scene.now, scene.rules.silent_after):
        return progress
    return _without(progress if run.lost else _lost(progress, run, scene.hearing, "ClusterSilent"), run)


def _unheard_again(progress: Progress, run: Run, cluster: str, scene: Scene) -> Progress:
    """Start the next attempt of a run that may have begun: it was in time, and has to run to its end, however late."""
    because = f"nothing was heard from {run.cluster}, where it may have run too"
    return _again(progress, run, cluster, scene, run.refused_by, because, may_have_begun=True)


def _elsewhere(progress: Progress, run: Run, scene: Scene) -> str | None:
    """Return who may have the next attempt of a run now, if there is somebody, and what else may still run leaves room for it."""
    if not _may_go_on(run, scene):
        return None
    refused_by: Collection[str] = run.refused_by
    if scene.choose(progress, without=refused_by) is None:  # looked for first: of runs that wait there may be hundreds
        if not _asks_again(run, scene) or scene.choose(progress) is None:
            return None
        refused_by = ()
    if scene.cronjob.policy is not ConcurrencyPolicy.ALLOW:
        ahead = blocking_runs(scene.cronjob, _ahead_of(run, progress.open), scene.hearing, scene.now, scene.rules)
        if not _at_most_once(scene):  # some are given up in this same look, and have not been come to
            ahead = tuple(other for other in ahead if not _is_silent(other, scene, scene.rules.lost_after))
        if isinstance(beside(scene.cronjob, ahead), Hold):
            return None
    others = progress.open
    if run.reason == NOT_STARTED and scene.now >= run.start_by:
        # Not sooner: a cluster that says "too late" before its time has a clock that is ahead, and is not asked again at once.
        others = tuple(other for other in others if other.id != run.id)
    return _next(progress, run, {*refused_by, *(other.cluster for other in others if _is_of_the_same(other, run))}, scene)


def _asks_again(run: Run, scene: Scene) -> bool:
    """Whether those that have refused a run are asked again, as nobody else can be.

    Ever more rarely: what they said no for may have passed, and who is waited for may be away for days. Each of those has two
    attempts left. Not where an attempt may have begun: nothing but its tick waits for that.
    """
    if run.reason != NOT_STARTED or scene.now < _asked_again_at(run, scene.hearing, scene.rules):
        return False
    return run.attempt + 2 * scene.choosable(without=run.refused_by) < MOST_ATTEMPTS


def _asked_again_at(run: Run, hearing: Hearing, rules: Rules) -> datetime:
    """Return from when on those may be asked again: others had the time to be heard by this executor."""
    return max(asked_again_at(run), hearing.since + rules.silent_after)


def _ahead_of(run: Run, runs: tuple[Run, ...]) -> tuple[Run, ...]:
    """Return the others that the next attempt of a run has to wait for: of those that were refused, the ones before it.

    If it may have begun, not for other attempts at its tick: it goes on beside what was given up of that.
    """
    at = runs.index(run)
    others = (*runs[:at], *(other for other in runs[at + 1 :] if other.reason != NOT_STARTED))
    return others if run.reason == NOT_STARTED else tuple(other for other in others if not _is_of_the_same(other, run))


def _may_go_on(run: Run, scene: Scene) -> bool:
    """Whether there may be another attempt. Suspending does not end what was demanded and has begun."""
    if run.demand:
        return run.attempt < MOST_ATTEMPTS and not scene.is_called_off(run)
    return run.attempt < MOST_ATTEMPTS and not scene.rests


def _is_past_deadline(run: Run, scene: Scene) -> bool:
    bound = deadline_of(run, scene.cronjob, scene.rules)
    return isinstance(admit(scene.cronjob, run.tick, (), scene.now, bound), Skip)


def _again(
    progress: Progress,
    run: Run,
    cluster: str,
    scene: Scene,
    refused_by: tuple[str, ...],
    because: str,
    *,
    may_have_begun: bool = False,
) -> Progress:
    """Start the next attempt of a run."""
    return start(
        progress,
        run.tick,
        cluster,
        scene,
        run.attempt + 1,
        refused_by,
        because,
        identity=identity_of(run.id) if run.demand else "",
        demand=run.demand,
        was_in_time=run.was_in_time or may_have_begun,
        after=run.after,
    )


def _refused_by_all(run: Run, when: str) -> Verdict:
    return replace(never_begun(run, "NoCluster", when), verdict=VerdictKind.REFUSED)


def _lost(progress: Progress, run: Run, hearing: Hearing, reason: str) -> Progress:
    lost = replace(run, state=RunState.LOST, reason=reason)
    cluster = hearing.clusters.get(run.cluster)
    since = f"since {cluster.seen_at:%H:%M:%S} UTC" if cluster else "from the start"
    verdict = verdict_of(lost, message=f"cluster {run.cluster} is silent {since}; whether it ran is not known")
    return _with_what_became_of(run, _with(progress, run, lost), verdict)


def _at_most_once(scene: Scene) -> bool:
    return scene.cronjob.guarantee is Guarantee.AT_MOST_ONCE


def _with(progress: Progress, run: Run, after: Run) -> Progress:
    return replace(progress, open=tuple(after if one.id == run.id else one for one in progress.open))


def _without(progress: Progress, run: Run) -> Progress:
    return replace(progress, open=tuple(one for one in progress.open if one.id != run.id))
