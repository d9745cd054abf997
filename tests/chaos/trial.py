"""One fault, tried: brought about under load, taken back, judged by the histories of the API servers."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from tests.chaos.checker import Figures, History, lost, ticks_of, violations, without_verdict
from tests.chaos.faults import Fault, done_to
from tests.chaos.stage import SOON, Stage, now
from tests.testbed.wait import until

SETTLE_S = 5.0
ENDS_S = 120.0  # a run takes seconds, and its pod as long as a busy machine makes it


@dataclass(frozen=True, slots=True)
class Result:
    """What one fault has done."""

    fault: str
    words: str
    began: datetime
    ended: datetime
    at_most_once: Figures
    at_least_once: Figures
    naive: Figures
    takeover_s: float | None  # from the fault until a replica was executor anew; None: it stayed
    silence_s: float  # the longest time in which nothing was started
    broken: tuple[str, ...]  # a sentence for each promise that was broken
    may_double: bool

    @property
    def unexcused(self) -> tuple[str, ...]:
        """What was broken, but for ticks that ran twice where that may be."""
        twice = {*self.at_most_once.doubled, *self.at_least_once.doubled} if self.may_double else set()
        return tuple(sentence for sentence in self.broken if sentence not in twice)

    def plain(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


def do(stage: Stage, fault: Fault, lasts_s: float | None = None) -> Result:
    """Bring the fault about, let it last, take it back, wait until all is as before, and judge what happened meanwhile."""
    lasts_s = lasts_s or fault.lasts_s
    stage.begins()
    with done_to(stage, fault) as acting:
        stage.live(lasts_s)
        for _ in acting:  # it goes on, in another way
            stage.live(lasts_s)
    stage.recover()
    stage.live(SETTLE_S)
    return judge(stage, fault, stage.began, now() - SOON)


def judge(stage: Stage, fault: Fault, began: datetime, ended: datetime) -> Result:
    """Read the histories."""
    once, surely = (ticks_of(stage.declared, began, ended, guarantee) for guarantee in (True, False))

    def untold() -> list[str]:
        # What a ledger had that was lost, no status may ever tell.
        return without_verdict(stage.verdicts, stage.declared, began, ended) if not fault.may_double else []

    def owed() -> list[str]:
        history = History.of(stage.ours)
        stage.note_verdicts()
        return [*history.unfinished(surely), *_lost(stage, fault, history, began, ended), *untold()]

    with suppress(TimeoutError):  # what has not begun or ended then will be told as a broken promise
        until(lambda: not owed(), ENDS_S, "the end of every run", every=1)
    ours, naive = History.of(stage.ours), History.of(stage.theirs)
    forbidding = {one.name for one in stage.declared if one.forbids}
    broken = [*violations(ours, stage.declared, began, ended), *_lost(stage, fault, ours, began, ended), *untold()]
    return Result(
        fault=fault.name,
        words=fault.words,
        began=began,
        ended=ended,
        at_most_once=ours.figures(once, True, forbidding),
        at_least_once=ours.figures(surely, False, forbidding),
        naive=naive.figures(stage.naive_ticks(began, ended), True),
        takeover_s=stage.takeover_s(began),
        silence_s=ours.silence_s(began, ended),
        broken=_news(stage, broken),
        may_double=fault.may_double,
    )


def _lost(stage: Stage, fault: Fault, history: History, began: datetime, ended: datetime) -> list[str]:
    """Return what was not started, if all should have been."""
    return lost(history, stage.declared, began, ended, timedelta(seconds=fault.heard_s)) if fault.fires else []


def _news(stage: Stage, broken: list[str]) -> tuple[str, ...]:
    """Return what is not known yet: Jobs beside each other are looked for in all that has ever run, also between two faults."""
    new = tuple(sentence for sentence in broken if sentence not in stage.told)
    stage.told.update(new)
    return new
