"""`kubectl hacron next`: the coming ticks of a HACronJob as it stands in the cluster."""

from __future__ import annotations

import argparse

from hacron.commands import next as coming
from hacron.commands.calls import NO, OK, Commands, complain, print_lines
from hacron.plugin.calls import add_command, add_name
from hacron.plugin.kubectl import Kubectl, one_cronjob
from hacron.plugin.looks import Look
from hacron.plugin.output import add_output, for_programs, without_nothing

DESCRIPTION = """\
Print the coming ticks of a HACronJob of the cluster, in local time of its zone and in UTC, and mark where clocks are moved.
If none of them will fire as things are, it is told why; if clusters declare it differently, it is told which counts.
`hacron next --help` says how to read it.
"""

EPILOG = """\
Example:

  kubectl hacron next report --count 10
"""


def register(commands: Commands) -> None:
    parser = add_command(commands, "next", call, help="print the coming ticks", description=DESCRIPTION, epilog=EPILOG)
    add_name(parser)
    coming.add_extent(parser)
    add_output(parser)


def call(args: argparse.Namespace) -> int:
    after, count = coming.wanted(args)
    look = Look(one_cronjob(Kubectl(args), args.name))
    subject = look.subject()
    if subject.cronjob is None:
        complain(f"HACronJob {look.label} has no ticks: {subject.problem}")
        return NO
    state, why = look.state
    more = {"why": why, "warnings": look.warnings}
    ticks = coming.ticks(subject, subject.cronjob, after, count)
    if not for_programs(args, coming.described(subject, ticks) | {"state": state} | without_nothing(more)):
        print_lines(coming.table(subject, after, ticks))
        if state != "Scheduled":
            complain(f"at present: {state}: {why}")
        for warning in look.warnings:
            complain(warning)
    return OK
