"""The operator's image, built by deploy/Dockerfile as anybody would build it.

Where no container registry can be reached, Debian's own Python stands in for the base image; and where pip is told where to
find packages, so is pip in the base. Neither comes into what is built: of the base, it has Python and libraries.
"""

from __future__ import annotations

import io
import os
import platform
import re
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

from tests.testbed import tools
from tests.testbed.kind.engine import Engine
from tests.testbed.making import Missing, bootstrap, once

REPOSITORY = Path(__file__).parents[2]
DOCKERFILE = REPOSITORY / "deploy" / "Dockerfile"
_PIP_NEEDS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout")
_SUITES = {"3.11": "bookworm"}  # Python, and the suite of Debian that has it
_BASE = "hacron-testbed/python"
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")  # docker keeps these out of the image by itself


def build(
    engine: Engine,
    tag: str = "hacron:testbed",
    *,
    arguments: Mapping[str, str] | None = None,
    afresh: bool = False,
    buildkit: bool = True,
) -> str:
    """Build the image and return its tag. Raises DockerFailed, Missing.

    `afresh` uses nothing of an earlier build; without `buildkit`, docker's builder of before it is used.
    """
    given = [f"--build-arg={name}={value}" for name, value in (arguments or {}).items()]
    again = ["--no-cache"] if afresh else []
    what = (*needed(engine), *again, *given, f"--file={DOCKERFILE}", f"--tag={tag}", str(REPOSITORY))
    client = tools.docker_with_buildkit() if buildkit else "docker"
    engine.run("build", *what, client=client, variables={"DOCKER_BUILDKIT": "1" if buildkit else "0"})
    return tag


def needed(engine: Engine) -> list[str]:
    """Return the options without which `docker build` would find neither the base nor any packages here."""
    proxies = {name: os.environ[name] for name in _PROXIES if name in os.environ}
    return ["--network=host", *(f"--build-arg={name}={value}" for name, value in {"PYTHON": _base(engine), **proxies}.items())]


def _base(engine: Engine) -> str:
    """Return a base image whose pip finds packages."""
    wanted = re.search(r"^ARG PYTHON=(.+)$", DOCKERFILE.read_text(), re.MULTILINE)
    assert wanted is not None
    name = wanted[1]
    if not engine.obtain(name):
        name = _stand_in(engine, name)
    configuration, authorities = pip_configuration()
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        _add(tar, "pip.conf", configuration)
        _add(tar, "pip.crt", authorities)
        _add(tar, "Dockerfile", f"FROM {name}\nCOPY pip.conf pip.crt /etc/\n".encode())
    engine.run("build", f"--tag={_BASE}:with-pip", "-", input=context.getvalue())
    return f"{_BASE}:with-pip"


def _stand_in(engine: Engine, name: str) -> str:
    """Return the name of an image of Debian's Python, of the version that is wanted, under the paths of the wanted one."""
    version = name.removeprefix("python:").removesuffix("-slim")
    tag = f"{_BASE}:{version}"
    if not engine.has(tag):
        tree = once(f"python-{version}-{platform.machine()}", lambda folder: _debian(version, folder))
        archive = subprocess.run(
            ["tar", "--create", "--numeric-owner", f"--directory={tree}", "."], stdout=subprocess.PIPE, check=True
        )
        engine.run("import", "--change=ENV PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "-", tag, input=archive.stdout)
    return tag


def _debian(version: str, folder: Path) -> None:
    if os.geteuid() != 0 or version not in _SUITES:
        raise Missing(f"no container registry answers; python:{version}-slim is replaced only by root, for {list(_SUITES)}")
    title = f"Python {version} of Debian, which stands in for a base image: fetched once, about a minute"
    bootstrap(title, _SUITES[version], ["python3", "python3-venv", "python3-pip", "ca-certificates", "netbase"], folder)
    for name in ("python", "python3", f"python{version}"):
        (folder / "usr/local/bin" / name).symlink_to(f"/usr/bin/python{version}")


def pip_configuration() -> tuple[bytes, bytes]:
    """Return a configuration for pip, and the authorities that it names, of what pip of this machine is told."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True).stdout
    told = dict(re.findall(r"^(?:global|install|:env:)\.([\w-]+)='(.*)'$", listed, re.MULTILINE))
    lines = [f"{key} = {told[key]}" for key in _PIP_NEEDS if key in told]
    authorities = Path(told["cert"]).read_bytes() if "cert" in told else b""
    if authorities:
        lines.append("cert = /etc/pip.crt")
    return "\n".join(["[global]", *lines, ""]).encode(), authorities


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
