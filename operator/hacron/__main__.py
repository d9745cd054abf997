"""The command line: run a replica, and look at what it would run with."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from hacron.core.cron import tzdata_version
from hacron.settings.loading import CONFIG, InvalidSettings, load
from hacron.settings.showing import table as settings_table
from hacron.settings.showing import without_passwords
from hacron.telemetry.logs import setup_logging
from hacron.telemetry.metrics import table as metrics_table
from hacron.telemetry.version import program_version

OK = 0
INVALID = 2  # as argparse says it: what was asked for is wrong, and trying again is of no use

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
  export HACRON_BROKER_URL=amqps://hacron:secret@rabbitmq-1:5671,amqps://hacron:secret@rabbitmq-2:5671
  export HACRON_KUBECONFIG=~/.kube/config      # not in a pod
  hacron settings --check && hacron run

`hacron settings` lists all variables, `hacron metrics` all metrics. Exit codes: 0 stopped as asked, 2 something
about the call or the settings is wrong (one line each on standard error), anything else: start it again.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the arguments say and return the exit code."""
    args = _parser().parse_args(argv)
    try:
        match args.command:
            case "run":
                return _run(args.config)
            case "metrics":
                return _list_metrics(args.output)
            case "settings":
                return _check(args.config, args.output) if args.check else _list_settings(args.output)
            case _:
                return _version()
    except InvalidSettings as error:
        for problem in error.problems:
            print(f"hacron: {problem}", file=sys.stderr)
        return INVALID
    except BrokenPipeError:  # `hacron settings | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain again at its end
        return OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hacron",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"hacron {program_version()}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)

    config = argparse.ArgumentParser(add_help=False)
    says = f"YAML file with settings; default: the one that {CONFIG} names, if any"
    config.add_argument("--config", type=Path, metavar="FILE", help=says)

    commands.add_parser("run", parents=[config], help="run a replica", description="Run a replica until it is told to stop.")
    listing = commands.add_parser(
        "settings",
        parents=[config],
        help="list all settings, or check the present ones",
        description="List all settings: variable, unit, default, and what follows from it.",
    )
    listing.add_argument("--output", choices=("text", "json"), default="text", help="default: text")
    listing.add_argument(
        "--check",
        action="store_true",
        help="instead, check environment and file, and show what a replica would go by, without passwords",
    )
    metrics = commands.add_parser(
        "metrics",
        help="list all metrics",
        description="List all metrics of a replica, at /metrics: name, labels, type and meaning. Where one is the same"
        " everywhere, take the maximum over replicas, not the sum. Those named process_ are of the process.",
    )
    metrics.add_argument("--output", choices=("text", "json"), default="text", help="default: text")
    commands.add_parser("version", help="show the versions of hacron, Python and the time zones")
    return parser


def _run(config: Path | None) -> int:
    present = load(os.environ, config)
    setup_logging(present.log_format, present.log_level)
    from hacron import replica  # not before the settings are right: it brings Kopf, pika and aiohttp along

    return replica.run(present)


def _check(config: Path | None, output: str) -> int:
    values = without_passwords(load(os.environ, config))
    if output == "json":
        print(json.dumps(values, indent=2))
    else:
        print("\n".join(f"{name}={value}" for name, value in values.items()))
    return OK


def _list_settings(output: str) -> int:
    rows = settings_table()
    if output == "json":
        print(json.dumps([asdict(row) for row in rows], indent=2, ensure_ascii=False))
        return OK
    for row in rows:
        default = "required" if row.default is None else f"default: {row.default}"
        print(_paragraph(f"{row.variable}  ({row.unit}; {default})", row.consequence))
    return OK


def _list_metrics(output: str) -> int:
    rows = metrics_table()
    if output == "json":
        print(json.dumps([asdict(row) for row in rows], indent=2, ensure_ascii=False))
        return OK
    for row in rows:
        labels = f"{{{','.join(row.labels)}}}" if row.labels else ""
        closed = [f" {label}: {', '.join(values)}." for label, values in row.labels.items() if values]
        print(_paragraph(f"{row.name}{labels}  ({row.type})", row.meaning + "".join(closed)))
    return OK


def _paragraph(head: str, says: str) -> str:
    return f"{head}\n{textwrap.fill(says, width=100, initial_indent='    ', subsequent_indent='    ')}"


def _version() -> int:
    print(f"hacron {program_version()}")
    print(f"Python {platform.python_version()}")
    print(f"tzdata {tzdata_version()}")
    return OK


if __name__ == "__main__":
    sys.exit(main())
