"""Deletes the Jobs that nobody needs: beyond the history limits, of withdrawn cronjobs, and old tombstones.

A cronjob may have been withdrawn, and forgotten or made anew, while its cluster was away. Then its Jobs here are deleted only if
they say that this very ledger gave their runs: it knew of the cronjob.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from hacron.core.history import expired, known_by, left_over, of_an_earlier, surplus
from hacron.core.manifests import JobView
from hacron.core.model import CronJob, Key
from hacron.core.namelock import name_free_at, outlived, tombstone_ends
from hacron.core.state import State
from hacron.errand import Outgoing
from hacron.jobs import Jobs
from hacron.ports import Answer, DeleteJob
from hacron.retries import Retries

log = logging.getLogger(__name__)

TELLS_WITHIN = timedelta(minutes=1)  # a ledger that has just begun is told what was demanded, and what runs because of it

RETRY = timedelta(seconds=5)  # what is refused, ever more rarely


class Tidying:
    """A worker's care for what has ended."""

    def __init__(self, *, cluster: str, state: State, jobs: Jobs, outgoing: Outgoing, request_window: timedelta) -> None:
        self._cluster = cluster
        self._state = state
        self._jobs = jobs
        self._outgoing = outgoing
        self._request_window = request_window
        self.knows_all = False  # what State does not say is not so
        self._under_way: set[str] = set()  # uids that are being deleted
        self._retry_at: dict[Key, datetime] = {}
        self._retries = Retries(RETRY, refused="Job not deleted", over="no deletion of a Job is refused any more")
        self._left: set[Key] = set()  # whose Jobs stay, as has been told

    def look(self, key: Key, now: datetime) -> datetime | None:
        """Ask for the deletion of what is to go; return when to look again."""
        known = self._jobs.of(key)
        jobs = [job for job in known if job.uid not in self._under_way]
        retry_at = self._retry_at.get(key)
        refused = self._retries.refused(key)
        if not known:
            self._retries.end(key)
        if not jobs or (refused and len(jobs) < len(known)):
            return None  # an answer tells more
        if retry_at is not None and now < retry_at:
            return retry_at
        self._retry_at.pop(key, None)
        doomed = self._doomed(key, jobs, now)
        due = [job for job in {job.uid: job for job in doomed}.values() if job.tombstone or now > self._name_free_at(job)]
        if refused and due:
            self._delete(key, due[refused % len(due)])  # one of them tells whether it is still refused; each time another
            return None
        self._retries.end(key)
        for job in due:
            self._delete(key, job)
        left = [job for job in jobs if job.uid not in self._under_way]
        instants = [tombstone_ends(job, self._request_window) for job in left if job.tombstone and not job.deleting]
        instants += [self._name_free_at(job) for job in doomed if job.uid not in self._under_way]
        instants += [max(now, known_by(job)) + RETRY for job in self._nobodys(key, left)]
        instants += [job.expires for job in left if job.expires is not None and job.expires > now]
        if self._state.born is not None and self._state.began_within(TELLS_WITHIN, now):
            instants += [self._state.born + TELLS_WITHIN for job in left if job.demand and job.terminal is not None]
        return min(instants) + timedelta(seconds=1) if instants else None

    def deleted(self, request: DeleteJob, answer: Answer, now: datetime) -> None:
        """Take in what became of a deletion that `look` asked for."""
        self._under_way.discard(request.uid or "")
        key = request.key
        if answer.ok or answer.status in (404, 409):  # gone, or another Job of that name
            self._jobs.forget(key, request.run_id, request.uid)
            self._retries.ease(key)
        elif key not in self._retry_at:  # of many that were asked for together, one counts
            self._retry_at[key] = now + self._retries.wait(key, answer)

    def _delete(self, key: Key, job: JobView) -> None:
        self._under_way.add(job.uid)
        request = DeleteJob(key=key, run_id=job.run_id, namespace=job.namespace, name=job.name, uid=job.uid)
        self._outgoing.requests.append(request)

    def _name_free_at(self, job: JobView) -> datetime:
        return name_free_at(job, self._request_window)

    def _doomed(self, key: Key, jobs: list[JobView], now: datetime) -> list[JobView]:
        progress, cronjob = self._state.progress.get(key), self._state.cronjob(key)
        doomed = outlived(jobs, now, self._request_window)
        if progress is not None and progress.withdrawn_at is not None:
            open_ids = {run.id for run in progress.open}
            doomed += [job for job in jobs if job.run_id not in open_ids and not job.deleting and not job.tombstone]
        elif progress is not None and isinstance(cronjob, CronJob):
            awaited = {run.id for demand in self._state.pending_of(key) for run in demand.account.open}
            is_young = self._state.began_within(TELLS_WITHIN, now)  # what was demanded may be told to it yet
            known = [job for job in jobs if job.run_id not in awaited and not (is_young and job.demand)]
            doomed += surplus(known, progress, cronjob, self._cluster, self._state.results_of(key))
            doomed += expired(known, progress, now)
        proof = self._state.proof
        old = [job for job in jobs if proof is not None and known_by(job) < proof.at]
        if nobodys := self._nobodys(key, old):
            log.info("Jobs of a HACronJob that is gone are deleted", extra={"cronjob": key, "jobs": len(nobodys)})
        self._tell_of_strange(key, old)
        return doomed + nobodys

    def _nobodys(self, key: Key, jobs: list[JobView]) -> list[JobView]:
        """Return the Jobs of a HACronJob that is gone, as its runs' ledger says."""
        if self._is_forgotten(key):
            return left_over(jobs, self._state.mark)
        progress = self._state.progress.get(key)
        if progress is None or progress.withdrawn_at is not None or not self.knows_all:
            return []
        declared = [home.uid for home in self._state.definitions.get(key, {}).values()]
        return of_an_earlier(jobs, progress, declared, self._state.mark)

    def _is_forgotten(self, key: Key) -> bool:
        return self.knows_all and key not in self._state.progress and key not in self._state.definitions

    def _tell_of_strange(self, key: Key, old: list[JobView]) -> None:
        if not self._is_forgotten(key):
            return
        strange = [job for job in old if not job.owned and not job.tombstone and job.ledger != self._state.mark]
        if strange and key not in self._left:
            self._left.add(key)
            log.warning("Jobs stay that another ledger gave", extra={"cronjob": key, "jobs": len(strange)})
