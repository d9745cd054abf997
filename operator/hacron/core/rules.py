"""The durations that decisions depend on. The same in every replica that may become executor; set in `settings`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    decide_ahead: timedelta = timedelta(seconds=5)  # ticks are decided so long before they come
    start_window: timedelta = timedelta(seconds=20)  # start_by = tick (or decision, when later) + this
    skew_margin: timedelta = timedelta(seconds=2)  # how far the clocks of two clusters may differ
    silent_after: timedelta = timedelta(seconds=15)  # no word from a cluster for so long: silent
    lost_after: timedelta = timedelta(minutes=5)  # a run that has begun in a cluster that is silent for so long is given up
    forget_after: timedelta = timedelta(minutes=10)  # a withdrawn cronjob is remembered so long, to clean up
    settle: timedelta = timedelta(seconds=10)  # a ledger that began empty waits so long before it catches up
    look_again: timedelta = timedelta(seconds=5)  # how soon something that waits for the world is looked at again
    recent_limit: int = 10  # verdicts kept per cronjob
