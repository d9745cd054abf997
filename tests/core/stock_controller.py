"""What Kubernetes' CronJob controller does with a schedule, as an oracle: its rules in its order, one object, one look at a time.

Written from its source (pkg/controller/cronjob, syncCronJob and nextScheduleTime), but for the differences that are meant: the
latest missed tick is the true one instead of an estimate; `@every` counts from the last tick also with a short deadline; a resume
starts nothing of the past; an edit of the schedule counts from now on; a tick found past its deadline stays missed, also when the
deadline is edited.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hacron.core.ticks.cron import Schedule


@dataclass
class StockController:
    """One CronJob. `sync` is called at every tick, and whenever something has changed."""

    looked_from: datetime  # its creation, or what is decided already
    schedule: Schedule
    policy: str = "Allow"
    deadline_s: int | None = None
    suspend: bool = False
    active: list[datetime] = field(default_factory=list)  # ticks of the Jobs that run
    started: list[tuple[datetime, datetime]] = field(default_factory=list)  # tick, when its Job was made

    def edit(self, now: datetime, **fields: object) -> None:
        """Change the spec; the controller looks at it at once."""
        if self.suspend and fields.get("suspend") is False:
            self.looked_from = self._latest(now) or self.looked_from
        if fields.get("schedule", self.schedule) != self.schedule:
            self.looked_from = now
        for name, value in fields.items():
            setattr(self, name, value)
        self.sync(now)

    def sync(self, now: datetime) -> None:
        tick = self._latest(now)
        if self.suspend or tick is None:
            return
        if self.deadline_s is not None and tick <= now - timedelta(seconds=self.deadline_s):
            self.looked_from = tick
            return
        if self.policy == "Forbid" and self.active:
            return
        if self.policy == "Replace":
            self.active.clear()
        self.active.append(tick)
        self.started.append((tick, now))
        self.looked_from = tick

    def _latest(self, now: datetime) -> datetime | None:
        return self.schedule.latest(self.looked_from, now) if self.looked_from < now else None
