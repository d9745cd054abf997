"""One replica of the program as a process of its own, as it runs in a pod."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.testbed.network import HERE, Place
from tests.testbed.process import Process, free_port
from tests.testbed.wait import until

COMMAND = (sys.executable, "-m", "hacron", "run")


class Replica:
    """A `hacron run` that writes its log to `log` and answers HTTP at `url`.

    `env` is added to its environment and wins. It can be started again after it has ended: same name, same port,
    and the log goes on.
    """

    def __init__(
        self,
        name: str,
        *,
        cluster: str,
        kubeconfig: Path,
        broker_url: str,
        log: Path,
        env: Mapping[str, str] | None = None,
        command: Sequence[str] = COMMAND,
        place: Place = HERE,
    ) -> None:
        self.name = name
        self.cluster = cluster
        self.place = place
        port = free_port()
        self.url = f"http://{place.address}:{port}"
        self.log_file = log
        settings = {
            "HACRON_REPLICA": name,
            "HACRON_CLUSTER": cluster,
            "HACRON_KUBECONFIG": str(kubeconfig),
            "HACRON_BROKER_URL": broker_url,
            "HACRON_HTTP_HOST": place.address,
            "HACRON_HTTP_PORT": str(port),
            "HACRON_LOG_FORMAT": "json",
            "PYTHONUNBUFFERED": "1",
            **(env or {}),
        }
        self._process = Process(f"replica {name}", place.command(command), log=log, env=settings)

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    @property
    def env(self) -> dict[str, str]:
        """What is added to its environment; a change counts from the next start."""
        return self._process.env

    @property
    def alive(self) -> bool:
        """Whether the process is there, frozen or not."""
        return self._process.alive

    def start(self) -> None:
        """Start the process and return at once; see wait_ready."""
        self._process.start()

    def wait_ready(self, timeout: float = 90) -> None:
        """Wait until /readyz says yes. Raises TimeoutError, or ProcessFailed if the replica has ended."""
        try:
            until(self.is_ready, timeout, f"replica {self.name} ready")
        except TimeoutError as error:
            error.add_note(f"{self.log_file} ends with:\n{self._process.tail()}")
            raise

    def is_ready(self) -> bool:
        """Return what /readyz says; raise ProcessFailed if the replica has ended."""
        self._process.check()
        try:
            self._get("/readyz")
        except OSError:
            return False
        return True

    def told(self) -> dict[str, Any]:
        """Return what /readyz says as JSON (ready, reasons, role, epoch, worker, position); nothing when it does not answer."""
        if not self.alive:
            return {}
        request = urllib.request.Request(f"{self.url}/readyz", headers={"Accept": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=2) as answer:
                told: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            told = json.load(error)  # not ready, and why
        except OSError:
            return {}
        return told

    def terminate(self, timeout: float = 30) -> int | None:
        """Ask the replica to stop, as Kubernetes does, and return its exit code; -9 if it took too long."""
        return self._process.terminate(timeout)

    def kill(self) -> None:
        """Kill the replica (SIGKILL)."""
        self._process.kill()

    def freeze(self) -> None:
        """Stop the replica in its tracks (SIGSTOP)."""
        self._process.freeze()

    def thaw(self) -> None:
        """Let a frozen replica go on (SIGCONT)."""
        self._process.thaw()

    def metrics(self) -> dict[str, float]:
        """Return what /metrics says now, by name and labels as they stand there: `name{label="value"}`."""
        lines = self._get("/metrics").splitlines()
        samples = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    def page(self, question: str) -> dict[str, Any]:
        """Return the JSON at /page/<question>; HACRON_PAGE must be true."""
        told: dict[str, Any] = json.loads(self._get(f"/page/{question}"))
        return told

    def log(self) -> str:
        """Return all that the replica has written since its first start."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def lines(self, message: str) -> list[dict[str, Any]]:
        """Return the log lines with this message, as the JSON that they are."""
        complete = self.log().split("\n")[:-1]  # the last one may still be being written
        lines = (json.loads(line) for line in complete if line.startswith("{"))
        return [line for line in lines if line.get("msg") == message]

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=5) as answer:
            text: str = answer.read().decode()
        return text
