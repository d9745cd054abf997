"""Does the ledger keep what one version has written and others do not know? It is marked: see `tests.fakes.versions.newer`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from tests.fakes.broker import Stored
from tests.fakes.versions import FORECAST, OF_THE_FUTURE, lowered
from tests.scenarios.decided import counted
from tests.scenarios.world import World

Subject = tuple[str, str, str]  # kind, key, cluster
SIGNS = ("Checkpoint", "Proof")  # none takes the place of another
OF_INTEREST = (b'"Definition"', b'"Progress"', b'"Demand', b'"ClusterState"', b'"Removed"', FORECAST.encode())


def forgotten(world: World) -> Iterator[str]:
    """Return what an executor has left out that it did not know, though what it belongs to is still there."""
    for ledger in (*world.lost_ledgers, world.broker.ledger):
        if any(OF_THE_FUTURE.encode() in stored.body for stored in ledger):
            yield from _forgotten(ledger)


def _forgotten(ledger: list[Stored]) -> Iterator[str]:
    floor = 0
    marked: set[Subject] = set()
    identities: dict[Subject, str | None] = {}
    forecasts: dict[Subject, int] = {}  # where the newest stands
    for stored in counted(ledger):
        floor = stored.floor
        if not any(word in stored.body for word in OF_INTEREST):
            continue
        for record in msgspec.json.decode(lowered(stored.body))["records"]:
            kind, key, cluster = subject = _subject(record)
            if kind in ("Removed", "DemandForgotten"):
                marked = {one for one in marked if not _is_of(one, key, cluster, kind)}
                forecasts = {one: at for one, at in forecasts.items() if not _is_of(one, key, cluster, kind)}
                identities = {one: it for one, it in identities.items() if not _is_of(one, key, cluster, kind)}
                continue
            identity = record.get("uid") or record.get("cronjob_id") or record.get("account", {}).get("id")
            if identity != identities.get(subject, identity):  # made anew: another one, of which nothing has been said
                marked.discard(subject)
                forecasts.pop((FORECAST, key, cluster), None)
            identities[subject] = identity
            if kind == "Progress":  # what is not open any more is over, or was taken back: under its id it may be decided anew
                open_runs = {run["id"] for run in record.get("open", ())}
                marked = {one for one in marked if one[:2] != ("run", key) or one[2] in open_runs}
            if kind == FORECAST:
                forecasts[subject] = stored.offset
            else:
                for one, said in ((subject, record), *((("run", key, run["id"]), run) for run in record.get("open", ()))):
                    if OF_THE_FUTURE in said and kind not in SIGNS:
                        marked.add(one)
                    elif one in marked:
                        yield f"what a newer version had noted of {' '.join(one).strip()} was left out at {stored.offset}"
    yield from (f"{' '.join(one)} stands before the floor" for one, at in forecasts.items() if at < floor)
    defined = {(key, cluster) for kind, key, cluster in identities if kind == "Definition"}
    yield from (f"{' '.join(one)} is about nothing" for one in forecasts if one[1:] not in defined)


def _subject(record: dict[str, Any]) -> Subject:
    if record["kind"] == "ClusterState":
        return record["kind"], record["cluster"]["name"], ""
    return record["kind"], record.get("key", ""), record.get("cluster") or ""


def _is_of(subject: Subject, key: str, cluster: str, removed: str) -> bool:
    """Whether it goes with what is removed: a HACronJobRun may have the name of a HACronJob."""
    of_demand = subject[0].startswith("Demand")
    return of_demand == (removed == "DemandForgotten") and subject[1] == key and cluster in ("", subject[2])
