"""A CronJob → the HACronJob that does the same, with what of it is left behind. Plain CronJobs keep their text and comments."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from hacron.commands.files import Found
from hacron.commands.subjects import parsed, part, text_of
from hacron.commands.yamlbounds import Unreadable
from hacron.commands.yamlout import dumped
from hacron.commands.yamltext import Document, documents
from hacron.core.manifests import API_VERSION, KIND, STEM_LENGTH
from hacron.core.model import InvalidCronJob
from hacron.core.ticks.cronfields import quoted

KEPT = (
    "name",
    "namespace",
    "labels",
    "annotations",
)  # of the metadata: the rest is the API server's, or about the CronJob itself
OWNERS = (
    "kubectl.kubernetes.io/last-applied-configuration",
    "meta.helm.sh/release-name",
    "meta.helm.sh/release-namespace",
    "argocd.argoproj.io/instance",
    "argocd.argoproj.io/tracking-id",
    "kustomize.toolkit.fluxcd.io/name",
    "kustomize.toolkit.fluxcd.io/namespace",
    "helm.toolkit.fluxcd.io/name",
    "helm.toolkit.fluxcd.io/namespace",
)  # labels and annotations by which tools know what they have made: they would delete what is not in their source
MAY_BE_OWNERS = "app.kubernetes.io/instance"  # Argo CD's, unless it is told to track by annotation
CRONJOB_FIELDS = (
    "schedule",
    "timeZone",
    "startingDeadlineSeconds",
    "concurrencyPolicy",
    "suspend",
    "jobTemplate",
    "successfulJobsHistoryLimit",
    "failedJobsHistoryLimit",
)
HEAD = {"apiVersion": API_VERSION, "kind": KIND}
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_ZONED = re.compile(r"(?:CRON_)?TZ=(\S*)\s+(.*)\Z", re.DOTALL)


class NotConverted(ValueError):
    """There is no HACronJob that does what this CronJob does; the text is one sentence for its author."""


@dataclass(frozen=True, slots=True)
class Converted:
    """A HACronJob that the operator takes."""

    text: str  # one document, without what separates it from others
    body: dict[str, Any]
    remarks: tuple[str, ...]  # what is left behind or differs


def convert(found: Found) -> Converted:
    """Return the HACronJob for a CronJob. Raises NotConverted."""
    old = part(found.body, "metadata")
    metadata, remarks = _metadata(old)
    if found.body.get("status"):
        remarks.insert(0, "status")
    remarks = [f"left out: {', '.join(remarks)}"] if remarks else []
    if old.get("ownerReferences"):
        remarks.append("it will not be deleted with its owner any more")
    if old.get("uid") and MAY_BE_OWNERS in part(old, "labels"):
        remarks.append(f"the label {MAY_BE_OWNERS} is kept: an Argo CD that tracks by it takes it for its own, and may prune it")
    fields = _fields(found.body.get("spec"), remarks)
    _check(metadata, fields)
    if fields.get("suspend"):
        remarks.append(
            "is suspended: set going again it runs nothing of the past, as a CronJob may, unless catchUp.afterEdits is true"
        )
    body = {**HEAD, "metadata": metadata, "spec": fields}
    text = _exchanged(found.document, body)
    if text is None:
        text = dumped(body)
        if found.document is not None and "#" in found.document.text:
            remarks.append("comments, if it has any, are left out")
    if found.body["apiVersion"] != "batch/v1":
        remarks.append(f"{found.body['apiVersion']} is read like batch/v1, which has the same fields")
    return Converted(text, body, tuple(remarks))


def _metadata(old: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return what is kept, and the names of what is lost with a value."""
    kept = {name: value for name, value in old.items() if name in KEPT}
    lost = [f"metadata.{name}" for name, value in old.items() if name not in KEPT and value]
    for kind in ("label", "annotation"):
        marks = part(kept, f"{kind}s")
        of_owners = [name for name in OWNERS if name in marks]
        lost += [f"{kind} {name}" for name in of_owners]
        left = {name: value for name, value in marks.items() if name not in of_owners}
        if of_owners and left:
            kept[f"{kind}s"] = left
        elif of_owners:
            del kept[f"{kind}s"]
    return kept, [name if len(name) <= 80 else quoted(name) for name in lost]


def _fields(spec: object, remarks: list[str]) -> dict[str, Any]:
    if not isinstance(spec, dict):
        raise NotConverted("spec is missing or is not an object")
    fields = dict(spec)
    unknown = [name for name in fields if name not in CRONJOB_FIELDS]
    if unknown:
        remarks.append(f"spec.{', spec.'.join(quoted(name)[1:-1] for name in unknown[:5])}: no field of CronJobs; taken as it is")
    zoned = _ZONED.match(fields["schedule"]) if isinstance(fields.get("schedule"), str) else None
    if zoned is not None and fields.get("timeZone") is None:
        fields |= {"schedule": zoned[2], "timeZone": zoned[1] or "Etc/UTC"}
        remarks.append(f"the zone in its schedule is now timeZone: {quoted(fields['timeZone'])[1:-1]}")
    return fields


def _check(metadata: dict[str, Any], fields: dict[str, Any]) -> None:
    """Raise NotConverted if the API server or the operator would not take it."""
    name = text_of(metadata, "name")
    if not name:
        raise NotConverted("metadata.name is missing: generateName is not enough, since runs are named after it")
    if len(name) > STEM_LENGTH:
        raise NotConverted(
            f"metadata.name is {len(name)} characters long; at most {STEM_LENGTH} are allowed, so that Jobs can have it"
        )
    if not _NAME.match(name):
        raise NotConverted("metadata.name must be of a-z, 0-9, - and .")
    try:
        parsed(text_of(metadata, "namespace"), name, fields)
    except InvalidCronJob as invalid:
        raise NotConverted(str(invalid)) from invalid
    _check_template(fields["jobTemplate"]["spec"])


def _check_template(job: dict[str, Any]) -> None:
    """Look for what the API server says no to in CronJobs, too: crds/hacronjob.yaml has the same rules."""
    here, pod = "jobTemplate.spec", job["template"]["spec"]
    for name in ("selector", "manualSelector"):
        if job.get(name):
            raise NotConverted(f"{here}.{name} must not be set; every Job gets its own")
    if pod.get("restartPolicy") not in ("Never", "OnFailure"):
        raise NotConverted(f"{here}.template.spec.restartPolicy must be set, to Never or to OnFailure")
    if not pod.get("containers"):
        raise NotConverted(f"{here}.template.spec.containers must have at least one")


def _exchanged(document: Document | None, body: dict[str, Any]) -> str | None:
    """Return the text as it was written with another apiVersion and kind; None if that would not be this object."""
    if document is None or not all(name in document.spots for name in HEAD):
        return None
    text = document.text
    for name, spot in sorted(document.spots.items(), key=lambda each: -each[1].begin):
        if name in HEAD:
            text = text[: spot.begin] + spot.quote + HEAD[name] + spot.quote + text[spot.end :]
    text = text.strip("\r\n") + "\n"
    try:
        again = list(documents(text))
    except Unreadable:
        return None
    return text if [each.value for each in again] == [body] else None
