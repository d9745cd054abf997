"""docs/runbooks.md has a section for each alert, with what the alert says of itself; and each alert leads there.

`REWRITE=1 pytest tests/docs/test_runbooks.py` writes that part of the sections anew.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

import pytest

from tests.docs.pages import DOCS, anchors, is_up_to_date
from tests.packaging.test_monitoring import rules

PAGE = DOCS / "runbooks.md"


def section(rule: dict[str, Any]) -> str:
    """Return what an alert says of itself, as Markdown."""
    annotations = rule["annotations"]
    waits = f" for {rule['for']}" if "for" in rule else ""
    steps = annotations["runbook"].rpartition("More: ")[0].rstrip()
    # A step is a paragraph of its own in the annotation; here its lines are one.
    steps = re.sub(r"\n {3}", " ", steps)
    head = f"**{rule['labels']['severity']}**, when `{rule['expr']}`{waits}. {annotations['description'].strip()}"
    return "\n".join([head, "", *(_filled(step) for step in steps.split("\n"))])


def _filled(step: str) -> str:
    return textwrap.fill(step, 140, subsequent_indent="   ", break_long_words=False, break_on_hyphens=False)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_each_alert_has_its_section_and_leads_there(rule: dict[str, Any]) -> None:
    assert is_up_to_date(PAGE, rule["alert"], section(rule))
    assert rule["annotations"]["runbook"].rstrip().endswith(f"\nMore: docs/runbooks.md#{rule['alert'].lower()}")
    assert rule["alert"].lower() in anchors(PAGE.read_text())


def test_the_sections_are_those_of_the_alerts_in_their_order() -> None:
    assert re.findall(r"^## (\w+)$", PAGE.read_text(), re.MULTILINE) == [rule["alert"] for rule in rules()]
