"""Networks of the testbed's own: parts that run in network namespaces on one bridge, and the ways between them, to be cut.

Nothing of the machine's own network is touched. Needs root with the right to make namespaces, `ip` and `nft`; where one of them
is missing, it is named (`Missing`). Everything is removed by `close`, and by the testbed's watchdog when nobody calls it.
"""

from __future__ import annotations

import ipaddress
import json
import random
import secrets
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.testbed import tools
from tests.testbed.process import run_at_exit

_BENCHMARKS = ipaddress.ip_network("198.18.0.0/15")  # set aside for tests of networks: nobody's real address
_RULES = """
table inet cut {
  set from { type ipv4_addr; }
  chain input { type filter hook input priority 0; ip saddr @from drop; }
}
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process runs: a network namespace with an address; without a name the machine itself."""

    namespace: str
    address: str

    def command(self, words: Sequence[str | Path]) -> list[str | Path]:
        """Return the command that runs `words` there, as the same process."""
        return ["ip", "netns", "exec", self.namespace, *words] if self.namespace else [*words]


HERE = Place("", "127.0.0.1")


class Network:
    """A bridge with as many places as are asked for; `host` is this machine's own address on it."""

    def __init__(self) -> None:
        self.name = f"hacr{secrets.token_hex(3)}"  # an interface's name has at most 15 characters
        tools.network()
        subnet = _unused_subnet()
        self._free = (str(address) for address in subnet.hosts())
        self._length = subnet.prefixlen
        self.host = Place("", next(self._free))
        self._places: list[Place] = []

    def start(self) -> None:
        """Make the bridge."""
        run_at_exit("ip", "link", "delete", self.name)
        _run("ip", "link", "add", self.name, "type", "bridge")
        _run("ip", "address", "add", f"{self.host.address}/{self._length}", "dev", self.name)
        _run("ip", "link", "set", self.name, "up")

    def place(self) -> Place:
        """Make a namespace that reaches all others, and this machine."""
        number = len(self._places)
        place = Place(f"{self.name}-{number}", next(self._free))
        outside = f"{self.name}.{number}"
        run_at_exit("ip", "netns", "delete", place.namespace)
        _run("ip", "netns", "add", place.namespace)
        self._places.append(place)
        _run("ip", "link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", place.namespace)
        _run("ip", "link", "set", outside, "master", self.name, "up")
        inside = ("ip", "-netns", place.namespace)
        _run(*inside, "address", "add", f"{place.address}/{self._length}", "dev", "eth0")
        _run(*inside, "link", "set", "lo", "up")
        _run(*inside, "link", "set", "eth0", "up")
        _run(*place.command(["nft", "-f", "-"]), input=_RULES)
        return place

    def cut(self, source: Place, target: Place, *, both: bool = True) -> None:
        """Drop whatever `source` sends to `target`, and the other way round too if `both`. Nobody is told."""
        _drop("add", target, source)
        if both:
            _drop("add", source, target)

    def heal(self) -> None:
        """Let everything through again."""
        for place in self._places:
            _run(*place.command(["nft", "flush", "set", "inet", "cut", "from"]))

    def close(self) -> None:
        """Remove all of it."""
        for place in self._places:
            _run("ip", "netns", "delete", place.namespace, check=False)
        self._places.clear()
        _run("ip", "link", "delete", self.name, check=False)


def _drop(verb: str, at: Place, source: Place) -> None:
    if at.namespace:  # the machine itself has no rules of ours: cut the other end
        _run(*at.command(["nft", verb, "element", "inet", "cut", "from", f"{{ {source.address} }}"]))


def _unused_subnet() -> ipaddress.IPv4Network:
    shown = json.loads(_run("ip", "-json", "address"))
    taken = [ipaddress.ip_address(each["local"]) for link in shown for each in link["addr_info"] if each["family"] == "inet"]
    subnets = [subnet for subnet in _BENCHMARKS.subnets(new_prefix=24) if not any(address in subnet for address in taken)]
    return ipaddress.IPv4Network(random.choice(subnets))


def _run(*command: str | Path, input: str | None = None, check: bool = True) -> str:
    done = subprocess.run(command, input=input, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout
