"""`hacron explain`: why a cronjob would fire at a time, or would not."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import datetime

from hacron.commands import wallclock
from hacron.commands.calls import MISUSE, NO, OK, Commands, Misuse, add_output, print_json, print_lines, time_of
from hacron.commands.explaining import Explanation, explain
from hacron.commands.subjects import Subject, add_arguments, asked_for
from hacron.core.manifests import rfc3339
from hacron.core.ticks.cronfields import quoted

FIRST_YEAR, LAST_YEAR = 1900, 9900

DESCRIPTION = """\
Tell why a HACronJob or a CronJob would fire at a time, or why it would not: whether it is due then and which field says no,
the ticks before and after, local times that are left out or come twice, then what else is in its way: an invalid spec, suspend,
a pause, startTime and endTime, deadlines, the concurrency policy; and where the run would go. Nothing is asked of a cluster or
of the broker: what runs there are now is told only as far as the manifest has it, as `kubectl get --output yaml` gives it.
"""

EPILOG = """\
--at without an offset is local time in the zone of each cronjob: only so a local time can be asked about that does not exist.

With --output json: an array of objects with kind, namespace, name, schedule, timeZone, at (the instants asked about), fires,
findings (reason, message, against: whether it is why it would not fire), before and after (the nearest ticks).

Exit codes: 0 it would fire, all of them if there are several; 1 it would not; 2 the call is wrong or a file could not be read.

Examples:

  hacron explain -f report.yaml --at 2026-03-29T02:30
  kubectl get hacronjob report --output yaml | hacron explain -f - --at 2026-03-29T00:30:00Z
  hacron explain --schedule "0 2 1 * mon" --time-zone Europe/Prague --at 2026-06-01T02:00 --output json
"""


def register(commands: Commands) -> None:
    says = "tell why it would fire at a time, or would not"
    parser = commands.add_parser("explain", help=says, description=DESCRIPTION, epilog=EPILOG)
    add_arguments(parser)
    parser.add_argument(
        "--at", metavar="TIME", required=True, help="2026-03-29T00:30:00Z, or local time such as 2026-03-29T02:30"
    )
    add_output(parser)
    parser.set_defaults(call=call)


def call(args: argparse.Namespace) -> int:
    asked = asked_time(args.at)
    subjects, whole = asked_for(args)
    found = [(subject, explain(subject, asked)) for subject in subjects]
    if args.output == "json" and found:
        print_json([_described(subject, told) for subject, told in found])
    else:
        for number, (subject, told) in enumerate(found):
            print_lines([""] * bool(number))
            print_lines(_text(subject, told, asked))
    if not whole:
        return MISUSE
    return OK if all(told.fires for _, told in found) else NO


def asked_time(text: str) -> datetime:
    """Read --at. Raises Misuse."""
    asked = time_of("--at", text)
    if not FIRST_YEAR <= asked.year <= LAST_YEAR:
        raise Misuse(f"--at: {quoted(text)} is not between the years {FIRST_YEAR} and {LAST_YEAR}")
    return asked


def _described(subject: Subject, told: Explanation) -> dict[str, object]:
    return {
        "kind": subject.kind if subject.where else None,
        "namespace": subject.namespace,
        "name": subject.name if subject.where else None,
        "schedule": None if subject.cronjob is None else subject.calendar.text,
        "timeZone": None if subject.cronjob is None else subject.zone.name,
        "at": [rfc3339(instant) for instant in told.at],
        "fires": told.fires,
        "findings": [
            {"reason": finding.reason, "message": finding.message, "against": finding.against} for finding in told.findings
        ],
        "before": None if told.before is None else rfc3339(told.before),
        "after": None if told.after is None else rfc3339(told.after),
    }


def _text(subject: Subject, told: Explanation, asked: datetime) -> Iterator[str]:
    if subject.cronjob is None:
        yield f"{subject.kind} {subject.label} ({subject.where})"
    else:
        name = f"{subject.kind} {subject.label}: " if subject.where else ""
        yield f"{name}{subject.calendar.text}, {subject.zone.name}"
    times = [both(subject, instant) for instant in told.at] or [wallclock.local_text(asked)]
    yield f"at {' and '.join(times)}: it would {'' if told.fires else 'not '}fire"
    for finding in sorted(told.findings, key=lambda finding: not finding.against):
        yield f"  - {finding.message}"
    for what, tick in (("before", told.before), ("after", told.after)):
        if tick is not None:
            yield f"tick {what}: {both(subject, tick)}"


def both(subject: Subject, instant: datetime) -> str:
    """Write an instant in local time of the cronjob and in UTC."""
    if subject.cronjob is None:
        return rfc3339(instant)
    return f"{wallclock.local_text(wallclock.local(subject.zone, instant))} = {rfc3339(instant)}"
