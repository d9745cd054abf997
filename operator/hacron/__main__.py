"""The command line: run a replica, and what people and scripts ask without one."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from hacron.commands import convert, explain, listings, next, version
from hacron.commands.calls import MISUSE, Commands, Parser, answered, know_few_characters
from hacron.settings.loading import InvalidSettings, load
from hacron.telemetry.version import program_version

DESCRIPTION = """\
HACronJob runs cron jobs across Kubernetes clusters: one declaration, one run per tick, whichever
datacenter is still standing. A few replicas run in every cluster; all of them share one RabbitMQ.
"""

EPILOG = """\
A replica is told what it needs by variables of the environment, or a YAML file with the same names without
HACRON_ and in lower case. Two have no default:

  HACRON_CLUSTER     the name of this cluster
  HACRON_BROKER_URL  where RabbitMQ is, one URL per node

Example:

  export HACRON_CLUSTER=west
  export HACRON_BROKER_URL=amqps://hacron-west:secret@rabbitmq-1:5671/hacron,amqps://hacron-west:secret@rabbitmq-2:5671/hacron
  export HACRON_KUBECONFIG=~/.kube/config      # not in a pod
  hacron settings --check && hacron run

`hacron settings` lists all variables, `hacron metrics` all metrics. Exit codes: 0 stopped as asked, 2 something
about the call or the settings is wrong (one line each on standard error), anything else: start it again.
All other commands need no settings, no broker and no cluster, and answer at once.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the arguments say and return the exit code."""
    know_few_characters()
    args = _parser().parse_args(argv)
    try:
        return answered(lambda: int(args.call(args)), only_prints=args.call is not _run)
    except InvalidSettings as error:
        for problem in error.problems:
            print(f"hacron: {problem}", file=sys.stderr)
        return MISUSE


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="hacron", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"hacron {program_version()}")
    commands: Commands = parser.add_subparsers(dest="command", metavar="command", required=True, parser_class=Parser)
    run = commands.add_parser("run", help="run a replica", description="Run a replica until it is told to stop.")
    listings.add_config(run)
    run.set_defaults(call=_run)
    for command in (next, explain, convert, listings, version):
        command.register(commands)
    return parser


def _run(args: argparse.Namespace) -> int:
    present = load(os.environ, args.config)
    from hacron.telemetry.logs import setup_logging

    setup_logging(present.log_format, present.log_level)
    from hacron import replica  # not before the settings are right: it brings Kopf, pika and aiohttp along

    return replica.run(present)


if __name__ == "__main__":
    sys.exit(main())
