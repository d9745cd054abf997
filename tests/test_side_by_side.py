"""How tests are shared among workers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from tests.side_by_side import spread


def item(name: str) -> Any:
    return SimpleNamespace(nodeid=name, path=Path(name.split("::")[0]))


def names(*items: str) -> list[str]:
    return [cast("str", each.nodeid) for each in spread([item(name) for name in items])]


def test_those_that_wait_are_spread_over_the_files_of_the_others() -> None:
    waiting = [f"tests/cluster/test_odd.py::test_{n}" for n in range(3)]
    long, short = [f"tests/core/test_a.py::test_{n}" for n in range(4)], [f"tests/core/test_b.py::test_{n}" for n in range(2)]
    assert names(*waiting, *long, *short) == [*long, *waiting[:2], *short, *waiting[2:]]


def test_none_is_lost_where_all_or_none_wait() -> None:
    waiting, others = ["tests/cluster/test_odd.py::test_one"], ["tests/core/test_a.py::test_one"]
    assert (names(*waiting), names(*others), names()) == (waiting, others, [])
