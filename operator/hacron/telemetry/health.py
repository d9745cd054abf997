"""Whether a replica lives, and whether it is ready; and how that is told to who asks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a replica is, as of one turn of its engine."""

    ready: bool
    reasons: tuple[str, ...] = ()  # why it is not ready, a line each: "broker: refused, trying again in 4 s"
    executor: bool = False
    worker: bool = False
    epoch: int = 0  # newest that counts; 0: none read
    position: int = -1  # offset of the last ledger message read; -1: none read
    turned_at: float  # monotonic seconds: when the engine's last turn ended


@dataclass(frozen=True, slots=True)
class Response:
    code: HTTPStatus
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)  # further ones


def respond_health(health: Health, now: float, stalled_after_s: float) -> Response:
    """Say whether the engine turns; when it does not, only a restart helps. `now` is monotonic."""
    still_s = now - health.turned_at
    if still_s <= stalled_after_s:
        return text_response(HTTPStatus.OK, "The engine turns.")
    return text_response(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        f"The engine has not turned for {still_s:.0f} s; after {stalled_after_s:.0f} s it counts as stuck.",
    )


def respond_ready(health: Health, accept: str) -> Response:
    """Say whether the replica can do its work, and if not, why; if asked, all that is in Health as JSON."""
    code = HTTPStatus.OK if health.ready else HTTPStatus.SERVICE_UNAVAILABLE
    role = "executor" if health.executor else "standby"
    if "application/json" not in accept.lower():
        lines = ("ready", f"{role}, {'worker' if health.worker else 'not worker'}")
        return text_response(code, "\n".join(lines if health.ready else health.reasons or ("not ready",)))
    told = {
        "ready": health.ready,
        "reasons": health.reasons,
        "role": role,
        "epoch": health.epoch,
        "worker": health.worker,
        "position": health.position,
    }
    return Response(code, "application/json", json.dumps(told).encode() + b"\n")


def text_response(code: HTTPStatus, text: str) -> Response:
    return Response(code, "text/plain; charset=utf-8", f"{text.rstrip()}\n".encode())
