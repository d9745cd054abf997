"""What people read in `kubectl get` and `kubectl describe`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from hacron.core.messages import Outcome
from hacron.core.model import Pause, RunState, key_of
from hacron.core.rules import Rules
from hacron.core.runs import known_again
from hacron.core.status import Trial, render, running
from tests.core.ledger_story import HELLO, NOON, Story, refused_and_waiting, spec


def shown(story: Story, cluster: str = "west", refusal: str | None = None) -> dict[str, Any]:
    status = render(story.state, HELLO, cluster, story.now, Trial(refusal))
    assert status is not None
    return status


def condition(status: dict[str, Any], kind: str) -> tuple[str, str]:
    found = next(each for each in status["conditions"] if each["type"] == kind)
    return found["status"], found["reason"]


def test_before_anything_has_run_nothing_is_shown_of_runs() -> None:
    story = Story()
    story.declare(spec("0 2 * * *"))
    status = shown(story)
    assert status["nextScheduleTime"] == "2026-11-25T02:00:00Z"
    assert [status[name] for name in ("active", "recent", "lastResult", "lastCluster", "lastScheduleTime")] == [None] * 5
    assert status["activeCount"] == 0


def test_the_clusters_that_declare_it_are_named_in_each_of_them() -> None:
    story = Story()
    story.declare(spec("0 2 * * *"), cluster="west")
    story.declare(spec("0 2 * * *"), cluster="east")
    assert [shown(story, cluster)["declaredIn"] for cluster in ("west", "east")] == [["east", "west"]] * 2


def test_what_a_home_itself_says_is_shown_as_invalid_there_though_another_counts() -> None:
    """Who has put it there is told so, and what would count if the other were gone."""
    story = Story()
    story.declare(spec("0 2 * * *", timeZone="Europe/Berlim"), cluster="east", generation=2)
    story.at(300)
    story.declare(spec("0 2 * * *", timeZone="Europe/Berlin"), cluster="west", generation=2)
    assert condition(shown(story, "west"), "Ready") == ("True", "Ready")
    east = shown(story, "east")
    assert [condition(east, kind) for kind in ("Accepted", "Ready", "Stalled")] == [
        ("False", "Invalid"),
        ("False", "Invalid"),
        ("True", "Invalid"),
    ]
    assert "Europe/Berlim" in next(each["message"] for each in east["conditions"] if each["type"] == "Accepted")
    assert condition(east, "Scheduled") == ("True", "Scheduled")


def test_where_what_counts_is_invalid_each_home_says_so() -> None:
    """Also one whose own spec is in order: nothing fires."""
    story = Story()
    story.declare(spec("0 2 * * *", timeZone="Europe/Berlin"), cluster="west", generation=2)
    story.at(300)
    story.declare(spec("0 2 * * *", timeZone="Europe/Berlim"), cluster="east", generation=2)
    for cluster in ("west", "east"):
        shows = [condition(shown(story, cluster), kind) for kind in ("Accepted", "Ready", "Stalled", "Scheduled")]
        assert shows == [("False", "Invalid"), ("False", "Invalid"), ("True", "Invalid"), ("False", "Invalid")]


def test_a_run_that_is_decided_ahead_is_the_next_and_not_yet_active() -> None:
    story = Story()
    story.declare(spec())
    story.at(57)
    assert story.runs == ["60 Pending west #1"]
    assert (shown(story)["nextScheduleTime"], shown(story)["active"]) == ("2026-11-24T12:01:00Z", None)
    story.at(60)
    story.started(story.run)
    status = shown(story)
    assert (status["nextScheduleTime"], status["activeCount"]) == ("2026-11-24T12:02:00Z", 1)
    assert status["active"][0] | {"runId": ""} == {
        "cluster": "west",
        "job": "hello-29925361",
        "tick": "2026-11-24T12:01:00Z",
        "state": "Running",
        "runId": "",
    }


def test_what_is_shown_to_run_can_be_read_back() -> None:
    """By a ledger that knows nothing of it."""
    story = Story()
    story.declare(spec(clusters=["west"]))
    story.at(60)
    assert running(shown(story)) == ()
    story.started(story.run)
    assert running(shown(story)) == (known_again(replace(story.run, fencing=0)),)


ENTRY = {"cluster": "west", "job": "hello-1", "tick": "2026-11-24T12:01:00Z", "state": "Running", "runId": "uid.1.1"}


@pytest.mark.parametrize("more", [{}, {"attempt": 2}, {"state": "Stopping", "reason": "Replaced", "message": "for a newer one"}])
def test_what_has_begun_is_read_back_as_running(more: dict[str, Any]) -> None:
    (run,) = running({"active": [ENTRY | more]})
    assert (run.id, run.state, run.attempt, run.reason) == ("uid.1.1", RunState.RUNNING, more.get("attempt", 1), "")


@pytest.mark.parametrize(
    "entry",
    [
        ENTRY | {"state": "Pending"},
        ENTRY | {"state": "Lost"},
        ENTRY | {"run": "somebody-asked-for-it"},
        ENTRY | {"job": ""},
        ENTRY | {"tick": "noon"},
        ENTRY | {"cluster": 7},
        ENTRY | {"attempt": "first"},
        ENTRY | {"runId": None},
        {},
        None,
        "Running",
    ],
)
def test_what_has_not_begun_or_cannot_be_read_is_left_out(entry: object) -> None:
    assert [run.id for run in running({"active": [entry, ENTRY]})] == ["uid.1.1"]


@pytest.mark.parametrize("status", [None, {}, [], "", {"active": None}, {"active": {}}, {"active": "Running"}])
def test_a_status_that_shows_no_runs_has_none(status: object) -> None:
    assert running(status) == ()


def test_a_run_that_was_refused_and_waits_says_so_and_why() -> None:
    story = refused_and_waiting()
    (run,) = shown(story)["active"]
    assert (run["state"], run["reason"]) == ("Lost", "NotStarted")
    assert run["message"].startswith("west had refused it (Invalid: ")
    story.alive = {"west", "east"}
    story.at(62)
    (run,) = shown(story)["active"]
    assert (run["state"], run["attempt"], "reason" in run) == ("Pending", 2, False)
    assert run["message"].startswith("west had refused it (Invalid: ")


def test_the_next_tick_is_after_the_one_that_waits() -> None:
    story = Story()
    story.declare(spec(concurrencyPolicy="Forbid"))
    story.at(61)
    story.started(story.run)
    story.at(125)
    status = shown(story)
    assert condition(status, "Scheduled") == ("False", "JobAlreadyActive")
    assert status["nextScheduleTime"] == "2026-11-24T12:03:00Z"


def test_a_verdict_leaves_out_what_is_as_usual() -> None:
    story = Story()
    story.declare(spec())
    story.at(60)
    story.started(story.run)
    story.finished(story.run)
    (verdict,) = shown(story)["recent"]
    assert verdict["verdict"] == "Succeeded"
    assert not {"attempt", "count", "reason", "message"} & set(verdict)


def test_a_further_attempt_is_told() -> None:
    story = Story()
    story.declare(spec(placement={"clusters": ["east", "west"]}))
    story.at(60)
    story.refused(story.run)
    assert story.runs == ["60 Pending west #2"]
    story.started(story.run)
    assert shown(story)["active"][0]["attempt"] == 2


def test_a_refused_template_is_told_in_the_cluster_that_refused_it() -> None:
    story = Story()
    story.declare(spec())
    story.declare(spec(), cluster="east")
    assert condition(shown(story, "west", "image: Required value"), "Accepted") == ("False", "TemplateRefused")
    assert condition(shown(story, "east"), "Accepted") == ("True", "Accepted")


def test_where_clusters_differ_each_says_so() -> None:
    story = Story()
    story.declare(spec("0 2 * * *"))
    story.declare(spec("0 3 * * *"), cluster="east")
    for cluster in ("west", "east"):
        assert condition(shown(story, cluster), "Drifted") == ("True", "ClustersDiffer")
        assert shown(story, cluster)["nextScheduleTime"] == "2026-11-25T03:00:00Z", "the newest change counts"


def test_there_is_nothing_to_show_where_it_is_not_declared() -> None:
    story = Story()
    story.declare(spec())
    assert render(story.state, HELLO, "east", story.now) is None
    assert render(story.state, key_of("default", "other"), "west", story.now) is None


def test_what_fires_is_shown_as_text() -> None:
    for fields, text in [
        ({"schedule": "0 2 * * *"}, "0 2 * * *"),
        ({"schedule": None, "schedules": ["0 9 * * mon-fri", "30 10 * * sat"]}, "0 9 * * mon-fri; 30 10 * * sat"),
        ({"schedule": None, "hashedSchedule": "H 2 * * *"}, "46 2 * * *"),
        ({"schedule": "0 25 * * *"}, None),
    ]:
        story = Story()
        story.declare(spec(**fields))
        assert shown(story)["schedule"] == text


def test_a_change_of_clocks_that_touches_the_schedule_is_warned_of_until_the_user_has_chosen() -> None:
    def conditions(**fields: Any) -> dict[str, str]:
        story = Story()
        story.declare(spec("30 2 * * *", timeZone="Europe/Berlin", **fields))
        return {each["type"]: each["reason"] for each in shown(story)["conditions"]}

    assert conditions()["ClockChange"] == "LocalTimeLeftOut"
    assert conditions(daylightSaving={"gap": "ShiftForward"})["ClockChange"] == "LocalTimeRepeated"
    assert "ClockChange" not in conditions(daylightSaving={"gap": "Skip", "repeat": "Both"})


def test_after_the_last_tick_before_the_end_it_is_told_that_it_has_ended() -> None:
    story = Story()
    story.declare(spec(endTime="2026-11-24T12:01:30Z"))
    story.at(57)
    assert (condition(shown(story), "Scheduled"), shown(story)["nextScheduleTime"]) == (
        ("True", "Scheduled"),
        "2026-11-24T12:01:00Z",
    ), "decided, but still to come"
    story.at(60)
    story.started(story.run)
    assert (condition(shown(story), "Scheduled"), shown(story)["nextScheduleTime"]) == (("False", "Ended"), None)
    story.at(300)
    assert story.runs == ["60 Running west #1"]


def test_before_the_start_nothing_fires() -> None:
    story = Story()
    story.declare(spec(startTime="2026-11-24T12:03:00Z", endTime="2026-11-24T12:04:00Z"))
    story.at(170)
    assert (story.runs, shown(story)["nextScheduleTime"]) == ([], "2026-11-24T12:03:00Z")
    story.at(240)
    assert story.runs == ["180 Pending west #1", "240 Pending west #1"]


def test_a_run_whose_tick_has_come_is_active_though_nothing_is_heard_of_its_start() -> None:
    story = Story()
    story.declare(spec(concurrencyPolicy="Forbid"))
    story.at(130)
    assert story.runs == ["60 Pending west #1"]
    status = shown(story)
    assert (condition(status, "Scheduled"), status["activeCount"]) == (("False", "JobAlreadyActive"), 1)
    assert [run["tick"] for run in status["active"]] == ["2026-11-24T12:01:00Z"]
    assert status["nextScheduleTime"] == "2026-11-24T12:03:00Z"


def test_the_ticks_of_an_interval_go_on_through_a_pause_with_an_end_and_one_at_its_end_is_the_next() -> None:
    for after_edits, until, due in ((False, 2000, "12:40:00"), (True, 2000, "12:40:00"), (False, 2400, "12:40:00")):
        story = Story(clusters=("west",))
        story.declare(spec("@every 10m", catchUp={"afterEdits": after_edits}))
        story.at(610)
        story.started(story.run)
        story.finished(story.run)
        pause = Pause(reason="x", until=NOON + timedelta(seconds=until))
        story.declare(spec("@every 10m", catchUp={"afterEdits": after_edits}), created_at=NOON, pause=pause, version=5)
        assert shown(story)["nextScheduleTime"] == f"2026-11-24T{due}Z"
        story.at(2399)
        assert shown(story)["nextScheduleTime"] == f"2026-11-24T{due}Z"
        story.at(2400)
        assert story.runs[-1] == "2400 Pending west #1"


def test_what_a_long_run_came_to_is_shown_beside_the_many_ticks_that_were_skipped_for_it_and_for_the_next() -> None:
    story = Story(clusters=("west",))
    story.declare(spec(concurrencyPolicy="Forbid"))
    for ends in (920, 1820):
        story.at(ends - 850)
        story.started(story.run)
        story.at(ends)
        story.finished(story.run, Outcome.FAILED)
        status = shown(story)
        assert (status["lastResult"], status["lastCluster"]) == ("Failed", "west")
    story.at(3000)
    status = shown(story)
    assert (status["lastResult"], status["lastCluster"]) == ("Failed", "west")
    assert [verdict["verdict"] for verdict in status["recent"]] == ["Skipped"] * 8 + ["Failed"] * 2


def test_half_of_the_verdicts_that_are_kept_are_not_skipped_if_there_are_so_many() -> None:
    for limit, kept in ((10, 5), (7, 3), (1, 0)):
        story = Story(clusters=("west",), rules=Rules(recent_limit=limit))
        story.declare(spec())
        for tick in range(60, 1200, 60):
            story.at(tick)
            story.started(story.run)
            story.finished(story.run)
        story.declare(spec(concurrencyPolicy="Forbid"), generation=2)
        story.at(1200)
        story.started(story.run)
        story.at(3005)
        results = [verdict["verdict"] for verdict in shown(story)["recent"]]
        assert (len(results), results.count("Succeeded")) == (limit, kept)


def test_where_every_tick_was_skipped_that_is_the_last_result() -> None:
    story = Story(clusters=("west",))
    story.declare(spec(suspend=True))
    story.at(70)
    story.declare(spec(), generation=2)
    assert (shown(story)["lastResult"], shown(story)["lastCluster"]) == ("Skipped", None)


def test_a_deadline_that_no_tick_meets_is_told() -> None:
    for fields, named in (
        ({"startingDeadlineSeconds": 0}, "startingDeadline"),
        ({"catchUp": {"windowSeconds": 0}}, "catchUp.window"),
    ):
        story = Story(clusters=("west",))
        story.declare(spec(**fields))
        for seconds in (0, 130):
            story.at(seconds)
            status = shown(story)
            assert (condition(status, "Scheduled"), status["nextScheduleTime"]) == (("False", "NeverStarts"), None)
            told = next(each["message"] for each in status["conditions"] if each["type"] == "Scheduled")
            assert told == f"no tick is ever in time: {named}Seconds is 0"
        assert [(event.reason, event.problem) for event in story.events[:1]] == [("NeverStarts", True)]


def test_since_when_a_condition_is_as_it_is() -> None:
    """Whatever happened to it: where its status has changed, it is since then, and it never goes back."""

    def forbidding(**fields: Any) -> msgspec.Raw:
        return spec(concurrencyPolicy="Forbid", **fields)

    def ends(story: Story) -> None:
        story.finished(story.progress.open[0])

    def east(generation: int, **fields: Any) -> Callable[[Story], None]:
        return lambda story: story.declare(forbidding(**fields), cluster="east", generation=generation, created_at=NOON)

    def west(version: int, pause: Pause | None) -> Callable[[Story], None]:
        return lambda story: story.declare(forbidding(), created_at=NOON, pause=pause, version=version)

    acts: dict[int, Callable[[Story], None]] = {
        61: lambda story: story.started(story.run),
        150: ends,  # of the run of the first tick; the second has waited
        151: lambda story: story.started(story.run),
        **dict.fromkeys((165, 185, 245, 305, 365), ends),
        200: west(2, Pause()),
        230: west(3, None),
        250: west(4, Pause(until=NOON + timedelta(seconds=290))),
        310: east(2, suspend=True),
        330: east(3, suspend=False),
        370: east(4),
    }
    story = Story(clusters=("west",))
    story.declare(forbidding(), created_at=NOON)
    story.declare(forbidding(), cluster="east", created_at=NOON)
    before: dict[str, dict[str, str]] = {}
    changes = []
    for seconds in range(5, 400):
        earlier = story.now
        story.at(seconds)
        acts.get(seconds, lambda _: None)(story)
        for each in shown(story)["conditions"]:
            kind, since = each["type"], datetime.fromisoformat(each["lastTransitionTime"])
            old = before.setdefault(kind, each)
            assert since >= datetime.fromisoformat(old["lastTransitionTime"]), (seconds, each, old)
            if each["status"] != old["status"]:
                changes.append(f"{seconds} {kind} {each['status']}")
                assert earlier < since <= story.now, (seconds, each)
            before[kind] = each
    assert changes == [
        "120 Scheduled False",
        "150 Scheduled True",
        "200 Scheduled False",
        "230 Scheduled True",
        "250 Scheduled False",
        "290 Scheduled True",
        "310 Scheduled False",
        "310 Drifted True",
        "330 Scheduled True",
        "370 Drifted False",
    ]


def test_a_pause_that_shows_again_after_a_suspend_is_not_shown_since_before_that() -> None:
    story = Story(clusters=("west",))
    pause = Pause(until=NOON + timedelta(seconds=300))
    shown_since = []
    for version, (seconds, suspended) in enumerate([(25, False), (175, True), (195, False)], start=1):
        story.at(seconds)
        body = spec(suspend=suspended)
        story.declare(body, created_at=NOON, generation=version, version=version, pause=pause)
        each = next(each for each in shown(story)["conditions"] if each["type"] == "Scheduled")
        shown_since.append((each["reason"], each["lastTransitionTime"][11:19]))
    assert shown_since == [("Paused", "12:00:25"), ("Suspended", "12:02:55"), ("Paused", "12:03:15")]


def test_a_change_of_clocks_that_is_over_is_not_warned_of_though_the_last_tick_was_before_it() -> None:
    """On 29 March 2026, of the last few years, that time did not exist."""
    story = Story(clusters=("west",))
    story.declare(spec("30 2 29 3 *", timeZone="Europe/Berlin"), created_at=NOON.replace(year=2025, month=3, day=1))
    assert story.progress.last_tick.date().isoformat() == "2025-03-29"
    kinds = {each["type"] for each in shown(story)["conditions"]}
    assert "ClockChange" not in kinds
