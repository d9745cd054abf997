"""What the commands of `kubectl hacron` share: how they are made known, and their exit codes."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from hacron.commands.calls import Commands, Misuse, Parser, time_of
from hacron.core.ticks.cronfields import quoted
from hacron.plugin.kubectl import add_flags

UNASKED: Final = 3  # the API server cannot be asked, or says no: a missing right, object or custom resource
NOT_YET: Final = 4  # it was not waited for any longer
_NAME: Final = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")


def add_command(commands: Commands, name: str, call: Callable[[argparse.Namespace], int], **told: Any) -> Parser:
    """Add a command that asks a cluster."""
    parser = commands.add_parser(name, **told)
    add_flags(parser, inner=True)
    parser.set_defaults(call=call)
    return parser


def add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", type=_named, help="a HACronJob of the namespace")


def _named(text: str) -> str:
    """Return the name of a HACronJob, which may be given as kubectl prints it: hacronjob.hacron.io/report."""
    kind, _, name = text.rpartition("/")
    if not _NAME.fullmatch(name) or not re.fullmatch(r"|(hacronjobs?|hacj)(\.hacron\.io)?", kind):
        raise argparse.ArgumentTypeError(f"{quoted(text)} is no name of a HACronJob; those are of a-z, 0-9, - and .")
    return name


def zoned(option: str, text: str) -> datetime:
    """Read an instant; without an offset, this machine's local time. Raises Misuse."""
    try:
        found = time_of(option, text)
        return found.astimezone(UTC)
    except (ValueError, OverflowError, OSError) as error:
        if isinstance(error, Misuse):
            raise
        raise Misuse(f"{option}: {quoted(text)} is out of range") from error
