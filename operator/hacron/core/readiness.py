"""The conditions that tools go by which know nothing of cronjobs: Ready, Reconciling, Stalled.

`kubectl wait`, Flux and whatever uses kstatus read them: Ready is True when the operator goes by what stands in the spec,
Reconciling, if there, says that this is about to come, Stalled, if there, that it will not unless somebody changes something: the
spec, or what refused its template.
https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md
"""

from __future__ import annotations

from typing import Any, Final

_TRYING: Final = "the API server has not tried the template yet"


def of_cronjob(accepted: dict[str, Any], tried: bool) -> list[dict[str, Any]]:
    """Say so of a HACronJob, by its condition Accepted. One that is suspended or paused, or never fires, goes by its spec too."""
    if accepted["status"] == "False":
        return _stalled(accepted)
    if not tried:
        pending = {**accepted, "reason": "TryingTemplate", "message": _TRYING}
        return [{**pending, "type": "Ready", "status": "Unknown"}, {**pending, "type": "Reconciling", "status": "True"}]
    return [{**accepted, "type": "Ready", "reason": "Ready", "message": "it fires as its spec says"}]


def of_demand(accepted: dict[str, Any], complete: dict[str, Any]) -> list[dict[str, Any]]:
    """Say so of a HACronJobRun: as of a Job, one that is at it is well, and one of whose runs has failed is not."""
    if accepted["status"] == "False":
        return _stalled(accepted)
    if complete["status"] == "True" and complete["reason"] != "Succeeded":
        return _stalled(complete)
    return [{**complete, "type": "Ready", "status": "True"}]


def _stalled(why: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**why, "type": "Ready", "status": "False"}, {**why, "type": "Stalled", "status": "True"}]
