"""docs/quickstart.md as its readers go through it: its commands as they stand there, one block after the other, in one shell.

What no registry gives here is stood in for by what the shell finds on its PATH before anything else: a kind that names an image
for nodes, and a docker that tells a build where packages are.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.docs.pages import DOCS, REPOSITORY, blocks
from tests.testbed import tools
from tests.testbed.kind.cluster import KindCluster
from tests.testbed.kind.engine import Engine
from tests.testbed.process import Process, ProcessFailed, remove_at_exit, run_at_exit
from tests.testbed.wait import until

PAGE = DOCS / "quickstart.md"
BROKER = "hacron-rabbitmq"
CONTAINERS = ("west-control-plane", "east-control-plane", BROKER)
_NOT_IN_A_CLONE = (".git", ".venv", ".*_cache", ".hypothesis", "__pycache__", "*.egg-info", "build", "dist")


def section(number: int) -> list[str]:
    """Return the blocks of commands in a section of the page."""
    (text,) = re.findall(rf"^## {number}\. (.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return blocks(text)


class QuickStart:
    """A reader with a clone of the repository and a shell in it.

    `directory` is theirs, `node` the image of a cluster's nodes, and with the options of `build` docker builds an image.
    """

    def __init__(self, directory: Path, docker: Engine, node: str, build: Sequence[str]) -> None:
        self.clusters = {name: KindCluster(name, directory / name, docker) for name in ("west", "east")}
        self._directory, self._docker, self._node, self._build = directory, docker, node, build
        self._script, self._programs, self._clone = directory / "script", directory / "bin", directory / "clone"
        self._count = 0
        self._undo = ExitStack()
        found = {
            "PATH": f"{self._programs}:{os.environ['PATH']}",
            "PYTHONPATH": "",
            "KUBECONFIG": str(directory / "kubeconfig"),
            "KUBECACHEDIR": str(directory / "kubectl-cache"),
            "KIND_EXPERIMENTAL_PROVIDER": "docker",
            "DOCKER_BUILDKIT": "1",
            "PIP_NO_COMPILE": "1",  # it would take longer than the few commands that follow
            **docker.environment,
        }
        # -e, as a reader stops at what fails. The script is a pipe, of which bash takes line by line.
        command = ["env", f"--chdir={self._clone}", "bash", "-eu", self._script]
        self._shell = Process("quick start", command, log=directory / "log", env=found)

    def start(self) -> None:
        """Make the clone and open the shell. Raises tools.Missing when what the page makes is on this machine already."""
        if found := set(self._containers()) & set(CONTAINERS):
            raise tools.Missing(f"the quick start makes containers that are here already: {', '.join(sorted(found))}")
        self._volumes = self._docker.run("volume", "ls", "--quiet").split()
        for name in CONTAINERS:
            run_at_exit("docker", "rm", "--force", "--volumes", name)
        for cluster in self.clusters.values():
            self._undo.callback(cluster.stop)
        self._undo.callback(self._docker.run, "rm", "--force", "--volumes", BROKER)
        remove_at_exit(self._clone)
        shutil.copytree(REPOSITORY, self._clone, ignore=shutil.ignore_patterns(*_NOT_IN_A_CLONE))
        self._make_programs()
        os.mkfifo(self._script)
        self._undo.callback(self._shell.kill)
        self._shell.start()
        self._lines = self._undo.enter_context(self._script.open("w"))

    def stop(self) -> None:
        """Close the shell and remove the containers that are still there."""
        self._undo.close()

    def run(self, block: str, timeout: float = 300) -> str:
        """Run a block of commands and return what they print. Raises ProcessFailed as soon as one of them fails."""
        self._shell.check()
        self._count += 1
        commands, said, done = (self._directory / f"{self._count}{kind}" for kind in (".sh", ".out", ".done"))
        commands.write_text(block)
        self._lines.write(f"source {commands} </dev/null >{said}\ntouch {done}\n")
        self._lines.flush()
        try:
            until(lambda: done.exists() or not self._shell.alive, timeout, f"the end of\n{block}", every=0.1)
            self._shell.check()
        except (TimeoutError, ProcessFailed) as failed:
            failed.add_note(f"{block}\nprinted\n{said.read_text() if said.exists() else ''}\nand\n{self._shell.tail()}")
            raise
        return said.read_text()

    @property
    def is_open(self) -> bool:
        """Whether all that was run has ended well."""
        return self._shell.alive

    @property
    def broker_url(self) -> str:
        """The address of the broker that the page makes."""
        address = self._docker.run("inspect", "--format={{.NetworkSettings.Networks.kind.IPAddress}}", BROKER).strip()
        return f"amqp://hacron:hacron@{address}:5672"

    def left(self) -> list[str]:
        """Return what is still there of all that the page makes: containers, volumes, ways to clusters."""
        containers = [name for name in self._containers() if name in CONTAINERS]
        volumes = [name for name in self._docker.run("volume", "ls", "--quiet").split() if name not in self._volumes]
        return [*containers, *volumes, *self.run("kubectl config get-contexts --output=name").split()]

    def _containers(self) -> list[str]:
        return self._docker.run("ps", "--all", "--format={{.Names}}").split()

    def _make_programs(self) -> None:
        self._programs.mkdir()
        for name, program in (("kubectl", tools.control_plane()["kubectl"]), ("helm", tools.helm())):
            (self._programs / name).symlink_to(program)
        self._wrap("kind", tools.kind(), "create cluster", f"--image={self._node}")
        self._wrap("docker", tools.docker_with_buildkit(), "build", *self._build)

    def _wrap(self, name: str, program: Path, command: str, *options: str) -> None:
        """Make a program that gives one command these options, and is the given one else."""
        text = f"""#!/bin/bash
case "$* " in
"{command} "*) exec {program} {command} {shlex.join(options)} "${{@:{len(command.split()) + 1}}}" ;;
*) exec {program} "$@" ;;
esac
"""
        (self._programs / name).write_text(text)
        (self._programs / name).chmod(0o755)
