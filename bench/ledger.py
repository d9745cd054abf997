"""What an old and a large ledger costs: how much of it matters, how long a replica reads at its start, how long a takeover takes.

    python -m bench.ledger [--cronjobs N] [--days N] [--schedule "H * * * *"] [--retention-mib N]

One RabbitMQ and the real executor; the clock is moved by hand in steps of ten seconds, and runs are reported as ended one step
after their tick. The executor is dropped at the end while a standby has State in hand; both live in this one process.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from bench.figures import Report
from hacron.broker.session import Access
from hacron.engine import lease_of
from hacron.executor import PREPARED_PER_TURN
from hacron.settings.fields import Settings
from tests.testbed.ageing import Elder
from tests.testbed.broker import Broker
from tests.testbed.cronjobs import manifest

MIB = 2**20


def main() -> None:
    """Age one ledger and tell."""
    parser = argparse.ArgumentParser(prog="python -m bench.ledger", description=__doc__.splitlines()[0])
    parser.add_argument("--cronjobs", type=int, default=10_000)
    parser.add_argument("--days", type=float, default=1.0)
    parser.add_argument("--schedule", default="H H * * *", help="with H, a slot for each")
    parser.add_argument("--retention-mib", type=int, default=1024)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hacron-bench-") as directory:
        broker = Broker(Path(directory) / "broker")
        broker.start()
        try:
            _age(broker, options)
        finally:
            broker.close()


def _age(broker: Broker, options: argparse.Namespace) -> None:
    retention = options.retention_mib * MIB
    lease = lease_of(Settings(cluster="west", broker_url=broker.url, ledger_max_bytes=retention))

    def access(replica: str) -> Access:
        segment = min(16 * MIB, retention // 8)
        names = {"prefix": "hacron", "cluster": "west", "replica": replica}
        return Access(urls=[broker.url], ledger_max_bytes=retention, ledger_segment_bytes=segment, **names)

    spec = json.loads(manifest("any"))["spec"]
    del spec["schedule"]
    began = time.monotonic()
    elder = Elder(access("r1"), lease=lease)
    elder.declare(options.cronjobs, spec | {"hashedSchedule": options.schedule})
    declared_s = time.monotonic() - began
    spans, reads = [], elder.state.bytes_read
    for _ in range(max(1, int(options.days * 24))):
        elder.live(3600)
        spans.append(elder.state.span_bytes)
    heir = Elder(access("r2"), elder.now, lease)
    heir.until(lambda: heir.state.position >= elder.state.position)
    heir.until(lambda: heir.scheduler.prepare(PREPARED_PER_TURN))
    dropped = time.monotonic()
    elder.broker.connection.drop()
    heir.until(lambda: heir.executor.decides)
    took_ms = (time.monotonic() - dropped) * 1000
    written = elder.state.bytes_read - reads
    Report().add(
        f"{options.cronjobs} cronjobs, {options.days:g} days of {options.schedule}, retention {options.retention_mib} MiB",
        [
            ("declaring them all", f"{declared_s:.0f} s"),
            ("runs", str(sum(elder.executor.tally.verdicts.values()))),
            ("ageing", f"{dropped - began - declared_s:.0f} s"),
            ("written since", f"{written / MIB:.0f} MiB in {elder.state.position} messages in all"),
            ("still matters: at most, at the end", f"{max(spans) / MIB:.0f} MiB, {spans[-1] / MIB:.0f} MiB"),
            ("records that matter", str(elder.state.live)),
            ("lost records", "some" if heir.broker.ledger.truncated else "none"),
            ("start: connected and read to the end", f"{heir.opened_in_s:.1f} s"),
            ("takeover by a standby, until it decides", f"{took_ms:.0f} ms"),
        ],
    )
    heir.broker.connection.drop()


if __name__ == "__main__":
    main()
