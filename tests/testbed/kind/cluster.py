"""Clusters of kind's: each is one container that is a whole machine to Kubernetes, and runs pods in it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from pathlib import Path

from tests.testbed import tools
from tests.testbed.cluster import Cluster, KubectlFailed
from tests.testbed.kind.engine import DockerFailed, Engine
from tests.testbed.making import alone
from tests.testbed.process import run_at_exit
from tests.testbed.wait import until

# What kubelets set for the whole machine, container or not.
_SYSCTLS = (
    *("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops"),
    *("kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"),
)


class Net:
    """The network that kind puts the nodes of all clusters in."""

    name = "kind"

    def __init__(self, docker: Engine) -> None:
        self.docker = docker
        self._undo = contextlib.ExitStack()

    def start(self) -> None:
        """Make it, when no other tests on this machine have one: what nodes change outside of themselves is put back once.

        One that is there already, of an engine that is not our own, is left as it is.
        """
        self._undo.enter_context(alone("kind-nodes", "kind clusters of another test run are here: waiting until they are gone"))
        for name in _SYSCTLS:
            value = Path("/proc/sys", name).read_text().strip()
            self._undo.callback(Path("/proc/sys", name).write_text, value)
            run_at_exit("sysctl", "--quiet", "--write", f"{name.replace('/', '.')}={value}")
        if self.name not in self.docker.run("network", "ls", "--format={{.Name}}").split():
            run_at_exit("docker", "network", "rm", self.name)
            bridge = [f"--opt=com.docker.network.bridge.name={self.docker.bridge}"] if self.docker.bridge else []
            self.docker.run("network", "create", *bridge, self.name)
            self._undo.callback(self.docker.run, "network", "rm", self.name)

    def stop(self) -> None:
        """Remove it, and undo what the nodes have changed outside of themselves."""
        self._undo.close()


class KindCluster(Cluster):
    """A cluster that kind has made under this `name`; our kubeconfig of it is in `directory`."""

    def __init__(self, name: str, directory: Path, docker: Engine) -> None:
        self.name = name
        self.directory = directory
        self.admin_kubeconfig = directory / "admin.kubeconfig"
        self.node = f"{name}-control-plane"
        self._docker = docker

    def start(self) -> None:
        """Get access to it and wait until pods get names."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._kind("export", "kubeconfig", f"--kubeconfig={self.admin_kubeconfig}")
        self.kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s")

    def stop(self) -> None:
        """Remove the cluster with all that it holds."""
        with contextlib.suppress(DockerFailed):  # it is not paused
            self.resume()
        self._docker.run("rm", "--force", "--volumes", self.node)

    def load(self, *images: str) -> None:
        """Bring images of the engine's to the node."""
        self._kind("load", "docker-image", *images)

    def pause(self) -> None:
        """Stop the machine in its tracks, with every process on it: connections stay open, nothing answers."""
        self._docker.run("pause", self.node)

    def resume(self) -> None:
        """Let a paused machine go on."""
        self._docker.run("unpause", self.node)

    def power_off(self) -> None:
        """Stop the machine; what it has on its disks stays."""
        self._docker.run("stop", "--time=10", self.node)

    def power_on(self) -> None:
        """Start the machine again and wait until its API server answers and its node is ready."""
        self._docker.run("start", self.node)
        until(self._is_ready, 120, f"the node of {self.name}", every=0.5)

    def _is_ready(self) -> bool:
        try:
            nodes = json.loads(self.kubectl("get", "nodes", "-o", "json", "--request-timeout=5s"))["items"]
        except KubectlFailed:
            return False
        conditions = [each for node in nodes for each in node["status"]["conditions"] if each["type"] == "Ready"]
        return bool(conditions) and all(each["status"] == "True" for each in conditions)

    def _kind(self, *arguments: str) -> None:
        environment = {**os.environ, **self._docker.environment, "KIND_EXPERIMENTAL_PROVIDER": "docker"}
        command = [tools.kind(), *arguments, f"--name={self.name}"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise DockerFailed(f"kind {' '.join(arguments)}: {done.stdout}{done.stderr}")
