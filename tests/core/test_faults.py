"""A fault of the program about one cronjob holds up that one, and is told; all others go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from hacron import decision_log, executor
from hacron.core import declaring, events, faults, firing, manifests, scheduler, state, status
from hacron.core.demand import demanding
from hacron.core.draft import Draft
from hacron.core.duties import owed
from hacron.core.firing import Scene
from hacron.core.messages import Progress
from hacron.core.model import Key, key_of
from hacron.errands import Errands
from hacron.herald import Herald
from hacron.mirror import Mirror
from hacron.relay import Relay
from hacron.tidying import Tidying
from hacron.trials import Trials
from tests.core.ledger_story import HELLO, NOON, Story, spec
from tests.core.test_demands import demanded
from tests.scenarios.script import Script

BAD = key_of("default", "bad")


@pytest.fixture(autouse=True)
def lenient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a replica: faults are set aside, not raised."""
    monkeypatch.setattr(faults, "raises", False)
    faults.tally.clear()
    yield
    faults.tally.clear()


def fails_for_bad(what: Any, key_in: Any) -> Any:
    def failing(*args: Any, **fields: Any) -> Any:
        if key_in(args) == BAD:
            raise OverflowError("date value out of range")
        return what(*args, **fields)

    return failing


def both_declared() -> Story:
    story = Story()
    story.declare(spec("* * * * *"), key=BAD)
    story.declare(spec("* * * * *"))
    return story


def seconds_of_runs(story: Story, key: Key) -> list[int]:
    progress = story.state.progress[key]
    return [int((run.tick - progress.open[0].tick).total_seconds()) for run in progress.open]


def test_what_cannot_be_decided_is_set_aside_and_goes_on_when_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    story, told = both_declared(), list[tuple[str, Key]]()
    monkeypatch.setattr(faults, "tell", [lambda *what: told.append(what)])
    with monkeypatch.context() as patch:
        patch.setattr(scheduler, "fire", fails_for_bad(firing.fire, lambda args: args[0].key))
        story.at(150)
        assert len(story.state.progress[HELLO].open) == 2
        assert story.state.progress[BAD].open == ()
        assert 2 <= faults.tally["executor"] <= 4, "it is tried again every minute"
    assert set(told) == {("executor", BAD)}
    story.at(250)
    assert len(story.state.progress[BAD].open) >= 1


def test_what_cannot_be_written_down_is_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    story = both_declared()
    monkeypatch.setattr(Draft, "group", fails_for_bad(Draft.group, lambda args: args[1]))
    story.at(130)
    assert len(story.state.progress[HELLO].open) == 2
    assert story.state.progress[BAD].open == ()
    assert 1 <= faults.tally["executor"] <= 3


def test_what_is_demanded_of_a_cronjob_that_cannot_be_written_down_ends_no_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    story = both_declared()
    groups = Counter[Key]()

    def group(draft: Draft, key: Key) -> Any:
        groups[key] += 1
        if groups[key] > 50:
            pytest.fail("it is decided for ever")
        return fails_for_bad(real, lambda args: args[1])(draft, key)

    real = Draft.group
    monkeypatch.setattr(Draft, "group", group)
    demanded(story, cronJob="bad")
    assert 1 <= groups[BAD] <= 2
    story.at(130)
    assert len(story.state.progress[HELLO].open) == 2


def test_what_a_forgotten_cluster_declares_and_cannot_be_withdrawn_holds_up_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    story = both_declared()
    story.alive, story.forgotten = {"east"}, {"east": ("west",)}
    with monkeypatch.context() as patch:
        patch.setattr(scheduler, "withdraw", fails_for_bad(declaring.withdraw, lambda args: args[1].key))
        story.at(1000)
        assert story.state.definitions.get(HELLO, {}) == {}
        assert "west" in story.state.definitions[BAD]
        assert "west" in story.state.clusters
    story.at(1200)
    assert "west" not in story.state.clusters


def test_however_many_fail_the_others_are_decided_about_twice_and_not_once_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    story, looks = Story(), Counter[datetime]()
    for name in ("bad", "hello", "bad", "bad"):
        story.declare(spec("* * * * *"), key=key_of("default", f"{name}-{len(story.state.progress)}"))

    def fire(progress: Progress, scene: Scene) -> Progress:
        if "bad" in progress.key:
            raise OverflowError("date value out of range")
        looks[scene.now] += 1
        return firing.fire(progress, scene)

    monkeypatch.setattr(scheduler, "fire", fire)
    story.at(70)
    assert faults.tally["executor"] == 3
    assert max(looks.values()) == 2
    assert len(story.state.progress[key_of("default", "hello-1")].open) == 1


def test_where_all_fail_one_decision_meets_no_more_of_them_than_it_looks_at(monkeypatch: pytest.MonkeyPatch) -> None:
    story = Story()
    for number in range(7):
        story.declare(spec("* * * * *"), key=key_of("default", f"bad-{number}"))
    monkeypatch.setattr(scheduler, "fire", fails_for_bad(firing.fire, lambda _: BAD))
    monkeypatch.setattr(scheduler, "MOST_LOOKS", 3)
    story.now = NOON + timedelta(seconds=57)
    met = []
    for _ in range(4):
        story.tell()
        met.append(faults.tally["executor"])
    assert met == [3, 6, 7, 7]


