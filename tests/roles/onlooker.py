"""A night in two clusters over fakes, and the page of one replica over it, served by the real HTTP server."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from hacron.page.serving import Page
from hacron.page.view import Viewfinder
from hacron.telemetry.health import Health
from hacron.telemetry.metrics import Metrics
from hacron.telemetry.server import HttpServer
from tests.scenarios.script import Script

MARKUP = '<img src="x" onerror="document.title=1"><script>document.title=2</script>'


def a_night() -> Script:
    """Half an hour past noon: cronjobs of every kind, one of them with markup wherever somebody may write."""
    script = Script()
    for command in (
        "replicas west-1 west-2 east-1",
        *(f"accept {cluster} {namespace} west,east" for cluster in ("west", "east") for namespace in ("shop", "data", "ops")),
        "at 12:00:05",
        'apply west shop/invoices schedule="*/5 * * * *" runs=40 zone=Europe/Berlin clusters=west,east',
        'apply east shop/invoices schedule="*/5 * * * *" runs=40 zone=Europe/Berlin clusters=west,east',
        'apply west shop/mails schedule="*/2 * * * *" runs=5',
        'apply east shop/search-index schedule="1-59/10 * * * *" runs=400 policy=Forbid',
        'apply east data/warehouse-load schedule="*/10 * * * *" runs=30 fails=true',
        'apply west data/nightly-report schedule="0 2 * * *" runs=60',
        'apply west data/exports schedule="*/7 * * * *" runs=500 policy=Forbid',
        'apply west ops/backup schedule="15 * * * *" clusters=north',
        'apply east ops/certificates schedule="*/15 * * * *" runs=4 suspend=true',
        f"apply west ops/odd schedule='{MARKUP[:60]}'",
        'apply east ops/rotate schedule="*/5 * * * *" runs=3',
        f"annotate east ops/rotate pause='{MARKUP}' pause-by='{MARKUP[:60]}'",
        'apply west ops/sweep schedule="*/6 * * * *" runs=3 restart=Always',
        "at 12:17:00",
        "demand west shop/again mails",
        "at 12:31:10",
    ):
        script.run(command)
    return script


class Onlooker:
    """Looks at the page of west-1, over HTTP. Close it."""

    def __init__(self, script: Script) -> None:
        process = script.world.processes["west-1"]
        self.finder = Viewfinder(lambda: process.moment().mono)
        self.health = Health(ready=True, turned_at=0.0)
        self._one_at_a_time = threading.Lock()  # in a replica, one thread does what is done under it
        self._script, self._process = script, process
        self.finder.wake = self._turn  # the engine over fakes has no thread: whoever wakes it turns it
        self.server = HttpServer(Metrics(replica="west-1", cluster="west", tzdata=""), "127.0.0.1", 0)
        self.page = Page(process.settings, self.finder, lambda: self.health, lambda: process.moment().wall)
        self.server.page = self.page.respond
        self._turn()
        self.server.start()

    def close(self) -> None:
        self.server.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}/page/"

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, Mapping[str, str], str]:
        """Return status, headers and body of the answer to a request for /page/<path>."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        try:
            connection.request(
                method, f"/page/{path}", headers={name.replace("_", "-"): value for name, value in headers.items()}
            )
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode()
        finally:
            connection.close()

    def told(self, path: str, **fields: object) -> dict[str, Any]:
        """Return the JSON at /page/<path>.json."""
        status, _, body = self.ask(f"{path}.json?{urlencode(fields)}")
        assert status == 200, body
        told: dict[str, Any] = json.loads(body)
        return told

    def let_pass(self, time: str) -> None:
        """Let time pass until then."""
        self.do(f"at {time}")

    def do(self, command: str) -> None:
        """Do what the language of the stories calls so."""
        with self._one_at_a_time:
            self._script.run(command)

    def keys(self, **fields: object) -> list[str]:
        return [cronjob["key"] for cronjob in self.told("cronjobs", **fields)["cronjobs"]]

    def _turn(self) -> None:
        with self._one_at_a_time:
            session = self._process.session
            if session is None:
                self.finder.lost()
            else:
                self.finder.turned(session, self._process.moment())
