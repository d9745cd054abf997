"""What people read in `kubectl get` and `kubectl describe`."""

from __future__ import annotations

from typing import Any

from hacron.core.model import key_of
from hacron.core.status import render
from tests.core.ledger_story import HELLO, Story, spec


def shown(story: Story, cluster: str = "west", refusal: str | None = None) -> dict[str, Any]:
    status = render(story.state, HELLO, cluster, refusal)
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
    assert render(story.state, HELLO, "east") is None
    assert render(story.state, key_of("default", "other"), "west") is None
