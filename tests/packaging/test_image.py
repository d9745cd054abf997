"""The image as docker makes it: what is in it, and that it runs with as little as a pod of deploy/ gives it."""

from __future__ import annotations

import io
import json
import os
import re
import secrets
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.broker.certificates import Authority
from tests.testbed.image import build, pip_configuration
from tests.testbed.kind.engine import DockerFailed, Engine
from tests.testbed.wait import until

pytestmark = pytest.mark.docker

REPOSITORY = Path(__file__).parents[2]
RESTRICTED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=none", "--memory=256m")
REVISION = "0123456789abcdef"
HERE = secrets.token_hex(4)  # the tag of our images


@pytest.fixture(scope="module")
def image(docker: Engine) -> str:
    """The image of this work tree."""
    return build(docker, f"hacron:{HERE}", arguments={"REVISION": REVISION})


@pytest.fixture(scope="module")
def configuration(docker: Engine, image: str) -> dict[str, Any]:
    """What the image says of itself."""
    (found,) = json.loads(docker.run("image", "inspect", image))
    return dict(found)


@pytest.fixture(scope="module")
def files(docker: Engine, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tarfile.TarFile]:
    """All files of a container of this image, with those that docker puts into each."""
    archive = tmp_path_factory.mktemp("image") / "files.tar"
    container = docker.run("create", image).strip()
    docker.run("export", f"--output={archive}", container)
    docker.run("rm", container)
    with tarfile.open(archive) as tar:
        yield tar


def run(docker: Engine, image: str, *arguments: str) -> str:
    """Run the image's command as restricted as in a pod and return what it prints."""
    return docker.run("run", "--rm", *RESTRICTED, image, *arguments)


@contextmanager
def replica(docker: Engine, image: str, tmp_path: Path) -> Iterator[str]:
    """Run a replica as a pod does, though there is no broker and no API server; yield its container's name."""
    account = tmp_path / "serviceaccount"
    account.mkdir()
    (account / "token").write_text("nobody's")
    Authority(tmp_path / "authority").file.rename(account / "ca.crt")
    given = {
        "HACRON_CLUSTER": "west",
        "HACRON_BROKER_URL": "amqp://hacron:hacron@127.0.0.1:5672",
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": "443",
    }
    told = [f"--env={name}={value}" for name, value in given.items()]
    mounted = f"--volume={account}:/var/run/secrets/kubernetes.io/serviceaccount:ro"
    container = docker.run("run", "--detach", *RESTRICTED, *told, mounted, image).strip()
    try:
        yield container
    finally:
        docker.run("rm", "--force", container)


def test_it_says_what_it_is(configuration: dict[str, Any]) -> None:
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in configuration["Config"]["Labels"].items()}
    chart = yaml.safe_load((REPOSITORY / "charts/hacron/Chart.yaml").read_text())
    assert set(labels) == {"title", "description", "licenses", "version", "revision"}
    assert (labels["version"], labels["revision"]) == (chart["appVersion"], REVISION)


def test_it_is_as_small_as_the_page_says(docker: Engine, image: str) -> None:
    (told,) = re.findall(r"(\d+) MB unpacked", (REPOSITORY / "docs" / "install.md").read_text())
    assert int(docker.run("image", "inspect", "--format={{.Size}}", image)) <= (int(told) + 1) * 1_000_000


def test_commands_answer(docker: Engine, image: str) -> None:
    assert re.match(r"hacron \d+\.\d+\.\d+\nPython 3\.11\.\d+\ntzdata 2\d{3}[a-z]\n", run(docker, image, "version"))
    told = run(
        docker,
        image,
        "next",
        "--schedule=30 2 * * *",
        "--time-zone=Europe/Berlin",
        "--after",
        "2026-10-24T12:00:00Z",
        "--count",
        "2",
    )
    assert "2026-10-25 02:30" in told


def test_the_helm_test_of_the_chart_runs_in_it(docker: Engine, image: str) -> None:
    program = (REPOSITORY / "charts/hacron/files/ready.py").read_text()
    asked = ("-c", program, "http://127.0.0.1:8080/readyz", "1", "0")
    with pytest.raises(DockerFailed, match=r"127\.0\.0\.1: no answer: .*refused.*\n0 of 1 replicas are ready"):
        docker.run("run", "--rm", *RESTRICTED, "--entrypoint=python", image, *asked)


