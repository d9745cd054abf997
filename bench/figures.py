"""Figures and how they are shown."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that so many percent are not above; nan when there is none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else float("nan")


def spread(values: Iterable[float], unit: str) -> str:
    """Show median, 99th percentile and maximum."""
    found = list(values)
    shown = (percentile(found, 50), percentile(found, 99), max(found, default=float("nan")))
    return " / ".join(f"{value:.0f}" for value in shown) + f" {unit}"


def cpu_s(pid: int) -> float:
    """Return the seconds of CPU that a process has used since its start."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int) -> float:
    """Return how much memory a process holds at most until now (VmHWM), in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no VmHWM of {pid}")


class Report:
    """A table of figures, printed as it grows."""

    def add(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        """Print one part."""
        print(f"\n### {title}\n\n| what | figure |\n|---|---|")
        for name, value in rows:
            print(f"| {name} | {value} |")
        print(flush=True)
