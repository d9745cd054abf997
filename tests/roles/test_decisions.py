"""The log tells each decision once, at the level that it deserves."""

from __future__ import annotations

import logging

import pytest

from tests.scenarios.script import Script


def night(caplog: pytest.LogCaptureFixture, *lines: str) -> list[str]:
    """Return what the logs of all replicas say of ticks at INFO and above: level, text, verdict and why."""
    script = Script()
    caplog.set_level(logging.DEBUG, logger="hacron")
    for line in lines:
        script.run(line)
    told = [record for record in caplog.records if record.levelno >= logging.INFO and hasattr(record, "cronjob")]
    return [f"{record.levelname} {record.getMessage()} {getattr(record, 'verdict', '')}".rstrip() for record in told]


def test_a_template_that_is_refused_is_one_warning_for_each_tick_and_one_for_the_template(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = night(
        caplog,
        "replicas west-1 west-2",
        "at 12:00:05",
        'apply west broken schedule="* * * * *" restart=Always',
        "at 12:02:30",
    )
    assert told == [
        "INFO cronjob declared",
        "WARNING template refused",
        "INFO run decided",
        "WARNING verdict Refused",
        "INFO run decided",
        "WARNING verdict Refused",
    ]
    refused = [record for record in caplog.records if getattr(record, "verdict", "") == "Refused"]
    assert all('Unsupported value: "Always"' in record.why and record.cluster == "west" for record in refused)  # type: ignore[attr-defined]


def test_where_another_cluster_takes_it_the_log_says_why_the_first_did_not(caplog: pytest.LogCaptureFixture) -> None:
    told = night(
        caplog,
        "replicas west-1 east-1",
        "at 12:00:05",
        'apply west mine schedule="* * * * *" clusters=east,west runs=5',
        "at 12:01:30",
    )
    assert told == [
        "INFO cronjob declared",
        "INFO run decided",
        "INFO run decided",
        "INFO Job made",
        "INFO verdict Succeeded",
    ]
    why = [record.why for record in caplog.records if hasattr(record, "attempt") and record.attempt == 2]  # type: ignore[attr-defined]
    assert len(why) == 1
    assert why[0].startswith("east had refused it (NotAccepted: ")


def test_a_run_that_is_lost_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    told = night(
        caplog,
        "replicas west-1 east-1",
        "at 12:00:05",
        'apply west mine schedule="* * * * *" clusters=east runs=5',
        "accept east default west",
        "at 12:00:57",
        "silence east",
        "at 12:01:50",
    )
    assert told[-2:] == ["INFO run decided", "WARNING verdict Lost"]


def test_a_run_that_is_refused_and_waits_for_another_cluster_is_one_warning_with_the_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = night(
        caplog,
        "replicas west-1 east-1",
        "at 12:00:10",
        'deny west "not here"',
        'apply west hello schedule="1 12 * * *" guarantee=AtLeastOnce clusters=west,east runs=5',
        'apply east hello schedule="1 12 * * *" guarantee=AtLeastOnce clusters=west,east runs=5',
        "at 12:00:30",
        "silence east",
        "at 12:01:40",
        "restore east",
        "at 12:02:00",
    )
    assert told[-5:] == [
        "INFO run decided",
        "WARNING run refused, waits for another cluster",
        "INFO run decided",
        "INFO Job made",
        "INFO verdict Succeeded",
    ]
    (waits,) = [record for record in caplog.records if record.getMessage().startswith("run refused, waits")]
    assert "not here" in waits.why  # type: ignore[attr-defined]
