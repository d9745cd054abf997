"""`kubectl hacron list`: the HACronJobs with what matters."""

from __future__ import annotations

import argparse
from typing import Any

from hacron.commands.calls import OK, Commands, complain
from hacron.core.manifests import instant, rfc3339
from hacron.plugin.calls import add_command
from hacron.plugin.kubectl import Kubectl, cronjobs
from hacron.plugin.looks import DELETING, UNSEEN, Look, looks
from hacron.plugin.output import (
    DIM,
    RED,
    YELLOW,
    add_output,
    for_programs,
    from_now,
    local,
    print_table,
    verdict_colour,
    without_nothing,
)

DESCRIPTION = """\
List HACronJobs: what is due when, whether it will fire and if not why, how many runs may be running, what became of the last tick
and in which cluster, the next tick in this machine's local time, and the guarantee. Of those that this cluster declares; what is
told is the same in every cluster that declares them.
"""

EPILOG = """\
Examples:

  kubectl hacron list
  kubectl hacron list -A -o json
"""

QUIET = {"Suspended": DIM, "Paused": YELLOW, "Ended": DIM, "Scheduled": "", DELETING: DIM, UNSEEN: YELLOW}


def register(commands: Commands) -> None:
    parser = add_command(commands, "list", call, help="list HACronJobs", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="those of all namespaces")
    add_output(parser)


def call(args: argparse.Namespace) -> int:
    kubectl = Kubectl(args)
    found = list(looks(kubectl.get(cronjobs(None if args.all_namespaces else kubectl.namespace))))
    if for_programs(args, [_described(look) for look in found]):
        return OK
    if not found:
        complain(
            "there are no HACronJobs" if args.all_namespaces else f"there are no HACronJobs in namespace {kubectl.namespace}"
        )
        return OK
    heads = ["NAME", "SCHEDULE", "STATE", "ACTIVE", "LAST RESULT", "CLUSTER", "NEXT", "", "GUARANTEE"]
    rows, colours = [], {}
    for number, look in enumerate(found):
        state, _ = look.state
        rows.append([*([look.namespace] * args.all_namespaces), look.name, *_row(look, state)])
        colours[number, 2 + args.all_namespaces] = QUIET.get(state, RED if look.next is None else YELLOW)
        colours[number, 4 + args.all_namespaces] = verdict_colour(look.last_result.get("verdict", ""))
    print_table([*(["NAMESPACE"] * args.all_namespaces), *heads], rows, colours)
    return OK


def _row(look: Look, state: str) -> list[str]:
    last = look.last_result
    when = from_now(instant(last.get("tick")))
    zone = "" if look.time_zone in ("", "Etc/UTC") else f" {look.time_zone}"
    return [
        f"{look.schedule}{zone}",
        _shown(look, state),
        str(len(look.active)),
        f"{last['verdict']} {when}" if last.get("verdict") else "",
        str(last.get("cluster") or ""),
        local(look.next),
        from_now(look.next),
        look.guarantee,
    ]


def _shown(look: Look, state: str) -> str:
    why = look.status.get("pause")
    return f"{state}: {why['reason']}" if state == "Paused" and isinstance(why, dict) and why.get("reason") else state


def _described(look: Look) -> dict[str, Any]:
    state, why = look.state
    return {
        "namespace": look.namespace,
        "name": look.name,
        "schedule": look.schedule,
        **({"timeZone": look.time_zone} if look.time_zone else {}),
        "guarantee": look.guarantee,
        "state": state,
        "active": len(look.active),
    } | without_nothing(
        {
            "why": why,
            "warnings": look.warnings,
            "last": look.last_result or None,
            "next": rfc3339(look.next) if look.next is not None else None,
        }
    )