def test_a_replica_without_a_broker_says_so_and_ends_when_told(docker: Engine, image: str, tmp_path: Path) -> None:
    with replica(docker, image, tmp_path) as container:
        until(lambda: "127.0.0.1:5672" in _line(docker, container, "broker unavailable"), 60, "a word on it", every=0.5)
        docker.run("stop", "--time=30", container)
        assert docker.run("inspect", "--format={{.State.ExitCode}}", container).strip() == "0"


def test_a_kubeconfig_is_read_without_most_of_the_kubernetes_client(docker: Engine, image: str, tmp_path: Path) -> None:
    cluster = {"server": "https://10.1.2.3:6443", "insecure-skip-tls-verify": True}
    kubeconfig = {
        "current-context": "it",
        "clusters": [{"name": "it", "cluster": cluster}],
        "users": [{"name": "it", "user": {"token": "x"}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
    }
    (tmp_path / "config").write_text(json.dumps(kubeconfig))
    program = "import pathlib, hacron.kube.access; print(hacron.kube.access.read_access(pathlib.Path('/config')).server)"
    mounted = f"--volume={tmp_path / 'config'}:/config:ro"
    said = docker.run("run", "--rm", *RESTRICTED, mounted, "--entrypoint=python", image, "-c", program)
    assert said == "https://10.1.2.3:6443\n"


def test_python_and_our_command_are_the_only_programs(files: tarfile.TarFile) -> None:
    programs = {entry.name for entry in files if entry.isfile() and entry.mode & 0o111 and ".so" not in Path(entry.name).name}
    put_there_by_docker = {".dockerenv", "dev/console", "etc/hostname", "etc/hosts", "etc/resolv.conf"}
    assert programs - put_there_by_docker == {"opt/hacron/bin/hacron", "usr/bin/python3.11"}
    assert [name for name in files.getnames() if "/pip/" in name or "/setuptools/" in name or "/ensurepip/" in name] == []


def test_nobody_gains_rights_by_a_file_or_can_change_one(files: tarfile.TarFile) -> None:
    assert [entry.name for entry in files if entry.isfile() and entry.mode & 0o6000] == []
    assert [entry.name for entry in files if not entry.issym() and entry.mode & 0o002 and not entry.name.startswith("dev")] == [
        "tmp"
    ]
    assert {(entry.uid, entry.gid) for entry in files} == {(0, 0)}


def test_scanners_find_the_packages_that_its_libraries_are_of(files: tarfile.TarFile) -> None:
    named = {Path(name).name for name in files.getnames() if name.startswith("var/lib/dpkg/status.d/")}
    assert {"libc6", "libssl3", "zlib1g"} <= named
    licences = {f"usr/share/doc/{name}" for name in named}
    have = {entry.name.removesuffix("/copyright") for entry in files if entry.issym() or entry.name.endswith("/copyright")}
    assert licences <= have


def test_nothing_of_what_pip_was_told_is_in_any_layer(docker: Engine, image: str, tmp_path: Path) -> None:
    docker.run("save", f"--output={tmp_path / 'image.tar'}", image)
    told = [line for line in pip_configuration()[0].splitlines() if b"=" in line]
    with tarfile.open(tmp_path / "image.tar") as saved:
        layers = [saved.extractfile(entry) for entry in saved if entry.name.endswith("layer.tar")]
        content = b"".join(layer.read() for layer in layers if layer)
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        assert [name for name in tar.getnames() if Path(name).name in ("pip.conf", "pip.crt") or "/.cache" in name] == []
    assert layers
    assert [line for line in told if line in content] == []
    history = docker.run("history", "--no-trunc", image)
    assert "proxy" not in history.lower()
    assert "pip" not in history


def test_it_is_the_same_to_the_byte_when_another_builder_makes_it_again(
    docker: Engine, image: str, configuration: dict[str, Any]
) -> None:
    again = build(docker, f"{image}-again", arguments={"REVISION": REVISION}, afresh=True, buildkit=False)
    layers = json.loads(docker.run("image", "inspect", "--format={{json .RootFS.Layers}}", again))
    assert layers == configuration["RootFS"]["Layers"]


def _line(docker: Engine, container: str, text: str) -> str:
    environment = {**os.environ, **docker.environment}
    logged = subprocess.run(["docker", "logs", container], env=environment, capture_output=True, text=True, check=True).stderr
    return next((line for line in logged.splitlines() if text in line), "")
