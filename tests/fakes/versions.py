"""How other versions of the program write and read messages.

Here is one of the next message version: it writes what this program cannot read, and reads both.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from hacron.core.messages import VERSION

Rewrite = Callable[[bytes], bytes]

_OURS, _NEXT = (b'"v":%d' % version for version in (VERSION, VERSION + 1))
_OF_THE_WHOLE = re.compile(rb'(?<=^\{)"v":\d+|"v":\d+(?=\}$)')  # a batch begins with it, an envelope ends with it


@dataclass(frozen=True, slots=True, eq=False)
class Dialect:
    """What another version makes of a batch or an envelope: `writes` of what this one would write, `reads` of what comes."""

    writes: Rewrite = lambda body: body
    reads: Rewrite = lambda body: body


def raised(body: bytes) -> bytes:
    """Return a batch or an envelope as one of the next message version."""
    return _OF_THE_WHOLE.sub(_NEXT, body, count=1)


def lowered(body: bytes) -> bytes:
    """Return a batch or an envelope of any message version as one of this."""
    return _OF_THE_WHOLE.sub(_OURS, body, count=1) if _NEXT in body else body


def is_of_next(body: bytes) -> bool:
    return lowered(body) != body


OURS = Dialect()
NEXT = Dialect(writes=raised, reads=lowered)
