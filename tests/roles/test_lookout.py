"""What the log says about clocks, time zones and a ledger that do not fit: once when it begins, once when it is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hacron.core.messages import Proof
from hacron.lookout import PROOFS, Lookout

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
MIB = 2**20


def lookout() -> Lookout:
    return Lookout(tzdata="2026f", skew_margin_s=2.0, ledger_max_bytes=1024 * MIB)


def hear(lookout: Lookout, *took_s: float, replica: str = "r1", tzdata: str = "2026f") -> float | None:
    """Let proofs be read so many seconds after they were written, by the clocks of reader and writer."""
    ahead_s = None
    for seconds in took_s:
        ahead_s = lookout.see_proof(Proof(replica=replica, at=NOON, tzdata=tzdata), NOON + timedelta(seconds=seconds))
    return ahead_s


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO", "hacron.lookout")
    return caplog


def test_a_proof_that_was_long_on_its_way_says_nothing_about_clocks(said: pytest.LogCaptureFixture) -> None:
    assert hear(lookout(), 9.0, 8.0, 0.002, 7.0, 6.0) == pytest.approx(0.002)
    assert said.messages == []


def test_a_few_proofs_are_too_few_to_tell() -> None:
    assert hear(lookout(), *[3.0] * (PROOFS - 1)) is None


def test_clocks_that_differ_by_more_than_the_margin_are_told_once_and_when_they_agree_again(
    said: pytest.LogCaptureFixture,
) -> None:
    watch = lookout()
    assert hear(watch, *[-2.5] * (PROOFS + 3)) == -2.5
    assert said.messages == ["clocks differ: this replica's and the executor's"]
    assert vars(said.records[0])["ahead_s"] == -2.5
    hear(watch, *[0.1] * PROOFS)
    assert said.messages[1:] == ["clocks agree again"]


def test_another_executor_has_another_clock(said: pytest.LogCaptureFixture) -> None:
    watch = lookout()
    hear(watch, *[-2.5] * PROOFS)
    assert hear(watch, 0.1, replica="r2") is None
    assert said.messages == ["clocks differ: this replica's and the executor's"]


def test_other_time_zones_are_told_with_both_versions(said: pytest.LogCaptureFixture) -> None:
    watch = lookout()
    hear(watch, 0.0, 0.0, tzdata="2025b")
    assert said.messages == ["time zone data differs: this replica's and the executor's"]
    assert (vars(said.records[0])["its"], vars(said.records[0])["ours"]) == ("2025b", "2026f")
    hear(watch, 0.0, replica="r2")
    assert said.messages[1:] == ["time zone data is the same again"]


def test_a_proof_of_an_older_version_says_nothing_about_time_zones(said: pytest.LogCaptureFixture) -> None:
    hear(lookout(), 0.0, tzdata="")
    assert said.messages == []


def test_an_api_server_that_cannot_be_worked_with_is_told_and_why(said: pytest.LogCaptureFixture) -> None:
    watch = lookout()
    for reachable in (True, False, False, True, True):
        watch.see_api(reachable, "" if reachable else "status 403: we may nothing")
    assert [(record.levelname, record.message) for record in said.records] == [
        ("WARNING", "the API server cannot be worked with"),
        ("INFO", "the API server can be worked with again"),
    ]
    assert vars(said.records[0])["why"] == "status 403: we may nothing"


def test_a_ledger_that_comes_near_its_retention_is_told(said: pytest.LogCaptureFixture) -> None:
    watch = lookout()
    watch.see_ledger(300 * MIB)
    assert said.messages == []
    watch.see_ledger(350 * MIB)
    watch.see_ledger(360 * MIB)
    assert said.messages == ["the ledger comes near its retention"]
    watch.see_ledger(100 * MIB)
    assert said.messages[1:] == ["the ledger is well below its retention again"]


def test_a_cluster_that_others_want_forgotten_is_told_there(said: pytest.LogCaptureFixture) -> None:
    watch = lookout()
    for is_named in (False, True, True, False):
        watch.see_forgotten(is_named)
    assert ["HACRON_FORGOTTEN_CLUSTERS" in said.messages[0], *(record.levelname for record in said.records)] == [
        True,
        "WARNING",
        "INFO",
    ]
