"""Until when a Job's name stays taken: the name is the lock that keeps a run from being made twice.

A request to make the Job may leave until the run's `start_by`, at most `request_window` (22 s) after the Job was made: a run's
`start_window`, and the margin for clocks. It arrives within `HACRON_KUBE_TIMEOUT_S` (at most 25 s) or never, and the API server
is told to be done with it as long after that: well within REQUEST_LIVES, 60 s. Its sender may have given it up long before. Were
the name free by then, the Job would be made again. So for 82 seconds it stays taken: by the Job, suspended where it was to be
stopped, or by a tombstone. A tombstone of a run that has not begun stands for an hour, against a replica that was frozen on
its way to make the Job. Where none can be made, since a webhook fails, nobody can ask for the Job any more three minutes after
`start_by`.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from hacron.core.manifests import JobView
from hacron.core.model import Run

REQUEST_LIVES = timedelta(seconds=60)  # so long after it has left, an API server may still act on a request
CLOCKS_DIFFER = timedelta(seconds=60)  # at most, of a replica that takes part and its API server: twice as much, of two replicas
TOMBSTONE_LIFE = timedelta(hours=1)  # far longer than a replica can be frozen and still make a Job: it looks at start_by first


def name_free_at(job: JobView, request_window: timedelta) -> datetime:
    """Return from when on no request to make this Job can be on its way any more, so that its name may be given up."""
    return job.created + request_window + REQUEST_LIVES


def may_be_made_again(run: Run, now: datetime) -> bool:
    """Whether a request to make the Job of a run may be on its way although its sender has given it up."""
    return now <= run.start_by + REQUEST_LIVES


def is_asked_for_no_more(run: Run, now: datetime) -> bool:
    """Whether no request to make the Job of a run can be on its way any more, by the clock of whichever replica it was sent."""
    return now > run.start_by + REQUEST_LIVES + 2 * CLOCKS_DIFFER


def outlived(jobs: Collection[JobView], now: datetime, request_window: timedelta) -> list[JobView]:
    """Return the tombstones that nobody can run into any more."""
    return [job for job in jobs if job.tombstone and not job.deleting and now > tombstone_ends(job, request_window)]


def tombstone_ends(job: JobView, request_window: timedelta) -> datetime:
    """Return until when a tombstone is needed.

    One in place of a Job that was deleted keeps out what was sent before that, and what a replica that has not heard of it sends
    until the run's `start_by`: no later than `request_window` after the Job was made, and so after this tombstone.
    """
    return name_free_at(job, request_window) if job.ran else job.created + TOMBSTONE_LIFE
