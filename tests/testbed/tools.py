"""The programs that the testbed runs: found where they are, else made once (all of them: `python -m tests.testbed`).

What is missing and cannot be made either is named, with the command that installs it (`Missing`).
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.testbed import golang
from tests.testbed.making import Missing, bootstrap, install, once

CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "kwok")
HELM = "v4.3.1"
RABBITMQ = {"4.0": "trixie", "4.3": "sid"}  # newer than what the machine has, and the suite of Debian that ships it
_OLDEST_KUBERNETES = (1, 33)  # older than what the testbed's flags and the tests were tried with


def control_plane() -> dict[str, Path]:
    """Return a path for each part of a Kubernetes control plane.

    Those in KUBEBUILDER_ASSETS and on PATH serve if all parts are there and the Kubernetes ones are of one version
    (parts of several versions would make a cluster that nobody runs); else all are built, as one binary.
    """
    found = {part: _find(part) for part in CONTROL_PLANE}
    complete = {part: path for part, path in found.items() if path}
    if len(complete) == len(CONTROL_PLANE) and _one_version(complete):
        return complete
    return {part: kubernetes().parent / part for part in CONTROL_PLANE}


def kubernetes() -> Path:
    """Return all of Kubernetes as one binary that needs nothing beside it; the part to run is its first argument."""
    return once(f"controlplane-{key_of(golang.SOURCES)}-{platform.machine()}", _build_kubernetes) / "controlplane"


def kubernetes_version() -> str:
    """Return the version of Kubernetes that is built here."""
    return golang.required("k8s.io/kubernetes")


def kind() -> Path:
    """Return kind: the one on PATH, else one built from its Go module."""
    found = shutil.which("kind")
    if found:
        return Path(found)
    return once(f"kind-{golang.required('sigs.k8s.io/kind')}-{platform.machine()}", _build_kind) / "kind"


def key_of(files: Iterable[Path]) -> str:
    """Return what names a thing that is made of these files, and changes with them."""
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:16]


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


def docker_with_buildkit() -> Path:
    """Return a docker that builds with BuildKit, as docker does since version 23: it has that in itself, or a plugin for it."""
    for folder in os.get_exec_path():
        found = Path(folder) / "docker"
        asked = [found, "build", "--help"]
        if os.access(found, os.X_OK) and _succeeds(asked, {"DOCKER_BUILDKIT": "1"}):
            return found
    raise Missing(
        "no docker here builds with BuildKit: apt-get install docker.io, or docker-buildx-plugin for docker's own packages"
    )


def _succeeds(command: Sequence[str | Path], variables: Mapping[str, str]) -> bool:
    return subprocess.run(command, env={**os.environ, **variables}, capture_output=True, check=False).returncode == 0


def busybox() -> Path:
    """Return a busybox that needs nothing beside it: all that an image has to have."""
    return once(f"busybox-{platform.machine()}", _unpack_busybox) / "bin" / "busybox"


def _find(part: str) -> Path | None:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    found = (shutil.which(part, path=assets) if assets else None) or shutil.which(part)
    return Path(found) if found else None


def _one_version(parts: Mapping[str, Path]) -> bool:
    kubernetes = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
    versions = {golang.version([parts[part], "--version"]) for part in kubernetes}
    return len(versions) == 1 and versions.pop() >= _OLDEST_KUBERNETES


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


def _build_kubernetes(folder: Path) -> None:
    version = kubernetes_version()
    major, minor, _ = version.split(".")
    stamp = "k8s.io/component-base/version"
    flags = f"-s -w -X {stamp}.gitVersion=v{version} -X {stamp}.gitMajor={major} -X {stamp}.gitMinor={minor}"
    golang.build(f"Kubernetes {version}: built once, about 8 minutes on two cores", folder / "controlplane", ".", flags=flags)
    for part in CONTROL_PLANE:
        (folder / part).symlink_to("controlplane")


def _build_kind(folder: Path) -> None:
    golang.build("kind: built once, in half a minute", folder / "kind", "sigs.k8s.io/kind")


def _build_helm(folder: Path) -> None:
    build: list[str | Path] = [golang.go(), "install", "-v", "-trimpath", "-ldflags=-s -w", f"helm.sh/helm/v4/cmd/helm@{HELM}"]
    golang.run(f"Helm {HELM}: built once, 1 to 2 minutes", build, cwd=folder, env={"GOBIN": str(folder)})


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
