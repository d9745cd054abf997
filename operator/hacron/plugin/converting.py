"""`kubectl hacron convert`: CronJobs of files or of the cluster → HACronJobs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from hacron.commands import convert
from hacron.commands.calls import Commands, Misuse
from hacron.commands.files import Found
from hacron.plugin.calls import add_command
from hacron.plugin.kubectl import Kubectl

DESCRIPTION = """\
Turn CronJobs of files, or with --from-cluster those of the cluster, into HACronJobs that do the same, on standard output. What is
left behind, what differs and what is no CronJob is told on standard error. Nothing is changed in the cluster.
"""

EPILOG = """\
--from-cluster reads those of the namespace, or with -A of all. `hacron convert --help` says the rest.

Examples:

  kubectl hacron convert --from-cluster -n shop > hacronjobs.yaml
  kubectl hacron convert cronjobs/ > hacronjobs.yaml
"""


def register(commands: Commands) -> None:
    parser = add_command(commands, "convert", call, help="turn CronJobs into HACronJobs", description=DESCRIPTION, epilog=EPILOG)
    convert.add_files(parser)
    parser.add_argument("--from-cluster", action="store_true", help="those that are in the cluster")
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="of the cluster, those of all namespaces")


def call(args: argparse.Namespace) -> int:
    if not args.from_cluster:
        if args.all_namespaces:
            raise Misuse("-A belongs to --from-cluster")
        return convert.call(args)
    if args.files or args.filename:
        raise Misuse("either files or --from-cluster")
    kubectl = Kubectl(args)
    whence = "any namespace" if args.all_namespaces else f"namespace {kubectl.namespace}"
    return convert.convert_all(_cronjobs(kubectl, None if args.all_namespaces else kubectl.namespace), whence, args.output)


def _cronjobs(kubectl: Kubectl, namespace: str | None) -> Iterator[Found]:
    where = "" if namespace is None else f"/namespaces/{namespace}"
    for body in kubectl.get(f"/apis/batch/v1{where}/cronjobs").get("items") or []:
        yield Found("the cluster", {"apiVersion": "batch/v1", "kind": "CronJob"} | body, None)  # a list's items do not say it
