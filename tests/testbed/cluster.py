"""What the tests want of a Kubernetes cluster, whatever it is made of."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from tests.testbed import tools

ASKED_AGAIN = 3  # times
SAME_TWICE = ("annotate", "apply", "get", "label", "patch", "wait")  # commands that may be done twice
TOO_BUSY = ("(Timeout)", "request timed out", "TLS handshake timeout")


class KubectlFailed(RuntimeError):
    """kubectl ended with an error; the message is its own."""


class Cluster(Protocol):
    """A Kubernetes cluster that can be started and stopped."""

    name: str
    admin_kubeconfig: Path  # may do everything

    def start(self) -> None: ...
    def stop(self) -> None: ...

    @property
    def kubectl_path(self) -> Path:
        """The kubectl that is used here."""
        return tools.control_plane()["kubectl"]

    def kubectl(self, *arguments: str, input: str | None = None, kubeconfig: Path | None = None) -> str:
        """Run kubectl, as admin unless another kubeconfig is given, and return what it prints.

        An API server that did not get done in time on a busy machine is asked again, where that changes nothing if it did.
        Raises KubectlFailed with kubectl's own words.
        """
        for _ in range(ASKED_AGAIN if arguments[0] in SAME_TWICE else 0):
            try:
                return self._kubectl(arguments, input, kubeconfig)
            except KubectlFailed as failed:
                if not any(words in str(failed) for words in TOO_BUSY):
                    raise
        return self._kubectl(arguments, input, kubeconfig)

    def _kubectl(self, arguments: tuple[str, ...], input: str | None, kubeconfig: Path | None) -> str:
        environment = {**os.environ, "KUBECONFIG": str(kubeconfig or self.admin_kubeconfig)}
        cache = self.admin_kubeconfig.parent / "kubectl-cache"  # by host and port, which change hands between clusters
        done = subprocess.run(
            [self.kubectl_path, f"--cache-dir={cache}", *arguments],
            input=input,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise KubectlFailed(f"kubectl {' '.join(arguments)} in {self.name}: {done.stderr.strip()}")
        return done.stdout

    def apply(self, manifests: str | Path) -> str:
        """Apply manifests as admin: a file or folder of them, or their YAML or JSON text."""
        where, text = (str(manifests), None) if isinstance(manifests, Path) else ("-", manifests)
        return self.kubectl("apply", "-f", where, input=text)


class Startable(Protocol):
    """Whatever takes some seconds to start."""

    def start(self) -> None: ...


def start_together(parts: Iterable[Startable]) -> None:
    """Start all at the same time and return when all have started. Raises what the first of them raises."""
    with ThreadPoolExecutor() as pool:
        for started in [pool.submit(part.start) for part in parts]:
            started.result()
