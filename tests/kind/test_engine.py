"""The docker engine of the tests: containers run, and nothing of it is left."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.testbed import tools
from tests.testbed.kind.engine import DockerFailed, engine
from tests.testbed.wait import until

pytestmark = pytest.mark.kind

STARTS_A_CONTAINER = """
import pathlib, sys
from tests.testbed.kind.engine import engine
with engine() as docker:
    docker.run("build", "--tag=sleeper", sys.argv[1])
    name = docker.run("run", "--detach", "--privileged", "--network=none", "sleeper", "/busybox", "sleep", sys.argv[2]).strip()
    print(docker.host or "the machine's", name, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What an image of busybox alone is built from."""
    shutil.copy(tools.busybox(), tmp_path)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY busybox /\n")
    return tmp_path


def sleeping(seconds: str) -> list[Path]:
    """Return the processes that sleep for so long."""
    lines = {path.parent: path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()}
    return [process for process, line in lines.items() if line == f"/busybox\0sleep\0{seconds}\0".encode()]


def test_an_image_is_built_and_a_container_may_be_privileged(folder: Path) -> None:
    sys_admin = 1 << 21
    with engine() as docker:
        docker.run("build", "--tag=probe", str(folder))
        in_container = ("run", "--rm", "--privileged", "--network=none", "probe", "/busybox")
        effective = docker.run(*in_container, "grep", "CapEff", "/proc/self/status").split()[1]
        assert int(effective, 16) & sys_admin
        with pytest.raises(DockerFailed, match="applet not found"):
            docker.run(*in_container, "nonsense")


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_no_container_outlives_tests_that_are_killed(folder: Path, end: signal.Signals) -> None:
    seconds = "86399.5"
    command = [sys.executable, "-c", STARTS_A_CONTAINER, str(folder), seconds]
    tests = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert tests.stdout is not None
    host, name = tests.stdout.readline().split()
    own = Path(host.removeprefix("unix://")).parent
    assert sleeping(seconds)

    tests.send_signal(end)
    tests.communicate()

    until(lambda: not sleeping(seconds), 20, "end of the container")
    until(lambda: not own.exists(), 20, "removal of the daemon's folder")
    assert str(own) not in Path("/proc/self/mountinfo").read_text()
    assert not list(Path("/sys/fs/cgroup").glob(f"**/{name}"))
