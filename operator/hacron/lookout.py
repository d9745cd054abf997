"""What may be wrong around a replica, told in the log when it begins and when it is over: clocks, time zones, the API server, the
size of the ledger.

An executor proves itself every second, with its clock and the version of its time zones. Clocks that differ make runs late or,
under AtLeastOnce, run twice; time zones that differ make another executor fire at another time. A ledger that outgrows its
retention loses records that still matter.
"""

from __future__ import annotations

import logging
from collections import deque
from datetime import datetime
from typing import Final

from hacron.core.messages import Proof
from hacron.telemetry.logs import Alarm

log = logging.getLogger(__name__)

PROOFS: Final = 5
ROOM: Final = 3  # the retention should be so many times what matters: only whole segments are dropped, and rewriting takes time


class Lookout:
    """Watches what one replica sees of the others, of its cluster and of the ledger."""

    def __init__(self, *, tzdata: str, skew_margin_s: float, ledger_max_bytes: int) -> None:
        self._tzdata = tzdata
        self._skew_margin_s = skew_margin_s
        self._ledger_max_bytes = ledger_max_bytes
        self._executor = ""
        self._ahead_s: deque[float] = deque(maxlen=PROOFS)
        self._clocks = Alarm(log, "clocks differ: this replica's and the executor's", "clocks agree again")
        self._zones = Alarm(log, "time zone data differs: this replica's and the executor's", "time zone data is the same again")
        self._api = Alarm(log, "the API server cannot be worked with", "the API server can be worked with again")
        self._forgotten = Alarm(
            log,
            "another cluster names this one in HACRON_FORGOTTEN_CLUSTERS: nothing that is declared here counts, and no run comes",
            "no other cluster says any more that this one is to be forgotten",
        )
        self._ledger = Alarm(log, "the ledger comes near its retention", "the ledger is well below its retention again")

    def see_proof(self, proof: Proof, now: datetime) -> float | None:
        """Return by how many seconds this replica's clock is ahead of the executor's; None: too early to say.

        `now` is when the proof was read. The way takes time, sometimes long, so the least of the last differences is the truest.
        """
        if proof.replica != self._executor:
            self._executor = proof.replica
            self._ahead_s.clear()
        self._ahead_s.append((now - proof.at).total_seconds())
        self._zones.look(proof.tzdata not in ("", self._tzdata), executor=proof.replica, its=proof.tzdata, ours=self._tzdata)
        if len(self._ahead_s) < PROOFS:
            return None
        ahead_s = min(self._ahead_s)
        self._clocks.look(abs(ahead_s) > self._skew_margin_s, executor=proof.replica, ahead_s=round(ahead_s, 3))
        return ahead_s

    def see_api(self, reachable: bool, trouble: str) -> None:
        """Note whether this cluster's API server can be worked with, and why not."""
        self._api.look(not reachable, **({"why": trouble} if trouble else {}))

    def see_forgotten(self, is_named: bool) -> None:
        """Note whether another cluster says that this one is to be forgotten."""
        self._forgotten.look(is_named)

    def see_ledger(self, span_bytes: int) -> None:
        """Note how much of the ledger still matters."""
        crowded = span_bytes * ROOM > self._ledger_max_bytes
        self._ledger.look(crowded, span_bytes=span_bytes, retention_bytes=self._ledger_max_bytes)
