"""`kubectl hacron history`: what became of ticks and of runs beside the schedule, and which of their Jobs are still here."""

from __future__ import annotations

import argparse
import re
from datetime import datetime, timedelta
from typing import Any

from hacron.commands.calls import OK, Commands, Misuse, complain
from hacron.core.manifests import JobView, rfc3339
from hacron.core.reasons import MANY
from hacron.core.ticks.cronfields import quoted
from hacron.plugin import records
from hacron.plugin.calls import add_command, add_name
from hacron.plugin.kubectl import Kubectl, one_cronjob
from hacron.plugin.looks import Look
from hacron.plugin.output import add_output, for_programs, local, print_table, span, verdict_colour
from hacron.plugin.records import Fate

DESCRIPTION = """\
Show what became of the ticks of a HACronJob, and of runs beside its schedule, the latest first: open runs, the verdicts in its
.status and in the .status of its HACronJobRuns, and Jobs in this cluster of ticks that are remembered nowhere else.
"""

EPILOG = """\
TICK is in this machine's local time. LATE: how long after its tick the Job was made. HERE: the Job is still in this cluster.
With -o json or yaml an array of what .status has of each, with run (the HACronJobRun that asked for it) and jobHere.

Example:

  kubectl hacron history report --last 100
"""

LAST, MOST = 20, 10_000


def register(commands: Commands) -> None:
    parser = add_command(commands, "history", call, help="show what became of ticks", description=DESCRIPTION, epilog=EPILOG)
    add_name(parser)
    parser.add_argument("--last", metavar="N", default=str(LAST), help=f"how many, at most; default: {LAST}")
    add_output(parser)


def call(args: argparse.Namespace) -> int:
    if not re.fullmatch(r"[1-9]\d{0,4}", args.last, re.ASCII) or int(args.last) > MOST:
        raise Misuse(f"--last: {quoted(args.last)} is not a whole number from 1 to {MOST}")
    kubectl = Kubectl(args)
    look = Look(one_cronjob(kubectl, args.name))
    jobs = {job.name: job for job in records.jobs_here(kubectl, look) if not job.tombstone}
    told = [*records.of_schedule(look), *records.of_demands(kubectl, look)]
    known = {entry.text("job") for entry in told}
    told += [_of_job(job) for name, job in jobs.items() if name not in known]
    found = records.latest_first(each_once(told))[: int(args.last)]
    if for_programs(args, [_described(entry, jobs) for entry in found]):
        return OK
    if not found:
        complain(f"nothing is known to have become of any tick of HACronJob {look.label}")
        return OK
    heads = ["TICK", "RESULT", "REASON", "CLUSTER", "JOB", "LATE", "TOOK", "HERE", "RUN"]
    rows = [_row(entry, jobs) for entry in found]
    print_table(heads, rows, {(number, 1): verdict_colour(entry.verdict) for number, entry in enumerate(found)})
    return OK


def each_once(told: list[Fate]) -> list[Fate]:
    """Leave out open runs that are Lost, unless they wait, and have their verdict: both say the same, the verdict also why."""
    lost = {_run_of(entry) for entry in told if entry.verdict == "Lost"}
    return [entry for entry in told if entry.state != "Lost" or entry.verdict or entry.waits or _run_of(entry) not in lost]


def _run_of(entry: Fate) -> tuple[datetime, str]:
    return entry.tick, entry.text("job")


def _of_job(job: JobView) -> Fate:
    times = {"started": rfc3339(job.created), "finished": rfc3339(job.finished) if job.finished is not None else None}
    state = {"state": "Running"} if job.terminal is None else {"verdict": job.terminal.value, "reason": job.reason}
    more = {"message": job.message, "attempt": job.attempt if job.attempt > 1 else None}
    fields = {"tick": rfc3339(job.tick), "job": job.name, "cluster": job.cluster} | state | more | times
    return Fate(job.tick, {name: value for name, value in fields.items() if value}, job.demand)


def _row(entry: Fate, jobs: dict[str, JobView]) -> list[str]:
    count, attempt = entry.fields.get("count"), entry.fields.get("attempt")
    many = f" x{MANY}+" if entry.is_uncounted else f" x{count}" if count else ""
    started = entry.time("started")
    late = max(started - entry.tick, timedelta()) if started is not None and not entry.run else None
    return [
        local(entry.tick),
        f"{entry.state}{many}",
        entry.text("reason"),
        entry.text("cluster"),
        f"{entry.text('job')}{f' (attempt {attempt})' if attempt else ''}",
        span(late) if late is not None else "",
        span(entry.took) if entry.took is not None else "",
        "yes" if entry.text("job") in jobs else "",
        entry.run,
    ]


def _described(entry: Fate, jobs: dict[str, JobView]) -> dict[str, Any]:
    return entry.fields | ({"run": entry.run} if entry.run else {}) | {"jobHere": entry.text("job") in jobs}
