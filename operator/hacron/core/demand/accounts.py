"""What has become of a demand, as the `.status` of its HACronJobRun shows it, and read back from there.

Read back only when the ledger has been lost: what was over must not run again.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from msgspec.structs import replace

from hacron.core import readiness
from hacron.core.manifests import UNREADABLE, instant
from hacron.core.messages import Demand
from hacron.core.model import Account, Home, InvalidCronJob, Key, Run, RunState, Verdict, VerdictKind
from hacron.core.runs import run_id
from hacron.core.state import State
from hacron.core.status import MOST_READ, active_run, condition_of, read_run, recent, time_of


def render(state: State, key: Key, cluster: str) -> dict[str, Any] | None:
    """Return the whole status of the HACronJobRun in `cluster`; None when it is not known to be there.

    Fields that have no value are None: they are to be removed.
    """
    demand = state.demands.get(key)
    home = demand.homes.get(cluster) if demand is not None and demand.withdrawn_at is None else None
    if demand is None or home is None:
        return None
    if home.differs:
        return _beside(demand, home, cluster)
    account, active = demand.account, _open_runs(state, demand)
    waits = _why_it_waits(state, demand)
    done = account.succeeded + account.failed
    return {
        "observedGeneration": home.generation,
        "conditions": _conditions(demand, home.generation, waits),
        "phase": _phase(demand, active),
        "id": account.id,
        "total": account.total or None,
        "decided": account.decided,
        "progress": f"{done}/{account.total}" if account.total else None,
        "succeeded": account.succeeded,
        "failed": account.failed,
        "nextTime": time_of(account.next_tick),
        "completionTime": time_of(account.finished),
        "activeCount": len(active),
        "active": [active_run(run) for run in active] or None,
        "runs": [recent(verdict) for verdict in reversed(account.results)] or None,
    }


def _beside(demand: Demand, home: Home, cluster: str) -> dict[str, Any]:
    """Return the status of one that says something else. What it tells of runs of its own, from before a loss, stays there."""
    demand = replace(demand, wrong=_differs(demand, cluster), account=Account(id=""))
    conditions = _conditions(demand, home.generation, ("", ""))
    return {"observedGeneration": home.generation, "conditions": conditions, "phase": _phase(demand, [])}


def remembered(status: object) -> Account | None:
    """Return what a status says to have become of a demand; None when it says nothing that can be read."""
    if not isinstance(status, dict):
        return None
    try:
        return _remembered(status)
    except UNREADABLE:
        return None


def _remembered(status: dict[str, Any]) -> Account | None:
    identity, total = status.get("id"), _number(status, "total")
    if not isinstance(identity, str) or not 0 < len(identity) <= 128 or not total:
        return None
    results = [verdict_of(entry) for entry in (status.get("runs") or [])[:MOST_READ]]
    return Account(
        id=identity,
        total=total,
        decided=_number(status, "decided"),
        next_tick=instant(status.get("nextTime")),
        succeeded=_number(status, "succeeded"),
        failed=_number(status, "failed"),
        results=tuple(sorted(results, key=lambda verdict: verdict.tick)),
        open=tuple(_open(entry, identity, results) for entry in (status.get("active") or [])[:MOST_READ]),
        finished=instant(status.get("completionTime")),
    )


def _number(status: dict[str, Any], name: str) -> int:
    value = status.get(name) or 0
    if not isinstance(value, int) or not 0 <= value < 2**31:
        raise ValueError(name)
    return value


def verdict_of(entry: dict[str, Any]) -> Verdict:
    """Read what `status.recent()` has written. Raises KeyError, TypeError, ValueError, AttributeError."""
    tick = instant(entry["tick"])
    if tick is None:
        raise ValueError("tick")
    return Verdict(
        tick=tick,
        verdict=VerdictKind(entry["verdict"]),
        reason=_text(entry, "reason"),
        message=_text(entry, "message"),
        cluster=_text(entry, "cluster"),
        job=_text(entry, "job"),
        attempt=min(max(int(entry.get("attempt") or 1), 1), 99),
        count=min(max(int(entry.get("count") or 1), 1), 2**31),
        started=instant(entry.get("started")),
        finished=instant(entry.get("finished")),
    )


def _text(entry: dict[str, Any], name: str) -> str:
    return str(entry.get(name) or "")[:200]


def _open(entry: dict[str, Any], identity: str, results: list[Verdict]) -> Run:
    """Return a run that may still be running: whoever is the worker there tells what has become of it.

    One that was given up, or waits for a cluster that takes it, is as it was: taken for running, it would be over as soon as its
    worker finds no Job.
    """
    run = read_run(entry, identity)
    run = replace(run, id=run_id(identity, run.tick, run.attempt))
    if entry.get("state") != RunState.LOST:
        return run
    began = [one.started for one in results if (one.tick, one.attempt) == (run.tick, run.attempt)]
    return replace(run, state=RunState.LOST, reason=_text(entry, "reason"), started=began[0] if began else None)


def _open_runs(state: State, demand: Demand) -> list[Run]:
    progress = state.progress.get(demand.cronjob) if demand.cronjob is not None else None
    beginning = f"{demand.account.id}."
    return [run for run in progress.open if run.demand and run.id.startswith(beginning)] if progress is not None else []


def _why_it_waits(state: State, demand: Demand) -> tuple[str, str]:
    """Return in a word and in a sentence why there is nothing to be seen yet."""
    cronjob = state.cronjob(demand.cronjob) if demand.cronjob is not None else None
    if cronjob is None:
        return "NoSuchCronJob", f"no cluster declares a HACronJob {demand.cronjob}; it waits for one"
    if isinstance(cronjob, InvalidCronJob):
        return "InvalidCronJob", f"the HACronJob {demand.cronjob} is not accepted: {cronjob}"
    if demand.held is not None:
        return demand.held.reason, demand.held.message
    if demand.account.decided == 0:
        return "NotItsTurn", "it is not its turn: others were asked for before"
    return "Running", "its runs have been decided" if demand.account.next_tick is None else "its runs are being decided"


def _differs(demand: Demand, cluster: str) -> str:
    others = ", ".join(sorted(name for name, home in demand.homes.items() if name != cluster and not home.differs))
    return f"the HACronJobRun of this name in {others or 'another cluster'} says something else and came first: take another name"


def _phase(demand: Demand, active: list[Run]) -> str:
    if demand.wrong:
        return "Refused"
    if demand.account.finished is not None:
        return "Complete"
    return "Running" if active else "Waiting"


def _conditions(demand: Demand, generation: int, waits: tuple[str, str]) -> list[dict[str, Any]]:
    condition = partial(condition_of, generation)
    since, account = demand.created_at, demand.account
    if demand.wrong:
        accepted = condition("Accepted", False, "Invalid", demand.wrong, since)
        complete = condition("Complete", False, "Invalid", "nothing will run", since)
    else:
        accepted = condition("Accepted", True, "Accepted", "it is understood", since)
        if account.finished is None:
            complete = condition("Complete", False, *waits, since)
        else:
            said = f"{account.succeeded} of {account.total} runs succeeded"
            reason = "Succeeded" if account.succeeded == account.total else "SomeFailed"
            complete = condition("Complete", True, reason, said, account.finished)
    return [accepted, complete, *readiness.of_demand(accepted, complete)]
