"""How tests are shared among more workers than there are cores: much of the time they wait.

Of the tests that need servers a part stays with one worker, because its tests share servers that are slow to start, or that a
machine has only once. Of those that need none each worker gets its share in the order of the tests, and takes from others when it
is done: those that wait are spread over all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import pytest
from xdist.scheduler import LoadScopeScheduling

DOCKER, PUNCTUAL = "docker", "punctual"
IN_PARTS = ("broker", "browser", "cluster", "docker", "e2e", "kind", "simulation")  # marks of tests that stay together
_OTHERS = {  # all else goes by its folder
    "tests/kind/": DOCKER,
    "tests/packaging/test_image.py": DOCKER,
    "tests/e2e/test_upgrade.py": PUNCTUAL,  # compares how late runs are: kind clusters beside it take too much of the machine
}
# The longest, so that no worker is left alone with one of them in the end, and what takes little of the machine beside docker.
_FIRST = (DOCKER, "e2e", "broker", "cluster", "chaos", PUNCTUAL, "packaging")
_TAKES_ALL_CORES = ("simulation",)
_WAIT = ("tests/cluster/", "tests/roles/test_health.py", "tests/roles/test_kopf_watch.py")  # for a clock, mostly


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


def spread(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Return the tests with those that wait between the files of the others, as many after each as its tests are of all."""
    waiting = [item for item in items if item.nodeid.startswith(_WAIT)]
    others = [item for item in items if not item.nodeid.startswith(_WAIT)]
    found: list[pytest.Item] = []
    passed = placed = 0
    for _, file in groupby(others, key=lambda item: item.path):
        of_file = list(file)
        passed += len(of_file)
        until = round(len(waiting) * passed / len(others))
        found += [*of_file, *waiting[placed:until]]
        placed = until
    return [*found, *waiting[placed:]]
