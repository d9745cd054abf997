"""Naive holders of a token as processes, beside the replicas that they are compared with."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pika

from tests.chaos.naive import QUEUE_ARGUMENTS
from tests.testbed.network import Place
from tests.testbed.process import Process
from tests.testbed.wait import until

EVERY_S, COUNT = 4, 8


class NaiveReplica:
    """One of them."""

    def __init__(self, name: str, cluster: str, place: Place, kubeconfig: Path, queue: str, url: str, log: Path) -> None:
        self.name, self.cluster, self.place = name, cluster, place
        words = [sys.executable, "-m", "tests.chaos.naive", name, cluster, str(kubeconfig), queue]
        words += [str(EVERY_S), str(COUNT), *url.split(",")]
        self._process = Process(f"naive {name}", place.command(words), log=log, env={"PYTHONUNBUFFERED": "1"})
        self.start, self.kill = self._process.start, self._process.kill
        self.freeze, self.thaw = self._process.freeze, self._process.thaw
        self.terminate = self._process.terminate

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.alive

    def held_since(self) -> datetime | None:
        """Return since when it holds the token, as far as it has said; None when it has lost it since."""
        since = None
        for said in self.said():
            if said["event"] == "holds":
                since = datetime.fromisoformat(said["at"])
            elif said["event"].startswith("lost"):
                since = None
        return since

    def said(self) -> list[dict[str, Any]]:
        """Return all that it has said."""
        log = self._process.log
        lines = log.read_text(errors="replace").split("\n")[:-1] if log.exists() else []
        return [json.loads(line) for line in lines if line.startswith('{"at"')]


class NaiveFleet:
    """As many naive holders as there are places."""

    def __init__(self, directory: Path, *, broker_url: str, kubeconfigs: Mapping[str, Path], places: Mapping[str, Place]) -> None:
        self.queue = "naive.token"
        self._url = broker_url
        self.replicas = []
        for name, place in places.items():
            cluster = name.rpartition("-")[0]
            log = directory / f"naive-{name}.log"
            self.replicas.append(NaiveReplica(name, cluster, place, kubeconfigs[cluster], self.queue, broker_url, log))

    def start(self) -> None:
        """Put the one token into its queue, and start all of them."""
        self.put_token()
        for replica in self.replicas:
            replica.start()
        until(self.holder, 60, "a naive holder")

    def put_token(self) -> None:
        """What a person does who finds the token gone: nobody else puts it back."""
        with pika.BlockingConnection([pika.URLParameters(url) for url in self._url.split(",")]) as connection:
            channel = connection.channel()
            channel.queue_declare(self.queue, durable=True, arguments=QUEUE_ARGUMENTS)
            channel.confirm_delivery()
            channel.basic_publish("", self.queue, b"token", pika.BasicProperties(delivery_mode=2), mandatory=True)

    def stop(self) -> None:
        """Kill all of them."""
        for replica in self.replicas:
            replica.thaw()
            replica.kill()

    def holder(self) -> NaiveReplica | None:
        """Return who took the token last and has not said to have lost it."""
        holding = [
            (since, replica.name, replica) for replica in self.replicas if replica.alive and (since := replica.held_since())
        ]
        return max(holding)[2] if holding else None
