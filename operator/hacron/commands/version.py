"""`hacron version`: what replicas must agree on."""

from __future__ import annotations

import argparse
import platform

from hacron.commands.calls import OK, Commands, add_output, print_json
from hacron.core.ticks.cron import tzdata_version
from hacron.telemetry.version import program_version

EPILOG = """\
tzdata is the database of time zones that ticks are reckoned by, as IANA names it: all replicas should have the same.

Examples:

  hacron version
  hacron version --output json
"""


def register(commands: Commands) -> None:
    says = "show the versions of hacron, Python and the time zones"
    parser = commands.add_parser("version", help=says, description=f"{says.capitalize()}.", epilog=EPILOG)
    add_output(parser)
    parser.set_defaults(call=call)


def call(args: argparse.Namespace) -> int:
    versions = {"hacron": program_version(), "python": platform.python_version(), "tzdata": tzdata_version()}
    if args.output == "json":
        print_json(versions)
        return OK
    print(f"hacron {versions['hacron']}\nPython {versions['python']}\ntzdata {versions['tzdata']}")
    return OK
