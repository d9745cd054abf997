"""A ledger that is older and larger than its retention: what matters is still there, and what will not fit is told in time."""

from __future__ import annotations

import json
import logging

import pytest

from hacron.engine import lease_of
from hacron.executor import Lease
from hacron.lookout import Lookout
from hacron.settings.fields import Settings
from tests.broker.test_contract import small_ledger
from tests.broker.worlds import SMALL_LEDGER, RealWorld
from tests.testbed.ageing import Elder
from tests.testbed.cronjobs import manifest

pytestmark = pytest.mark.broker

LEASE = lease_of(Settings(cluster="west", broker_url="amqp://broker", ledger_max_bytes=SMALL_LEDGER))
SPEC = json.loads(manifest("any", "*/5 * * * *", padding="x" * 1000))["spec"]


@small_ledger
def test_hours_of_writing_go_through_a_retention_of_minutes_and_nothing_that_matters_is_lost(real: RealWorld) -> None:
    elder = Elder(real.access(direct=True), lease=LEASE)
    elder.declare(100, SPEC)
    elder.live(6 * 3600)
    assert real.first_offset("ledger") > 0, elder.state.bytes_read
    heir = Elder(real.access("r2", direct=True), elder.now, LEASE)
    assert not heir.broker.ledger.truncated
    assert heir.state.definitions == elder.state.definitions
    assert heir.state.progress == elder.state.progress
    assert elder.executor.tally.verdicts == {("Succeeded", ""): 100 * (72 - 1)}  # the last has only begun
    for each in (elder, heir):
        each.broker.connection.drop()


def test_what_matters_is_not_written_again_for_its_size_alone(real: RealWorld) -> None:
    elder = Elder(real.access(direct=True), lease=Lease(rewrite_after_bytes=20_000))
    elder.declare(100, SPEC | {"schedule": "0 0 * * *"})
    assert elder.state.live_bytes > 20_000
    elder.live(1800)
    assert elder.executor.tally.records["Definition"] == 100
    elder.live(4 * 3600)
    assert elder.executor.tally.records["Definition"] > 100  # what was written meanwhile is more than that
    assert elder.state.span_bytes < 3 * elder.state.live_bytes
    elder.broker.connection.drop()


@small_ledger
def test_a_ledger_that_outgrows_its_retention_is_told_while_everything_is_still_there(
    real: RealWorld, caplog: pytest.LogCaptureFixture
) -> None:
    lookout = Lookout(tzdata="", skew_margin_s=2, ledger_max_bytes=SMALL_LEDGER)
    elder = Elder(real.access(direct=True), lease=LEASE)
    told_at = lost_at = 0
    for batch in range(1, 40):
        elder.declare(50, SPEC, f"batch-{batch}")
        elder.live(600)
        with caplog.at_level(logging.WARNING, "hacron.lookout"):
            lookout.see_ledger(elder.state.span_bytes)
        heir = Elder(real.access("r2", direct=True), elder.now, LEASE)
        lost = heir.broker.ledger.truncated or heir.state.progress != elder.state.progress
        heir.broker.connection.drop()
        if any("comes near its retention" in record.message for record in caplog.records):
            told_at = told_at or batch
        if lost:
            lost_at = batch
            break
    elder.broker.connection.drop()
    assert told_at
    assert lost_at > told_at
