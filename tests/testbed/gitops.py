"""The custom resources of Argo CD and Flux, as their Go modules have them: what an API server judges our examples by.

Only these files are kept. Versions are pinned, and so are the sums of the modules, as a go.sum would have them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.testbed import golang
from tests.testbed.making import Missing, once, say

MODULES = {  # Argo CD 3.4 and the controllers of Flux 2.7: the newest that Go 1.26 takes
    "github.com/argoproj/argo-cd/v3@v3.4.13": ("manifests/crds", "h1:kmnF4nE5SQ83OhtdX6DMmLSpH0eRIa1gNYdCLNHqB+A="),
    "github.com/fluxcd/source-controller@v1.7.3": ("config/crd/bases", "h1:gFfeBiNUgF0kFFGap/rrMeJqz+0Tod0ARENJO8w/UA8="),
    "github.com/fluxcd/kustomize-controller@v1.7.3": ("config/crd/bases", "h1:SzNnGn/4ObAPEHHleM5U7y/AKxKXph3Vj6ZhteeXw8M="),
    "github.com/fluxcd/helm-controller@v1.4.0": ("config/crd/bases", "h1:rkm8rmB6Na7eNc4pJOnvtXEaJ19iKluRtayHKjBxcUM="),
}


def resources() -> list[Path]:
    """Return the files of the custom resources, fetched once."""
    key = hashlib.sha256(repr(MODULES).encode()).hexdigest()[:16]
    folder = once(f"gitops-resources-{key}", _fetch)
    return sorted(path for path in folder.glob("*.yaml") if path.name != "kustomization.yaml")


def _fetch(folder: Path) -> None:
    say("Custom resources of Argo CD and Flux: fetched once, half a minute")
    cache = Path(tempfile.mkdtemp(dir=folder))  # not Go's own: unpacked, the modules are 200 MB, and nobody needs them again
    try:
        for module, (where, expected) in MODULES.items():
            for path in (_module(module, expected, cache) / where).glob("*.yaml"):
                shutil.copy(path, folder / path.name)
    finally:
        shutil.rmtree(cache)


def _module(module: str, expected: str, cache: Path) -> Path:
    download = [golang.go(), "mod", "download", "-json", module]
    variables = {**os.environ, "GOMODCACHE": str(cache), "GOFLAGS": "-modcacherw"}  # what is there can be removed
    done = subprocess.run(download, cwd=cache, env=variables, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout) if done.stdout.strip() else {"Error": done.stderr.strip()}
    if "Dir" not in found:
        raise Missing(f"{module} cannot be had ({found.get('Error', '')[:300]}); what was tried: go mod download {module}")
    if found["Sum"] != expected:
        raise RuntimeError(f"{module} is not what it was: {found['Sum']}, not {expected}")
    return Path(found["Dir"])
