"""Why a tick became what it became: every reason that this program gives, and how an Event tells of it.

Events go by the reasons of Kubernetes' own CronJob controller wherever it has one, so that alerts and habits stay
(pkg/controller/cronjob/cronjob_controllerv2.go). Other reasons than these come from elsewhere: from the API server that refused a
Job, or from the Job that failed.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from hacron.core.model import Verdict, VerdictKind


class Told(NamedTuple):
    """How an Event tells of something."""

    reason: str  # of the Event
    problem: bool  # somebody may have to do something: type Warning


BY_KIND: Final[dict[VerdictKind, Told]] = {
    VerdictKind.SUCCEEDED: Told("SawCompletedJob", False),
    VerdictKind.FAILED: Told("SawCompletedJob", True),
    VerdictKind.STOPPED: Told("SuccessfulDelete", False),
    VerdictKind.SKIPPED: Told("Skipped", False),
    VerdictKind.MISSED: Told("MissSchedule", True),
    VerdictKind.REFUSED: Told("FailedCreate", True),
    VerdictKind.LOST: Told("Lost", True),
}
"""A verdict whose reason is not below."""

BY_REASON: Final[dict[tuple[VerdictKind, str], Told]] = {
    (VerdictKind.STOPPED, "Replaced"): Told("SuccessfulDelete", False),
    (VerdictKind.STOPPED, "Withdrawn"): Told("SuccessfulDelete", False),
    (VerdictKind.STOPPED, "JobGone"): Told("MissingJob", True),
    (VerdictKind.SKIPPED, "JobAlreadyActive"): Told("JobAlreadyActive", False),
    (VerdictKind.SKIPPED, "Replacing"): Told("Superseded", False),
    (VerdictKind.SKIPPED, "Replaced"): Told("Superseded", False),
    (VerdictKind.SKIPPED, "Queued"): Told("Superseded", False),
    (VerdictKind.SKIPPED, "QueueFull"): Told("QueueFull", True),
    (VerdictKind.SKIPPED, "Suspended"): Told("Suspended", False),
    (VerdictKind.SKIPPED, "Paused"): Told("Paused", False),
    (VerdictKind.SKIPPED, "Edited"): Told("Edited", False),
    (VerdictKind.SKIPPED, "Withdrawn"): Told("Withdrawn", False),
    (VerdictKind.SKIPPED, "TooManyRuns"): Told("TooManyRuns", True),
    (VerdictKind.MISSED, "DeadlineExceeded"): Told("MissSchedule", True),
    (VerdictKind.MISSED, "StartByPassed"): Told("MissSchedule", True),
    (VerdictKind.MISSED, "Superseded"): Told("Superseded", True),
    (VerdictKind.MISSED, "NoCluster"): Told("NoCluster", True),
    (VerdictKind.MISSED, "CatchingUp"): Told("Superseded", True),
    (VerdictKind.REFUSED, "NotAccepted"): Told("FailedCreate", True),
    (VerdictKind.REFUSED, "QuotaExceeded"): Told("FailedCreate", True),
    (VerdictKind.REFUSED, "NoAnswer"): Told("FailedCreate", True),
    (VerdictKind.REFUSED, "JobNameTaken"): Told("FailedCreate", True),
    (VerdictKind.REFUSED, "Withdrawn"): Told("FailedCreate", True),
    (VerdictKind.REFUSED, "NoCluster"): Told("FailedCreate", True),
    (VerdictKind.LOST, "ClusterSilent"): Told("Lost", True),
    (VerdictKind.LOST, "PlacedElsewhere"): Told("Lost", True),
    (VerdictKind.LOST, "NotWatched"): Told("Lost", True),
    (VerdictKind.LOST, "Withdrawn"): Told("Lost", True),
}
"""The reasons of this program. A further reason has a line here, and a sentence where it is given."""

FROM_ELSEWHERE: Final = {
    VerdictKind.FAILED: (
        "BackoffLimitExceeded",
        "DeadlineExceeded",
        "PodFailurePolicy",
        "FailedIndexes",
        "MaxFailedIndexesExceeded",
    ),
    VerdictKind.REFUSED: ("Invalid", "Forbidden", "NotFound"),
}
"""Those that Kubernetes is known to give: its Job controller, and an API server in its Status."""

WAITING: Final[dict[str, Told]] = {
    "JobAlreadyActive": Told("JobAlreadyActive", False),
    "Replacing": Told("Replacing", False),
    "Queued": Told("Queued", False),
    "NoCluster": Told("NoCluster", True),
    "CatchingUp": Told("CatchingUp", False),
}
"""Why a tick that is due waits."""

DEMANDS_WAIT: Final = ("NotYet", "Suspended", "Paused", "TickWaits", "TooManyRuns")
"""Why a run that was demanded waits, beside these. No Event tells of it: it stands in the status of its HACronJobRun."""

RUNS_WAIT: Final = ("NotStarted",)
"""Why a run waits that is not over although its cluster refused it. Its Event is PlacedElsewhere, when another cluster has it."""

DEMANDS_END: Final = ("Succeeded", "SomeFailed", "Refused", "Withdrawn")
"""How a HACronJobRun ends, as the conditions of its status say: all or not all of its runs succeeded, its spec asks for nothing
that could run, or it was deleted before it was over."""

TOO_MANY: Final = Told("TooManyMissedTimes", True)
MANY: Final = 100  # missed ticks; above it Kubernetes warns, and so do we
OTHER: Final = "Other"


def told(verdict: Verdict) -> Told:
    """Return how an Event tells of a verdict."""
    if verdict.verdict is VerdictKind.MISSED and verdict.count > MANY:
        return TOO_MANY
    return BY_REASON.get((verdict.verdict, verdict.reason), BY_KIND[verdict.verdict])


def refused(because: str) -> str:
    """Say of a run that waits so what it waits for, and what was said against it."""
    return f"refused, waits for another cluster: {because}"


def label(verdict: Verdict) -> tuple[str, str]:
    """Return verdict and reason as metrics tell them: a closed set, whatever others call their reasons."""
    known = not verdict.reason or (verdict.verdict, verdict.reason) in BY_REASON
    if known or verdict.reason in FROM_ELSEWHERE.get(verdict.verdict, ()):
        return verdict.verdict.value, verdict.reason
    return verdict.verdict.value, OTHER


def labels() -> tuple[tuple[str, str], ...]:
    """List all pairs that `label` may return."""
    own = [(kind.value, reason) for kind, reason in BY_REASON]
    theirs = [(kind.value, reason) for kind, reasons in FROM_ELSEWHERE.items() for reason in reasons]
    return (*((kind.value, reason) for kind in VerdictKind for reason in ("", OTHER)), *own, *theirs)
