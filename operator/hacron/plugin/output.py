"""How an answer is shown: a table or lines for people, JSON or YAML for programs; colours for eyes only."""

from __future__ import annotations

import argparse
import os
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hacron.commands.calls import print_json, printable
from hacron.commands.wallclock import local_text

RED, GREEN, YELLOW, DIM, PLAIN = "31", "32", "33", "2", ""
OF_VERDICT: Final = {
    "Succeeded": GREEN,
    "Skipped": DIM,
    "Stopped": YELLOW,
    "Running": PLAIN,
    "Pending": PLAIN,
    "Stopping": YELLOW,
}
LONGEST = 60  # characters of a cell
GAP = "   "  # as kubectl has it


def add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", choices=("text", "json", "yaml"), default="text", help="default: text")


def for_programs(args: argparse.Namespace, value: object) -> bool:
    """Print a value as JSON or YAML if the call wants that; return whether it does."""
    if args.output == "json":
        print_json(value)
    elif args.output == "yaml":
        from hacron.commands.yamlout import dumped  # takes longer to load than all the rest

        text = dumped(value)
        if text.replace("\n", "").isprintable():
            print(text, end="")
        else:
            print_json(value)  # which is YAML too, with everything written out
    return str(args.output) != "text"


def print_table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], colours: Mapping[tuple[int, int], str] | None = None
) -> None:
    """Print rows below heads, each column as wide as it must be; `colours` by row and column."""
    cells = [[_cut(printable(text)) for text in row] for row in rows]
    wide = [max(map(_width, column)) for column in zip(heads, *cells, strict=True)]
    for number, row in enumerate([list(heads), *cells]):
        shown = []
        for column, text in enumerate(row):
            padded = text if column == len(row) - 1 else text + " " * (wide[column] - _width(text))
            shown.append(coloured(padded, (colours or {}).get((number - 1, column), PLAIN)))
        print(GAP.join(shown).rstrip())


def coloured(text: str, colour: str) -> str:
    """Return the text in a colour, if somebody looks at it who wants that."""
    return f"\x1b[{colour}m{text}\x1b[0m" if colour and text.strip() and _in_colours() else text


def verdict_colour(verdict: str) -> str:
    return OF_VERDICT.get(verdict, RED) if verdict else PLAIN


def local(when: datetime | None) -> str:
    """Write an instant in this machine's local time, with its offset."""
    return local_text(when.astimezone()) if when is not None else ""


def from_now(when: datetime | None, now: datetime | None = None) -> str:
    """Write how far off an instant is: 5m12s, 3d4h; those that have passed as "5m12s ago"."""
    if when is None:
        return ""
    seconds = round((when - (now or datetime.now(UTC))).total_seconds())
    return f"in {span(seconds)}" if seconds > 0 else f"{span(-seconds)} ago"


def span(seconds: float | timedelta) -> str:
    """Write a duration in its two greatest units."""
    left = round(seconds.total_seconds() if isinstance(seconds, timedelta) else seconds)
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
        elif parts:
            break
    return "".join(parts[:2]) or "0s"


def without_nothing(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what has no value."""
    return {name: value for name, value in fields.items() if value not in (None, "", [])}


def _in_colours() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _width(text: str) -> int:
    """Return how many places of a terminal it takes."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
