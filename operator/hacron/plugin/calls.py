"""What the commands of `kubectl hacron` share: how they are made known, and their exit codes."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from hacron.commands.calls import Commands, Misuse, Parser
from hacron.core.cronfields import quoted
from hacron.plugin.kubectl import add_flags

UNASKED: Final = 3  # the API server cannot be asked, or says no: a missing right, object or custom resource
NOT_YET: Final = 4  # it was not waited for any longer


def add_command(commands: Commands, name: str, call: Callable[[argparse.Namespace], int], **told: Any) -> Parser:
    """Add a command that asks a cluster."""
    parser = commands.add_parser(name, **told)
    add_flags(parser, inner=True)
    parser.set_defaults(call=call)
    return parser


def add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="a HACronJob of the namespace")


def zoned(option: str, text: str) -> datetime:
    """Read an instant; without an offset, this machine's local time. Raises Misuse."""
    from hacron.commands.calls import time_of

    try:
        found = time_of(option, text)
        return found.astimezone(UTC)
    except (ValueError, OverflowError, OSError) as error:
        if isinstance(error, Misuse):
            raise
        raise Misuse(f"{option}: {quoted(text)} is out of range") from error
