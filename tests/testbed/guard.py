"""The watchdog of a testbed: outlives the process that started it just long enough to clean up behind it.

Its standard input is a pipe whose other end only that process holds, so the end of the file means that the
process is gone, however it went (also by SIGKILL). Then every process that carries the testbed's mark in its
environment is killed, every command that came down the pipe is run, and every folder that did is removed.

The mark is inherited by whatever those processes start, in whichever process group or session (a daemon too),
and cannot be mistaken for somebody else's, as a remembered process id can. Run as a file, it needs nothing
but the standard library.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

KILLING_TAKES_S = 10  # at most; they may be forking meanwhile
COMMAND = "! "  # what a line begins with that names no folder


def marked(mark: str) -> list[int]:
    """Return the ids of all live processes with `mark` (NAME=value) in their environment."""
    wanted = mark.encode()
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            environment = Path("/proc", entry, "environ").read_bytes()
        except OSError:  # gone meanwhile, or another user's
            continue
        if wanted in environment.split(b"\0"):  # a zombie's environment is empty
            found.append(int(entry))
    return found


def kill_marked(mark: str) -> None:
    """Kill every process with `mark`, again and again until none is left."""
    deadline = time.monotonic() + KILLING_TAKES_S
    while (pids := marked(mark)) and time.monotonic() < deadline:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.01)


def main() -> None:
    """Wait for the end of the standard input, then clean up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the tests
    lines = [line.rstrip("\n") for line in sys.stdin]
    kill_marked(sys.argv[1])
    for line in reversed(lines):
        if line.startswith(COMMAND):
            subprocess.run(line.removeprefix(COMMAND).split(), stderr=subprocess.DEVNULL, check=False)
        else:
            shutil.rmtree(line, ignore_errors=True)


if __name__ == "__main__":
    main()
