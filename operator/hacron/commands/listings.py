"""`hacron settings` and `hacron metrics`: what there is, and what of it is set at present."""

from __future__ import annotations

import argparse
import os
import textwrap
from dataclasses import asdict
from pathlib import Path

from hacron.commands.calls import OK, Commands, add_output, print_json, print_lines
from hacron.settings.loading import CONFIG, load
from hacron.settings.showing import table as settings_table
from hacron.settings.showing import without_passwords


def register(commands: Commands) -> None:
    settings = commands.add_parser(
        "settings",
        help="list all settings, or check the present ones",
        description="List all settings: variable, unit, default, and what follows from it.",
    )
    add_config(settings)
    add_output(settings)
    settings.add_argument(
        "--check",
        action="store_true",
        help="instead, check environment and file, and show what a replica would go by, without passwords",
    )
    settings.set_defaults(call=call_settings)
    metrics = commands.add_parser(
        "metrics",
        help="list all metrics",
        description="List all metrics of a replica, at /metrics: name, labels, type and meaning.\n"
        "Where one is the same everywhere, take the maximum over replicas, not the sum. Those named process_ are of the process.",
    )
    add_output(metrics)
    metrics.set_defaults(call=call_metrics)


def add_config(parser: argparse.ArgumentParser) -> None:
    """Let a command be given a file with settings."""
    says = f"YAML file with settings; default: the one that {CONFIG} names, if any"
    parser.add_argument("--config", type=Path, metavar="FILE", help=says)


def call_settings(args: argparse.Namespace) -> int:
    """Raises InvalidSettings."""
    if args.check:
        values = without_passwords(load(os.environ, args.config))
        if args.output == "json":
            print_json(values)
        else:
            print_lines([f"{name}={value}" for name, value in values.items()])
        return OK
    rows = settings_table()
    if args.output == "json":
        print_json([asdict(row) for row in rows])
        return OK
    for row in rows:
        default = "required" if row.default is None else f"default: {row.default}"
        print(_paragraph(f"{row.variable}  ({row.unit}; {default})", row.consequence))
    return OK


def call_metrics(args: argparse.Namespace) -> int:
    from hacron.telemetry.metrics import (
        table as metrics_table,
    )  # brings the client of Prometheus along, which others need not wait for

    rows = metrics_table()
    if args.output == "json":
        print_json([asdict(row) for row in rows])
        return OK
    for row in rows:
        labels = f"{{{','.join(row.labels)}}}" if row.labels else ""
        closed = [f" {label}: {', '.join(values)}." for label, values in row.labels.items() if values]
        print(_paragraph(f"{row.name}{labels}  ({row.type})", row.meaning + "".join(closed)))
    return OK


def _paragraph(head: str, says: str) -> str:
    return f"{head}\n{textwrap.fill(says, width=100, initial_indent='    ', subsequent_indent='    ')}"
