"""What a series of trials comes to: a table for people, JSON for programs."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from tests.chaos.checker import Figures
from tests.chaos.trial import Result

HEAD = """\
| fault | times | AtMostOnce: due / twice / not started | AtLeastOnce: due / twice / not started / tried again \
| late, p50 / max | nothing started for | takeover | naive holder: due / twice / not started | its late max |
|---|---|---|---|---|---|---|---|---|
"""


def table(results: Iterable[Result]) -> str:
    """Return one row for each fault; what it did in several trials is added up, and of times the longest is given."""
    ordered = sorted(enumerate(results), key=lambda each: (each[1].fault, each[0]))
    first: dict[str, int] = {}
    rows: dict[str, str] = {}
    for fault, group in groupby(ordered, key=lambda each: each[1].fault):
        numbered = list(group)
        first[fault] = numbered[0][0]
        rows[fault] = _row([result for _, result in numbered])
    return HEAD + "".join(rows[fault] for fault in sorted(rows, key=first.__getitem__))


def write(results: Sequence[Result], method: str, folder: Path) -> Path:
    """Write chaos.md and chaos.json into `folder`; return the first."""
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, {datetime.now(UTC):%Y-%m-%d}"
    broken = [f"- {result.words}: {sentence}" for result in results for sentence in result.broken]
    text = f"{method}\n\nMachine: {machine}.\n\n{table(results)}\n"
    text += "Promises that were broken:\n\n" + "\n".join(broken) + "\n" if broken else "No promise was broken.\n"
    (folder / "chaos.json").write_text(json.dumps([result.plain() for result in results], default=str, indent=1) + "\n")
    (folder / "chaos.md").write_text(text)
    return folder / "chaos.md"


def read(folder: Path) -> list[Result]:
    """Return the results that chaos.json in `folder` holds."""
    return [_result(plain) for plain in json.loads((folder / "chaos.json").read_text())]


def _result(plain: dict[str, Any]) -> Result:
    figures = {kind: Figures(**plain[kind]) for kind in ("at_most_once", "at_least_once", "naive")}
    times = {name: datetime.fromisoformat(plain[name]) for name in ("began", "ended")}
    return Result(**{**plain, **figures, **times})


def _row(results: Sequence[Result]) -> str:
    once, surely, naive = ([getattr(result, kind) for result in results] for kind in ("at_most_once", "at_least_once", "naive"))
    takeovers = [result.takeover_s for result in results if result.takeover_s is not None]
    both = [*once, *surely]
    cells = [
        results[0].words,
        str(len(results)),
        f"{_sum(once, 'due')} / {_twice(once)} / {_sum(once, 'not_started')}",
        f"{_sum(surely, 'due')} / {_twice(surely)} / {_sum(surely, 'not_started')} / {_sum(surely, 'again')}",
        f"{max(each.late_p50_s for each in both):.0f} / {max(each.late_max_s for each in both):.0f} s",
        f"{max(result.silence_s for result in results):.0f} s",
        f"{max(takeovers):.1f} s" if takeovers else "none",
        f"{_sum(naive, 'due')} / {_twice(naive)} / {_sum(naive, 'not_started')}",
        f"{max(each.late_max_s for each in naive):.0f} s",
    ]
    return f"| {' | '.join(cells)} |\n"


def _sum(figures: Iterable[Figures], what: str) -> int:
    return sum(getattr(each, what) for each in figures)


def _twice(figures: Iterable[Figures]) -> str:
    count = sum(len(each.doubled) for each in figures)
    return f"**{count}**" if count else "0"
