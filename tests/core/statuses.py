"""HACronJobs and HACronJobRuns with the status that they have in several situations, and what is to be thought of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hacron.core import status
from hacron.core.demand import accounts
from hacron.core.messages import Outcome
from hacron.core.model import Pause
from hacron.core.status import ACCEPTED, Trial
from tests.core.ledger_story import HELLO, Story, spec
from tests.core.test_demands import AGAIN, demanded, span


@dataclass(frozen=True)
class Sample:
    """An object as the API server gives it, and how tools should judge it."""

    body: dict[str, Any]
    kstatus: str  # Current, InProgress, Failed
    argo: str  # Healthy, Progressing, Degraded, Suspended
    says: str  # part of what Argo CD shows
    observed: bool = True  # its conditions speak of this generation


Act = Callable[[Story], object]


def _body(kind: str, generation: int, shown: dict[str, Any] | None) -> dict[str, Any]:
    assert shown is not None
    told = {name: value for name, value in shown.items() if value is not None}  # null: "remove"
    return {"kind": kind, "metadata": {"generation": generation}, "spec": {}, "status": told}


def _cronjob(
    act: Act = lambda _: None, trial: Trial = ACCEPTED, *, ahead: int = 0, pause: Pause | None = None, **fields: Any
) -> Any:
    story = Story()
    story.declare(spec(**fields), pause=pause)
    act(story)
    return _body("HACronJob", 1 + ahead, status.render(story.state, HELLO, "west", story.now, trial))


def _demand(act: Act = lambda _: None, *, paused: bool = False, **fields: Any) -> Any:
    story = Story()
    story.declare(spec("0 0 1 1 *", suspend=paused))
    demanded(story, **fields)
    act(story)
    return _body("HACronJobRun", 1, accounts.render(story.state, AGAIN, "west"))


def _start(story: Story) -> None:
    story.at(60)
    story.started(story.run)


def _end(outcome: Outcome) -> Act:
    def act(story: Story) -> None:
        if not story.progress.open:
            story.at(60)
        story.started(story.run)
        story.finished(story.run, outcome)

    return act


NEW = {"kind": "HACronJob", "metadata": {"generation": 1}, "spec": {}, "status": {"observedGeneration": -1}}  # by its default

CRONJOBS = {
    "new": Sample(NEW, "InProgress", "Progressing", "waits for the operator", observed=False),
    "accepted": Sample(_cronjob(), "Current", "Healthy", "next tick 2026-11-24T12:01:00Z"),
    "changed, and not looked at yet": Sample(
        _cronjob(ahead=1), "InProgress", "Progressing", "waits for the operator", observed=False
    ),
    "its template is being tried": Sample(_cronjob(trial=Trial(over=False)), "InProgress", "Progressing", "has not tried"),
    "its template is refused": Sample(
        _cronjob(trial=Trial("image: Required value")), "Failed", "Degraded", "image: Required value"
    ),
    "nonsense": Sample(_cronjob(schedule="tomorrow"), "Failed", "Degraded", "schedule"),
    "suspended": Sample(_cronjob(suspend=True), "Current", "Suspended", "spec.suspend is true"),
    "paused": Sample(_cronjob(pause=Pause(reason="moved", by="ann")), "Current", "Suspended", "ann"),
    "never fires": Sample(_cronjob(schedule="0 0 30 2 *"), "Current", "Healthy", "no tick within five years"),
    "running": Sample(_cronjob(_start), "Current", "Healthy", "next tick"),
    "one that waits for the one before": Sample(
        _cronjob(lambda story: (_start(story), story.at(130)), concurrencyPolicy="Forbid"), "Current", "Healthy", "running"
    ),
    "has succeeded": Sample(_cronjob(_end(Outcome.SUCCEEDED)), "Current", "Healthy", "last run Succeeded"),
    "has failed": Sample(_cronjob(_end(Outcome.FAILED)), "Current", "Healthy", "last run Failed"),
}

DEMANDS = {
    "asked for, and not looked at yet": Sample({**NEW, "kind": "HACronJobRun"}, "InProgress", "Progressing", "", observed=False),
    "asked for": Sample(_demand(), "Current", "Progressing", ""),
    "waits": Sample(_demand(paused=True), "Current", "Progressing", "suspend"),
    "refused": Sample(_demand(range=span("13:00:00", "12:00:00")), "Failed", "Degraded", "range"),
    "has run well": Sample(_demand(_end(Outcome.SUCCEEDED)), "Current", "Healthy", "1 of 1 runs succeeded"),
    "has run badly": Sample(_demand(_end(Outcome.FAILED)), "Failed", "Degraded", "0 of 1 runs succeeded"),
}
