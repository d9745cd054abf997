"""`kubectl hacron where`: which clusters declare a HACronJob, may take its runs, and had its latest."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from typing import Any

from hacron.commands.calls import OK, Commands, complain, print_lines
from hacron.core.manifests import instant, rfc3339
from hacron.core.model import CronJob, Placement, Strategy
from hacron.core.placement import in_words
from hacron.plugin import records
from hacron.plugin.calls import add_command, add_name
from hacron.plugin.kubectl import Kubectl, one_cronjob
from hacron.plugin.looks import Look
from hacron.plugin.output import add_output, for_programs, from_now, print_table
from hacron.plugin.records import Fate

DESCRIPTION = """\
Show in which clusters a HACronJob is declared and may run, what of it runs there now, and what became of its latest runs there,
as its .status tells; and whether the clusters declare it differently. With placement.clusterSelector the labels of a cluster
decide, which are not known here: MAY RUN is "by label", and "mayRun" is absent.
"""


def register(commands: Commands) -> None:
    parser = add_command(commands, "where", call, help="show in which clusters it runs", description=DESCRIPTION)
    add_name(parser)
    add_output(parser)


def call(args: argparse.Namespace) -> int:
    look = Look(one_cronjob(Kubectl(args), args.name))
    found = clusters(look)
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


def clusters(look: Look) -> list[dict[str, Any]]:
    """Return what is known of each cluster that has to do with a HACronJob: first those that are asked, in their order."""
    wanted = _placement(look)
    declared = sorted(str(name) for name in look.status.get("declaredIn") or [])
    entries = records.of_schedule(look)
    seen = sorted({entry.text("cluster") for entry in entries} - {""})
    names = dict.fromkeys([*(wanted.clusters if wanted is not None else ()), *declared, *seen])
    return [_of(name, declared, entries) | _may_run(name, wanted, declared) for name in names]


def _placement(look: Look) -> Placement | None:
    """Return who is asked; None when the spec is not understood."""
    cronjob = look.subject().cronjob
    return cronjob.placement if isinstance(cronjob, CronJob) else None


def _may_run(name: str, wanted: Placement | None, declared: Sequence[str]) -> dict[str, int | None]:
    """Return as which one a cluster is asked, None if it is not; nothing where its labels decide, which are not known here."""
    if wanted is None:
        return {"mayRun": None}
    if wanted.selector is not None and (name in wanted.clusters or not wanted.clusters):
        return {}
    asked = wanted.clusters or declared
    return {"mayRun": asked.index(name) + 1 if name in asked else None}


def _rule(look: Look) -> str:
    """Say what else decides; empty if the first that can takes it."""
    wanted = _placement(look)
    usual = wanted is None or (wanted.selector is None and wanted.strategy is Strategy.PREFERRED)
    return "" if usual or wanted is None else f"A run goes to {in_words(wanted)}."


def _of(name: str, declared: Sequence[str], entries: list[Fate]) -> dict[str, Any]:
    here = [entry for entry in entries if entry.text("cluster") == name]
    last = next((entry for entry in here if entry.verdict), None)
    counted = Counter(entry.verdict for entry in here if entry.verdict)
    return {
        "cluster": name,
        "declared": name in declared,
        "active": [entry.fields for entry in here if not entry.verdict],
        "last": last.fields if last is not None else None,
        "lastTick": rfc3339(last.tick) if last is not None else None,
        "latest": dict(counted),
    }


def _row(one: dict[str, Any]) -> list[str]:
    return [
        one["cluster"],
        "yes" if one["declared"] else "no",
        _asked(one),
        str(len(one["active"])),
        one["last"]["verdict"] if one["last"] else "",
        from_now(instant(one["lastTick"])),
        ", ".join(f"{count} {verdict}" for verdict, count in one["latest"].items()),
    ]


def _asked(one: dict[str, Any]) -> str:
    if "mayRun" not in one:
        return "by label"
    return "no" if one["mayRun"] is None else f"{one['mayRun']}."
