"""Kopf, in a thread and a loop of its own for each kind: every event on an object becomes a value in the engine's queue.

Only `on.event` handlers: they write nothing to the objects, so every replica may run them. Kopf may fail and be started again
without the engine noticing; so is one that has heard nothing for minutes, although the API server answers others. Deletions
that it misses meanwhile are found by the relay's inventory, which a WatchBegan asks for. A kind that cannot be watched, because
its resource or a right is missing, ends the Kopf of that kind alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import queue
import threading
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

import kopf
from yarl import URL

from hacron.aside import aside
from hacron.core import nesting
from hacron.core.manifests import GROUP, PAUSE, PAUSE_BY, PAUSE_UNTIL, version
from hacron.core.model import Kind
from hacron.kopf_session import open_session
from hacron.ports import FromKubernetes, ObjectSeen, WatchBegan, WatchResumed

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LAST_PAUSE_S = 1.0, 30.0
KEPT = ("namespace", "name", "uid", "generation", "creationTimestamp", "deletionTimestamp", "resourceVersion")
LIST_ENDS_S = 30.0  # objects of one list follow upon each other more closely
WATCH_S: Final = 120  # after it the API server ends a watch, and answers the next one: so it is heard of
SILENT_S = 240.0  # then Kopf is started anew: it reads certificates once, and tries for ever what cannot work with them
LOOK_S = 10.0  # whether it is silent


class BoundedDecoder(json.JSONDecoder):
    """Reads also what is nested deeper than Python, or Kopf, follows: without the rest."""

    def decode(self, text: str, *rest: Any) -> Any:
        return nesting.bounded(lambda shorter: super(BoundedDecoder, self).decode(shorter, *rest), text)


class NoDiffBase(kopf.DiffBaseStorage):
    """Kopf computes what it would remember of each object even when no handler needs it: a quarter of its CPU."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> Any:
        return None

    def store(self, **_: Any) -> None:
        """Write nothing to the object."""


