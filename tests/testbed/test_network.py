"""The testbed's own networks: who reaches whom, and what is left behind."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.testbed.network import Network, Place
from tests.testbed.process import Process
from tests.testbed.wait import until

pytestmark = pytest.mark.e2e

# Takes UDP and writes down who has sent something; TCP would not tell one direction from the other.
LISTENS = """
import socket, sys
with socket.socket(type=socket.SOCK_DGRAM) as ears:
    ears.bind((sys.argv[1], 9999))
    while True:
        word, (address, _) = ears.recvfrom(100)
        print(f"heard {word.decode()} from {address}", flush=True)
"""
SPEAKS = """
import socket, sys
with socket.socket(type=socket.SOCK_DGRAM) as mouth:
    mouth.sendto(sys.argv[2].encode(), (sys.argv[1], 9999))
"""


class Listener:
    """Somebody at a place who notes whom they hear."""

    def __init__(self, place: Place, folder: Path) -> None:
        self.place = place
        command = place.command([sys.executable, "-c", LISTENS, place.address])
        self.process = Process(f"listener at {place.address}", command, log=folder / place.address)
        self.process.start()

    def hears(self, other: Place, timeout: float = 10) -> bool:
        """Have `other` speak until it is heard."""
        word = uuid.uuid4().hex  # what was said before this call may come late

        def heard() -> bool:
            subprocess.run(other.command([sys.executable, "-c", SPEAKS, self.place.address, word]), check=True)
            return f"heard {word} from {other.address}" in self.process.tail(1000).split("\n")

        try:
            return until(heard, timeout, "a word")
        except TimeoutError:
            return False


def links() -> str:
    return subprocess.run(["ip", "-oneline", "link"], capture_output=True, text=True, check=True).stdout


def test_ways_are_cut_in_one_direction_or_both_and_healed(network: Network, tmp_path: Path) -> None:
    west, east = (Listener(network.place(), tmp_path) for _ in range(2))
    try:
        assert west.hears(east.place)
        assert east.hears(west.place)
        assert west.hears(network.host)

        network.cut(west.place, east.place, both=False)
        assert not east.hears(west.place, timeout=1)
        assert west.hears(east.place)

        network.cut(west.place, east.place)
        assert not west.hears(east.place, timeout=1)
        assert west.hears(network.host)

        network.heal()
        assert west.hears(east.place)
        assert east.hears(west.place)
    finally:
        west.process.kill()
        east.process.kill()


def test_nothing_of_a_network_is_left(network: Network) -> None:
    place = network.place()
    assert network.name in links()
    network.close()
    until(lambda: network.name not in links(), 60, "the end of the bridge")
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert place.namespace not in listed
