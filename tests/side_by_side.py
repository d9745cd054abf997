"""How `make test` shares the tests that need servers among one worker more than there are cores: most of the time they wait.

A part is what stays with one worker, because its tests share servers that are slow to start, or that a machine has only once.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

DOCKER, PUNCTUAL = "docker", "punctual"
_OTHERS = {  # all else goes by its folder
    "tests/kind/": DOCKER,
    "tests/packaging/test_image.py": DOCKER,
    "tests/e2e/test_upgrade.py": PUNCTUAL,  # compares how late runs are: kind clusters beside it take too much of the machine
}
# The longest, so that no worker is left alone with one of them in the end, and what takes little of the machine beside docker.
_FIRST = (DOCKER, "e2e", "broker", "cluster", "chaos", PUNCTUAL, "packaging")
_TAKES_ALL_CORES = ("simulation",)


class SideBySide(LoadScopeScheduling):
    """Hands each worker whole parts, the next one when it is almost done, in the order of the tests."""

    def _split_scope(self, nodeid: str) -> str:
        return part(nodeid)


def part(nodeid: str) -> str:
    """Return the part that a test belongs to."""
    return next((name for start, name in _OTHERS.items() if nodeid.startswith(start)), nodeid.split("/")[1])


def turn(nodeid: str) -> int:
    """Return when it is this test's turn: the lowest comes first."""
    its_part = part(nodeid)
    if its_part in _TAKES_ALL_CORES:
        return len(_FIRST) + 1
    return _FIRST.index(its_part) if its_part in _FIRST else len(_FIRST)
