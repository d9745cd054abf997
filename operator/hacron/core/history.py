"""Which Jobs are to go: those beyond the history limits, and those of a HACronJob that is gone.

The limits count over all clusters, elsewhere by the verdicts that are kept.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from hacron.core.manifests import JobView
from hacron.core.messages import Outcome, Progress
from hacron.core.model import CronJob, Uid, Verdict, VerdictKind
from hacron.core.runs import identity_of

READ_WITHIN = timedelta(minutes=10)  # far longer than clocks differ, or a replica reads the ledger late


def surplus(
    jobs: Collection[JobView], progress: Progress, cronjob: CronJob, cluster: str, demanded: Iterable[Verdict] = ()
) -> list[JobView]:
    """Return the finished Jobs of this cluster that exceed the limits, given what ran in the others.

    A Job counts as finished here only when its run is closed in the ledger: its verdict must not be lost with it. The newest
    are those that were made last, as with CronJob: one that was demanded for a tick of long ago is of today. `demanded` is what
    became of these.
    """
    open_ids = {run.id for run in progress.open}
    done = [job for job in jobs if job.terminal is not None and not job.tombstone and job.run_id not in open_ids]
    elsewhere = [verdict for verdict in (*progress.recent, *demanded) if verdict.job and verdict.cluster != cluster]
    return [
        *_beyond(cronjob.successful_limit, Outcome.SUCCEEDED, VerdictKind.SUCCEEDED, done, elsewhere),
        *_beyond(cronjob.failed_limit, Outcome.FAILED, VerdictKind.FAILED, done, elsewhere),
    ]


def _beyond(
    limit: int, outcome: Outcome, kind: VerdictKind, jobs: Sequence[JobView], elsewhere: Sequence[Verdict]
) -> list[JobView]:
    ours: list[tuple[datetime, JobView | None]] = [(job.created, job) for job in jobs if job.terminal is outcome]
    theirs: list[tuple[datetime, JobView | None]] = [(v.started or v.tick, None) for v in elsewhere if v.verdict is kind]
    newest_first = sorted(ours + theirs, key=lambda pair: pair[0], reverse=True)
    return [job for _, job in newest_first[limit:] if job is not None and not job.deleting]


def expired(jobs: Iterable[JobView], progress: Progress, now: datetime) -> list[JobView]:
    """Return the finished Jobs that are to go by `ttlSecondsAfterFinished`, once the ledger has what became of them."""
    open_ids = {run.id for run in progress.open}
    return [
        job for job in jobs if job.expires is not None and now >= job.expires and job.run_id not in open_ids and not job.deleting
    ]


def left_over(jobs: Iterable[JobView], ledger: str) -> list[JobView]:
    """Return the Jobs of a HACronJob that is gone, of which the ledger that gave their runs knows nothing any more.

    Of what another ledger gave nobody can tell: it may be lost, or be that of another installation. What has an owner goes with
    it, or stays with it.
    """
    return [job for job in jobs if ledger and job.ledger == ledger and not job.owned and not job.deleting and not job.tombstone]


def of_an_earlier(jobs: Iterable[JobView], progress: Progress, declared: Collection[Uid], ledger: str) -> list[JobView]:
    """Return the Jobs that still run for a HACronJob that was deleted, and made anew under its name.

    Its runs are stopped; that of a cluster that is away is waited for no longer than any other. Of which object of several
    `declared` a run bears the uid may have changed: the ledger had lost how far the cronjob had come, and another was first to
    say again what it declares.
    """
    open_ids = {run.id for run in progress.open}
    running = [job for job in jobs if job.terminal is None and not job.demand and job.run_id not in open_ids]
    alive = {progress.cronjob_id, *declared}
    return [job for job in left_over(running, ledger) if identity_of(job.run_id) not in alive]


def known_by(job: JobView) -> datetime:
    """Return until when the ledger must have been read to know the run of a Job, however wrong the clocks are."""
    return job.created + READ_WITHIN
