"""Processes and folders that do not outlive the tests, whichever way these end.

Everything that is started here carries two marks in its environment: one of this testbed, by which the guard
finds what is left, and one of its own, by which `Process` finds its children. Ports are chosen at random.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.testbed import guard
from tests.testbed.wait import until

_TESTBED_MARK = f"TESTBED={secrets.token_hex(8)}"

_NOT_INHERITED = ("HACRON_", "RABBITMQ_", "ERL_", "ETCD_", "KUBECONFIG", "NOTIFY_SOCKET")


class ProcessFailed(RuntimeError):
    """A process ended when it should not have; the message holds the end of its log."""


class Process:
    """One program and everything that it starts, its output in `log`.

    `start` may be called again after `stop` or `kill`: the log goes on. All other methods may be called in any
    state and any number of times.
    """

    def __init__(self, name: str, command: Sequence[str | Path], *, log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.command = [str(word) for word in command]
        self.log = log
        self.env = dict(env or {})
        self._mark = f"TESTBED_PROCESS={secrets.token_hex(8)}"
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def marks(self) -> dict[str, str]:
        """What marks it and its children in their environments; whatever else has it is killed with them."""
        return dict(mark.split("=", 1) for mark in (_TESTBED_MARK, self._mark))

    @property
    def pid(self) -> int:
        """The id of the process, which is also that of its process group."""
        if self._popen is None:
            raise ProcessFailed(f"{self.name} was not started")
        return self._popen.pid

    @property
    def alive(self) -> bool:
        """Whether the process itself is running (or frozen)."""
        return self._popen is not None and self._popen.poll() is None

    def start(self) -> None:
        """Start the program in a process group of its own."""
        if self.alive:
            return
        _start_guard()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                self.command,
                env={**inherited_environment(), **self.env, **self.marks},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def check(self) -> None:
        """Raise ProcessFailed if the process is not running."""
        if not self.alive:
            code = self._popen.returncode if self._popen else "never started"
            raise ProcessFailed(f"{self.name} is not running ({code}); {self.log} ends with:\n{self.tail()}")

    def tail(self, lines: int = 20) -> str:
        """Return the last lines of the log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def terminate(self, timeout: float = 15) -> int | None:
        """Ask the process to end (SIGTERM), kill what is left after `timeout` seconds, return the exit code."""
        if self.alive:
            os.kill(self.pid, signal.SIGTERM)
            self.thaw()  # a frozen process would take the signal only then
            with contextlib.suppress(TimeoutError):
                until(lambda: not self.alive, timeout, f"end of {self.name}", every=0.01)
        return self.kill()

    def kill(self) -> int | None:
        """Kill the process and everything that it started (SIGKILL), return the exit code."""
        if self._popen is None:
            return None
        self.signal(signal.SIGKILL)
        code = self._popen.wait()
        guard.kill_marked(self._mark)
        return code

    def freeze(self) -> None:
        """Stop the whole process group in its tracks (SIGSTOP): connections stay open, nothing answers."""
        self.signal(signal.SIGSTOP)
        until(lambda: not self.alive or self._stopped(), 10, f"{self.name} to be frozen", every=0.001)

    def _stopped(self) -> bool:
        """Whether every thread has stopped; a busy one goes on for a moment after the signal."""
        states = [stat.read_text().rpartition(")")[2].split()[0] for stat in Path(f"/proc/{self.pid}/task").glob("*/stat")]
        return bool(states) and all(state in "TZ" for state in states)

    def thaw(self) -> None:
        """Let a frozen process group go on (SIGCONT)."""
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process group, if the process is there."""
        if self.alive:  # not reaped yet, so that the id cannot be another's
            os.killpg(self.pid, number)

    def family(self) -> list[int]:
        """Return the ids of the process and of everything that it started and that still runs."""
        return guard.marked(self._mark)


def remove_at_exit(folder: Path) -> None:
    """Have `folder` removed when this process ends, however it ends."""
    _tell_guard(str(folder))


def run_at_exit(*command: str) -> None:
    """Have a command run when this process ends, however it ends, after all that it started; what it says is lost."""
    _tell_guard(guard.COMMAND + " ".join(command))


def _tell_guard(line: str) -> None:
    pipe = _start_guard().stdin
    assert pipe is not None
    pipe.write(f"{line}\n".encode())
    pipe.flush()


@functools.cache
def _start_guard() -> subprocess.Popen[bytes]:
    started = subprocess.Popen(
        [sys.executable, "-I", guard.__file__, _TESTBED_MARK], stdin=subprocess.PIPE, start_new_session=True
    )
    atexit.register(_dismiss, started)
    return started


def _dismiss(started: subprocess.Popen[bytes]) -> None:
    assert started.stdin is not None
    started.stdin.close()
    started.wait()


def inherited_environment() -> dict[str, str]:
    """Return our environment without what would set up our programs behind our back."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}


_ports_given: set[int] = set()  # never given twice by one process, also while nothing listens yet
_WORKERS = 8  # of pytest at most; each gives ports of its own, for the same reason


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listens on.

    It is below the range that outgoing connections get their ports from: a server that is stopped and started
    again would otherwise find its port taken, even by a client that connected to itself while retrying.
    """
    mine = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
    lowest_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.sample(range(10_000, max(lowest_outgoing, 20_000)), 2_000):
        if port in _ports_given or port % _WORKERS != mine:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _ports_given.add(port)
            return port
    raise OSError("no free port on 127.0.0.1")
