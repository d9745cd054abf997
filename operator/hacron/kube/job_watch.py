"""The watch on our Jobs: a list, then every change after it, for ever; of all namespaces, or of each of some.

A watch that was cut goes on where it ended; when the API server no longer knows what has changed since then, everything is listed
again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Final

import msgspec

from hacron.core.manifests import LABEL, JobView, job_view
from hacron.kube.http import ApiServer
from hacron.kube.listing import list_all
from hacron.kube.reply import NoAnswer
from hacron.ports import JobSeen, JobsListed

log = logging.getLogger(__name__)

QUERY: Final = f"jobs?labelSelector={LABEL}%3Dtrue"
WATCH_S: Final = 300  # after it the server ends the watch, and it is begun again where it ended
QUIET_S: Final = 90.0  # the server sends a bookmark every minute; a watch without one is cut
DEAF_S = 3 * 90.0  # nothing was heard by several watches, and no list came through
FIRST_PAUSE_S, LAST_PAUSE_S = 0.5, 10.0


class JobWatch:
    """The watch on all Jobs with our label, until its task is cancelled. `scopes` are as `listing.scopes` has them."""

    def __init__(self, api: ApiServer, deliver: Callable[[JobSeen | JobsListed], None], scopes: Sequence[str] = ("",)) -> None:
        self._api = api
        self._deliver = deliver
        self._heard_at = time.monotonic()
        # Up to where all changes were delivered; "": everything is to be listed.
        self._versions = dict.fromkeys((f"/apis/batch/v1/{scope}{QUERY}" for scope in scopes), "")

    @property
    def hears(self) -> bool:
        """Whether something came lately: a list, or anything of a watch; a good API server says something every minute."""
        return time.monotonic() - self._heard_at < DEAF_S

    async def follow(self) -> None:
        """Deliver JobsListed, then a JobSeen for every change, for ever."""
        pause_s = FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            try:
                if not all(self._versions.values()):
                    await self._list()
                await self._watch_all()
            except Exception as error:  # noqa: BLE001  whatever has ended it, it begins again
                level = logging.INFO if pause_s == FIRST_PAUSE_S else logging.DEBUG  # that it goes on failing is no news
                log.log(level, "the watch on Jobs begins again", extra={"why": f"{type(error).__name__}: {error}"[:200]})
            if time.monotonic() - began > LAST_PAUSE_S:
                pause_s = FIRST_PAUSE_S
            await asyncio.sleep(pause_s)
            pause_s = min(LAST_PAUSE_S, pause_s * 2)
            if not self._api.reachable:  # the watch is back as soon as the API server is
                await self._api.until_reachable()
                pause_s = FIRST_PAUSE_S

    async def _list(self) -> None:
        found: list[JobView] = []
        versions: dict[str, str] = {}
        for path in self._versions:
            reply, items = await list_all(self._api, path, job_view)
            if reply.status != 200:
                raise NoAnswer(reply.status, str(reply.body.get("message", "")))
            found += (view for view in items if view is not None)
            versions[path] = str(reply.body["metadata"]["resourceVersion"])
        self._deliver(JobsListed(views=tuple(found)))
        self._heard_at = time.monotonic()
        self._versions = versions

    async def _watch_all(self) -> None:
        """Watch every scope until one of the watches ends. The others begin again with it, where they are."""
        watches = [asyncio.ensure_future(self._watch(path)) for path in self._versions]
        try:
            ended, _ = await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for watch in watches:
                watch.cancel()
            await asyncio.gather(*watches, return_exceptions=True)
        for watch in ended:
            watch.result()

    async def _watch(self, path: str) -> None:
        """Deliver changes until the server ends the watch.

        Whatever ends it otherwise, all is listed again unless something was heard from this very watch: a server that was
        set back waits for changes after a version that is still to come.
        """
        since, self._versions[path] = self._versions[path], ""
        query = f"&watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH_S}&resourceVersion={since}"
        async with aclosing(self._api.lines(path + query, QUIET_S)) as lines:
            async for line in lines:
                event = msgspec.json.decode(line)
                changed = event["object"]
                self._heard_at = time.monotonic()
                if event["type"] == "ERROR":
                    self._versions[path] = ""
                    raise NoAnswer(changed.get("code", 0), str(changed.get("message", "")))
                view = job_view(changed) if event["type"] != "BOOKMARK" else None
                if view is not None:
                    self._deliver(JobSeen(view=view, gone=event["type"] == "DELETED"))
                self._versions[path] = changed["metadata"]["resourceVersion"]
        self._versions[path] = self._versions[path] or since
