"""What all commands share: how a call is read, and how something is said to whoever made it.

Results go to standard output, everything else to standard error, one line per matter. Exit code 2 means that the call or what it
was given is wrong.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final, NoReturn, TypeAlias

from hacron.core.ticks.cronfields import quoted

OK: Final = 0
NO: Final = 1  # the answer is no, or something could not be done
MISUSE: Final = 2  # as argparse says it: what was asked for is wrong, and trying again is of no use
INTERRUPTED: Final = 130  # as shells say it: by Ctrl-C

LONGEST_LINE = 500


class Misuse(ValueError):
    """The call is wrong; the text is one sentence for whoever made it."""


class Parser(argparse.ArgumentParser):
    """Reads a command line; what is wrong with it is one line."""

    def __init__(self, **told: Any) -> None:
        super().__init__(**told, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        complain(f"{message}; see {self.prog} --help")
        sys.exit(MISUSE)


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"  # what add_subparsers() returns; argparse has no public name for it


def answered(call: Callable[[], int], *, only_prints: bool = True) -> int:
    """Do what was asked for and return the exit code; what is wrong is told. `only_prints`: no other OSErrors come out of it."""
    try:
        code = call()
        if sys.stdout is not None:  # None: closed
            sys.stdout.flush()
        return code
    except Misuse as misuse:
        complain(str(misuse))
        return MISUSE
    except OverflowError:
        if not only_prints:
            raise
        complain("a time is so far away that no other can be reckoned from it")
        return MISUSE
    except BrokenPipeError:  # `hacron settings | head`
        _forget_the_output()
        return OK
    except OSError as error:
        if not only_prints:
            raise
        _forget_the_output()
        complain(f"standard output cannot be written: {error.strerror}")
        return NO
    except KeyboardInterrupt:
        return INTERRUPTED


def know_few_characters() -> None:
    """Write out what the terminal does not know."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def add_output(parser: argparse.ArgumentParser) -> None:
    """Let a command be asked for JSON."""
    parser.add_argument("--output", choices=("text", "json"), default="text", help="default: text")


def complain(sentence: str) -> None:
    """Say on standard error, in one line, what is wrong."""
    line = printable(" ".join(sentence.split()))
    print(f"hacron: {line if len(line) <= LONGEST_LINE else line[:LONGEST_LINE] + '...'}", file=sys.stderr)


def print_json(value: object) -> None:
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8" if sys.stdout else True
    text = json.dumps(value, indent=2, ensure_ascii=False)
    if not unicode or not text.replace("\n", "").isprintable():
        text = json.dumps(value, indent=2).replace("\x7f", "\\u007f")
    print(text)


def print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        print(printable(line))


def printable(text: str) -> str:
    """Return the text with whatever would move a terminal's cursor, or do worse to it, written out."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def time_of(option: str, text: str) -> datetime:
    """Read the time that an option was given; without an offset it is returned as it is, in no zone. Raises Misuse."""
    try:
        found = datetime.fromisoformat(text.strip().upper())
        return found if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Misuse(f"{option}: {quoted(text)} is not a time; write it like 2026-03-28T08:00:00Z") from error


def instant_of(option: str, text: str) -> datetime:
    """Read the instant that an option was given. Raises Misuse."""
    found = time_of(option, text)
    if found.tzinfo is None:
        raise Misuse(f"{option}: {quoted(text)} is in no time zone; write UTC like 2026-03-28T08:00:00Z or an offset like +01:00")
    return found


def _forget_the_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain again at its end
