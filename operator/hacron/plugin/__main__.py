"""`kubectl hacron`: the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from hacron.commands.calls import Commands, Parser, answered, complain, know_few_characters
from hacron.plugin import coming, converting, executing, history, listing, pausing, running, where, why
from hacron.plugin.calls import UNASKED
from hacron.plugin.kubectl import Refused, add_flags
from hacron.telemetry.version import program_version

PROGRAM = "kubectl hacron"

DESCRIPTION = """\
Ask a cluster about its HACronJobs, and want something of them. Only the Kubernetes API is asked, by way of kubectl, with your
kubeconfig and your rights. What is told is the same in every cluster that declares them.
"""

EPILOG = """\
Exit codes: 0 done, or yes; 1 no: it did not run, or did not succeed; 2 the call is wrong; 3 the API server cannot be asked or
says no (a missing right, object or custom resource); 4 not over yet when --timeout was; 130 interrupted. What is wrong is told
in one line on standard error. Colours are for terminals, and not when NO_COLOR is set.
"""

COMMANDS = (listing, coming, why, running, pausing, history, where, executing, converting)


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the arguments say and return the exit code."""
    know_few_characters()
    return answered(lambda: _do(parser().parse_args(argv)))


def parser() -> Parser:
    found = Parser(prog=PROGRAM, description=DESCRIPTION, epilog=EPILOG)
    found.add_argument("--version", action="version", version=f"{PROGRAM} {program_version()}")
    add_flags(found, inner=False)
    commands: Commands = found.add_subparsers(dest="command", metavar="command", required=True, parser_class=Parser)
    for command in COMMANDS:
        command.register(commands)
    return found


def _do(args: argparse.Namespace) -> int:
    try:
        return int(args.call(args))
    except Refused as refused:
        complain(str(refused))
        return UNASKED


if __name__ == "__main__":
    sys.exit(main())
