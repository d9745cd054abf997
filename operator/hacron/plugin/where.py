"""`kubectl hacron where`: which clusters declare a HACronJob, may take its runs, and had its latest."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Collection
from typing import Any

from hacron.commands.calls import OK, Commands, complain, print_lines
from hacron.core.manifests import instant, rfc3339
from hacron.core.model import CronJob, Strategy
from hacron.core.placement import in_words
from hacron.plugin import records
from hacron.plugin.calls import add_command, add_name
from hacron.plugin.kubectl import Kubectl, one_cronjob
from hacron.plugin.looks import Look
from hacron.plugin.output import add_output, for_programs, from_now, print_table
from hacron.plugin.records import Entry

DESCRIPTION = """\
Show in which clusters a HACronJob is declared and may run, what of it runs there now, and what became of its latest runs there,
as its .status tells; and whether the clusters declare it differently.
"""


def register(commands: Commands) -> None:
    parser = add_command(commands, "where", call, help="show in which clusters it runs", description=DESCRIPTION)
    add_name(parser)
    add_output(parser)


def call(args: argparse.Namespace) -> int:
    look = Look(one_cronjob(Kubectl(args), args.name))
    declared = [str(name) for name in look.status.get("declaredIn") or []]
    may_run = _may_run(look, declared)
    entries = records.of_schedule(look)
    names = dict.fromkeys([*may_run, *declared, *sorted({entry.text("cluster") for entry in entries} - {""})])
    found = [_of(name, declared, may_run, entries) for name in names]
    drifted = look.condition("Drifted")
    differs = str(drifted.get("message")) if drifted.get("status") == "True" else ""
    said = {"guarantee": look.guarantee, "clusters": found} | ({"drifted": differs} if differs else {})
    if for_programs(args, {"namespace": look.namespace, "name": look.name} | said):
        return OK
    if not found:
        complain(f"nothing is known of the clusters of HACronJob {look.label}: {look.state[1]}")
        return OK
    heads = ["CLUSTER", "DECLARED", "MAY RUN", "ACTIVE", "LAST RESULT", "", "OF THE LATEST"]
    print_table(heads, [_row(one) for one in found])
    print_lines([line for line in (_rule(look), differs) if line])
    return OK


def _may_run(look: Look, declared: Collection[str]) -> list[str]:
    """Return the clusters that are asked, in their order. What labels clusters have is not known here."""
    cronjob = look.subject().cronjob
    if not isinstance(cronjob, CronJob):
        return []
    wanted = cronjob.placement
    return list(wanted.clusters) or (sorted(declared) if wanted.selector is None else [])


def _rule(look: Look) -> str:
    """Say what else decides; empty if the first that can takes it."""
    cronjob = look.subject().cronjob
    usual = not isinstance(cronjob, CronJob) or (
        cronjob.placement.selector is None and cronjob.placement.strategy is Strategy.PREFERRED
    )
    return "" if usual or not isinstance(cronjob, CronJob) else f"A run goes to {in_words(cronjob.placement)}."


def _of(name: str, declared: list[str], may_run: list[str], entries: list[Entry]) -> dict[str, Any]:
    here = [entry for entry in entries if entry.text("cluster") == name]
    last = next((entry for entry in here if entry.verdict), None)
    counted = Counter(entry.verdict for entry in here if entry.verdict)
    return {
        "cluster": name,
        "declared": name in declared,
        "mayRun": may_run.index(name) + 1 if name in may_run else None,
        "active": [entry.fields for entry in here if not entry.verdict],
        "last": last.fields if last is not None else None,
        "lastTick": rfc3339(last.tick) if last is not None else None,
        "latest": dict(counted),
    }


def _row(one: dict[str, Any]) -> list[str]:
    return [
        one["cluster"],
        "yes" if one["declared"] else "no",
        "no" if one["mayRun"] is None else f"{one['mayRun']}.",
        str(len(one["active"])),
        one["last"]["verdict"] if one["last"] else "",
        from_now(instant(one["lastTick"])),
        ", ".join(f"{count} {verdict}" for verdict, count in one["latest"].items()),
    ]
