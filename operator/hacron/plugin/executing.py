"""`kubectl hacron executor`: who is executor and since when, and which clusters are heard of.

The API server hands the question on to the replicas of its cluster, as it does with whatever listens in pods: they know, and
nothing has to be written down for it. It takes the rights to list pods and to get pods/proxy in the operator's namespace.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from hacron.commands.calls import NO, OK, Commands, complain, print_lines
from hacron.commands.subjects import part, text_of
from hacron.core.manifests import rfc3339
from hacron.core.rules import Rules
from hacron.plugin.calls import UNASKED, add_command
from hacron.plugin.kubectl import Kubectl, Refused
from hacron.plugin.looks import entries
from hacron.plugin.output import GREEN, RED, add_output, for_programs, from_now, local, print_table

DESCRIPTION = """\
Show who is executor, in whatever cluster, and since when; when each cluster was last heard of; and what the replicas in this
cluster do. The replicas are asked, through the API server: the rights to list pods and to get pods/proxy in their namespace
are needed.
"""

EPILOG = """\
-n is the operator's namespace; default: hacron-system.

Exit codes: 0 there is an executor; 1 nobody has been heard of as one for 10 s, or no replica here can hear of one.
"""

USUAL: Final = "hacron-system"
OURS: Final = "app.kubernetes.io/name=hacron"
PORT: Final = 8080  # if a pod does not say
QUIET_S: Final = 10.0  # an executor proves itself every second
SILENT_S: Final = Rules().silent_after.total_seconds()  # if no replica says what it is set to
_SAMPLE: Final = re.compile(r"hacron_(\w+)(?:\{(.*)\})? (\S+)")
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

Numbers = dict[str, list[tuple[dict[str, str], float]]]


class Replica(NamedTuple):
    name: str
    numbers: Numbers

    def value(self, name: str) -> float | None:
        return next((value for _, value in self.numbers.get(name, [])), None)

    @property
    def is_connected(self) -> bool:
        return self.value("broker_connected") == 1

    @property
    def hears(self) -> bool:
        """Whether it would hear of an executor. What has read no checkpoint yet counts the age of a proof from its own start."""
        return self.is_connected and (self.value("epoch") or 0) > 0


def register(commands: Commands) -> None:
    says = "show who is executor, and the clusters"
    parser = add_command(commands, "executor", call, help=says, description=DESCRIPTION, epilog=EPILOG)
    add_output(parser)


def call(args: argparse.Namespace) -> int:
    args.namespace = args.namespace or USUAL
    kubectl = Kubectl(args)
    replicas = list(_replicas(kubectl))
    if not replicas:
        return UNASKED
    found = _found(replicas)
    alive = found["executor"] is not None and found["proofAgeSeconds"] is not None and found["proofAgeSeconds"] < QUIET_S
    if not for_programs(args, found):
        _show(found, alive)
    return OK if alive else NO


def numbers(page: str) -> Numbers:
    """Read a page of metrics, in Prometheus' text format; what is not ours or cannot be read is passed over."""
    found: Numbers = {}
    for line in page.splitlines():
        sample = _SAMPLE.fullmatch(line)
        try:
            value = float(sample[3]) if sample is not None else None
        except ValueError:
            continue
        if sample is not None and value is not None:
            found.setdefault(sample[1], []).append((dict(_LABEL.findall(sample[2] or "")), value))
    return found


def _replicas(kubectl: Kubectl) -> Iterator[Replica]:
    """Ask each replica; what cannot be had is told."""
    where = f"/api/v1/namespaces/{kubectl.namespace}/pods"
    pods = [pod for pod in entries(kubectl.get(where, labelSelector=OURS), "items") if part(pod, "status").get("podIP")]
    if not pods:
        raise Refused(f"no replica runs in namespace {kubectl.namespace}; -n names the operator's namespace")
    for pod in pods:
        name = text_of(part(pod, "metadata"), "name")
        try:
            yield Replica(name, numbers(kubectl.text(f"{where}/{quote(name)}:{_port(pod)}/proxy/metrics")))
        except Refused as refused:
            complain(f"{name}: {refused}")


def _port(pod: dict[str, Any]) -> int:
    ports = [port for container in entries(part(pod, "spec"), "containers") for port in entries(container, "ports")]
    found = next((port.get("containerPort") for port in ports if port.get("name") == "http"), PORT)
    return found if isinstance(found, int) else PORT


def _found(replicas: list[Replica]) -> dict[str, Any]:
    """Put together what they say; whoever has read the newest checkpoint knows who is executor."""
    newest = max(replicas, key=lambda replica: replica.value("epoch") or 0)
    (place, began), *_ = [*newest.numbers.get("executor_began_timestamp_seconds", []), ({}, 0.0)]
    ages: dict[str, float] = {}
    for labels, seen_s in (one for replica in replicas for one in replica.numbers.get("cluster_seen_age_seconds", [])):
        name = labels.get("cluster", "")
        ages[name] = min(seen_s, ages.get(name, seen_s))
    proofs = [age for replica in replicas if replica.hears and (age := replica.value("proof_age_seconds")) is not None]
    since = rfc3339(datetime.fromtimestamp(min(began, 2.0**37), UTC))
    return {
        "executor": {"replica": place.get("replica"), "cluster": place.get("cluster"), "since": since} if place else None,
        "epoch": int(newest.value("epoch") or 0),
        "proofAgeSeconds": round(min(proofs), 1) if proofs else None,
        "silentAfterSeconds": newest.value("silent_after_seconds") or SILENT_S,
        "clusters": [{"cluster": name, "seenAgeSeconds": round(age, 1)} for name, age in sorted(ages.items())],
        "replicas": [
            {
                "replica": replica.name,
                "executor": replica.value("executor") == 1,
                "worker": replica.value("worker") == 1,
                "broker": replica.is_connected,
                "apiServer": replica.value("kube_reachable") == 1,
            }
            for replica in replicas
        ],
    }


def _show(found: dict[str, Any], alive: bool) -> None:
    executor, age = found["executor"], found["proofAgeSeconds"]
    none = "there is no executor" if age is not None else "no replica here can hear of an executor"
    if executor is None:
        print_lines([none])
    else:
        since = datetime.fromisoformat(executor["since"])
        heard = f", heard of {age:g} s ago" if age is not None else ""
        when = f"since {local(since)} ({from_now(since)}), epoch {found['epoch']}{heard}"
        who = f"{executor['replica']} in {executor['cluster']}"
        print_lines([f"executor: {who}, {when}" if alive else f"{none}; the last was {who}, {when}"])
    clusters = [(one["cluster"], one["seenAgeSeconds"]) for one in found["clusters"]]
    rows = [[name, "silent" if age >= found["silentAfterSeconds"] else "heard", f"{age:g} s ago"] for name, age in clusters]
    colours = {(number, 1): RED if row[1] == "silent" else GREEN for number, row in enumerate(rows)}
    print_table(["CLUSTER", "STATE", "LAST HEARD OF"], rows, colours)
    print_table(
        ["REPLICA HERE", "ROLES", "BROKER", "API SERVER"],
        [
            [
                one["replica"],
                ", ".join(role for role in ("executor", "worker") if one[role]) or "standby",
                "connected" if one["broker"] else "away",
                "answers" if one["apiServer"] else "away",
            ]
            for one in found["replicas"]
        ],
    )
