"""How the testbed comes by programs: packages of Debian, and what is built once and kept outside the work tree.

What is built is kept in ${XDG_CACHE_HOME:-~/.cache}/hacron under a name that tells what it was built from, and
takes its place there by a rename, so that it is whole or absent. Debian packages are installed as root or with
sudo; whoever can do neither is told the command (`Missing`).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_INSTALL_PACKAGES = Path(__file__).parent / "install-packages"


class Missing(RuntimeError):
    """A program is missing and cannot be had; the message names the command that installs it."""


def bootstrap(title: str, suite: str, packages: Iterable[str], folder: Path) -> None:
    """Fill `folder` with a small Debian that has these packages, with progress on the terminal; needs root."""
    if not shutil.which("debootstrap"):
        install("debootstrap", "debootstrap")
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(packages)}", suite, str(folder)]
    say(title)
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:  # one for each package
            said.append(line)
            if sys.stderr.isatty():
                say(f"  {line.strip()[:100]}", passing=True)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: failed\n{''.join(said[-10:])}")
    for package in (folder / "var/cache/apt/archives").glob("*.deb"):
        package.unlink()


def install(what: str, *packages: str) -> None:
    """Install packages of Debian, none of whose services is started. Raises Missing."""
    wanted = f"apt-get install {' '.join(packages)}"
    if not shutil.which("apt-get"):
        raise Missing(f"{what} is missing; with Debian's packages it would be: {wanted}")
    if os.geteuid() != 0 and not shutil.which("sudo"):
        raise Missing(f"{what} is missing, and this is neither root nor is there sudo. Install it: {wanted}")
    say(f"{what}: {wanted}")
    if subprocess.run([_INSTALL_PACKAGES, *packages], check=False).returncode != 0:
        raise Missing(f"{what} could not be installed. Install it: {wanted}")


def once(name: str, make: Callable[[Path], None]) -> Path:
    """Return the kept folder `name`; if it is not there, have `make` fill it, in one process at a time."""
    folder = _kept() / name
    if folder.exists():
        return folder
    with alone(name):
        if not folder.exists():
            scratch = Path(tempfile.mkdtemp(dir=_kept(), prefix=f"{name}."))
            try:
                make(scratch)
                scratch.chmod(0o755)
                scratch.rename(folder)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    return folder


@contextmanager
def alone(name: str, waiting: str = "") -> Iterator[None]:
    """Keep every other process out that asks for the same name, until the block ends or this process does."""
    _kept().mkdir(parents=True, exist_ok=True)
    with (_kept() / f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting:
                say(waiting)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _kept() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hacron"


def say(text: str, passing: bool = False) -> None:
    """Tell whoever waits; on a terminal, what is passing makes room for the next line."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="" if passing else "\n", file=sys.stderr, flush=True)
    else:
        print(text, file=sys.stderr, flush=True)
