"""A Job as a worker sees it, for tests to vary."""

from __future__ import annotations

from datetime import UTC, datetime

from hacron.core.manifests import JobView
from hacron.core.model import key_of

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
HELLO = key_of("default", "hello")
YOUNG = JobView(
    key=HELLO,
    run_id="hello.1",
    uid="u1",
    namespace="default",
    name="hello-1",
    created=NOON,
    tick=NOON,
    attempt=1,
    terminal=None,
    finished=None,
    reason="",
    message="",
    tombstone=False,
    ran=False,
    deleting=False,
    fencing=1,
    version=9,
)
