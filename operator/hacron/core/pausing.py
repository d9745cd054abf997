"""A pause apart from the spec: holds in every cluster, and ends by itself.

The cronjob rests while any of its home clusters says so; of several pauses the one that ends last counts. What was paused is
decided as a whole when it ends. Read from annotations by `manifests`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from hacron.core.manifests import PAUSE, PAUSE_UNTIL
from hacron.core.messages import Definition
from hacron.core.model import Pause

FOR_EVER = datetime(9999, 1, 1, tzinfo=UTC)


def longest(homes: Mapping[str, Definition]) -> Definition | None:
    """Return the definition whose pause ends last, be it over or not; None when none is paused."""
    paused = [definition for definition in homes.values() if definition.pause is not None]
    return max(paused, key=lambda definition: (_end(definition), definition.cluster), default=None)


def in_effect(homes: Mapping[str, Definition], over: datetime | None) -> Definition | None:
    """Return the definition that pauses the cronjob; None when none does. `over`: the end that the executor has noted."""
    paused = longest(homes)
    if paused is None or paused.pause is None:
        return None
    until = paused.pause.until
    return None if until is not None and until == over else paused


def describe(definition: Definition) -> str:
    """Say in one sentence where it is paused, by whom, until when and why."""
    assert definition.pause is not None
    return f"paused in {definition.cluster}{details(definition.pause)}"


def details(pause: Pause) -> str:
    """Say by whom, until when and why; to go on after "paused"."""
    by = f" by {pause.by[:80]}" if pause.by else ""
    until = f" until {pause.until:%Y-%m-%d %H:%M:%S} UTC" if pause.until else ""
    why = f": {pause.reason[:300]}" if pause.reason else ""
    if not pause.unreadable_until:
        return f"{by}{until}{why}"
    return f"{by}{until}{why} ({PAUSE_UNTIL} is no time such as 2026-12-24T18:00:00Z; remove {PAUSE} to end it)"


def _end(definition: Definition) -> datetime:
    assert definition.pause is not None
    return definition.pause.until or FOR_EVER
