"""Which instants are believed: those from which others can be reckoned, a deadline later or an offset earlier.

Nobody means others. But `9999-12-31T23:59:59Z` and a minute is no date any more: it would end every replica that reads of it,
and whoever starts after them.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

import msgspec

FIRST_YEAR: Final = 1900
LAST_YEAR: Final = 9000
FAR: Final = f"an instant that is not of the years {FIRST_YEAR} to {LAST_YEAR}"

_MAY_BE_FAR = re.compile(rb'"(?:0\d|1[0-8]|9\d)\d\d-')
_ESCAPE = b"\\"  # by which digits may be written, too


def is_far(when: datetime) -> bool:
    return not FIRST_YEAR <= when.year <= LAST_YEAR


def may_have_far(text: bytes) -> bool:
    """Return whether it is worth looking: few texts have anything in them that could be such an instant."""
    return _MAY_BE_FAR.search(text) is not None or _ESCAPE in text


def has_far(value: object) -> bool:
    """Return whether one of the instants in a message is far away. What is not decoded yet is not looked at."""
    match value:
        case datetime():
            return is_far(value)
        case msgspec.Struct():
            return any(has_far(getattr(value, name)) for name in value.__struct_fields__)
        case tuple():
            return any(map(has_far, value))
        case dict():
            return any(map(has_far, value.values()))
        case _:
            return False
