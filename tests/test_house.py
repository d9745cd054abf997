"""The house itself: what keeps it as ARCHITECTURE.md describes it. Who may import whom is checked by `make lint`."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from hacron.core import runs
from hacron.core.model import RunState

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "operator" / "hacron"
MODULES = sorted(PACKAGE.rglob("*.py"))


def test_operator_is_no_package() -> None:
    """With an __init__.py it would take the place of the standard library's `operator`."""
    assert not (REPOSITORY / "operator" / "__init__.py").exists()
    run = subprocess.run([sys.executable, "-c", "import operator; operator.add"], cwd=REPOSITORY, check=False)
    assert run.returncode == 0


@pytest.mark.parametrize("module", [path for path in MODULES if path.name != "__init__.py"], ids=lambda path: path.stem)
def test_every_module_says_what_it_is_for(module: Path) -> None:
    told = ast.get_docstring(ast.parse(module.read_text()))
    assert told
    assert len(told.splitlines()[0]) > 20


@pytest.mark.parametrize("package", [path for path in MODULES if path.name == "__init__.py"], ids=lambda path: path.parent.name)
def test_packages_do_nothing_when_they_are_imported(package: Path) -> None:
    """What a package re-exports has two places, and is imported by whoever wants only its neighbour."""
    assert all(isinstance(node, ast.Expr) for node in ast.parse(package.read_text()).body)


def test_only_runs_knows_the_life_of_a_run() -> None:
    """States that end a run have no arrow out of them; every other state can be left, and is reached or begins."""
    left = {state for state, _ in runs.TRANSITIONS}
    assert left == {state for state in RunState if state.is_open}
    assert set(runs.TRANSITIONS.values()) == set(RunState) - {RunState.PENDING, RunState.LOST}
