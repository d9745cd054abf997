"""`kubectl hacron run`: a run beside the schedule, or one for each tick of a range, asked for as a HACronJobRun."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from typing import Any

from hacron.commands.calls import NO, OK, Commands, Misuse, complain, print_lines
from hacron.commands.subjects import part, text_of
from hacron.core.demand.wanted import MOST
from hacron.core.manifests import API_VERSION, rfc3339
from hacron.core.model import Kind
from hacron.core.ticks.cronfields import quoted
from hacron.plugin import records
from hacron.plugin.calls import NOT_YET, add_command, add_name, zoned
from hacron.plugin.kubectl import Kubectl, Refused, one_cronjob, runs
from hacron.plugin.looks import Look, entries
from hacron.plugin.output import add_output, for_programs

DESCRIPTION = """\
Run a HACronJob now, with a given time as its tick (--at), or for each tick of its schedule from one time to another. It is asked
for by a HACronJobRun, whose name is printed; concurrency policy, placement and guarantee hold as always.
"""

EPILOG = """\
Times without an offset are this machine's local time; standard error says in UTC which ticks are asked for. --wait follows it to
its end, and says there what it waits for; interrupting that leaves the runs alone. With -o json or yaml the HACronJobRun is
printed, as it is then.

Exit codes: 0 it is asked for, or with --wait: every run succeeded; 1 not every one did; 4 not over yet when --timeout was.

Examples:

  kubectl hacron run report --wait
  kubectl hacron run report --from 2026-11-01T00:00:00Z --to 2026-11-23T23:59:59Z --limit 30
