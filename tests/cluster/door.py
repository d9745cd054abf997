"""Ask an API server whether it would take an object, without leaving anything there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes import client, config

POD = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "busybox"}]}

_KINDS = {
    "CronJob": ("batch", "v1", "cronjobs"),
    "HACronJob": ("hacron.io", "v1", "hacronjobs"),
    "HACronJobRun": ("hacron.io", "v1", "hacronjobruns"),
    "Job": ("batch", "v1", "jobs"),
}


def spec(**fields: Any) -> dict[str, Any]:
    """Return the spec of a CronJob that is in order, but for these fields."""
    return {"schedule": "0 2 * * *", "jobTemplate": job(), **fields}


def job(pod: object = POD, **fields: Any) -> dict[str, Any]:
    """Return a job template with this pod spec, and these fields in the spec of the Job."""
    return {"spec": {"template": {"spec": pod}, **fields}}


def pod(**fields: Any) -> dict[str, Any]:
    """Return the spec of a pod that is in order, but for these fields; those that are None are absent."""
    return {name: value for name, value in {**POD, **fields}.items() if value is not None}


@dataclass(frozen=True)
class Answer:
    """What an API server says: the object as it would be stored, or why not."""

    stored: dict[str, Any]
    refusal: str = ""

    @property
    def taken(self) -> bool:
        return not self.refusal


class Door:
    """The API server of one cluster. Fields that it does not know are refused, as kubectl has it."""

    def __init__(self, kubeconfig: Path) -> None:
        self._api = client.CustomObjectsApi(config.new_client_from_config(str(kubeconfig)))

    def ask(self, kind: str, spec: object, **metadata: Any) -> Answer:
        """Create it as a dry run."""
        group, version, plural = _KINDS[kind]
        body = {"apiVersion": f"{group}/{version}", "kind": kind, "metadata": {"name": "sample", **metadata}, "spec": spec}
        try:
            stored = self._api.create_namespaced_custom_object(
                group, version, "default", plural, body, dry_run="All", field_validation="Strict"
            )
        except client.ApiException as refused:
            return Answer({}, str(json.loads(refused.body)["message"]))
        assert isinstance(stored, dict)
        return Answer(stored["spec"])
