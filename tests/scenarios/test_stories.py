"""Stories of replicas, clusters and a broker: commands, and the exact log that they must produce.

A story is a text file under `stories/`: paragraphs of commands, each followed by `----` and what is said while they are done, up
to an empty line. With REWRITE=1 in the environment the files are written anew from what happens now, to be reviewed like code.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.scenarios.judge import wrong
from tests.scenarios.script import Script

STORIES = sorted((Path(__file__).parent / "stories").glob("*.txt"))


@dataclass(slots=True)
class Paragraph:
    """Lines that are commands or comments, and what they must produce."""

    commands: list[str]
    expected: list[str] = field(default_factory=list)

    def text(self, lines: list[str]) -> str:
        return "\n".join([*self.commands, "----", *lines])


def paragraphs(text: str) -> Iterator[Paragraph]:
    for block in text.strip().split("\n\n"):
        lines = block.splitlines()
        end = lines.index("----") if "----" in lines else len(lines)
        yield Paragraph(lines[:end], lines[end + 1 :])


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_story(path: Path) -> None:
    script = Script()
    told = []
    for paragraph in paragraphs(path.read_text()):
        commands = [line for line in paragraph.commands if line.strip() and not line.startswith("#")]
        lines = [line for command in commands for line in script.run(command)]
        told.append(paragraph.text(lines) if commands else "\n".join(paragraph.commands))
    assert wrong(script.world) == []
    if os.environ.get("REWRITE"):
        path.write_text("\n\n".join(told) + "\n")
    else:
        assert path.read_text() == "\n\n".join(told) + "\n"


def test_there_are_stories() -> None:
    assert len(STORIES) >= 20
