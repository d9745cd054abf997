"""`hacron convert`: CronJob manifests → HACronJob manifests."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterable
from typing import Final

from hacron.commands.calls import NO, OK, Commands, Misuse, complain, print_json
from hacron.commands.converting import Converted, NotConverted, convert
from hacron.commands.files import STDIN, Found, Unread, named, objects
from hacron.commands.subjects import is_cronjob, is_ours, part, text_of
from hacron.core.ticks.cronfields import quoted

DESCRIPTION = """\
Turn CronJobs into HACronJobs that do the same, on standard output. What is left behind, what differs and what is no CronJob
is told on standard error. Nothing is asked of a cluster, and nothing is changed there.
"""

EPILOG = """\
A CronJob becomes a HACronJob by its apiVersion and kind. Where nothing else has to go, the text stays as it was written,
with its comments. What an API server has put in (status, uid and the like) is left out, and a zone inside the schedule is
moved to timeZone; such documents are written anew. Lists, as `kubectl get` prints them, become one document per CronJob.
HACronJobs and other objects are passed over. Every result has been read as the operator would read it.

Exit codes: 0 all CronJobs went over; 1 some could not, or there is none; 2 the call is wrong.

Examples:

  hacron convert cronjobs/ > hacronjobs.yaml
  kubectl get cronjobs --all-namespaces --output yaml | hacron convert - > hacronjobs.yaml
"""

CLOSING: Final = (
    "suspend or delete the CronJobs when you apply the HACronJobs: while there are both, both fire, and a CronJob that is "
    "resumed later starts its latest missed tick at once"
)


def register(commands: Commands) -> None:
    says = "turn CronJobs into HACronJobs"
    parser = commands.add_parser("convert", help=says, description=DESCRIPTION, epilog=EPILOG)
    add_files(parser)
    parser.set_defaults(call=call)


def add_files(parser: argparse.ArgumentParser) -> None:
    """Let a command be given manifests."""
    files = (
        "files of YAML or JSON, folders with such files, - for standard input; default: standard input, unless that is a terminal"
    )
    parser.add_argument("files", metavar="FILE", nargs="*", help=files)
    parser.add_argument("-f", "--filename", metavar="FILE", action="append", default=[], help="the same, as kubectl has it")
    parser.add_argument("-o", "--output", choices=("yaml", "json"), default="yaml", help="json: one list; default: yaml")


def call(args: argparse.Namespace) -> int:
    paths = [*args.files, *args.filename]
    if not paths:
        if sys.stdin is None or sys.stdin.isatty():
            raise Misuse("name the files to convert, or - for standard input; --help has examples")
        paths = [STDIN]
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # manifests are, whatever the terminal is
    return convert_all(objects(paths), named(paths), args.output)


def convert_all(given: Iterable[Found | Unread], whence: str, output: str) -> int:
    """Print what CronJobs become, and tell what is wrong; return the exit code."""
    whole, tried, done, zoneless = True, 0, 0, 0
    items = []
    seen: set[tuple[str, str]] = set()
    for found in given:
        if isinstance(found, Unread):
            complain(found.sentence)
            whole = False
        elif found.body.get("kind") != "CronJob":
            complain(f"{_label(found)}: passed over, it is {'one already' if is_ours(found.body) else 'no CronJob'}")
        else:
            tried += 1
            made = _one(found)
            if made is not None:
                if output == "json":
                    items.append(made.body)
                else:
                    _print(made, first=done == 0)
                done += 1
                zoneless += made.body["spec"].get("timeZone") is None
                _say_if_seen(found, made, seen)
    if output == "json":
        print_json({"apiVersion": "v1", "kind": "List", "items": items})
    if not tried and whole:
        complain(f"no CronJob is in {whence}")
    if zoneless:
        complain(
            f"{zoneless} without timeZone: that is UTC now, and was the zone of the controller manager, which is UTC most often"
        )
    if tried:
        complain(f"{done} of {tried} CronJobs converted" + (f"; {CLOSING}" if done else ""))
    return OK if whole and tried and done == tried else NO


def _one(found: Found) -> Converted | None:
    if not is_cronjob(found.body):
        version = quoted(str(found.body.get("apiVersion")))
        complain(f"{_label(found)}: not converted: apiVersion is {version}; batch/v1 and batch/v1beta1 can be read")
        return None
    try:
        made = convert(found)
    except NotConverted as error:
        complain(f"{_label(found)}: not converted: {error}")
        return None
    if made.remarks:
        complain(f"{_label(found)}: {'; '.join(made.remarks)}")
    return made


def _print(made: Converted, first: bool) -> None:
    print(made.text if first else f"---\n{made.text}", end="")


def _say_if_seen(found: Found, made: Converted, seen: set[tuple[str, str]]) -> None:
    name = text_of(made.body["metadata"], "namespace"), text_of(made.body["metadata"], "name")
    if name in seen:
        complain(f"{_label(found)}: there is another of this name before; the later one counts when both are applied")
    seen.add(name)


def _label(found: Found) -> str:
    kind, metadata = found.body.get("kind"), part(found.body, "metadata")
    names = [text_of(metadata, "namespace"), text_of(metadata, "name") or "without a name"]
    return f"{found.where}: {quoted(str(kind))[1:-1]} {'/'.join(filter(None, names))}"