class KopfWatch:
    """Supervises Kopf. `on_arrival` is called after each value that was put into the queue, from Kopf's thread."""

    def __init__(
        self,
        connection: Callable[[], dict[str, Any]],
        arrivals: queue.SimpleQueue[FromKubernetes],
        on_arrival: Callable[[], None],
        kind: Kind = Kind.CRONJOB,
        namespaces: Sequence[str] = (),
        reachable: Callable[[], bool] = lambda: True,
    ) -> None:
        """`connection` gives the fields of kopf.ConnectionInfo, asked again when credentials have expired.

        Without `namespaces`, all are watched. `reachable` tells whether the API server answers others.
        """
        self._connection = connection
        self._arrivals = arrivals
        self._on_arrival = on_arrival
        self._kind = kind
        self._namespaces = tuple(namespaces)
        self._left_out: frozenset[str] = frozenset()
        self._reachable = reachable
        self._stopping = threading.Event()
        self._present: tuple[asyncio.AbstractEventLoop, asyncio.Task[None]] | None = None  # Kopf's loop and Kopf
        self._listed_at = 0.0  # monotonic; when an object was last listed, or was about to be
        self._began = 0.0  # monotonic; when this Kopf did
        self._heard_at: float | None = None  # monotonic; when this Kopf was last answered; None: there may be nothing to watch
        self._was_away = False  # the API server, when this Kopf last asked it
        self._is_let_in = True  # as far as it knows, with what it logged in with last
        self._logged_in_at = 0.0  # monotonic
        self._login_pause_s = FIRST_PAUSE_S
        self._thread = threading.Thread(target=self._run, name=f"kopf {kind}", daemon=True)

    def start(self) -> None:
        json._default_decoder = BoundedDecoder()  # type: ignore[attr-defined]  # Kopf and aiohttp let nobody choose
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self.begin_again()
        if self._thread.is_alive():
            self._thread.join(2.0)

    @property
    def never_heard_since(self) -> float | None:
        """When it began (monotonic), if it has not been answered yet: where there is no resource, it asks for nothing."""
        return self._began if self._heard_at is None else None

    def begin_again(self, left_out: Collection[str] | None = None) -> None:
        """End Kopf and start it anew: it looks for the resource only when it starts. From any thread.

        `left_out` are namespaces in which we may list nothing, from now on: one of them would end Kopf again and again.
        """
        if left_out is not None:
            self._left_out = frozenset(left_out)
        if self._present is not None:
            loop, operator = self._present
            with contextlib.suppress(RuntimeError):  # it has just ended by itself
                loop.call_soon_threadsafe(operator.cancel)

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            began = time.monotonic()
            self._put(WatchBegan(kind=self._kind))
            self._began, self._listed_at, self._heard_at, self._is_let_in = began, began, None, True
            try:
                asyncio.run(self._operator())
            except Exception as error:  # noqa: BLE001  whatever ends Kopf, it is started again; the engine goes on
                said = {"kind": self._kind, "why": f"{type(error).__name__}: {error}"[:200], "again_in_s": pause_s}
                log.warning("the watch ended", extra=said)
            if time.monotonic() - began > LAST_PAUSE_S:
                pause_s = FIRST_PAUSE_S
            self._stopping.wait(pause_s)
            pause_s = min(LAST_PAUSE_S, pause_s * 2)

    def _note_list(self) -> None:
        """An object was listed. When Kopf has lost track of changes, it lists again and tells of no deletion."""
        now = time.monotonic()
        if now - self._listed_at >= LIST_ENDS_S:
            self._put(WatchBegan(kind=self._kind))
        self._listed_at = now

    def _note_answer(self, asked: URL, status: int) -> None:
        """Note what became of a request. When the API server was away, Kopf goes on from where it was, as if nothing had been."""
        if not asked.path.endswith(f"/{self._kind.plural}"):
            return
        if status == 0 or status >= 500:
            self._was_away = True
        elif status == 200:
            self._heard_at, self._is_let_in = time.monotonic(), True
            if self._was_away:
                self._was_away = False
                self._put(WatchResumed(kind=self._kind, since=version(asked.query.get("resourceVersion"))))

    def _is_silent(self) -> bool:
        if self._heard_at is not None and not self._reachable():
            self._heard_at = time.monotonic()  # nobody is answered: once others are, Kopf has as long again
        return self._heard_at is not None and time.monotonic() - self._heard_at > SILENT_S

    def _put(self, arrival: ObjectSeen | WatchBegan | WatchResumed) -> None:
        self._arrivals.put(arrival)
        self._on_arrival()

    async def _operator(self) -> None:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry, backoff=FIRST_PAUSE_S)
        async def login(**_: Any) -> kopf.AiohttpSession:
            info = await self._log_in()
            session = open_session(info.as_ssl_context(), info.as_http_headers(), info.proxy_url, self._note_answer)
            return kopf.AiohttpSession(server=info.server, aiohttp_session=session)

        @kopf.on.event(GROUP, "v1", self._kind.plural, registry=registry)
        async def seen(event: Any, **_: Any) -> None:
            if event["type"] is None:
                self._note_list()
            self._put(ObjectSeen(body=_slim(event["object"]), gone=event["type"] == "DELETED", kind=self._kind))

        # Kopf would name itself after the user that it runs as, who has no name in a container.
        identity: Any = "hacron"
        namespaces = [namespace for namespace in self._namespaces if namespace not in self._left_out]
        where: dict[str, Any] = {"namespaces": namespaces} if self._namespaces else {"clusterwide": True}
        operator = asyncio.create_task(
            kopf.operator(registry=registry, settings=_settings(), identity=identity, standalone=True, **where)
        )
        # Not by its stop flag: when it fails, Kopf waits for that all the same, for ever in the case of a threading.Event.
        self._present = asyncio.get_running_loop(), operator
        if self._stopping.is_set():
            operator.cancel()
        await self._watch_over(operator)

    async def _log_in(self) -> kopf.ConnectionInfo:
        """Return what to log in with; if it was not let in before, after a pause that grows: Kopf makes none."""
        if self._is_let_in:
            self._login_pause_s = FIRST_PAUSE_S
        else:
            await asyncio.sleep(self._logged_in_at + self._login_pause_s - time.monotonic())
            self._login_pause_s = min(LAST_PAUSE_S, self._login_pause_s * 2)
        info = kopf.ConnectionInfo(**await aside(self._connection))
        self._is_let_in, self._logged_in_at = False, time.monotonic()
        return info

    async def _watch_over(self, operator: asyncio.Task[None]) -> None:
        """Wait for the end of Kopf, and end it when it is silent."""
        while not operator.done():
            await asyncio.wait([operator], timeout=LOOK_S)
            if not operator.done() and self._is_silent():
                log.warning("the watch hears nothing, though the API server answers: it begins again", extra={"kind": self._kind})
                self._heard_at = None
                operator.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await operator


def _slim(body: Any) -> dict[str, Any]:
    """Keep what a declaration and its mirror are made of."""
    metadata = {name: body["metadata"][name] for name in KEPT if name in body["metadata"]}
    annotations = body["metadata"].get("annotations") or {}
    metadata["annotations"] = {name: annotations[name] for name in (PAUSE, PAUSE_BY, PAUSE_UNTIL) if name in annotations}
    return {"metadata": metadata, "spec": body.get("spec"), "status": body.get("status")}


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.persistence.diffbase_storage = NoDiffBase()
    settings.persistence.finalizer = f"{GROUP}/{uuid.uuid4()}"  # Kopf takes its own from objects; it may be another operator's
    settings.posting.enabled = False
    settings.scanning.disabled = True  # no rights on CRDs and namespaces are needed
    settings.process.ultimate_exiting_timeout = None  # else Kopf kills the process ten minutes after it has failed
    settings.queueing.idle_timeout = 1.0
    settings.watching.chunk_size = 250
    settings.watching.server_timeout = WATCH_S
    settings.networking.connect_timeout = 5.0
    settings.networking.request_timeout = 30.0
    settings.networking.error_backoffs = (1.0, 1.0, 2.0, *[3.0] * 100)  # its own grow to 21 s; after all of them it fails
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    return settings
