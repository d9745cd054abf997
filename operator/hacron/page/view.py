"""What the page sees: State as it stood at one moment, taken by the engine's thread when somebody looks.

The engine takes at most one view a second and only while it is asked for. It waits for nobody: both sides only assign and read
whole values. Everything that takes long is done with the view, in the threads of the HTTP server.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hacron.core.state import State
from hacron.engine import Session
from hacron.turn import Moment

EVERY_S: Final = 1.0
PATIENCE_S: Final = 1.5  # an engine that is busy for longer is not waited for: the view before it is shown, with its age
_LOOK_S: Final = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """State at one moment, and how the replica stood to it."""

    state: State
    at: datetime  # by this replica's clock
    caught_up: bool  # else State is still of the past
    executor: bool
    worker: bool


class Viewfinder:
    """Hands views from the engine's thread to those of the HTTP server."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.wake: Callable[[], None] = lambda: None  # the engine, which otherwise may wait for up to a second
        self._monotonic = monotonic
        self._connected = False
        self._wanted = False
        self._taken: tuple[View, float] | None = None  # and when, monotonic

    # --- the engine's thread ---

    def turned(self, session: Session, now: Moment) -> None:
        """After each turn: take a view if one is wanted and none was taken within the last second."""
        self._connected = True
        if not self._wanted or (self._taken is not None and now.mono - self._taken[1] < EVERY_S):
            return
        view = View(
            state=session.state.still(),
            at=now.wall,
            caught_up=session.caught_up,
            executor=session.executor.decides,
            worker=session.worker.active,
        )
        self._taken, self._wanted = (view, now.mono), False

    def lost(self) -> None:
        """There is no connection to the broker, and so no State; the last view stays."""
        self._connected = False

    # --- any other thread ---

    @property
    def connected(self) -> bool:
        return self._connected

    def look(self) -> View | None:
        """Return a view of this moment; an older one if the engine takes none; None if it never took one."""
        before = self._taken
        if before is not None and self._monotonic() - before[1] < EVERY_S:
            return before[0]
        self._wanted = True
        until = self._monotonic() + PATIENCE_S
        self.wake()
        while self._taken is before and self._connected and self._monotonic() < until:
            time.sleep(_LOOK_S)
        taken = self._taken
        return taken[0] if taken is not None else None
