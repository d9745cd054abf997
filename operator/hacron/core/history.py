"""Which finished Jobs are to go: the history limits count over all clusters, elsewhere by the verdicts that are kept."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from hacron.core.manifests import JobView
from hacron.core.messages import Outcome, Progress
from hacron.core.model import CronJob, Run, Verdict, VerdictKind
from hacron.core.runs import identity_of

TOMBSTONE_LIFE = timedelta(hours=1)  # far longer than a replica can be frozen and still make a Job: it looks at start_by first
REQUEST_LIVES = timedelta(seconds=60)  # an API server may still act on a request that its sender has given up (--request-timeout)
CLOCKS_DIFFER = timedelta(seconds=5)  # that of the API server and those of replicas; far more than they should

READ_WITHIN = timedelta(minutes=10)  # far longer than clocks differ, or a replica reads the ledger late


def name_free_at(job: JobView, start_window: timedelta) -> datetime:
    """Return from when on no request to make this Job can be on its way any more, so that its name may be given up.

    The name is the lock: were it free sooner, such a request would make the Job a second time.
    """
    return job.created + start_window + REQUEST_LIVES


def name_needed_for(run: Run, now: datetime) -> timedelta:
    """Return how long the Job of a run, made from now on, has to keep its name: as long as a request for it may come."""
    return run.start_by - now + REQUEST_LIVES + CLOCKS_DIFFER


def may_be_made_again(run: Run, now: datetime) -> bool:
    """Whether a request to make the Job of a run may be on its way although its sender has given it up."""
    return now <= run.start_by + REQUEST_LIVES


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


def outlived(jobs: Collection[JobView], now: datetime, start_window: timedelta) -> list[JobView]:
    """Return the tombstones that nobody can run into any more."""
    return [job for job in jobs if job.tombstone and not job.deleting and now > tombstone_ends(job, start_window)]


def left_over(jobs: Iterable[JobView], ledger: str) -> list[JobView]:
    """Return the Jobs of a HACronJob that is gone, of which the ledger that gave their runs knows nothing any more.

    Of what another ledger gave nobody can tell: it may be lost, or be that of another installation. What has an owner goes with
    it, or stays with it.
    """
    return [job for job in jobs if ledger and job.ledger == ledger and not job.owned and not job.deleting and not job.tombstone]


def of_an_earlier(jobs: Iterable[JobView], progress: Progress, ledger: str) -> list[JobView]:
    """Return the Jobs that still run for a HACronJob that was deleted, and made anew under its name.

    Its runs are stopped; that of a cluster that is away is waited for no longer than any other.
    """
    open_ids = {run.id for run in progress.open}
    running = [job for job in jobs if job.terminal is None and not job.demand and job.run_id not in open_ids]
    return [job for job in left_over(running, ledger) if identity_of(job.run_id) != progress.cronjob_id]


def known_by(job: JobView) -> datetime:
    """Return until when the ledger must have been read to know the run of a Job, however wrong the clocks are."""
    return job.created + READ_WITHIN


def tombstone_ends(job: JobView, start_window: timedelta) -> datetime:
    """Return until when a tombstone is needed.

    One in place of a Job that was deleted keeps out what was sent before that, and what a replica that has not heard of it sends
    until the run's `start_by`: no later than `start_window` after the Job was made, and so after this tombstone.
    """
    return name_free_at(job, start_window) if job.ran else job.created + TOMBSTONE_LIFE