def test_a_message_that_cannot_be_taken_in_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "declare", fails_for_bad(declaring.declare, lambda args: args[1].key))
    story = both_declared()
    story.at(70)
    assert BAD not in story.state.progress
    assert len(story.state.progress[HELLO].open) == 1


def test_a_demand_of_one_that_is_set_aside_is_taken_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "_account_for", fails_for_bad(scheduler._account_for, lambda args: args[0]))
    story = both_declared()
    demanded(story, cronJob="bad")
    story.at(70)
    assert len(story.state.progress[HELLO].open) == 1


def test_a_demand_that_cannot_be_taken_in_holds_up_no_cronjob_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    story = Story()
    story.declare(spec("* * * * *"))
    with monkeypatch.context() as patch:
        patch.setattr(demanding, "demand", fails_for_bad(demanding.demand, lambda _: BAD))
        demanded(story, HELLO)
    assert (faults.tally["executor"], HELLO in story.state.demands) == (1, False)
    story.at(58)
    assert len(story.state.progress[HELLO].open) == 1


def test_when_to_look_next_may_fail_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "waits", fails_for_bad(firing.waits, lambda args: args[0].key))
    story = both_declared()
    story.at(130)
    assert len(story.state.progress[HELLO].open) == 2


def test_a_spec_that_it_fails_to_read_is_not_accepted_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "parse", fails_for_bad(state.parse, lambda args: args[0]))
    story = both_declared()
    story.at(70)
    assert str(story.state.cronjob(BAD)) == "a fault of HACronJob: it fails to read this (OverflowError); its logs say where"
    assert len(story.state.progress[HELLO].open) == 1


def tell(*args: Any) -> Iterator[events.Event]:
    yield from fails_for_bad(TELL, lambda args: args[1].key if args[1] is not None else "")(*args)


TELL = events.tell
FAILING: dict[str, tuple[str, Any]] = {  # what fails, by role
    "mirror": ("hacron.core.status.render", fails_for_bad(status.render, lambda args: args[1])),
    "worker": ("hacron.errands.owed", fails_for_bad(owed, lambda args: args[0])),
    "relay": ("hacron.relay.Relay._compare", fails_for_bad(Relay._compare, lambda args: args[1])),
    "herald": ("hacron.core.events.tell", tell),
}


@pytest.mark.parametrize("role", FAILING)
def test_what_a_role_cannot_do_for_one_it_does_for_the_others(role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script()
    script.run("replicas west-1")
    if role == "relay":
        monkeypatch.setattr(*FAILING[role])
    for name in ("bad", "good"):
        script.run(f'apply west {name} schedule="* * * * *" runs=5')
    script.run("at 12:00:30")
    monkeypatch.setattr(*FAILING[role])
    script.run("at 12:03:30")
    assert faults.tally[role] >= 2
    west = script.world.cluster("west")
    ran = {job.body["metadata"]["name"].partition("-")[0] for job in west.jobs.values()}
    assert ran == ({"good"} if role in ("worker", "relay") else {"good", "bad"})
    assert "Succeeded" in " ".join(script.run("status west good"))
    assert {event["involvedObject"]["name"] for event in west.events.values()} >= {"good"}


TAKEN_IN: dict[str, tuple[str, Any, str, Any]] = {  # who is to tell; what fails, and how it names what it is about
    "the answer to a Job": ("worker", Errands, "_created", lambda args: args[2].key),
    "the Job in an answer": ("worker", Errands, "_note_job", lambda args: args[1].request.key),
    "a Job that is gone": ("worker", Errands, "gone", lambda args: args[1].key),
    "a Job tidied away": ("worker", Tidying, "deleted", lambda args: args[1].key),
    "a template to be tried": ("mirror", Trials, "_put_in_line", lambda args: args[1]),
    "the answer to a status": ("mirror", Mirror, "_patched", lambda args: args[1]),
    "an Event to be posted": ("herald", Herald, "_post_of", lambda args: args[1].key),
    "an object": ("relay", Relay, "_is_older", lambda args: args[1].key),
    "a decision that is logged": ("executor", decision_log, "_tell_progress", lambda args: args[0].key),
    "a verdict that is counted": ("executor", executor, "new_verdicts", lambda args: args[0].key),
}


@pytest.mark.parametrize("what", TAKEN_IN)
def test_what_is_taken_in_of_one_ends_no_process(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    role, owner, name, key_in = TAKEN_IN[what]
    script = Script()
    script.run("replicas west-1")
    for cronjob in ("bad", "good"):
        script.run(f'apply west {cronjob} schedule="* * * * *" runs=5 successful=1')
    script.run("at 12:00:30")
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fails_for_bad(getattr(owner, name), key_in))
        script.run("change west bad deadline=30")
        script.run("at 12:03:30")
    assert faults.tally[role] >= 1
    assert "Succeeded" in " ".join(script.run("status west good"))
    script.run("at 12:06:30")
    told = script.run("status west bad")
    assert "12:06" in " ".join(told), "it goes on when it can"
    assert [line for line in told if line.startswith("active")] == [], "nothing stays as it was left"


def test_a_job_that_it_fails_to_read_is_told_and_ends_no_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Any) -> None:
        raise NotImplementedError

    told = list[tuple[str, Key]]()
    monkeypatch.setattr(faults, "tell", [lambda *what: told.append(what)])
    monkeypatch.setattr(manifests, "_job_view", fail)
    assert manifests.job_view({"metadata": {"namespace": "default", "name": "bad"}}) is None
    assert told == [("worker", BAD)]
