"""The Kubernetes API, asked by way of kubectl.

kubectl knows where the API server is and who the user is there, however the kubeconfig says it: contexts, several files, programs
that log in, proxies. It is there, since the plugin is called by it, and starts faster than a client in Python is loaded.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from hacron.commands.calls import Misuse
from hacron.core import nesting
from hacron.core.manifests import GROUP
from hacron.core.ticks.cronfields import quoted

KUBECTL: Final = "kubectl"
PASSED_ON: Final = (
    "context",
    "kubeconfig",
    "cluster",
    "user",
    "as",
    "as-group",
    "server",
    "request-timeout",
    "cache-dir",
)
PATIENCE: Final = "30s"  # of a request that is not a watch
OURS: Final = f"/apis/{GROUP}/v1"
POD_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_SAID: Final = re.compile(r"Error from server(?: \((\w+)\))?: (.*)", re.DOTALL)


class Refused(Exception):
    """The API server, or kubectl, said no; the text is one sentence for whoever called."""

    def __init__(self, sentence: str, reason: str = "") -> None:
        super().__init__(sentence)
        self.reason = reason  # in one word, as the API server gives it


def add_flags(parser: argparse.ArgumentParser, *, inner: bool) -> None:
    """Let a call have kubectl's flags, before or behind the command's name (`inner`)."""
    usual = argparse.SUPPRESS if inner else None  # or a command would forget what stands before it
    flags = parser.add_argument_group("as kubectl has them")
    flags.add_argument("-n", "--namespace", metavar="NAME", default=usual, help="default: that of the context")
    for name in PASSED_ON:
        helps = {"context": "which context of the kubeconfig", "kubeconfig": "path of the kubeconfig", "as": "whom to act as"}
        how: dict[str, Any] = {"action": "append"} if name == "as-group" else {}
        shown = helps.get(name, argparse.SUPPRESS)
        flags.add_argument(f"--{name}", dest=as_field(name), metavar="TEXT", default=usual, help=shown, **how)


class Kubectl:
    """One cluster, as a call names it."""

    def __init__(self, args: argparse.Namespace) -> None:
        """Raises Misuse."""
        self._flags = [flag for name in PASSED_ON for flag in _flag(name, getattr(args, as_field(name), None))]
        self._patient = getattr(args, "request_timeout", None) is not None
        self._namespace: str | None = args.namespace
        if self._namespace is not None and not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", self._namespace):
            raise Misuse(f"--namespace: {quoted(self._namespace)} is no name of a namespace; those are of a-z, 0-9 and -")
        self._config: dict[str, Any] | None = None

    @property
    def namespace(self) -> str:
        """The namespace that is asked about: --namespace, else that of the context, or of the pod that this is."""
        if self._namespace is None:
            self._namespace = self._context().get("namespace") or _namespace_of_pod() or "default"
        return self._namespace

    @property
    def user(self) -> str:
        """Who asks: the name of the kubeconfig's user, else of the one who is logged in here."""
        return str(self._context().get("user") or os.environ.get("USER") or os.environ.get("LOGNAME") or "somebody")

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """Raises Refused."""
        return _read(self._run("get", "--raw", _with(path, query)))

    def text(self, path: str) -> str:
        """Return what somebody else than the API server answers, through it. Raises Refused."""
        return self._run("get", "--raw", path).decode(errors="replace")

    def namespaces(self) -> Iterator[str]:
        """Raises Refused."""
        for body in self.get("/api/v1/namespaces").get("items") or []:
            yield str(body["metadata"]["name"])

    def contexts(self) -> Iterator[str]:
        """Give the contexts of the kubeconfig. Raises Refused."""
        yield from self._run("config", "get-contexts", "--output=name").decode(errors="replace").split()

    def create(self, path: str, body: dict[str, Any], **query: str) -> dict[str, Any]:
        """Raises Refused."""
        return _read(self._run("create", "--raw", _with(path, query), "-f", "-", given=json.dumps(body)))

    def patch(self, name: str, patch: dict[str, Any]) -> dict[str, Any]:
        """Merge into a HACronJob; return it as it is now. Raises Refused."""
        where = ("--namespace", self.namespace, "--type=merge", f"--patch={json.dumps(patch)}", "--output=json")
        return _read(self._run("patch", f"hacronjobs.v1.{GROUP}", name, *where, "--field-manager=kubectl-hacron"))

    @contextmanager
    def watch(self, path: str, **query: str) -> Iterator[Iterator[dict[str, Any]]]:
        """Give the objects of a watch as they change, until the API server ends it, or whoever follows it."""
        command = self._command("get", "--raw", _with(path, {"watch": "true", **query}))
        with _started(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            try:
                events = map(_read, process.stdout)
                yield (event["object"] for event in events if event.get("type") in ("ADDED", "MODIFIED", "DELETED"))
            finally:
                process.kill()

    def _context(self) -> dict[str, Any]:
        if self._config is None:
            try:
                self._config = _read(self._run("config", "view", "--minify", "--output=json"))
            except Refused as refused:
                if "current-context must exist" not in str(refused):
                    raise
                self._config = {}  # in a pod, say
        contexts = (self._config or {}).get("contexts") or [{}]
        found: dict[str, Any] = contexts[0].get("context") or {}
        return found

    def _run(self, *arguments: str, given: str | None = None) -> bytes:
        patience = () if self._patient else (f"--request-timeout={PATIENCE}",)
        with _started(
            self._command(*arguments, *patience),
            stdin=subprocess.DEVNULL if given is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            printed, complaint = process.communicate(None if given is None else given.encode())
        if process.returncode != 0:
            raise _refused(complaint.decode(errors="replace"))
        return printed

    def _command(self, *arguments: str) -> list[str]:
        return [KUBECTL, *arguments, *self._flags]


def cronjobs(namespace: str | None) -> str:
    """Return the path of the HACronJobs of a namespace, or of all."""
    return f"{OURS}/hacronjobs" if namespace is None else f"{OURS}/namespaces/{namespace}/hacronjobs"


def runs(namespace: str) -> str:
    return f"{OURS}/namespaces/{namespace}/hacronjobruns"


def jobs(namespace: str) -> str:
    return f"/apis/batch/v1/namespaces/{namespace}/jobs"


def one_cronjob(kubectl: Kubectl, name: str) -> dict[str, Any]:
    """Return a HACronJob of the namespace. Raises Refused, also when there is none."""
    try:
        return kubectl.get(f"{cronjobs(kubectl.namespace)}/{quote(name)}")
    except Refused as refused:
        if refused.reason != "NotFound" or refused.args[0] == NOT_INSTALLED:
            raise
        raise Refused(f"there is no HACronJob {name} in namespace {kubectl.namespace}", "NotFound") from None


NOT_INSTALLED: Final = "this cluster does not know HACronJobs or HACronJobRuns: their custom resources (crds/) are not installed"


def _read(printed: bytes) -> dict[str, Any]:
    try:
        found = nesting.decoded(printed)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Refused("what came back is not of an API server: does something else stand before it?")
    return found


def _refused(complaint: str) -> Refused:
    """Say in one sentence what kubectl said."""
    text = " ".join(complaint.split())
    said = _SAID.search(text)
    if said is None:
        return Refused(f"kubectl: {text.removeprefix('error: ') or 'no reason given'}")
    reason, words = said[1] or "", said[2]
    if reason == "NotFound" and "could not find the requested resource" in words:
        return Refused(NOT_INSTALLED, reason)
    return Refused(f"the API server says no: {words}", reason)


@contextmanager
def _started(command: list[str], **how: Any) -> Iterator[subprocess.Popen[bytes]]:
    try:
        process = subprocess.Popen(command, **how)
    except FileNotFoundError:
        raise Refused(f"{KUBECTL} is not on PATH; it is what the cluster is asked by") from None
    except OSError as error:
        raise Refused(f"{KUBECTL} cannot be started: {error.strerror}") from None
    with process:
        yield process


def _flag(name: str, value: str | list[str] | None) -> list[str]:
    values = value if isinstance(value, list) else [value] if value is not None else []
    return [f"--{name}={each}" for each in values]


def as_field(name: str) -> str:
    """Return the name of a flag as what is read of a call has it."""
    return name.replace("-", "_") if name != "as" else "as_"


def _with(path: str, query: dict[str, str]) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _namespace_of_pod() -> str:
    try:
        return POD_NAMESPACE.read_text().strip()
    except OSError:
        return ""
