"""`hacron next`: the coming ticks, as UTC for scripts and as a table for people."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from hacron.__main__ import main

Output = pytest.CaptureFixture[str]

CRONJOB = """\
apiVersion: batch/v1
kind: CronJob
metadata: {name: report, namespace: shop}
spec:
  schedule: "30 2 * * *"
  timeZone: Europe/Prague
  suspend: true
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: a}]}}}}
"""
HACRONJOB = """\
apiVersion: hacron.io/v1
kind: HACronJob
metadata: {name: hello}
spec:
  schedule: "@hourly"
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: a}]}}}}
"""


def ticks(capsys: Output, schedule: str, zone: str, after: str, count: int) -> list[str]:
    call = ["next", "--schedule", schedule, "--time-zone", zone, "--after", after, "--count", str(count), "--output", "json"]
    assert main(call) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    found: list[str] = json.loads(printed.out)
    return found


@pytest.mark.parametrize(
    ("schedule", "zone", "after", "expected"),
    [
        pytest.param(
            "*/15 9-17 * * mon-fri",
            "Europe/Prague",
            "2026-03-28T00:00:00Z",
            ["2026-03-30T07:00:00Z", "2026-03-30T07:15:00Z", "2026-03-30T07:30:00Z"],
            id="on a Saturday before the clocks change",
        ),
        pytest.param(
            "30 2 * * *",
            "Europe/Prague",
            "2026-03-28T01:29:59Z",
            ["2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"],
            id="a local time that does not exist is left out",
        ),
        pytest.param(
            "30 2 * * *",
            "Europe/Prague",
            "2026-10-24T00:30:00Z",
            ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"],
            id="a local time that comes twice is due twice",
        ),
        pytest.param(
            "0 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-02T15:30:00Z",
            ["2026-10-04T15:00:00Z", "2026-10-05T15:00:00Z"],
            id="a gap of half an hour",
        ),
        pytest.param(
            "45 1 * * *",
            "Australia/Lord_Howe",
            "2026-04-04T00:00:00Z",
            ["2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z", "2026-04-05T15:15:00Z"],
            id="a repeat of half an hour",
        ),
        pytest.param("0 0 30 2 *", "Etc/UTC", "2026-01-01T00:00:00Z", [], id="a date that never comes"),
        pytest.param("0 0 29 2 *", "Etc/UTC", "2096-03-01T00:00:00Z", [], id="none within five years"),
        pytest.param(
            "@every 1h30m",
            "Etc/UTC",
            "2026-01-01T00:00:00.5+02:00",
            ["2025-12-31T23:30:00Z", "2026-01-01T01:00:00Z"],
            id="intervals are counted from --after",
        ),
    ],
)
def test_the_ticks_as_json(schedule: str, zone: str, after: str, expected: list[str], capsys: Output) -> None:
    assert ticks(capsys, schedule, zone, after, max(1, len(expected))) == expected


def test_five_ticks_from_now_in_utc_unless_told_otherwise(capsys: Output) -> None:
    assert main(["next", "--schedule", "0 * * * *", "--output", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found) == 5
    assert all(tick.endswith(":00:00Z") for tick in found)


def test_ten_thousand_ticks_can_be_had(capsys: Output) -> None:
    found = ticks(capsys, "*/7 * * * *", "America/New_York", "2026-10-30T00:00:00Z", 10_000)
    assert len(set(found)) == 10_000
    assert found == sorted(found)


def test_the_table_marks_gaps_and_repeats(capsys: Output) -> None:
    call = ["next", "--schedule", "30 2 * * *", "--time-zone", "Europe/Prague", "--count", "3", "--after"]
    assert main([*call, "2026-03-27T12:00:00Z"]) == 0
    assert main([*call, "2026-10-24T12:00:00Z"]) == 0
    assert capsys.readouterr().out == (
        "local, Europe/Prague  offset  UTC\n"
        "Sat 2026-03-28 02:30  +01:00  2026-03-28T01:30:00Z\n"
        "[Sun 2026-03-29 02:30: left out, clocks go from 02:00 to 03:00]\n"
        "Mon 2026-03-30 02:30  +02:00  2026-03-30T00:30:00Z  <- offset was +01:00\n"
        "Tue 2026-03-31 02:30  +02:00  2026-03-31T00:30:00Z\n"
        "local, Europe/Prague  offset  UTC\n"
        "Sun 2026-10-25 02:30  +02:00  2026-10-25T00:30:00Z  <- first of this local time\n"
        "Sun 2026-10-25 02:30  +01:00  2026-10-25T01:30:00Z  <- offset was +02:00, second of this local time\n"
        "Mon 2026-10-26 02:30  +01:00  2026-10-26T01:30:00Z\n"
    )


def test_of_many_times_in_one_gap_some_are_named(capsys: Output) -> None:
    call = ["next", "--schedule", "*/5 * * * *", "--time-zone", "Australia/Lord_Howe", "--after", "2026-10-03T15:25:00Z"]
    assert main([*call, "--count", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "[Sun 2026-10-04 02:00, 02:05, 02:10 and 3 more: left out, clocks go from 02:00 to 02:30]"


def test_a_schedule_that_never_fires_is_said_to(capsys: Output) -> None:
    assert main(["next", "--schedule", "0 0 30 2 *"]) == 0
    assert capsys.readouterr().out == "never: no tick comes within five years\n"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (["--schedule", "99 * * * *"], "schedule: minute '99' is out of range; use 0-59"),
        (["--schedule", ""], "schedule: is empty"),
        (["--schedule", "-5 * * * *"], "schedule: minute '-5'"),
        (["--schedule", "* * * * *\n* *"], "schedule: '* * * * *\\n* *' has 7 fields"),
        (["--schedule", "* * * * *", "--time-zone", "Prague"], "timeZone: 'Prague' is not in the time zone database"),
        (["--schedule", "* * * * *", "--time-zone", ""], "timeZone: must not be empty"),
        (["--schedule", "* * * * *", "--time-zone", "../../etc/passwd"], "timeZone: "),
        (["--schedule", "\udcff"], "schedule: "),
        (["--schedule", "9" * 100_000], "schedule: is 100,000 characters long"),
        (["--schedule", "* * * * *", "--after", "tomorrow"], "--after: 'tomorrow' is not a time; write it like 2026"),
        (["--schedule", "* * * * *", "--after", "2026-02-30T00:00:00Z"], "--after: '2026-02-30T00:00:00Z' is not a time"),
        (["--schedule", "* * * * *", "--after", "0001-01-01T00:00:00+14:00"], "--after: "),
        (["--schedule", "* * * * *", "--after", "2026-03-28"], "--after: '2026-03-28' is in no time zone; write"),
        (["--schedule", "* * * * *", "--count", "0"], "--count: '0' is not a whole number from 1 to 10000"),
        (["--schedule", "* * * * *", "--count", "10001"], "--count: '10001' is not"),
        (["--schedule", "* * * * *", "--count", "1e3"], "--count: '1e3' is not"),
        (["--schedule", "* * * * *", "--count", "９"], "--count: '９' is not"),
        ([], "either --schedule or -f is needed"),
        (["--schedule", "* * * * *", "-f", "x.yaml"], "either --schedule or -f is needed"),
        (["-f", "x.yaml", "--time-zone", "Etc/UTC"], "--time-zone belongs to --schedule"),
        (["-f", "x.yaml", "-n", "\udcff"], "--namespace: '\\udcff' is no name of a namespace"),
        (["-f", "/nowhere/x.yaml"], "/nowhere/x.yaml cannot be read: No such file or directory"),
        (["-f", "a\0b"], "'a\\x00b' cannot be read: that is no name of a file"),
    ],
    ids=str,
)
def test_what_is_wrong_is_one_line_and_exit_code_2(wrong: list[str], says: str, capsys: Output) -> None:
    assert main(["next", *wrong]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith(f"hacron: {says}")
    assert len(line) < 250


def test_manifests_are_answered_each_with_its_name(tmp_path: Path, capsys: Output) -> None:
    (tmp_path / "all.yaml").write_text(f"# of the shop\n---\n{CRONJOB}---\nkind: Secret\n---\n{HACRONJOB}")
    assert main(["next", "-f", str(tmp_path), "--after", "2026-01-01T00:00:00Z", "--count", "1"]) == 0
    assert capsys.readouterr().out == (
        "CronJob shop/report: 30 2 * * *, Europe/Prague, suspended: none of these fires\n"
        "local, Europe/Prague  offset  UTC\n"
        "Thu 2026-01-01 02:30  +01:00  2026-01-01T01:30:00Z\n"
        "\n"
        "HACronJob hello: @hourly, Etc/UTC\n"
        "local, Etc/UTC        offset  UTC\n"
        "Thu 2026-01-01 01:00  +00:00  2026-01-01T01:00:00Z\n"
    )


def test_standard_input_is_read_and_answered_as_json(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(CRONJOB.encode())))
    assert main(["next", "-f", "-", "--after", "2026-01-01T00:00:00Z", "--count", "1", "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {
            "kind": "CronJob",
            "namespace": "shop",
            "name": "report",
            "schedule": "30 2 * * *",
            "timeZone": "Europe/Prague",
            "suspend": True,
            "ticks": ["2026-01-01T01:30:00Z"],
        }
    ]


def test_intervals_are_counted_from_the_last_run_that_a_manifest_knows(tmp_path: Path, capsys: Output) -> None:
    file = tmp_path / "every.yaml"
    ran = "status: {lastScheduleTime: 2026-01-01T00:10:00Z}\n"  # unquoted: YAML would make it a time
    file.write_text(HACRONJOB.replace("@hourly", "@every 1h") + ran)
    assert main(["next", "-f", str(file), "--after", "2026-01-01T03:00:00Z", "--count", "1", "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["ticks"] == ["2026-01-01T03:10:00Z"]


def fields(**given: object) -> str:
    """A HACronJob with other fields, in Prague."""
    head, job = HACRONJOB.split('  schedule: "@hourly"\n')
    given = {"timeZone": "Europe/Prague"} | given
    return head + "".join(f"  {name}: {json.dumps(value)}\n" for name, value in given.items()) + job


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        pytest.param(
            fields(schedules=["0 2 * * *", "30 1 * * *", "0 2 * * sun"]),
            "2026-06-06T12:00:00Z",
            ["2026-06-06T23:30:00Z", "2026-06-07T00:00:00Z", "2026-06-07T23:30:00Z"],
            id="several schedules, each tick once",
        ),
        pytest.param(
            fields(schedule="0 * * * *", startTime="2026-06-06T14:00:00Z", endTime="2026-06-06T15:00:00+00:00"),
            "2026-06-06T12:00:00Z",
            ["2026-06-06T14:00:00Z", "2026-06-06T15:00:00Z"],
            id="fewer than asked for, when it ends",
        ),
        pytest.param(
            fields(schedule="0 2 * * *").replace("jobTemplate", "startTime: 2026-06-07T00:00:00Z\n  jobTemplate"),
            "2026-01-01T00:00:00Z",
            ["2026-06-07T00:00:00Z"],
            id="a time without quotes, which YAML would make a time",
        ),
        pytest.param(
            fields(schedule="@every 1h", startTime="2026-06-06T14:00:00Z"),
            "2026-06-06T12:00:00Z",
            ["2026-06-06T14:00:00Z", "2026-06-06T15:00:00Z"],
            id="an interval begins at startTime",
        ),
        pytest.param(
            fields(schedule="30 2 * * *", daylightSaving={"gap": "ShiftForward"}),
            "2026-03-28T12:00:00Z",
            ["2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"],
            id="shifted over a gap",
        ),
        pytest.param(
            fields(schedule="30 2 * * *", daylightSaving={"repeat": "Last"}),
            "2026-10-24T12:00:00Z",
            ["2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"],
            id="the last of a repeat",
        ),
    ],
)
def test_what_goes_beyond_cronjob_is_gone_by(text: str, after: str, expected: list[str], tmp_path: Path, capsys: Output) -> None:
    (tmp_path / "in.yaml").write_text(text)
    count = str(max(2, len(expected))) if "endTime" in text else str(len(expected))
    assert main(["next", "-f", str(tmp_path), "--after", after, "--count", count, "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["ticks"] == expected


def test_a_start_at_the_beginning_of_time_is_none(tmp_path: Path, capsys: Output) -> None:
    """As Go writes a time that is not given."""
    body = HACRONJOB.replace('"@hourly"', '"@every 1h"').replace(
        "  jobTemplate", '  startTime: "0001-01-01T00:00:00Z"\n  jobTemplate'
    )
    (tmp_path / "hello.yaml").write_text(body)
    assert main(["next", "-f", str(tmp_path), "--count", "1", "--output", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)[0]["ticks"]) == 1


def test_a_time_from_which_no_other_can_be_reckoned_is_told_in_one_line(capsys: Output) -> None:
    assert main(["next", "--schedule", "@every 1h", "--after", "9999-12-31T20:00:00Z"]) == 2
    assert capsys.readouterr().err == "hacron: a time is so far away that no other can be reckoned from it\n"


def test_a_hashed_schedule_depends_on_the_namespace(tmp_path: Path, capsys: Output) -> None:
    (tmp_path / "in.yaml").write_text(fields(hashedSchedule="H H * * *"))
    told = set()
    for options in ([], ["-n", "default"], ["--namespace", "shop"]):
        assert main(["next", "-f", str(tmp_path), "--count", "1", "--output", "json", *options]) == 0
        (found,) = json.loads(capsys.readouterr().out)
        told.add(found["schedule"])
    assert len(told) == 2
    assert all(text.endswith(" * * *") and "H" not in text for text in told)


def test_the_table_shows_what_is_shifted_over_a_gap(tmp_path: Path, capsys: Output) -> None:
    (tmp_path / "in.yaml").write_text(fields(schedules=["30 2 * * *", "15 2 * * *"], daylightSaving={"gap": "ShiftForward"}))
    assert main(["next", "-f", str(tmp_path), "--after", "2026-03-28T12:00:00Z", "--count", "2"]) == 0
    assert capsys.readouterr().out.splitlines()[2:] == [
        "[Sun 2026-03-29 02:15, 02:30: shifted to 03:15 and on, clocks go from 02:00 to 03:00]",
        "Sun 2026-03-29 03:15  +02:00  2026-03-29T01:15:00Z  <- offset was +01:00",
        "Sun 2026-03-29 03:30  +02:00  2026-03-29T01:30:00Z",
    ]


def test_a_gap_out_of_bounds_leaves_nothing_out(tmp_path: Path, capsys: Output) -> None:
    (tmp_path / "in.yaml").write_text(fields(schedule="30 2 * * *", startTime="2026-03-29T12:00:00Z"))
    assert main(["next", "-f", str(tmp_path), "--after", "2026-03-28T12:00:00Z", "--count", "1"]) == 0
    assert "left out" not in capsys.readouterr().out


def test_what_is_invalid_is_a_line_and_the_others_are_answered(tmp_path: Path, capsys: Output) -> None:
    file = tmp_path / "two.yaml"
    file.write_text(HACRONJOB.replace("@hourly", "@hoorly") + "---\n" + HACRONJOB)
    assert main(["next", "-f", str(file), "--count", "1"]) == 2
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert line.startswith(f"hacron: {file}, line 1: HACronJob hello: schedule: '@hoorly' is not known; use @yearly")
    assert printed.out.count("HACronJob hello") == 1


def test_the_module_answers_scripts() -> None:
    call = ["next", "--schedule", "0 12 * * *", "--after", "2026-01-01T00:00:00Z", "--count", "1", "--output", "json"]
    ended = subprocess.run([sys.executable, "-m", "hacron", *call], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads(ended.stdout) == ["2026-01-01T12:00:00Z"]
