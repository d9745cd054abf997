"""Removes what a docker daemon of the testbed's own leaves behind, also when it was killed: its containers first.

They run on without their daemon, and do not carry the testbed's marks. But all are in one control group, whose name is
also that of the bridge, and all that is mounted is in the daemon's folder. Run as a file, by the testbed's watchdog, it
needs nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def sweep(folder: Path, name: str) -> None:
    """Remove the containers in the control group `name`, the bridge of that name, and the folder with all that it holds."""
    _thaw(name)
    deadline = time.monotonic() + 20
    while (pids := _in_group(name)) and time.monotonic() < deadline:
        for pid in pids:
            _kill(pid)
        time.sleep(0.05)
    for address in folder.glob("run/containerd/**/address"):  # where those who look after one container each had listened
        Path(address.read_text().removeprefix("unix://")).unlink(missing_ok=True)
    for mounted in _mounts(folder):
        subprocess.run(["umount", "--lazy", mounted], check=False)
    if Path("/sys/class/net", name).exists():
        subprocess.run(["ip", "link", "delete", name], check=False)
    for group in (*Path("/sys/fs/cgroup").glob(name), *Path("/sys/fs/cgroup").glob(f"*/{name}")):
        for inner, _, _ in os.walk(group, topdown=False):
            Path(inner).rmdir()
    _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a folder, many of its files at once: on a disk that is told of freed blocks, each one waits for 3 ms."""
    with ThreadPoolExecutor(16) as pool:
        for inner, _, files in os.walk(folder):
            pool.map(_unlink, [os.path.join(inner, name) for name in files])
    shutil.rmtree(folder, ignore_errors=True)


def _unlink(path: str) -> None:
    with contextlib.suppress(OSError):  # whatever it is, it is tried again with its folder
        os.unlink(path)


def _thaw(name: str) -> None:
    """Let paused containers go on: whoever is frozen does not die either."""
    for state in Path("/sys/fs/cgroup").glob(f"freezer/{name}/*/freezer.state"):
        state.write_text("THAWED")
    for freeze in Path("/sys/fs/cgroup").glob(f"{name}/*/cgroup.freeze"):
        freeze.write_text("0")


def _in_group(name: str) -> list[int]:
    found = []
    for entry in os.listdir("/proc"):
        try:
            groups = Path("/proc", entry, "cgroup").read_text() if entry.isdigit() else ""
        except OSError:  # gone meanwhile
            continue
        if f":/{name}/" in groups:
            found.append(int(entry))
    return found


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _mounts(folder: Path) -> list[str]:
    """Return what is mounted in the folder, the innermost first."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [point for point in reversed(points) if Path(point).is_relative_to(folder)]


if __name__ == "__main__":
    sweep(Path(sys.argv[1]), sys.argv[2])
