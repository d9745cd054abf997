"""The container: what the image is made of, and that what runs in it asks for no more than a container has."""

from __future__ import annotations

import base64
import getpass
import json
import pwd
import queue
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from hacron.kopf_watch import KopfWatch
from hacron.kube.client import KubeClient
from hacron.ports import Answer, FromKubernetes, ListInventory, ObjectSeen
from tests.testbed.control_plane import ControlPlane
from tests.testbed.cronjobs import manifest

REPOSITORY = Path(__file__).parents[2]
DOCKERFILE = (REPOSITORY / "deploy" / "Dockerfile").read_text().replace("\\\n", "")


def instructions(name: str) -> list[str]:
    """Return the arguments of all instructions of this name, in order."""
    return [line.removeprefix(f"{name} ") for line in DOCKERFILE.splitlines() if line.startswith(f"{name} ")]


def pod() -> dict[str, Any]:
    """Return the pod that deploy/base runs the image in."""
    deployment = yaml.safe_load((REPOSITORY / "deploy" / "base" / "deployment.yaml").read_text())
    found: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return found


class TestImage:
    def test_what_it_copies_is_there_and_is_all_that_docker_is_given(self) -> None:
        copied = {source for copy in instructions("COPY") if "--from" not in copy for source in copy.split()[:-1]}
        ignored = (REPOSITORY / ".dockerignore").read_text().split("\n*\n")[1].splitlines()
        assert copied == {line.removeprefix("!") for line in ignored if line.startswith("!")}
        assert [source for source in copied if not (REPOSITORY / source).exists()] == []

    def test_every_package_is_the_one_that_a_lock_names(self) -> None:
        installs = [step for run in instructions("RUN") for step in run.split("&&") if " install " in step or " wheel " in step]
        assert [step for step in installs if "--no-deps" not in step] == []
        locked = [step for step in installs if "--require-hashes" in step]
        assert [step.split("-r ")[1].strip() for step in locked] == ["requirements.lock", "requirements-build.lock"]
        assert [step for step in locked if "--only-binary=:all:" not in step] == [], "to build one, others would be fetched"
        assert [
            step for step in installs if not {"--require-hashes", "--no-build-isolation", "--no-index"} & set(step.split())
        ] == []

    def test_its_python_is_the_one_that_the_locks_were_made_with(self) -> None:
        (python,) = (default for name, _, default in (arg.partition("=") for arg in instructions("ARG")) if name == "PYTHON")
        for lock in ("requirements.lock", "requirements-build.lock"):
            made_with = re.search(r"pip-compile with Python ([\d.]+)", (REPOSITORY / lock).read_text())
            assert made_with
            assert python == f"python:{made_with[1]}-slim"

    def test_nothing_of_its_base_is_in_it_but_what_was_picked(self) -> None:
        assert instructions("FROM") == ["${PYTHON} AS build", "scratch"]
        (brought,) = (copy for copy in instructions("COPY") if "--from" in copy)
        (picked,) = (step for step in instructions("RUN") if step.startswith("python slim.py "))
        assert brought.split()[1:] == [picked.split()[3], "/"]

    def test_what_it_loads_is_tried_in_it(self) -> None:
        (picked,) = (step for step in instructions("RUN") if step.startswith("python slim.py "))
        target = picked.split()[3]
        tried = shlex.split(instructions("RUN")[-1])
        assert tried[:2] == ["chroot", target]
        assert tried[3:] == ["-B", "-c", f"import {', '.join(picked.split()[4:])}"]

    def test_it_runs_the_command_as_the_user_of_the_pod(self) -> None:
        project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
        (command,) = (name for name, where in project["scripts"].items() if where == "hacron.__main__:main")
        context = pod()["securityContext"]
        assert instructions("USER") == [f"{context['runAsUser']}:{context['runAsGroup']}"]
        assert instructions("ENTRYPOINT") == [f'["{command}"]']
        assert pod()["containers"][0]["args"] == ["run"]


@pytest.mark.cluster
class TestInAPod:
    """The user of the pod is a number without a name, and who it is to the API server stands in files."""

    @pytest.fixture(autouse=True)
    @staticmethod
    def _nameless(monkeypatch: pytest.MonkeyPatch) -> None:
        def unknown(uid: int) -> object:
            raise KeyError(f"getpwuid(): uid not found: {uid}")

        monkeypatch.setattr(pwd, "getpwuid", unknown)
        for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
            monkeypatch.delenv(variable, raising=False)
        with pytest.raises((KeyError, OSError)):
            getpass.getuser()

    @pytest.fixture(autouse=True)
    @staticmethod
    def _service_account(west: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        known = json.loads(west.operator_kubeconfig.read_text())
        token, authority = tmp_path / "token", tmp_path / "ca.crt"
        token.write_text(known["users"][0]["user"]["token"])
        authority.write_bytes(base64.b64decode(known["clusters"][0]["cluster"]["certificate-authority-data"]))
        address = urlsplit(known["clusters"][0]["cluster"]["server"])
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", str(address.hostname))
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(address.port))

    @pytest.fixture
    @staticmethod
    def client(west: ControlPlane, tmp_path: Path) -> Iterator[tuple[KubeClient, queue.SimpleQueue[FromKubernetes]]]:
        seen: queue.SimpleQueue[FromKubernetes] = queue.SimpleQueue()
        client = KubeClient(None, seen, service_account=tmp_path)
        client.start()
        yield client, seen
        client.stop()
        west.kubectl("delete", "hacronjob", "nameless", "--ignore-not-found")

    def test_cronjobs_are_seen(self, west: ControlPlane, client: tuple[KubeClient, queue.SimpleQueue[FromKubernetes]]) -> None:
        kube, seen = client
        watch = KopfWatch(kube.connection, seen, lambda: None)
        watch.start()
        try:
            west.apply(manifest("nameless"))
            arrivals = iter(lambda: seen.get(timeout=20), None)
            assert "nameless" in (each.body["metadata"]["name"] for each in arrivals if isinstance(each, ObjectSeen))
        finally:
            watch.stop()

    def test_requests_are_answered(self, client: tuple[KubeClient, queue.SimpleQueue[FromKubernetes]]) -> None:
        kube, seen = client
        kube.submit([ListInventory()])
        answer = seen.get(timeout=20)
        assert isinstance(answer, Answer)
        assert answer.status == 200
