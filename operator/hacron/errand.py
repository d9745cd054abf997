"""One run's errand: the request that is under way, what is settled, what the executor has been told.

One request at a time. A refusal is said only after a look at the Job, for it may exist all the same: made by an earlier try, or
by another replica, when it was still allowed.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from hacron.core.messages import Definition, Report, RunRefused, RunReport, RunStarted
from hacron.core.model import Key, Run, RunState, Uid, namespace_of
from hacron.ports import Answer, CreateJob, DeleteJob, GetJob, HaltJob, Request
from hacron.turn import TELL_AGAIN, Repeat

log = logging.getLogger(__name__)

FIRST_RETRY_S, LAST_RETRY_S = 0.2, 2.0
PATIENT_RETRY_S = 20.0  # of what is in no hurry, and fails where other requests do not: behind a webhook
RARELY = timedelta(seconds=15)  # what the executor has been told, and waits with, is said again
LAST_CHANCE = timedelta(seconds=2)  # before `start_by`: for so long an API server that wants to be left alone is
AT_ONCE, PER_S = 30, 1.5  # requests about one run; far more than what is in order takes


@dataclass(slots=True)
class Outgoing:
    """What is to be sent at the end of the turn."""

    requests: list[Request] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Errand:
    key: Key
    cluster: str
    outgoing: Outgoing
    tick: datetime  # of the run
    since: datetime  # when this replica first looked at the run
    state: RunState  # of the run, when it was last looked at
    in_flight: bool = False
    retry_at: datetime | None = None
    body: msgspec.Raw | None = None  # the Job, rendered before the tick
    rendered_from: tuple[Definition, Uid | None] | None = None  # and its owner here
    refusal: RunRefused | None = None  # holds if the Job is found not to exist
    unseen_since: datetime | None = None  # when a look was first answered "forbidden", and ever since
    failure: str = ""  # why the last request failed that is to be tried again
    job_is_gone: bool = False  # so the watch says, and the run has still to end
    conclusion: RunReport | None = None  # what is settled; told until the ledger shows it
    _sent: int = 0  # requests
    _delay_s: float = FIRST_RETRY_S
    _not_before: datetime | None = None  # so the API server wants it
    _told: RunReport | None = None
    _repeat: Repeat | None = None  # of what was told

    def enter(self, state: RunState) -> None:
        """Note that the run is in another state: what was under way for the earlier one is of no more use."""
        if state is self.state:
            return
        self.state, self.body, self._told, self._repeat = state, None, None, None
        self.retry_at, self._delay_s = self._not_before, FIRST_RETRY_S
        if isinstance(self.conclusion, RunRefused | RunStarted):
            self.conclusion = None

    def was_told_of(self, run: Run | None, now: datetime) -> bool:
        """Whether another replica has told what became of a run that was due. `run`: as it is open now.

        What is closed before its tick was taken back.
        """
        became = (run is None and now >= self.tick) or (run is not None and run.state is RunState.RUNNING)
        return self.state is RunState.PENDING and became and self._told is None

    def send(self, request: Request) -> None:
        self.in_flight = True
        self._sent += 1
        self.retry_at = None
        self.refusal = None
        self.outgoing.requests.append(request)

    def is_hasty(self, now: datetime) -> bool:
        """Whether it has asked so often that the API server is to be left alone for a while.

        That is never so, unless answers contradict each other (a cache between us that says no Job has the name, while the API
        server says that it is taken), or we are wrong.
        """
        return self._sent > AT_ONCE + PER_S * max(0.0, (now - self.since).total_seconds())

    def say(self, report: RunReport, now: datetime, position: int, again: timedelta | None = None) -> datetime:
        """Tell the executor, once in a while, until the ledger shows it; return when to look again.

        `position`: how far the ledger is read. What was said waits in its queue if nobody has written anything since. `again`:
        after how long it is said again, if not soon.
        """
        if isinstance(report, RunRefused) and report.too_late and self.failure:
            report = replace(report, message=f"{report.message}: {self.failure}")
        if self._told == report and self._repeat is not None:
            wait_until = self._repeat.wait_until(position, now)
            if wait_until is not None:
                return wait_until
        self._told, self._repeat = report, Repeat(now + (again or TELL_AGAIN), position)
        self.outgoing.reports.append(report)
        return self._repeat.at

    def refuse(self, run: Run, reason: str, sentence: str) -> None:
        """Say no, if a look shows that the Job does not exist."""
        self.send(get_request(self.key, run))
        self.refusal = RunRefused(key=self.key, run_id=run.id, cluster=self.cluster, reason=reason[:100], message=sentence[:500])

    def conclude(self, report: RunReport) -> None:
        """Settle what is to be told, whatever else is seen of the Job."""
        if isinstance(report, RunRefused):
            said = {"cronjob": self.key, "run": report.run_id, "reason": report.reason, "why": report.message[:300]}
            log.debug("run refused", extra=said)  # the executor's log tells it, with what follows from it
        self.conclusion = report

    def succeed(self) -> None:
        """Note that the API server did what it was asked: the next failure is a first one."""
        self._delay_s = FIRST_RETRY_S

    def try_later(self, run: Run, answer: Answer, now: datetime, longest_s: float = LAST_RETRY_S) -> None:
        """Try again, after a pause that grows, and not before the API server wants to be asked again, while there is time."""
        wanted_s = answer.retry_after_s
        if run.state is RunState.PENDING and now <= run.start_by:
            wanted_s = min(wanted_s, (run.start_by - LAST_CHANCE - now).total_seconds())
        pause_s = min(longest_s, self._delay_s)
        self._not_before = now + timedelta(seconds=wanted_s)
        self.retry_at = now + timedelta(seconds=max(pause_s, wanted_s))
        self._delay_s = min(longest_s, pause_s * 2)
        self.failure = (answer.reason or str(answer.body.get("message", "")))[:200]
        said = {"cronjob": self.key, "job": run.job, "status": answer.status, "why": self.failure}
        log.info("tries again", extra=said)


def create_request(key: Key, run: Run, body: msgspec.Raw, not_after: datetime | None = None) -> CreateJob:
    return CreateJob(key=key, run_id=run.id, namespace=namespace_of(key), body=body, not_after=not_after)


def get_request(key: Key, run: Run) -> GetJob:
    return GetJob(key=key, run_id=run.id, namespace=namespace_of(key), name=run.job)


def halt_request(key: Key, run: Run, uid: str) -> HaltJob:
    return HaltJob(key=key, run_id=run.id, namespace=namespace_of(key), name=run.job, uid=uid)


def stop_request(key: Key, run: Run, uid: str) -> DeleteJob:
    return DeleteJob(key=key, run_id=run.id, namespace=namespace_of(key), name=run.job, uid=uid, foreground=True)
