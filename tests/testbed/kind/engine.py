"""A docker engine: the one of this machine if there is one, else a daemon of the testbed's own, gone afterwards.

    with engine() as docker:
        docker.run("build", "--network=host", "--tag=hacron:test", ".")

Our own has its folders, its control group and its bridge for itself, and changes no rule of the machine's network. So its
containers reach each other and this machine, but nothing beyond: what has to, runs with --network=host.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.testbed import tools
from tests.testbed.kind import sweep
from tests.testbed.making import say
from tests.testbed.process import Process, run_at_exit
from tests.testbed.wait import until

_WEIGHT = 20 * 1024  # of all containers together; that of one process is 1024
_RUNC_CAPPED = Path(__file__).with_name("runc-capped")


class DockerFailed(RuntimeError):
    """docker ended with an error; the message is its own."""


class Engine:
    """A docker daemon that answers at `host`; an empty one is whatever docker talks to by itself."""

    def __init__(self, host: str = "") -> None:
        self.host = host
        self.bridge = ""  # what a network's bridge is to be called, so that it can be found when all has been killed

    @property
    def environment(self) -> dict[str, str]:
        """What programs need in their environment to use it."""
        return {"DOCKER_HOST": self.host} if self.host else {}

    def run(
        self,
        *arguments: str,
        input: bytes | None = None,
        timeout: float | None = None,
        client: str | Path = "docker",
        variables: Mapping[str, str] | None = None,
    ) -> str:
        """Run docker with `arguments` and return what it prints. Raises DockerFailed, also after `timeout` seconds."""
        environment = {**os.environ, **self.environment, **(variables or {})}
        command = [client, *arguments]
        try:
            done = subprocess.run(command, env=environment, input=input, capture_output=True, check=False, timeout=timeout)
        except subprocess.TimeoutExpired as late:
            raise DockerFailed(f"docker {' '.join(arguments)}: not within {timeout:g} s") from late
        if done.returncode != 0:
            said = (done.stdout + done.stderr).decode(errors="replace").strip()
            raise DockerFailed(f"docker {' '.join(arguments)}: {said}")
        return done.stdout.decode()

    def has(self, image: str) -> bool:
        """Say whether it has an image of this name."""
        return bool(self.run("image", "ls", "--quiet", image).strip())

    def obtain(self, image: str) -> bool:
        """Say whether it has an image of this name, pulled just now if there is a registry that has it."""
        if self.has(image):
            return True
        try:
            self.run("manifest", "inspect", image, timeout=10)
            say(f"pulling {image.partition('@')[0]}")
            self.run("pull", "--quiet", image)
        except DockerFailed:
            return False
        return True

    def answers(self) -> bool:
        """Say whether there is a daemon."""
        try:
            self.run("version", "--format={{.Server.Version}}")
        except (DockerFailed, FileNotFoundError):
            return False
        return True


@contextmanager
def engine() -> Iterator[Engine]:
    """Yield an engine. Raises tools.Missing, which says how to come by one."""
    found = Engine()
    if found.answers():
        yield found
        return
    daemon = _Daemon()
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.stop()


class _Daemon(Engine):
    """A daemon of our own, with everything that it has in one folder."""

    def __init__(self) -> None:
        program = tools.dockerd()
        if os.geteuid() != 0:
            raise tools.Missing("no docker engine answers, and only root can start one: start docker, or do this as root")
        # Not in /tmp, which may be in memory.
        self._folder = Path(tempfile.mkdtemp(prefix="hacron-docker-", dir="/var/tmp"))
        super().__init__(f"unix://{self._folder}/socket")
        self.bridge = self._group = f"hacr{secrets.token_hex(3)}"
        flags = [
            f"--host={self.host}",
            f"--data-root={self._folder / 'data'}",
            f"--exec-root={self._folder / 'run'}",
            f"--pidfile={self._folder / 'pid'}",
            f"--config-file={self._folder / 'none.json'}",  # not the machine's
            f"--cgroup-parent=/{self._group}",
            "--exec-opt=native.cgroupdriver=cgroupfs",
            "--bridge=none",
            "--iptables=false",
            "--ip-forward=false",
            "--ip-masq=false",
        ]
        if _lacks_capabilities():
            flags += [f"--add-runtime=capped={_RUNC_CAPPED}", "--default-runtime=capped"]
        self._process = Process("dockerd", [program, *flags], log=self._folder / "log")

    def start(self) -> None:
        """Start it and wait until it answers."""
        run_at_exit(sys.executable, "-I", sweep.__file__, str(self._folder), self._group)
        (self._folder / "none.json").write_text("{}\n")
        self._give_weight()
        self._process.start()
        until(self._is_up, 60, "the docker daemon", every=0.2)

    def stop(self) -> None:
        """Stop it with all its containers, and leave nothing."""
        with contextlib.suppress(DockerFailed):  # it may have died
            for container in self.run("ps", "--all", "--quiet").split():
                self.run("rm", "--force", "--volumes", container)  # else each may take ten seconds to stop
        self._process.terminate(timeout=60)
        sweep.sweep(self._folder, self._group)

    def _give_weight(self) -> None:
        """Give the containers their part of the CPU: all together they would get as much as one process beside them."""
        groups = Path("/sys/fs/cgroup/cpu")  # there is one on cgroup v1
        if groups.exists():
            (groups / self._group).mkdir()
            (groups / self._group / "cpu.shares").write_text(str(_WEIGHT))

    def _is_up(self) -> bool:
        self._process.check()
        return self.answers()


def _lacks_capabilities() -> bool:
    """Say whether the kernel knows capabilities that this machine's processes cannot have."""
    status = Path("/proc/self/status").read_text().splitlines()
    bounds = next(int(line.split()[1], 16) for line in status if line.startswith("CapBnd:"))
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    return bounds != (1 << last + 1) - 1
