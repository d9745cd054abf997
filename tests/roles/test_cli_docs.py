"""What docs/cli.md shows is what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from hacron.__main__ import main

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "cli.md").read_text()
SHOWN = [
    call.partition("\n")
    for block in re.findall(r"```\n(.*?)```", PAGE, re.DOTALL)
    for call in block.removeprefix("$ ").split("\n$ ")
    if call.startswith("hacron ")
]


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: shown[0])
def test_the_page_shows_what_is_printed(
    shown: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(REPOSITORY)
    call, _, output = shown
    main(shlex.split(call)[1:])
    assert capsys.readouterr().out.rstrip("\n") == output.rstrip("\n")
