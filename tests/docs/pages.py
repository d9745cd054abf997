"""The Markdown of the repository, as tests read it: links, headings, code; and the tables in it that are made from the code."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
PAGES = sorted(
    path for path in REPOSITORY.rglob("*.md") if not any(part.startswith(".") for part in path.relative_to(REPOSITORY).parts)
)


def name_of(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


# --- reading ------------------------------------------------------------------------------------------------------------


@cache
def _tokens(text: str) -> tuple[Token, ...]:
    return tuple(MarkdownIt("commonmark").enable("table").parse(text))


def _all(text: str) -> Iterator[Token]:
    for token in _tokens(text):
        yield token
        yield from token.children or ()


def links(text: str) -> list[str]:
    """Return where links and pictures lead."""
    found = [token.attrGet("href") or token.attrGet("src") for token in _all(text) if token.type in ("link_open", "image")]
    return [str(link) for link in found]


def anchors(text: str) -> set[str]:
    """Return what links may name behind a #, as GitHub and its like make it of headings."""
    found: dict[str, int] = {}
    tokens = _tokens(text)
    for heading, inline in pairwise(tokens):
        if heading.type == "heading_open":
            plain = "".join(child.content for child in inline.children or ())
            anchor = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
            again = found.get(anchor, 0)
            found[anchor] = again + 1
            if again:
                found[f"{anchor}-{again}"] = 1
    return set(found)


def blocks(text: str, *languages: str) -> list[str]:
    """Return blocks of code, fenced or indented; with `languages`, the fenced ones that say so."""
    kinds = ("fence",) if languages else ("fence", "code_block")
    return [token.content for token in _tokens(text) if token.type in kinds and (not languages or token.info in languages)]


def phrases(text: str) -> list[str]:
    """Return code within sentences."""
    return [token.content for token in _all(text) if token.type == "code_inline"]


def commands(text: str) -> list[str]:
    """Return the lines of blocks of code, those that go on after a backslash put together, without a prompt and a comment."""
    lines = [line for block in blocks(text) for line in block.replace("\\\n", " ").splitlines()]
    return [re.sub(r"\s+#\s.*$", "", line.strip().removeprefix("$ ")) for line in lines]


# --- tables that are made from the code ---------------------------------------------------------------------------------


def is_up_to_date(page: Path, name: str, table: str) -> bool:
    """Say whether the page has this between its comments `name: begin` and `name: end`; with REWRITE=1, write it there."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    before, found, rest = page.read_text().partition(begin)
    _, ended, after = rest.partition(end)
    assert found, f"{name_of(page)} has no place for {name}"
    assert ended, f"{name_of(page)} has no end of {name}"
    whole = f"{before}{begin}{table}\n{end}{after}"
    if os.environ.get("REWRITE"):
        page.write_text(whole)
    return page.read_text() == whole


def table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    """Return a table; what would end a cell is written so that it does not."""
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)])
