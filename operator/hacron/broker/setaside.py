"""What is set aside is logged: the first few one by one, the rest by their number.

What somebody sends by the million, or what a newer version has written for weeks, would otherwise be a log by the gigabyte.
"""

from __future__ import annotations

from collections.abc import Mapping
from logging import Logger
from typing import Final

FEW: Final = 5


class Complaints:
    """Logs what is set aside, as `log`. `end` closes one lot of it, such as a turn's; the next begins anew."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._number = 0

    def note(self, sentence: str, said: Mapping[str, object]) -> None:
        self._number += 1
        if self._number <= FEW:
            self._log.warning(sentence, extra=dict(said))

    def end(self) -> None:
        if self._number > FEW:
            self._log.warning("more was set aside just now, and is only counted", extra={"more": self._number - FEW})
        self._number = 0
