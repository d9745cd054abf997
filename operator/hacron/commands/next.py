"""`hacron next`: when a schedule, or the cronjobs of manifests, will be due."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise

from hacron.commands import wallclock
from hacron.commands.calls import MISUSE, OK, Commands, Misuse, add_output, instant_of, print_json, print_lines
from hacron.commands.gaps import gaps
from hacron.commands.subjects import Subject, add_arguments, asked_for, valid
from hacron.core.manifests import rfc3339
from hacron.core.model import CronJob
from hacron.core.ticks.cronfields import quoted

COUNT, MOST = 5, 10_000

DESCRIPTION = """\
Print the coming ticks of a schedule, or of all HACronJobs and CronJobs in manifests, as the operator goes by them.
Nothing is asked of a cluster or of the broker.
"""

EPILOG = """\
The table shows each tick in local time, the offset of local time from UTC, and UTC. Marked are the ticks at which the offset
has changed since the line before, and those whose local time comes twice; a local time that does not exist, because the clocks
were moved past it, has a line in brackets. With "@every", ticks are counted from --after, or from lastScheduleTime or
creationTimestamp where a manifest has them.

With --output json, --schedule gives an array of instants such as "2026-03-28T08:00:00Z"; -f gives an array of objects with
kind, namespace, name, schedule, timeZone, suspend and ticks. There are fewer than --count when the schedule stops: after
endTime, or when none comes within five years. Then, and when it is suspended, the exit code is 0 all the same.

Exit codes: 0 done; 2 the call, a schedule, a zone or a manifest is wrong (one line each on standard error).

Examples:

  hacron next --schedule "*/15 9-17 * * mon-fri" --time-zone Europe/Prague
  hacron next --schedule "30 2 * * *" --time-zone Europe/Prague --after 2026-10-24T00:00:00Z --count 3 --output json
  helm template charts/mine | hacron next -f -
"""


def register(commands: Commands) -> None:
    parser = commands.add_parser("next", help="print the coming ticks", description=DESCRIPTION, epilog=EPILOG)
    add_arguments(parser)
    add_extent(parser)
    add_output(parser)
    parser.set_defaults(call=call)


def add_extent(parser: argparse.ArgumentParser) -> None:
    """Let a command be asked from when on, and how many ticks."""
    parser.add_argument("--after", metavar="TIME", help="only ticks later than this, such as 2026-03-28T08:00:00Z; default: now")
    parser.add_argument("--count", metavar="N", default=str(COUNT), help=f"at most so many ticks, 1 to {MOST}; default: {COUNT}")


def wanted(args: argparse.Namespace) -> tuple[datetime, int]:
    """Return from when on, and how many ticks. Raises Misuse."""
    count = _count(args.count)
    return (datetime.now(UTC) if args.after is None else instant_of("--after", args.after)), count


def call(args: argparse.Namespace) -> int:
    after, count = wanted(args)
    subjects, whole = asked_for(args)
    found = [(subject, ticks(subject, cronjob, after, count)) for subject, cronjob in valid(subjects)]
    if args.output == "text":
        for number, (subject, coming) in enumerate(found):
            print_lines([""] * bool(number))
            print_lines(table(subject, after, coming))
    elif args.schedule is not None:
        print_json([rfc3339(tick) for tick in found[0][1]])
    elif found:
        print_json([described(subject, coming) for subject, coming in found])
    return OK if whole and len(found) == len(subjects) else MISUSE


def ticks(subject: Subject, cronjob: CronJob, after: datetime, count: int) -> list[datetime]:
    """Return the next ticks strictly after an instant."""
    base = _base(subject, after)
    found: list[datetime] = []
    tick = cronjob.schedule.next_after(after, base)
    while tick is not None and len(found) < count:
        found.append(tick)
        tick = cronjob.schedule.next_after(tick, base)
    return found


def _base(subject: Subject, after: datetime) -> datetime:
    """Return from where ticks are counted, before the first that is wanted."""
    base, interval = subject.base, subject.calendar.schedules[0].interval
    if base is None or interval is None:
        return after
    try:
        return base if base <= after else after - (after - base) % interval  # the next tick is behind the end of a pause
    except OverflowError:
        return after


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= MOST):
        raise Misuse(f"--count: {quoted(text)} is not a whole number from 1 to {MOST}")
    return int(text)


def described(subject: Subject, coming: list[datetime]) -> dict[str, object]:
    return {
        "kind": subject.kind,
        "namespace": subject.namespace,
        "name": subject.name,
        "schedule": subject.calendar.text,
        "timeZone": subject.zone.name,
        "suspend": bool(subject.fields.get("suspend")),
        "ticks": [rfc3339(tick) for tick in coming],
    }


def table(subject: Subject, after: datetime, coming: list[datetime]) -> Iterator[str]:
    if subject.where:
        suspended = ", suspended: none of these fires" if subject.fields.get("suspend") else ""
        yield f"{subject.kind} {subject.label}: {subject.calendar.text}, {subject.zone.name}{suspended}"
    if not coming:
        yield "never: no tick comes within five years"
        return
    rows = [(wallclock.local(subject.zone, tick), tick) for tick in coming]
    times = [wallclock.local_text(local).rsplit(" ", 1) for local, _ in rows]
    heads = f"local, {subject.zone.name}", "offset"
    wide = max(len(heads[0]), *(len(time) for time, _ in times)), max(len(heads[1]), *(len(offset) for _, offset in times))
    yield f"{heads[0]:{wide[0]}}  {heads[1]:{wide[1]}}  UTC"
    before = wallclock.local(subject.zone, after).utcoffset() if after.year > 1 else None
    for (earlier, tick), (time, offset) in zip(pairwise([after, *coming]), times, strict=True):
        yield from (f"[{gap.sentence}]" for gap in gaps(subject, earlier, tick))
        here = wallclock.local(subject.zone, tick).utcoffset()
        marks = _marks(subject, tick, None if here == before or before is None else wallclock.offset_text(before))
        yield f"{time:{wide[0]}}  {offset:{wide[1]}}  {rfc3339(tick)}{marks}"
        before = here


def _marks(subject: Subject, tick: datetime, offset_was: str | None) -> str:
    marks = [f"offset was {offset_was}"] if offset_was else []
    showings = wallclock.showings(subject.zone, tick)
    if len(showings) > 1:
        marks.append(f"{'first' if tick == showings[0] else 'second'} of this local time")
    return f"  <- {', '.join(marks)}" if marks else ""
