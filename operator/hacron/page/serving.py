"""The page over HTTP: which path gets which answer, and who gets none.

Read-only. No answer may be read by another site: a browser that asks for it under a name that is not ours was led here by that
name's owner (DNS rebinding), and is turned away. Few are answered at once, so that the page leaves threads to the probes.
"""

from __future__ import annotations

import ipaddress
import re
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from http import HTTPStatus
from importlib import resources
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from hacron.core.model import Key
from hacron.page.answers import LONGEST_LIST, Condition, Place, details, listing, overview
from hacron.page.board import Board, Wanted
from hacron.page.view import View, Viewfinder
from hacron.settings.fields import Settings
from hacron.telemetry.health import Health, Response, text_response
from hacron.telemetry.version import program_version

AT_ONCE: Final = 4
LONGEST_QUERY: Final = 1000
LONGEST_WORD: Final = 320  # a key
HOURS: Final = (1, 6, 24)
MOST: Final = 1_000_000

FILES: Final = {
    "": ("index.html", "text/html; charset=utf-8"),
    "page.css": ("page.css", "text/css; charset=utf-8"),
    "page.js": ("page.js", "text/javascript; charset=utf-8"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
}
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class BadQuestionError(ValueError):
    """Who asked made a mistake; the text says what would be right."""


class Page:
    """Answers for /page/ and below, in the threads of the HTTP server."""

    def __init__(
        self, settings: Settings, finder: Viewfinder, health: Callable[[], Health], clock: Callable[[], datetime]
    ) -> None:
        self._place = Place(
            replica=settings.replica,
            cluster=settings.cluster,
            version=program_version(),
            silent_after_s=settings.silent_after_s,
            start_window_s=settings.start_window_s,
        )
        self._hosts = tuple(name.lower() for name in settings.page_hosts)
        self._finder = finder
        self._health = health
        self._clock = clock
        self._board = Board()
        self._slots = threading.BoundedSemaphore(AT_ONCE)
        folder = resources.files("hacron.page") / "static"
        self._files = {path: ((folder / name).read_bytes(), kind) for path, (name, kind) in FILES.items()}

    def respond(self, path: str, headers: Mapping[str, str]) -> Response:
        """Answer a request for `path`, which begins with "/page"."""
        where, _, query = path.partition("?")
        if not is_ours(headers.get("Host", ""), self._hosts):
            return _refuse(
                HTTPStatus.MISDIRECTED_REQUEST,
                "This page is shown under localhost, addresses and names of Services; HACRON_PAGE_HOSTS allows further names.",
            )
        if where == "/page":
            found = _refuse(HTTPStatus.MOVED_PERMANENTLY, "page/")
            return Response(found.code, found.content_type, found.body, {**HEADERS, "Location": "page/"})
        name = where.removeprefix("/page/")
        if name in self._files:
            body, kind = self._files[name]
            return Response(HTTPStatus.OK, kind, body, HEADERS)
        if headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            return _refuse(HTTPStatus.FORBIDDEN, "This is for the page itself, not for other sites.")
        if not self._slots.acquire(blocking=False):
            return _refuse(HTTPStatus.SERVICE_UNAVAILABLE, f"More than {AT_ONCE} are asking at once; ask again in a second.")
        try:
            return self._answer(name, query)
        except BadQuestionError as error:
            return _refuse(HTTPStatus.BAD_REQUEST, str(error))
        finally:
            self._slots.release()

    def _answer(self, name: str, query: str) -> Response:
        asked = read_query(query)
        if name not in ("overview.json", "cronjobs.json", "cronjob.json"):
            return _refuse(HTTPStatus.NOT_FOUND, "There is nothing here; /page/ is the page.")
        view, now = self._finder.look(), self._clock()
        with self._board.lock:
            if view is not None:
                self._board.see(view)
            answer = self._told(name, asked, view, now)
        if answer is None:
            return _refuse(HTTPStatus.NOT_FOUND, "No cluster declares this cronjob.")
        return Response(HTTPStatus.OK, "application/json", msgspec.json.encode(answer) + b"\n", HEADERS)

    def _told(self, name: str, asked: Mapping[str, str], view: View | None, now: datetime) -> dict[str, Any] | None:
        hours = _number(asked, "hours", 1, HOURS[-1])
        if hours not in HOURS:
            raise BadQuestionError(f"hours: one of {', '.join(map(str, HOURS))}")
        if name == "cronjob.json":
            return details(self._board, view, self._place, Key(asked.get("key", "")), now) if view is not None else None
        if name == "cronjobs.json":
            wanted = Wanted(
                namespace=asked.get("namespace", ""),
                text=asked.get("text", "").lower(),
                cluster=asked.get("cluster", ""),
                verdict=asked.get("verdict", ""),
                troubled=asked.get("troubled", "") == "true",
            )
            limit = _number(asked, "limit", 50, LONGEST_LIST)
            return listing(
                self._board, self._place, wanted, now, hours=hours, offset=_number(asked, "offset", 0, MOST), limit=limit
            )
        health = self._health()
        condition = Condition(ready=health.ready, reasons=health.reasons, connected=self._finder.connected)
        return overview(self._board, view, self._place, condition, now, hours)


def is_ours(host: str, allowed: tuple[str, ...]) -> bool:
    """Whether a browser that asks for this host is one that was not led here by somebody else's name.

    An address is nobody's name, a name without a dot is resolved within the network, and nobody can buy one that ends in `.svc`,
    `.local` or `.localhost`. No Host at all: not a browser.
    """
    name = re.sub(r":\d{1,5}\Z", "", host.strip().lower()).removesuffix(".")
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return "." not in name or name.endswith((".svc", ".local", ".localhost")) or name in allowed
    return True


def read_query(query: str) -> dict[str, str]:
    """Read what is asked for; of a name that is there twice, the last one. Raises BadQuestionError."""
    if len(query) > LONGEST_QUERY:
        raise BadQuestionError(f"the question is longer than {LONGEST_QUERY} characters")
    known = ("hours", "namespace", "text", "cluster", "verdict", "troubled", "offset", "limit", "key")
    try:
        fields = parse_qs(query, max_num_fields=len(known) * 2)
    except ValueError as error:
        raise BadQuestionError(f"more than {len(known) * 2} fields are asked for") from error
    asked = {name: values[-1] for name, values in fields.items() if name in known}
    for name, value in asked.items():
        if len(value) > LONGEST_WORD:
            raise BadQuestionError(f"{name}: at most {LONGEST_WORD} characters")
    return asked


def _number(asked: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = asked.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) or int(text) > most:
        raise BadQuestionError(f"{name}: a whole number up to {most}")
    return int(text)


def _refuse(code: HTTPStatus, why: str) -> Response:
    plain = text_response(code, why)
    return Response(plain.code, plain.content_type, plain.body, HEADERS)
