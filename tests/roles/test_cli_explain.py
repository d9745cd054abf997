"""`hacron explain`: why a cronjob would fire at a time, or would not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hacron.__main__ import main
from hacron.core.fields import encoded
from hacron.core.messages import SPEC_BYTES

Output = pytest.CaptureFixture[str]

JOB = {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a"}]}}}}
MON = "2026-06-01T09:00:00Z"


def manifest(*, annotations: dict[str, str] | None = None, status: Any = None, **fields: Any) -> dict[str, Any]:
    """A HACronJob that is due every full hour, unless told otherwise."""
    return {
        "apiVersion": "hacron.io/v1",
        "kind": "HACronJob",
        "metadata": {"name": "report", "namespace": "shop", "annotations": annotations or {}},
        "spec": {"schedule": "0 * * * *", "jobTemplate": JOB} | fields,
        "status": status or {},
    }


class Answer:
    """What was said about one cronjob."""

    def __init__(self, code: int, found: dict[str, Any]) -> None:
        self.code = code
        self.fires, self.before, self.after, self.at = (found[name] for name in ("fires", "before", "after", "at"))
        self.against = {each["reason"]: each["message"] for each in found["findings"] if each["against"]}
        self.findings = {each["reason"]: each["message"] for each in found["findings"]}


@pytest.fixture
def explain(tmp_path: Path, capsys: Output) -> Any:
    def call(body: dict[str, Any], at: str) -> Answer:
        file = tmp_path / "in.json"
        file.write_text(json.dumps(body))
        code = main(["explain", "-f", str(file), "--at", at, "--output", "json"])
        (found,) = json.loads(capsys.readouterr().out)
        return Answer(code, found)

    return call


@pytest.mark.parametrize(
    ("schedule", "zone", "at", "says"),
    [
        ("30 * * * *", "Etc/UTC", MON, "it is not due then: minute 0 is not in '30'"),
        ("0 8,10 * * *", "Etc/UTC", MON, "it is not due then: hour 9 is not in '8,10'"),
        ("0 9 * 1 *", "Etc/UTC", MON, "it is not due then: month 6 is not in '1'"),
        ("0 9 2 * *", "Etc/UTC", MON, "it is not due then: day 1 is not in '2'"),
        ("0 9 * * tue", "Etc/UTC", MON, "it is not due then: weekday 1 (mon) is not in 'tue'"),
        ("0 9 2 * tue", "Etc/UTC", MON, "it is not due then: neither is day 1 in '2' nor weekday 1 (mon) in 'tue'"),
        ("0 9 */1 * tue", "Etc/UTC", MON, "it is not due then: weekday 1 (mon) is not in 'tue'"),
        ("@daily", "Etc/UTC", MON, "it is not due then: hour 9 is not in '0'"),
        ("0 9 * * *", "Europe/Prague", MON, "it is not due then: hour 11 is not in '9'"),
        ("0 9 * * *", "Etc/UTC", "2026-06-01T09:00:30Z", "it is not due then: second 30 is not 0: ticks are on whole minutes"),
    ],
)
def test_the_field_that_says_no_is_named(schedule: str, zone: str, at: str, says: str, explain: Any) -> None:
    answer = explain(manifest(schedule=schedule, timeZone=zone), at)
    assert (answer.code, answer.fires) == (1, False)
    assert list(answer.against.values()) == [says]


def test_a_spec_is_as_long_as_when_it_is_sent(explain: Any) -> None:
    body = manifest(odd=["ä", *range(10)])
    body["spec"]["odd"] += ["ä" * ((SPEC_BYTES - len(bytes(encoded(body["spec"]))) - 3) // 2)]
    assert SPEC_BYTES - 1 <= len(bytes(encoded(body["spec"]))) <= SPEC_BYTES
    assert explain(body, MON).fires
    body["spec"]["odd"] += ["ä"]
    assert f"and no more than {SPEC_BYTES} are taken" in explain(body, MON).against["Invalid"]


def test_a_tick_fires_and_has_neighbours(explain: Any) -> None:
    answer = explain(manifest(), MON)
    assert (answer.code, answer.fires, answer.against) == (0, True, {})
    assert (answer.before, answer.after) == ("2026-06-01T08:00:00Z", "2026-06-01T10:00:00Z")


def test_a_local_time_that_does_not_exist_is_left_out(explain: Any) -> None:
    nightly = manifest(schedule="30 2 * * *", timeZone="Europe/Prague")
    answer = explain(nightly, "2026-03-29T02:30")
    assert (answer.fires, answer.at) == (False, [])
    assert answer.against == {"LeftOut": "02:30 on Sun 2026-03-29 is left out in Europe/Prague: clocks go from 02:00 to 03:00"}
    assert (answer.before, answer.after) == ("2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z")
    nearby = explain(nightly, "2026-03-29T01:30:00Z")
    assert nearby.findings["LeftOutNearby"] == "Sun 2026-03-29 02:30: left out, clocks go from 02:00 to 03:00"


def test_a_local_time_that_comes_twice_fires_twice(explain: Any) -> None:
    nightly = manifest(schedule="45 1 * * *", timeZone="Australia/Lord_Howe")
    answer = explain(nightly, "2026-04-05T01:45")
    assert (answer.fires, answer.at) == (True, ["2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z"])
    assert answer.findings["Repeated"].startswith("the clock shows 01:45 twice on that day, at 2026-04-04T14:45:00Z")
    assert explain(nightly, "2026-04-04T15:15:00Z").fires


PRAGUE = {"schedule": "30 2 * * *", "timeZone": "Europe/Prague"}


def test_a_local_time_that_is_shifted_over_a_gap_fires_later(explain: Any) -> None:
    nightly = manifest(**PRAGUE, daylightSaving={"gap": "ShiftForward"})
    for at in ("2026-03-29T02:30", "2026-03-29T01:30:00Z", "2026-03-29T03:30"):
        answer = explain(nightly, at)
        assert (answer.fires, answer.at) == (True, ["2026-03-29T01:30:00Z"])
        assert answer.findings["Shifted"] == (
            "02:30 on Sun 2026-03-29 is left out in Europe/Prague, clocks go from 02:00 to 03:00:"
            " daylightSaving.gap is ShiftForward, so it is due at 03:30"
        )
    assert explain(nightly, "2026-03-29T02:45").against == {"NotDue": "it is not due then: minute 45 is not in '30'"}
    assert "Shifted" not in explain(nightly, "2026-03-30T02:30").findings


@pytest.mark.parametrize(("repeat", "left_out", "counts"), [("First", "01", "00"), ("Last", "00", "01")])
def test_of_a_local_time_that_comes_twice_one_may_be_chosen(repeat: str, left_out: str, counts: str, explain: Any) -> None:
    nightly = manifest(**PRAGUE, daylightSaving={"repeat": repeat})
    answer = explain(nightly, f"2026-10-25T{left_out}:30:00Z")
    which = "first" if repeat == "First" else "second"
    assert answer.against == {"RepeatLeftOut": f"daylightSaving.repeat: of a local time that comes twice only the {which} is due"}
    assert explain(nightly, f"2026-10-25T{counts}:30:00Z").fires
    both = explain(nightly, "2026-10-25T02:30")
    assert both.fires
    assert both.findings["Repeated"].endswith("; one is due")


def test_of_several_schedules_each_says_why_not(explain: Any) -> None:
    body = manifest(schedules=["15 * * * *", "0 10 * * *"])
    del body["spec"]["schedule"]
    answer = explain(body, MON)
    assert (answer.fires, answer.findings["NotDue"]) == (False, "it is not due then: minute 0 is not in '15' of '15 * * * *'")
    assert explain(body, "2026-06-01T10:00:00Z").fires


def test_a_hashed_schedule_is_told(explain: Any) -> None:
    body = manifest(hashedSchedule="H * * * *")
    del body["spec"]["schedule"]
    answer = explain(body, MON)
    assert answer.findings["Hashed"].startswith("hashedSchedule 'H * * * *' is '")
    assert answer.findings["Hashed"].endswith(" * * * *' for shop/report")
    assert explain(body, answer.after).fires


@pytest.mark.parametrize(
    ("body", "at", "reason", "says"),
    [
        (manifest(schedule="0 25 * * *"), MON, "Invalid", "the spec is invalid: schedule: hour '25' is out of range"),
        (manifest(timeZone="Prague"), MON, "Invalid", "the spec is invalid: timeZone: 'Prague'"),
        (manifest(jobTemplate=None), MON, "Invalid", "the spec is invalid: jobTemplate is missing"),
        (manifest(suspend=True), MON, "Suspended", "it is suspended"),
        (
            manifest(annotations={"hacron.io/pause": "moving", "hacron.io/pause-by": "ann"}),
            MON,
            "Paused",
            "it is paused by ann: moving",
        ),
        (
            manifest(annotations={"hacron.io/pause": "", "hacron.io/pause-until": "2026-06-01T09:00:01Z"}),
            MON,
            "Paused",
            "it is paused until 2026-06-01 09:00:01 UTC",
        ),
        (
            manifest(status={"paused": True, "pause": {"cluster": "west", "by": "ann", "reason": "moving"}}),
            MON,
            "Paused",
            "it is paused in west by ann: moving",
        ),
        (
            manifest(annotations={"hacron.io/pause": "", "hacron.io/pause-until": MON}, status={"paused": True, "pause": "?"}),
            MON,
            "Paused",
            "it is paused",
        ),
        (manifest(startTime="2026-06-01T09:00:01Z"), MON, "BeforeStart", "it is before startTime, 2026-06-01T09:00:01Z"),
        (manifest(endTime="2026-06-01T08:59:59Z"), MON, "AfterEnd", "it is after endTime, 2026-06-01T08:59:59Z"),
        (manifest(startTime="soon"), MON, "Invalid", "the spec is invalid: startTime must be a time with its zone"),
        (manifest(startingDeadlineSeconds=0), MON, "DeadlineExceeded", "it is never in time: startingDeadlineSeconds is 0"),
        (manifest(schedule="@every 1h"), MON, "Unknown", "@every counts from the last tick"),
        (
            manifest(schedule="@every 1h", status={"lastScheduleTime": "2026-06-01T08:10:00Z"}),
            MON,
            "NotDue",
            "it is not due then: @every 1h is counted from 2026-06-01T08:10:00Z",
        ),
    ],
)
def test_what_is_in_the_way_is_told(body: dict[str, Any], at: str, reason: str, says: str, explain: Any) -> None:
    answer = explain(body, at)
    assert (answer.code, answer.fires) == (1, False)
    assert answer.against[reason].startswith(says)
    assert len(answer.against) == 1


@pytest.mark.parametrize(
    ("body", "reason", "says"),
    [
        (manifest(), "NoDeadline", "it may start however late"),
        (
            manifest(startingDeadlineSeconds=90),
            "Deadline",
            "if nothing can be started then, it still may before 2026-06-01T09:01:30Z: startingDeadlineSeconds is 90",
        ),
        (manifest(catchUp={"policy": "None"}), "Deadline", "if nothing can be started then, it still may before"),
        (manifest(), "Allow", "concurrencyPolicy Allow: it runs beside earlier runs"),
        (
            manifest(concurrencyPolicy="Forbid", status={"active": [{"job": "report-1", "cluster": "west"}]}),
            "Forbid",
            "concurrencyPolicy Forbid: it waits while an earlier run may still be running in any cluster (the tick before is",
        ),
        (manifest(concurrencyPolicy="Replace"), "Replace", "concurrencyPolicy Replace: an earlier run that is still running"),
        (
            manifest(concurrencyPolicy="Queue", maxActive=2),
            "Queue",
            "concurrencyPolicy Queue: it waits its turn while 2 earlier runs may still be running",
        ),
        (manifest(), "Placement", "it goes to the first of the clusters that declare it, by name, that is heard of"),
        (manifest(placement={"clusters": ["west"]}), "Placement", "it goes to west, and waits for it if it is silent"),
        (
            manifest(placement={"clusterSelector": {"matchLabels": {"tier": "prod"}}, "strategy": "Spread"}),
            "Placement",
            "it goes to the one with the fewest open runs of the clusters with the labels tier=prod, that is heard of",
        ),
        (manifest(placement={"clusters": ["west", "east"]}), "Placement", "it goes to the first of west, east, that is heard of"),
        (
            manifest(guarantee="AtLeastOnce"),
            "Placement",
            "it goes to the first of the clusters that declare it, by name, that is heard of",
        ),
        (
            manifest(annotations={"hacron.io/pause": "x", "hacron.io/pause-until": MON}),
            "PauseOver",
            "it is paused until 2026-06-01 09:00:00 UTC: x, which is over by then",
        ),
        (
            manifest(status={"paused": True, "pause": {"cluster": "west", "until": MON}}),
            "PauseOver",
            "it is paused in west until 2026-06-01 09:00:00 UTC, which is over by then",
        ),
        (
            manifest(schedule="@every 1h", status={"lastScheduleTime": "2026-06-01T08:00:00Z"}),
            "Due",
            "it is due then",
        ),
    ],
)
def test_what_it_would_come_to_is_told(body: dict[str, Any], reason: str, says: str, explain: Any) -> None:
    answer = explain(body, MON)
    assert (answer.code, answer.fires) == (0, True)
    assert answer.findings[reason].startswith(says)


@pytest.mark.parametrize(
    ("status", "fires", "before"),
    [
        ({"lastScheduleTime": MON}, True, MON),
        ({"lastScheduleTime": MON, "nextScheduleTime": "2026-06-01T10:00:00Z"}, True, MON),
        ({"recent": [{"tick": MON}], "nextScheduleTime": "2026-06-01T10:00:00Z"}, True, MON),
        ({"active": [{"tick": MON}], "nextScheduleTime": "2026-06-01T10:00:00Z"}, True, MON),
        ({"active": [{"tick": MON, "run": "beside"}], "nextScheduleTime": "2026-06-01T10:00:00Z"}, False, None),
        ({"lastScheduleTime": "2026-06-01T08:40:00Z", "nextScheduleTime": "2026-06-01T10:00:00Z"}, False, None),
    ],
    ids=["the last", "the last, of several", "one with a verdict", "one that runs", "none: of another run", "none: of an edit"],
)
def test_the_tick_that_an_interval_is_counted_from_fires_itself(
    status: dict[str, Any], fires: bool, before: str | None, explain: Any
) -> None:
    body = manifest(schedule="@every 1h", status=status)
    assert explain(body, MON).fires == fires
    assert explain(body, "2026-06-01T09:30:00Z").before == before
    assert not explain(body, "2026-06-01T08:00:00Z").fires
    assert explain(body, "2026-06-01T10:00:00Z").fires


def test_the_tick_before_and_what_runs_are_what_it_would_wait_for(explain: Any) -> None:
    active = [{"job": "report-1", "cluster": "west"}, {"name": "report-2"}]
    answer = explain(manifest(concurrencyPolicy="Forbid", status={"active": active}), MON)
    assert answer.findings["Forbid"].endswith(
        "(the tick before is 2026-06-01T08:00:00Z, 1 h earlier); of several that wait, the latest runs;"
        " active when the manifest was read: report-1 in west, report-2"
    )


def test_people_get_sentences_with_local_time_and_utc(tmp_path: Path, capsys: Output) -> None:
    file = tmp_path / "in.json"
    file.write_text(json.dumps(manifest(schedule="30 2 * * *", timeZone="Europe/Prague", suspend=True)))
    assert main(["explain", "-f", str(file), "--at", "2026-10-26T02:30"]) == 1
    assert capsys.readouterr().out.splitlines()[:3] == [
        "HACronJob shop/report: 30 2 * * *, Europe/Prague",
        "at Mon 2026-10-26 02:30 +01:00 = 2026-10-26T01:30:00Z: it would not fire",
        "  - it is suspended: suspend is true",
    ]
    assert main(["explain", "--schedule", "0 2 * * *", "--at", "2026-06-01T02:00:00Z"]) == 0
    assert capsys.readouterr().out.startswith(
        "0 2 * * *, Etc/UTC\nat Mon 2026-06-01 02:00 +00:00 = 2026-06-01T02:00:00Z: it would fire\n"
    )


def test_nothing_in_a_manifest_moves_the_cursor_of_a_terminal(tmp_path: Path, capsys: Output) -> None:
    odd = manifest(schedule="0\n*\x85* * *", annotations={"hacron.io/pause": "\x1b[2J red"})
    (tmp_path / "in.json").write_text(json.dumps(odd))
    assert main(["explain", "-f", str(tmp_path), "--at", MON]) == 1
    assert main(["next", "-f", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "0\\n*\\x85* * *" in printed
    assert "\\x1b[2J red" in printed
    assert printed.replace("\n", "").isprintable()


def test_of_several_all_must_fire(tmp_path: Path, capsys: Output) -> None:
    (tmp_path / "a.json").write_text(json.dumps(manifest()))
    (tmp_path / "b.json").write_text(json.dumps(manifest(suspend=True)))
    assert main(["explain", "-f", str(tmp_path), "--at", MON]) == 1
    printed = capsys.readouterr().out
    assert ("it would fire" in printed, "it would not fire" in printed) == (True, True)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (["--at", "noon"], "--at: 'noon' is not a time; write it like 2026-03-28T08:00:00Z"),
        (["--at", "0001-01-01T00:00:00Z"], "--at: '0001-01-01T00:00:00Z' is not between the years 1900 and 9900"),
        (["--at", MON, "-f", "/nowhere"], "/nowhere cannot be read: No such file or directory"),
        (["--at", MON], "either --schedule or -f is needed"),
        (["--at", MON, "--schedule", "x"], "schedule: 'x' has 1 field"),
    ],
    ids=str,
)
def test_a_call_that_is_wrong_is_one_line_and_exit_code_2(wrong: list[str], says: str, capsys: Output) -> None:
    assert main(["explain", *wrong]) == 2
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert line.startswith(f"hacron: {says}")


@pytest.mark.parametrize("odd", [None, 5, "x", [], [1], {"a": [{}]}], ids=str)
def test_whatever_a_manifest_holds_is_answered(odd: Any, tmp_path: Path, capsys: Output) -> None:
    """In every place that is looked at."""
    fields = {"schedule": odd, "timeZone": odd, "suspend": odd, "placement": odd, "jobTemplate": odd, "catchUp": odd}
    fields |= {"startTime": odd, "endTime": odd, "daylightSaving": odd, "schedules": odd, "hashedSchedule": odd}
    bodies = [manifest() | {part: odd} for part in ("metadata", "spec", "status")]
    bodies += [manifest(**{name: value}) for name, value in fields.items()]
    bodies += [manifest(status={"active": odd, "lastScheduleTime": odd})]
    bodies[-1]["metadata"] = {"name": "a", "namespace": odd, "annotations": odd, "creationTimestamp": odd}
    for number, body in enumerate(bodies):
        (tmp_path / f"{number}.json").write_text(json.dumps(body))
    assert main(["explain", "-f", str(tmp_path), "--at", MON]) == 1
    assert main(["next", "-f", str(tmp_path), "--count", "1"]) == 2
    assert main(["convert", str(tmp_path)]) == 1
    capsys.readouterr()
