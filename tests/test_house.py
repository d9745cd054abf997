"""The house itself: what keeps it as ARCHITECTURE.md describes it. Who may import whom is checked by `make lint`."""

from __future__ import annotations

import ast
import importlib
import re
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


def test_reports_lead_out_of_each_open_state_and_out_of_no_other() -> None:
    """And into each but PENDING, with which a run begins, and LOST, which the executor decides."""
    left = {state for state, _ in runs.TRANSITIONS}
    assert left == {state for state in RunState if state.is_open}
    assert set(runs.TRANSITIONS.values()) == set(RunState) - {RunState.PENDING, RunState.LOST}


def transitions() -> str:
    """Return the life of a run as the table in ARCHITECTURE.md."""
    reports = sorted({report for _, report in runs.TRANSITIONS})
    rows = ["| state | " + " | ".join(reports) + " |", "|---" * (len(reports) + 1) + "|"]
    for state in (state for state in RunState if state.is_open):
        after = [runs.TRANSITIONS.get((state, report)) for report in reports]
        rows.append(f"| {state} | " + " | ".join(str(one) if one else "" for one in after) + " |")
    return "\n".join(rows)


def test_the_table_of_the_life_of_a_run_is_the_one_that_runs() -> None:
    assert transitions() in (REPOSITORY / "ARCHITECTURE.md").read_text()


def named_places() -> list[str]:
    """Return what the table of what is where names: modules, with what is in them."""
    told = (REPOSITORY / "ARCHITECTURE.md").read_text().partition("## Where is …")[2].partition("\n## ")[0]
    return re.findall(r"`(\w+(?:\.\w+)+)`", told)


@pytest.mark.parametrize("place", named_places())
def test_what_the_table_names_is_there(place: str) -> None:
    module, *owners, last = place.split(".")
    found = []
    for file in (file for file in MODULES if file.stem == module):
        holder: object = importlib.import_module(".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts))
        for name in owners:
            holder = getattr(holder, name, None)
        found.append(hasattr(holder, last) or f"self.{last} =" in file.read_text())
    assert any(found)


def test_the_table_of_what_is_where_names_a_place_in_each_row() -> None:
    assert len(named_places()) > 15


def rooms_on_the_map() -> dict[str, str]:
    """Return what the map in ARCHITECTURE.md tells of each room; a module at the top is a room too, so that it has a line."""
    told = (REPOSITORY / "ARCHITECTURE.md").read_text().partition("## The house")[2].split("```")[1]
    parts = re.split(r"^(?=\S)", told, flags=re.MULTILINE)
    return {part.split()[0].rstrip("/"): part for part in parts if part.strip()}


def test_the_map_of_the_house_names_every_module() -> None:
    told = rooms_on_the_map()
    top = "\n".join(told.values())
    missing = []
    for module in (path.relative_to(PACKAGE) for path in MODULES if not path.name.startswith("__")):
        room = module.parts[0] if len(module.parts) > 1 else None
        part = top if room is None else told.get(room, "")
        if not re.search(rf"(?<![\w.]){re.escape(module.name)}", part):
            missing.append(str(module))
    assert missing == []
