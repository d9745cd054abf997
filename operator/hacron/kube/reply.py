"""What came back from an API server, and whether it is one's word at all."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple

from hacron.core import nesting

NOT_NOW: Final = (401, 408, 429)  # like every 5xx these may come from what stands before the API server, in any form


class TooLate(Exception):
    """The request was not sent: the time until which it might be had passed."""


class NoAnswer(Exception):
    """What came back is not of an API server."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"status {status}: {text}")
        self.status = status


class NotNow(NoAnswer):
    """A watch was not let begin, by a server that is busy or in trouble: nothing is said against it."""

    def __init__(self, status: int, text: str, retry_after_s: float) -> None:
        super().__init__(status, text)
        self.retry_after_s = retry_after_s


class Reply(NamedTuple):
    """What the API server said."""

    status: int
    body: dict[str, Any]
    sent_at: datetime
    retry_after_s: float = 0.0


class Refused(Exception):
    """The API server has answered, but not with what was asked for."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"status {reply.status}: {reply.body.get('message', '')}")
        self.reply = reply
        self.retry_after_s = reply.retry_after_s


def understood(status: int, content: bytes) -> dict[str, Any]:
    """Return what the API server says.

    Raises NoAnswer for anything else: a proxy's 404 does not say that a Job is gone, and a page for logging in is not a Job.
    """
    try:
        body = nesting.decoded(content)
    except ValueError:
        body = None
    if isinstance(body, dict) and "kind" in body and (status < 300 or body["kind"] == "Status"):
        return body
    text = content[:200].decode(errors="replace").strip()
    if status in NOT_NOW or status >= 500:
        return {"message": text}
    raise NoAnswer(status, f"not of an API server: {text}")
