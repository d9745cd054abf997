"""Every link in Markdown leads somewhere: to a file of the repository, and to a heading in it. No network is asked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, PAGES, REPOSITORY, anchors, links, name_of


def wrong_links(page: Path, text: str) -> list[str]:
    """Return the links of a page that lead nowhere."""
    return [link for link in links(text) if not _leads_somewhere(page, text, link)]


def _leads_somewhere(page: Path, text: str, link: str) -> bool:
    if re.match(r"[a-z]+:", link):
        return link.startswith("https://")
    file, _, anchor = link.partition("#")
    if not file:
        return anchor in anchors(text)
    target = (page.parent / file).resolve()
    if not target.exists() or not target.is_relative_to(REPOSITORY):
        return False
    return not anchor or (target.suffix == ".md" and anchor in anchors(target.read_text()))


def test_what_leads_nowhere_is_found() -> None:
    right = "# One thing\n\n[a](#one-thing) [b](install.md#rabbitmq) ![c](page.png) [d](https://kubernetes.io)\n"
    wrong = "[e](#another) [f](nowhere.md) [g](install.md#rabbits) ![h](page.gif)\n"
    assert wrong_links(DOCS / "made-up.md", right + wrong) == ["#another", "nowhere.md", "install.md#rabbits", "page.gif"]


def test_headings_that_are_there_twice_have_different_anchors() -> None:
    assert anchors("# A b\n\n## A b\n\n## `c`: d, e?\n") == {"a-b", "a-b-1", "c-d-e"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert wrong_links(page, page.read_text()) == []


def test_the_index_leads_to_every_page() -> None:
    index = (DOCS / "README.md").read_text()
    assert [page.name for page in sorted(DOCS.glob("*.md")) if page.name != "README.md" and page.name not in links(index)] == []
    assert "docs/README.md" in links((REPOSITORY / "README.md").read_text())
