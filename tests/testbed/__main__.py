"""Find or make everything that the testbed runs, with progress on the terminal: python -m tests.testbed

So no test has to wait for it: on a new machine it takes 14 minutes (2 cores, Debian 12). What is built is kept for the next time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tests.testbed import gitops, tools
from tests.testbed.kind import stand_ins
from tests.testbed.kind.engine import engine
from tests.testbed.kind.node_image import node_image
from tests.testbed.making import Missing


def main() -> None:
    """Print where each is, or name what is missing and end with 1."""
    makers: dict[str, Callable[[], Path | str]] = {
        "openssl": tools.openssl,
        "RabbitMQ": tools.rabbitmq,
        "control plane": lambda: tools.control_plane()["kube-apiserver"].parent,
        "Helm": tools.helm,
        "Argo CD, Flux": lambda: gitops.resources()[0].parent,
        "promtool": tools.promtool,
        "Chromium": tools.chromium,
        "libfaketime": tools.faketime,
        "busybox": tools.busybox,
        "docker": tools.dockerd,
        "kind": tools.kind,
        "kind's node": _images,
    }
    try:
        for name, make in makers.items():
            print(f"{name:14} {make()}", flush=True)
    except Missing as missing:
        sys.exit(f"testbed: {missing}")


def _images() -> str:
    """Return the name of the one that nodes are made from; RabbitMQ's is here then too."""
    with engine() as docker:
        if not docker.obtain(stand_ins.RABBITMQ):
            stand_ins.rabbitmq()
        return node_image(docker)


if __name__ == "__main__":
    main()