"""

LONGEST_WAIT_S = 1e9
WATCH_S = 60  # a watch that nobody hears of is begun again


def register(commands: Commands) -> None:
    parser = add_command(commands, "run", call, help="run beside the schedule", description=DESCRIPTION, epilog=EPILOG)
    add_name(parser)
    parser.add_argument("--at", metavar="TIME", help="the tick that the run gets, such as 2026-11-24T02:00:00Z; default: now")
    parser.add_argument("--from", dest="from_", metavar="TIME", help="with --to: a run for each tick of the schedule from here")
    parser.add_argument("--to", metavar="TIME", help="the last tick is not after this")
    parser.add_argument("--limit", metavar="N", type=int, help="of a range: with more ticks than this nothing runs; default: 100")
    parser.add_argument("--ignore-suspend", action="store_true", help="run although it is suspended or paused")
    parser.add_argument("--wait", action="store_true", help="wait until every run has ended")
    parser.add_argument("--timeout", metavar="SECONDS", type=float, help="of --wait; default: for ever")
    add_output(parser)


def call(args: argparse.Namespace) -> int:
    spec = _spec(args)
    kubectl = Kubectl(args)
    look = Look(one_cronjob(kubectl, args.name))  # a misspelt name would be waited for
    body = {
        "apiVersion": API_VERSION,
        "kind": Kind.DEMAND.value,
        "metadata": {"generateName": f"{look.name}-", "namespace": kubectl.namespace},
        "spec": spec,
    }
    made = kubectl.create(runs(kubectl.namespace), body, fieldManager="kubectl-hacron")
    name = text_of(part(made, "metadata"), "name")
    if args.output == "text":
        print_lines([f"hacronjobrun.hacron.io/{name}"])
        sys.stdout.flush()
    if ticks := ticks_of(spec):
        complain(f"{name}: asks for {ticks}")
    if not args.wait:
        for_programs(args, made)
        return OK
    last, code = _follow(kubectl, name, args.timeout)
    for_programs(args, last)
    return code


def _spec(args: argparse.Namespace) -> dict[str, Any]:
    if (args.from_ is None) != (args.to is None):
        raise Misuse("--from and --to go together")
    if args.at is not None and args.from_ is not None:
        raise Misuse("either --at or --from and --to")
    if args.limit is not None and args.from_ is None:
        raise Misuse("--limit goes with --from and --to")
    if args.limit is not None and not 1 <= args.limit <= MOST:
        raise Misuse(f"--limit is from 1 to {MOST}")
    if args.timeout is not None and not (args.wait and 0 < args.timeout < LONGEST_WAIT_S):
        raise Misuse("--timeout goes with --wait, and is a number of seconds above 0")
    spec: dict[str, Any] = {"cronJob": args.name}
    if args.at is not None:
        spec["scheduledTime"] = rfc3339(zoned("--at", args.at))
    if args.from_ is not None:
        begin, end = zoned("--from", args.from_), zoned("--to", args.to)
        if end < begin:
            raise Misuse(f"--to: {quoted(args.to)} is before --from")
        limit = {} if args.limit is None else {"limit": args.limit}
        spec["range"] = {"from": rfc3339(begin), "to": rfc3339(end), **limit}
    return spec | ({"ignoreSuspend": True} if args.ignore_suspend else {})


def ticks_of(spec: dict[str, Any]) -> str:
    """Say in UTC which ticks are asked for; empty when the run is to be now."""
    if between := spec.get("range"):
        return f"each tick from {between['from']} to {between['to']}"
    return f"the tick of {spec['scheduledTime']}" if "scheduledTime" in spec else ""


# --- to its end -----------------------------------------------------------------------------------------------------------------


def _follow(kubectl: Kubectl, name: str, timeout: float | None) -> tuple[dict[str, Any], int]:
    """Return the HACronJobRun as it is when it is over, or the time is; and the exit code."""
    said: list[str] = []
    last: dict[str, Any] = {}
    for last in _changes(kubectl, name, None if timeout is None else time.monotonic() + timeout):
        for sentence in _news(last):
            if sentence not in said:
                said.append(sentence)
                complain(f"{name}: {sentence}")
        status = part(last, "status")
        if status.get("phase") == "Refused":
            return last, NO
        if status.get("phase") == "Complete":
            return last, OK if not status.get("failed") else NO
        if part(last, "metadata").get("deletionTimestamp"):
            complain(f"{name}: it was deleted")
            return last, NO
    complain(f"{name}: not over yet; kubectl get hacronjobrun {name} --namespace {kubectl.namespace} shows how it goes on")
    return last, NOT_YET


def _changes(kubectl: Kubectl, name: str, until: float | None) -> Iterator[dict[str, Any]]:
    """Give the object as it changes, until the time is over."""
    while True:
        try:
            now = kubectl.get(f"{runs(kubectl.namespace)}/{name}")
        except Refused as refused:
            if refused.reason != "NotFound":
                raise
            raise Refused(f"{name} was deleted", "NotFound") from None
        yield now
        left = WATCH_S if until is None else min(WATCH_S, int(until - time.monotonic()))
        if left < 1:
            return
        since = str(part(now, "metadata").get("resourceVersion") or "")
        how = {"fieldSelector": f"metadata.name={name}", "resourceVersion": since, "timeoutSeconds": str(left)}
        began = time.monotonic()
        with kubectl.watch(runs(kubectl.namespace), **how) as changes:
            yield from changes
        time.sleep(max(0.0, 1.0 - (time.monotonic() - began)))  # of a watch that is not to be had


def _news(body: dict[str, Any]) -> Iterator[str]:
    """Say what has ended, then what is waited for."""
    for entry in records.of_demand(body):
        yield entry.sentence
    conditions = {one.get("type"): one for one in entries(part(body, "status"), "conditions")}
    complete, accepted = conditions.get("Complete"), conditions.get("Accepted", {})
    if accepted.get("status") == "False":
        yield f"refused: {accepted.get('message')}"
    elif complete is not None:
        goes_on = complete.get("status") == "True" or complete.get("reason") == "Running"
        yield f"{'' if goes_on else 'waits: '}{complete.get('message')}"
