"""Images of other people's, pulled; where their registry cannot be reached, others under their names that do as much as is asked.

They are made of what the testbed has anyway: RabbitMQ of its folder of a newer one (tools.newer_rabbitmq), and busybox.
"""

from __future__ import annotations

import io
import platform
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.testbed import tools
from tests.testbed.kind.engine import Engine
from tests.testbed.making import once

RABBITMQ, BUSYBOX = "rabbitmq:4.2", "busybox:1.37"  # as docs/quickstart.md and what it applies name them
_VERSION = "4.0"
# As the official image: what it is told by its environment is the server's own affair; what it stores is in a volume.
_CHANGES = (
    'CMD ["/usr/lib/rabbitmq/bin/rabbitmq-server"]',
    "VOLUME /var/lib/rabbitmq",
    "USER rabbitmq",
    "EXPOSE 5672",
    "ENV HOME=/var/lib/rabbitmq RABBITMQ_LOGS=- PATH=/usr/lib/rabbitmq/bin:/usr/sbin:/usr/bin:/sbin:/bin",
)
_NEEDLESS = (
    *("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/zoneinfo", "usr/share/perl5"),
    *("usr/lib/python3*", "usr/lib/*/perl-base", "usr/lib/*/gconv", "usr/share/bash-completion", "usr/share/lintian"),
    *("var/cache", "var/lib/apt", "var/lib/dpkg", "var/log", "var/lib/rabbitmq", "proc", "dev", "sys", "tmp"),
)


def fill_in(docker: Engine) -> list[str]:
    """Make sure that the engine has the images; return the names of those that are ours, which nobody should keep."""
    missing = [name for name in _MAKERS if not docker.obtain(name)]
    for name in missing:
        _MAKERS[name](docker, name)
    return missing


def rabbitmq() -> Path:
    """Return the archive of what is in our image of RabbitMQ; made once, by root."""
    return once(f"rabbitmq-image-{_VERSION}-{platform.machine()}", _pack_rabbitmq) / "rabbitmq.tar"


def make_busybox(docker: Engine, name: str) -> None:
    """Make an image that has a shell and what busybox can do, and nothing else."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path in ("bin/busybox", "bin/sh"):
            tar.add(tools.busybox(), path)
    docker.run("import", "--change=ENV PATH=/bin", '--change=CMD ["sh"]', "-", name, input=archive.getvalue())


def _pack_rabbitmq(folder: Path) -> None:
    root = tools.newer_rabbitmq(_VERSION)
    without = [f"--exclude=./{needless}/*" for needless in _NEEDLESS]
    archive = f"--file={folder / 'rabbitmq.tar'}"
    subprocess.run(["tar", "--create", "--numeric-owner", archive, f"--directory={root}", *without, "."], check=True)


def _rabbitmq(docker: Engine, name: str) -> None:
    docker.run("import", *(f"--change={change}" for change in _CHANGES), str(rabbitmq()), name)


_MAKERS: Mapping[str, Callable[[Engine, str], None]] = {RABBITMQ: _rabbitmq, BUSYBOX: make_busybox}
