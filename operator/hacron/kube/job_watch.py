"""The watch on our Jobs: a list, then every change after it, for ever; of all namespaces, or of each of some.

A watch that was cut, or not let begin, goes on where it ended; when the API server no longer knows what has changed since then,
everything is listed again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Final

import msgspec

from hacron.core.manifests import LABEL, job_view
from hacron.kube.http import ApiServer
from hacron.kube.listing import list_each, scopes
from hacron.kube.reply import NoAnswer, NotNow, Refused
from hacron.ports import JobSeen, JobsListed

log = logging.getLogger(__name__)

QUERY: Final = f"jobs?labelSelector={LABEL}%3Dtrue"
WATCH_S: Final = 300  # after it the server ends the watch, and it is begun again where it ended
LOOK_AGAIN_S: Final = 20  # the same while a namespace is left out: then all is listed anew
QUIET_S: Final = 90.0  # the server sends a bookmark every minute; a watch without one is cut
DEAF_S = 3 * 90.0  # nothing was heard by several watches, and no list came through
FIRST_PAUSE_S, LAST_PAUSE_S = 0.5, 10.0
ALL_NAMESPACES: Final = scopes(())


class JobWatch:
    """The watch on all Jobs with our label, until its task is cancelled. `scopes` are as `listing.scopes` has them."""

    def __init__(
        self, api: ApiServer, deliver: Callable[[JobSeen | JobsListed], None], scopes: Mapping[str, str] = ALL_NAMESPACES
    ) -> None:
        self._api = api
        self._deliver = deliver
        self._heard_at = time.monotonic()
        self._paths = {namespace: f"/apis/batch/v1/{scope}{QUERY}" for namespace, scope in scopes.items()}
        # Up to where all changes were delivered, by namespace; "": everything is to be listed.
        self._versions = dict.fromkeys(self._paths, "")
        self._left_out: dict[str, str] = {}  # namespaces in which we may list nothing

    @property
    def hears(self) -> bool:
        """Whether something came lately: a list, or anything of a watch; a good API server says something every minute."""
        return time.monotonic() - self._heard_at < DEAF_S

    async def follow(self) -> None:
        """Deliver JobsListed, then a JobSeen for every change, for ever."""
        pause_s = FIRST_PAUSE_S
        while True:
            began, asked_to_wait_s = time.monotonic(), 0.0
            try:
                if not all(self._versions.values()):
                    await self._list()
                await self._watch_all()
            except Exception as error:  # noqa: BLE001  whatever has ended it, it begins again
                level = logging.INFO if pause_s == FIRST_PAUSE_S else logging.DEBUG  # that it goes on failing is no news
                log.log(level, "the watch on Jobs begins again", extra={"why": f"{type(error).__name__}: {error}"[:200]})
                asked_to_wait_s = error.retry_after_s if isinstance(error, NotNow | Refused) else 0.0
            if time.monotonic() - began > LAST_PAUSE_S:
                pause_s = FIRST_PAUSE_S
            await asyncio.sleep(max(pause_s, asked_to_wait_s))
            pause_s = min(LAST_PAUSE_S, pause_s * 2)
            if not self._api.reachable:  # the watch is back as soon as the API server is
                await self._api.until_reachable()
                pause_s = FIRST_PAUSE_S

    async def _list(self) -> None:
        found = await list_each(self._api, self._paths, job_view)
        views = tuple(view for view in found.items if view is not None)
        self._deliver(JobsListed(views=views, left_out=frozenset(found.left_out)))
        self._heard_at = time.monotonic()
        self._versions = dict.fromkeys(self._paths, "") | found.versions
        if found.left_out != self._left_out:
            self._left_out = found.left_out
            for namespace, why in found.left_out.items():
                log.warning("nothing is heard of Jobs in a namespace", extra={"namespace": namespace, "why": why[:200]})

    async def _watch_all(self) -> None:
        """Watch every namespace until one of the watches ends. The others begin again with it, where they are."""
        watches = [asyncio.ensure_future(self._watch(namespace)) for namespace, since in self._versions.items() if since]
        try:
            ended, _ = await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for watch in watches:
                watch.cancel()
            await asyncio.gather(*watches, return_exceptions=True)
        for watch in ended:
            watch.result()

    async def _watch(self, namespace: str) -> None:
        """Deliver changes until the server ends the watch.

        Whatever ends it otherwise, all is listed again unless something was heard from this very watch: a server that was
        set back waits for changes after a version that is still to come. Not so when it was not let begin, or made way for
        another that has ended.
        """
        since, self._versions[namespace] = self._versions[namespace], ""
        try:
            await self._hear(namespace, since)
        except (NotNow, asyncio.CancelledError):
            self._versions[namespace] = self._versions[namespace] or (since if self.hears else "")
            raise
        self._versions[namespace] = self._versions[namespace] or since

    async def _hear(self, namespace: str, since: str) -> None:
        watch_s = LOOK_AGAIN_S if self._left_out else WATCH_S
        query = f"&watch=true&allowWatchBookmarks=true&timeoutSeconds={watch_s}&resourceVersion={since}"
        async with aclosing(self._api.lines(self._paths[namespace] + query, QUIET_S)) as lines:
            async for line in lines:
                event = msgspec.json.decode(line)
                changed = event["object"]
                self._heard_at = time.monotonic()
                if event["type"] == "ERROR":
                    self._versions[namespace] = ""
                    raise NoAnswer(changed.get("code", 0), str(changed.get("message", "")))
                view = job_view(changed) if event["type"] != "BOOKMARK" else None
                if view is not None:
                    self._deliver(JobSeen(view=view, gone=event["type"] == "DELETED"))
                self._versions[namespace] = changed["metadata"]["resourceVersion"]
