"""The docker engine of the tests: containers run, and nothing of it is left."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kind.work import BUSYBOX
from tests.testbed.kind.engine import DockerFailed, engine
from tests.testbed.kind.stand_ins import make_busybox
from tests.testbed.wait import until

pytestmark = pytest.mark.kind

STARTS_A_CONTAINER = """
import sys
from tests.kind.work import BUSYBOX
from tests.testbed.kind.stand_ins import make_busybox
from tests.testbed.kind.engine import engine
with engine() as docker:
    make_busybox(docker, BUSYBOX)
    name = docker.run("run", "--detach", "--privileged", "--network=none", BUSYBOX, "busybox", "sleep", sys.argv[1]).strip()
    docker.run("pause", name)
    print(docker.host or "the machine's", name, flush=True)
    sys.stdin.read()
"""


def sleeping(seconds: str) -> list[Path]:
    """Return the processes that sleep for so long."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has just ended
            if path.read_bytes() == f"busybox\0sleep\0{seconds}\0".encode():
                found.append(path.parent)
    return found


def test_an_image_is_made_and_a_container_may_be_privileged() -> None:
    sys_admin = 1 << 21
    with engine() as docker:
        make_busybox(docker, BUSYBOX)
        in_container = ("run", "--rm", "--privileged", "--network=none", BUSYBOX, "busybox")
        effective = docker.run(*in_container, "grep", "CapEff", "/proc/self/status").split()[1]
        assert int(effective, 16) & sys_admin
        with pytest.raises(DockerFailed, match="applet not found"):
            docker.run(*in_container, "nonsense")


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_no_container_outlives_tests_that_are_killed(end: signal.Signals) -> None:
    seconds = "86399.5"
    command = [sys.executable, "-c", STARTS_A_CONTAINER, seconds]
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
