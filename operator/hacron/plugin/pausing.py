"""`kubectl hacron pause` and `resume`: a pause apart from the spec, in every cluster, by annotations."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime, timedelta

from hacron.commands.calls import NO, OK, Commands, Misuse, complain, print_lines
from hacron.commands.subjects import part
from hacron.core import manifests
from hacron.core.manifests import PAUSE, PAUSE_BY, PAUSE_UNTIL, rfc3339
from hacron.core.ticks.cronfields import quoted
from hacron.plugin.calls import add_command, add_name, zoned
from hacron.plugin.kubectl import Kubectl, one_cronjob
from hacron.plugin.looks import Look
from hacron.plugin.output import add_output, for_programs, from_now

PAUSING = """\
Pause a HACronJob in all clusters, apart from its spec, which GitOps tools would write back. What comes meanwhile is passed over,
as with suspend, unless catchUp.afterEdits is true. It ends at the time that is given, or by `kubectl hacron resume`.
"""

EPILOG = """\
It is the annotations hacron.io/pause, hacron.io/pause-by (the user's name in the kubeconfig, unless --by) and
hacron.io/pause-until. With -o json or yaml the HACronJob is printed, as it is then.

Examples:

  kubectl hacron pause report --reason "database is moved" --for 2h30m
  kubectl hacron pause report --reason "until somebody looks at it"
"""

RESUMING = """\
End the pause of a HACronJob that stands in this cluster. One that stands in another cluster is ended there; it is told which.
With -o json or yaml the HACronJob is printed, as it is then.
"""

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_LONGEST = timedelta(days=3660)


def register(commands: Commands) -> None:
    parser = add_command(commands, "pause", pause, help="let nothing fire for a while", description=PAUSING, epilog=EPILOG)
    add_name(parser)
    parser.add_argument("--reason", metavar="TEXT", required=True, help="why, for whoever wonders")
    end = parser.add_mutually_exclusive_group()
    end.add_argument("--for", dest="for_", metavar="SPAN", help="how long, such as 90m, 2h30m or 3d")
    end.add_argument("--until", metavar="TIME", help="2026-12-24T18:00:00Z; without an offset, this machine's local time")
    parser.add_argument("--by", metavar="NAME", help="who; default: the user's name in the kubeconfig")
    add_output(parser)
    parser = add_command(commands, "resume", resume, help="end a pause", description=RESUMING)
    add_name(parser)
    add_output(parser)


def pause(args: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    until = _end(args, now)
    kubectl = Kubectl(args)
    told = {PAUSE: args.reason, PAUSE_BY: args.by or kubectl.user, PAUSE_UNTIL: None if until is None else rfc3339(until)}
    if manifests.pause_of(told) is None:
        raise Misuse(f"--reason: {quoted(args.reason)} would mean that it is not paused; say why it is")
    one_cronjob(kubectl, args.name)
    body = kubectl.patch(args.name, {"metadata": {"annotations": told}})
    look = Look(body)
    if not for_programs(args, body):
        print_lines([f"HACronJob {look.label} is {look.pause}" + (f" ({from_now(until, now)})" if until else "")])
    return OK


def resume(args: argparse.Namespace) -> int:
    kubectl = Kubectl(args)
    body = one_cronjob(kubectl, args.name)
    look = Look(body)
    was = look.pause
    told = part(look.status, "pause")
    if not was and look.status.get("paused") is True:
        for_programs(args, body)
        complain(f"HACronJob {look.label} is paused in cluster {told.get('cluster') or '?'}, not in this one: resume it there")
        return NO
    if any(name in part(look.metadata, "annotations") for name in (PAUSE, PAUSE_BY, PAUSE_UNTIL)):
        body = kubectl.patch(args.name, {"metadata": {"annotations": dict.fromkeys((PAUSE, PAUSE_BY, PAUSE_UNTIL))}})
    if not for_programs(args, body):
        print_lines(
            [f"HACronJob {look.label} {f'is no longer paused in this cluster; it was {was}' if was else 'was not paused'}"]
        )
    if look.spec.get("suspend") is True:
        complain("it is suspended besides: spec.suspend is true")
    return OK


def _end(args: argparse.Namespace, now: datetime) -> datetime | None:
    if args.for_ is not None:
        return now + _span(args.for_)
    if args.until is None:
        return None
    until = zoned("--until", args.until)
    if until <= now:
        raise Misuse(f"--until: {quoted(args.until)} is over")
    return until


def _span(text: str) -> timedelta:
    parts = re.findall(r"(\d{1,9})([dhms])", text) if re.fullmatch(r"(\d{1,9}[dhms])+", text) else []
    found = timedelta(seconds=sum(int(count) * _UNITS[unit] for count, unit in parts))
    if not timedelta() < found <= _LONGEST:
        raise Misuse(f"--for: {quoted(text)} is no span of up to ten years; write it like 90m, 2h30m or 3d")
    return found
