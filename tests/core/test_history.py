"""Which Jobs the history limits leave: a table. A Job is S (succeeded), F (failed) or R (runs on), with its minute."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hacron.core.history import surplus
from hacron.core.manifests import JobView
from hacron.core.messages import Outcome, Progress
from hacron.core.model import Run, Verdict, VerdictKind
from hacron.core.spec import parse
from tests.core.ledger_story import HELLO, NOON, spec

OUTCOMES = {"S": Outcome.SUCCEEDED, "F": Outcome.FAILED, "R": None}
KINDS = {"S": VerdictKind.SUCCEEDED, "F": VerdictKind.FAILED}

TABLE = (
    # successful, failed, the Jobs here,     ran elsewhere,  open in the ledger,  go
    (3, 1, "S1 S2 S3", "", "", ""),
    (3, 1, "S1 S2 S3 S4", "", "", "S1"),
    (3, 1, "S1 F2 S3 S4 F5", "", "", "F2"),
    (3, 1, "S1 S2 S3 S4 R5", "", "", "S1"),
    (0, 0, "S1 F2 R3", "", "", "S1 F2"),
    (1, 0, "S1 S2", "", "", "S1"),
    (0, 1, "S1 F2 F3", "", "", "S1 F2"),
    # over all clusters
    (2, 1, "S1 S2", "S3", "", "S1"),
    (2, 1, "S1 S2", "S3 S4", "", "S1 S2"),
    (2, 1, "S3 S4", "S1 S2", "", ""),
    (3, 1, "F1", "F2", "", "F1"),
    # a Job whose run the ledger has not closed stays: its verdict must not be lost with it
    (0, 0, "S1 F2", "", "1 2", ""),
    (1, 1, "S1 S2 S3", "", "3", "S1"),
)


def views(text: str) -> list[JobView]:
    return [_view(word[0], int(word[1:])) for word in text.split()]


def _view(letter: str, minute: int) -> JobView:
    tick = NOON + timedelta(minutes=minute)
    return JobView(
        key=HELLO,
        run_id=f"run-{minute}",
        uid=f"uid-{minute}",
        namespace="default",
        name=f"{letter}{minute}",
        created=tick,
        tick=tick,
        attempt=1,
        terminal=OUTCOMES[letter],
        finished=tick if OUTCOMES[letter] else None,
        reason="",
        message="",
        tombstone=False,
        ran=False,
        deleting=False,
        fencing=minute,
    )


def _verdict(letter: str, minute: int) -> Verdict:
    tick = NOON + timedelta(minutes=minute)
    return Verdict(tick=tick, verdict=KINDS[letter], cluster="east", job=f"{letter}{minute}", started=tick)


def _open(minute: int) -> Run:
    tick = NOON + timedelta(minutes=minute)
    return Run(id=f"run-{minute}", tick=tick, cluster="west", start_by=tick, fencing=minute)


@pytest.mark.parametrize(("successful", "failed", "here", "elsewhere", "opened", "go"), TABLE)
def test_the_history_limits(successful: int, failed: int, here: str, elsewhere: str, opened: str, go: str) -> None:
    cronjob = parse(HELLO, spec(successfulJobsHistoryLimit=successful, failedJobsHistoryLimit=failed))
    progress = Progress(
        key=HELLO,
        cronjob_id="uid",
        last_tick=NOON,
        open=tuple(_open(int(minute)) for minute in opened.split()),
        recent=tuple(_verdict(word[0], int(word[1:])) for word in elsewhere.split()),
    )
    gone = surplus(views(here), progress, cronjob, "west")
    assert sorted(job.name for job in gone) == sorted(go.split())
