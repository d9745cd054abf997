"""What people install, as it reaches the API server: from Kustomize, and from Helm."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.testbed import tools

REPOSITORY = Path(__file__).parents[2]
CHART = REPOSITORY / "charts" / "hacron"
CHART_BEFORE = Path(__file__).with_name("hacron-0.0.9.tgz")  # as it was on 24 November 2026, before any release; `helm package`
OVERLAY = REPOSITORY / "deploy" / "overlays" / "west"
FULL_OVERLAY = REPOSITORY / "deploy" / "overlays" / "east"
NAMESPACE = "hacron-system"

# The least that has to be set, and what makes the chart the same as the overlay.
LEAST: Mapping[str, Any] = {"cluster": "west", "broker": {"existingSecret": {"name": "hacron-broker"}}}
AS_OVERLAY: Mapping[str, Any] = {**LEAST, "image": {"repository": "registry.example.com/hacron"}}
AS_FULL_OVERLAY: Mapping[str, Any] = {
    "cluster": "east",
    "clusterLabels": {"tier": "prod", "zone": "b"},
    "image": {"repository": "registry.example.com/hacron"},
    "broker": {
        "existingSecret": {"name": "hacron-broker"},
        "credentialsSecret": {"name": "hacron-broker-user"},
        "tls": {"caSecret": {"name": "hacron-broker-ca"}, "clientSecret": {"name": "hacron-broker-tls"}},
    },
    **{name: {"enabled": True} for name in ("networkPolicy", "serviceMonitor", "prometheusRule", "dashboard")},
}

Manifest = dict[str, Any]


class HelmFailed(RuntimeError):
    """Helm ended with an error; the message is its own."""


def helm(*arguments: str | Path, values: Mapping[str, Any] | None = None, kubeconfig: Path | None = None) -> str:
    """Run Helm with these values and return what it prints. Raises HelmFailed with its own words."""
    command = [str(word) for word in (tools.helm(), *arguments)]
    if values is not None:
        command += ["--values", "-"]
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig or "/dev/null")}
    done = subprocess.run(
        command, env=environment, input=json.dumps(values or {}), capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode != 0:
        raise HelmFailed(done.stderr.strip())
    return done.stdout


def from_chart(values: Mapping[str, Any], release: str = "hacron", namespace: str = NAMESPACE) -> list[Manifest]:
    """Return all manifests of a release with these values, but for those of `helm test`."""
    return _manifests(helm("template", release, CHART, "--namespace", namespace, "--skip-tests", values=values))


def from_kustomize(folder: Path = OVERLAY) -> list[Manifest]:
    """Return all manifests that `kubectl apply -k` would apply."""
    kubectl = [str(tools.control_plane()["kubectl"]), "kustomize", str(folder)]
    return _manifests(subprocess.run(kubectl, capture_output=True, text=True, check=True).stdout)


def one(manifests: list[Manifest], kind: str, name: str = "") -> Manifest:
    """Return the only manifest of a kind, or of a kind and a name."""
    (found,) = (each for each in manifests if each["kind"] == kind and name in ("", each["metadata"]["name"]))
    return found


def effect(manifest: Manifest) -> Any:
    """Return what a manifest does, whichever way it was made: without labels, annotations, and hashes in names."""
    return _effect(manifest)


def _effect(value: Any) -> Any:
    match value:
        case dict():
            dropped = ("labels", "annotations", "matchLabels", "selector", "imagePullPolicy", "creationTimestamp")
            return {name: _effect(inner) for name, inner in value.items() if name not in dropped}
        case list():
            return [_effect(inner) for inner in value]
        case str():
            return re.sub(r"^(hacron-settings)-[a-z0-9]{10}$", r"\1", value)
        case _:
            return value


def _manifests(text: str) -> list[Manifest]:
    return [manifest for manifest in yaml.safe_load_all(text) if manifest]


def promtool(*arguments: str | Path, given: bytes | None = None, folder: Path | None = None) -> str:
    done = subprocess.run([tools.promtool(), *arguments], input=given, cwd=folder, capture_output=True, check=False)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said
