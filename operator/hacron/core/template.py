"""Can a Job be made of a `jobTemplate`? Only what this program reads in it is looked at; the API server judges the rest."""

from __future__ import annotations

from typing import Any

from hacron.core.model import InvalidCronJob

DEFAULT_GRACE_S = 30
LONGEST_GRACE_S = 2**31 - 1  # the API server takes more, and dates end
MOST_INDEXES = 2**31


def check(template: dict[str, Any]) -> None:
    """Raise InvalidCronJob if the template has not the shape in which its parts are found."""
    metadata = _object(template.get("metadata") or {}, "jobTemplate.metadata")
    for name in ("labels", "annotations"):
        _object(metadata.get(name) or {}, f"jobTemplate.metadata.{name}")
    job = _object(template.get("spec"), "jobTemplate.spec")
    pod_template = _object(job.get("template"), "jobTemplate.spec.template")
    pod = _object(pod_template.get("spec"), "jobTemplate.spec.template.spec")
    for name in ("containers", "initContainers"):
        _check_containers(pod.get(name) or [], f"jobTemplate.spec.template.spec.{name}")


def grace_s(template: dict[str, Any]) -> int:
    """Return how long the pods of a template that is in order may take to end; what cannot be read is as usual."""
    found = template["spec"]["template"]["spec"].get("terminationGracePeriodSeconds")
    readable = isinstance(found, int) and not isinstance(found, bool)
    return min(max(found, 0), LONGEST_GRACE_S) if readable else DEFAULT_GRACE_S


def indexes(template: dict[str, Any]) -> int:
    """Return how many indexes the pods of a template that is in order have; none where it is not Indexed, or cannot be read."""
    job = template["spec"]
    found = job.get("completions") if job.get("completionMode") == "Indexed" else None
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 < found < MOST_INDEXES else 0


def _check_containers(containers: object, field: str) -> None:
    for number, container in enumerate(_list(containers, field)):
        here = f"{field}[{number}]"
        for variable in _list(_object(container, here).get("env") or [], f"{here}.env"):
            _object(variable, f"an entry of {here}.env")


def _object(value: object, field: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidCronJob(field, f"{field} is missing or is not an object")
    return value


def _list(value: object, field: str) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidCronJob(field, f"{field} is not a list")
    return value
