"""Wait for a condition: the only place in the testbed that sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], timeout: float, what: str, every: float = 0.05) -> T:
    """Return the first truthy value of `condition`, asked every `every` seconds.

    Raises TimeoutError, which names `what` was awaited, after `timeout` seconds. The condition says
    "not yet" with a falsy value; an exception of its own is a failure and is passed on.
    """
    deadline = time.monotonic() + timeout
    while True:
        is_last = time.monotonic() >= deadline  # told before it is asked: what was true in time counts, however long we slept
        value = condition()
        if value:
            return value
        if is_last:
            raise TimeoutError(f"{what}: not within {timeout:g} s")
        time.sleep(every)
