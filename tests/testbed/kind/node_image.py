"""The image that kind's nodes are made from: kind's own where its registry can be reached, else one that is built here once.

It is built of Debian's packages and Go modules (node/Dockerfile), and is kept as an archive beside what else is built.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from pathlib import Path

from tests.testbed import golang, tools
from tests.testbed.kind.engine import Engine
from tests.testbed.making import bootstrap, once, say

# The newest of Debian whose systemd runs on cgroup v1 too.
SUITE = "bookworm"
PACKAGES = (
    *(
        "systemd",
        "dbus",
        "conntrack",
        "iptables",
        "nftables",
        "iproute2",
        "ethtool",
        "util-linux",
        "mount",
        "kmod",
        "libseccomp2",
    ),
    *("pigz", "e2fsprogs", "ca-certificates", "curl", "jq", "procps", "runc"),
)
_RECIPE = Path(__file__).parent / "node"
_NEEDLESS = (
    "var/cache/apt",
    "var/lib/apt/lists",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
    "var/log",
)


def node_image(docker: Engine) -> str:
    """Return the name of the image; the engine has it then."""
    official = _official()
    return official if docker.obtain(official) else _ours(docker)


def _official() -> str:
    """Return the name of the image that kind uses by itself."""
    defaults = (_kind_sources() / "pkg/apis/config/defaults/image.go").read_text()
    return defaults.partition('const Image = "')[2].partition('"')[0]


def _ours(docker: Engine) -> str:
    key = tools.key_of([*golang.SOURCES, golang.MODULE / "coredns/main.go", *sorted(_RECIPE.iterdir())])
    name = f"hacron/node:{key}"
    archive = once(f"kind-node-{key}-{platform.machine()}", lambda folder: _build(docker, name, folder)) / "node.tar"
    if not docker.has(name):
        docker.run("load", "--input", str(archive))
    return name


def _build(docker: Engine, name: str, folder: Path) -> None:
    """Build the image and save it as node.tar in `folder`, where it is built too."""
    say("a node of kind's: built once, as no registry can be reached; about 4 minutes besides Kubernetes itself")
    context = folder / "context"
    shutil.copytree(_RECIPE, context)
    _gather(context)
    pods = _build_pods(docker, context)
    docker.run("save", "--output", str(context / "pods.tar"), *pods)
    version = f"--build-arg=KUBERNETES=v{tools.kubernetes_version()}"
    docker.run("build", "--network=none", "--target=node", version, f"--tag={name}", str(context))
    docker.run("save", "--output", str(folder / "node.tar"), name)
    docker.run("rmi", *pods)
    shutil.rmtree(context)


def _gather(context: Path) -> None:
    """Put into the folder what the Dockerfile takes from it."""
    required = _printed(golang.go(), "list", "tool", cwd=golang.MODULE).split()
    (context / "bin").mkdir()
    programs = f"{context / 'bin'}/"
    without = "no_aufs,no_zfs,no_btrfs,no_devmapper"  # ways to store images that a node does not use
    golang.build("  containerd, CoreDNS and what else a node runs", Path(programs), "./coredns", *required, tags=without)
    shutil.copy(tools.kubernetes(), programs)
    shutil.copy(tools.busybox(), context)
    shutil.copytree(_kind_sources() / "images/base/files", context / "files", copy_function=shutil.copyfile)
    debian = once(f"debian-for-kind-{SUITE}-{platform.machine()}", _make_debian) / "debian.tar"
    os.link(debian, context / "debian.tar")


def _make_debian(folder: Path) -> None:
    root = folder / "root"
    bootstrap("  a small Debian for it; about a minute", SUITE, PACKAGES, root)
    for needless in _NEEDLESS:
        shutil.rmtree(root / needless)
        (root / needless).mkdir()
    subprocess.run(
        ["tar", "--numeric-owner", "--create", f"--file={folder / 'debian.tar'}", f"--directory={root}", "."], check=True
    )
    shutil.rmtree(root)


def _build_pods(docker: Engine, context: Path) -> list[str]:
    """Build the images of what Kubernetes runs as pods; return the names under which it asks for them."""
    for target in ("pause-pod", "coredns-pod", "kubernetes-pod"):
        docker.run("build", "--network=none", f"--target={target}", f"--tag={target}", str(context))
    version = f"--kubernetes-version=v{tools.kubernetes_version()}"
    names = _printed(tools.kubernetes(), "kubeadm", "config", "images", "list", version).split()
    settings = (context / "files/etc/containerd/config.toml").read_text()
    names.append(settings.partition('sandbox_image = "')[2].partition('"')[0])
    targets = {"pause": "pause-pod", "coredns": "coredns-pod"}
    for name in names:
        part = name.rpartition("/")[2].partition(":")[0]
        docker.run("tag", targets.get(part, "kubernetes-pod"), name)
    return names


def _kind_sources() -> Path:
    told = json.loads(_printed(golang.go(), "mod", "download", "-json", "sigs.k8s.io/kind", cwd=golang.MODULE))
    return Path(told["Dir"])


def _printed(*command: str | Path, cwd: Path | None = None) -> str:
    return subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.PIPE, text=True).stdout
