"""A naive holder of a token: what many would write first, and what the fence is measured against.

It waits for the one message of a durable queue, and while it holds it, it makes a Job for each tick in its own cluster. It is no
fool: a quorum queue with a single active consumer, Jobs with names made of the tick, pika's defaults (a heartbeat of 60 s). But
it trusts the token alone: no log, no epochs, no proof, nothing decided ahead.

    python -m tests.chaos.naive NAME CLUSTER KUBECONFIG QUEUE EVERY_S COUNT URL...
"""

from __future__ import annotations

import json
import random
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pika

LABEL = "naive.test/managed"
QUEUE_ARGUMENTS = {"x-queue-type": "quorum", "x-single-active-consumer": True, "x-delivery-limit": 1_000_000}
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def say(event: str) -> None:
    print(json.dumps({"at": datetime.now(UTC).isoformat(), "event": event}), flush=True)


class Naive:
    """One replica. `fire` and `hold` are all there is to it."""

    def __init__(self, name: str, kubeconfig: Path, queue: str, every_s: int, count: int) -> None:
        config = json.loads(kubeconfig.read_text())
        self.server = config["clusters"][0]["cluster"]["server"]
        self.token = config["users"][0]["user"]["token"]
        self.name, self.queue, self.every_s, self.count = name, queue, every_s, count
        self.holds = False
        self.fired = LONG_AGO

    def next_tick(self) -> datetime:
        seconds = datetime.now(UTC).timestamp() // self.every_s * self.every_s + self.every_s
        return datetime.fromtimestamp(seconds, UTC)

    def hold(self, url: str) -> None:
        """Compete for the token; fire while it is ours; return when the connection ends."""
        parameters = pika.URLParameters(url)
        parameters.blocked_connection_timeout = parameters.socket_timeout = parameters.stack_timeout = 3
        with pika.BlockingConnection(parameters) as connection:
            channel = connection.channel()
            channel.queue_declare(self.queue, durable=True, arguments=QUEUE_ARGUMENTS)
            channel.basic_qos(prefetch_count=1)
            channel.basic_consume(self.queue, self._take)
            tick = self.next_tick()
            while channel.is_open and channel.consumer_tags:
                left = (tick - datetime.now(UTC)).total_seconds()
                connection.process_data_events(time_limit=max(0.0, left))
                if datetime.now(UTC) >= tick:
                    if self.holds:
                        self.fire(tick)
                    tick += timedelta(seconds=self.every_s)

    def _take(self, *_: Any) -> None:
        self.holds = True
        say("holds")

    def fire(self, tick: datetime) -> None:
        for number in range(self.count):
            try:
                self._create(f"naive-{number}", tick)
            except urllib.error.HTTPError as error:
                if error.code != 409:
                    say(f"refused {error.code}")
            except OSError as error:
                say(f"unreachable {error}")

    def _create(self, cronjob: str, tick: datetime) -> None:
        pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "none"}]}
        annotations = {"hacron.io/tick": tick.isoformat(), "hacron.io/attempt": "1", "hacron.io/fencing-token": "0"}
        body = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": f"{cronjob}-{int(tick.timestamp())}",
                "labels": {LABEL: "true", "hacron.io/cronjob": cronjob},
                "annotations": annotations,
            },
            "spec": {"suspend": True, "template": {"spec": pod}},  # only that it was made is judged
        }
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        address = f"{self.server}/apis/batch/v1/namespaces/default/jobs"
        request = urllib.request.Request(address, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()


def main() -> None:
    name, _, kubeconfig, queue, every_s, count, *urls = sys.argv[1:]
    naive = Naive(name, Path(kubeconfig), queue, int(every_s), int(count))
    while True:
        try:
            naive.hold(random.choice(urls))
        except (pika.exceptions.AMQPError, OSError, AssertionError) as error:
            say(f"lost {type(error).__name__}")
        naive.holds = False
        time.sleep(random.uniform(0.2, 1.0))


if __name__ == "__main__":
    main()
