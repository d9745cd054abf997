"""Runs beside the schedule: what is demanded, what is decided about it, and what its account says. In seconds after noon."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from hacron.broker import codec
from hacron.core import draft, instants
from hacron.core.admission import MOST_OPEN
from hacron.core.demand import accounts, demands, wanted
from hacron.core.demand.demands import AT_ONCE, RESULTS_KEPT, with_result
from hacron.core.firing import take_back
from hacron.core.manifests import job_name
from hacron.core.messages import CronJobDeclared, Demand, DemandWithdrawn, Outcome, Progress, RunFinished, RunsDemanded
from hacron.core.model import Account, InvalidCronJob, Key, Run, RunState, Verdict, VerdictKind, Wanted, key_of, name_of
from hacron.core.rules import Rules
from hacron.core.runs import identity_of
from tests.core.ledger_story import HELLO, NOON, Story, refused_and_waiting, spec

AGAIN = key_of("default", "again")


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def demanded(story: Story, key: Key = AGAIN, cluster: str = "west", uid: str = "asked", **fields: Any) -> None:
    told = {name: fields.pop(name) for name in ("account", "version") if name in fields}
    body = msgspec.Raw(msgspec.json.encode({"cronJob": "hello"} | fields))
    story.tell(RunsDemanded(key=key, cluster=cluster, uid=uid, generation=1, created_at=story.now, spec=body, **told))


def span(begin: str, end: str, **fields: Any) -> dict[str, Any]:
    return {"from": f"2026-11-24T{begin}Z", "to": f"2026-11-24T{end}Z"} | fields


def demand(story: Story, key: Key = AGAIN) -> Demand:
    return story.state.demands[key]


def results(story: Story) -> list[str]:
    return [f"{verdict.tick:%H:%M} {verdict.verdict}" for verdict in demand(story).account.results]


def waits(story: Story) -> str:
    held = demand(story).held
    return held.reason if held is not None else ""


# --- the runs ---


def test_while_a_ledger_is_young_a_status_that_knows_more_is_believed_and_later_it_is_not() -> None:
    story = Story()
    story.state.born = NOON
    asked = span("11:00:00", "11:59:00", limit=3)
    story.declare(spec(suspend=True))
    demanded(story, **asked)
    demanded(story, account=Account(id="asked", total=3, decided=1, succeeded=1, next_tick=at(-3480)), **asked)
    assert demand(story).account.decided == 1
    story.at(20)
    demanded(story, account=Account(id="asked", total=3, decided=2, succeeded=2, next_tick=at(-3420)), **asked)
    assert demand(story).account.decided == 1


def test_a_run_beside_the_schedule_moves_nothing_of_the_schedule() -> None:
    story = Story()
    story.declare(spec())
    before = story.progress
    demanded(story)
    story.started(story.run)
    assert story.run.job == job_name("hello", NOON, 1, "asked") != job_name("hello", NOON, 1)
    assert story.run.id == f"asked.{int(NOON.timestamp())}.1"
    story.finished(story.run)
    after = story.progress
    assert (after.last_tick, after.last_scheduled, after.recent, after.open) == (before.last_tick, None, (), ())
    assert results(story) == ["12:00 Succeeded"]
    assert demand(story).account.finished == NOON


def test_what_was_asked_for_in_the_future_is_asked_for_now() -> None:
    story = Story()
    story.declare(spec("0 0 1 1 *"))
    later, body = at(3600), msgspec.Raw(b'{"cronJob": "hello"}')
    story.tell(RunsDemanded(key=AGAIN, cluster="west", uid="asked", generation=1, created_at=later, spec=body))
    assert story.run.tick == NOON


def test_a_deadline_is_for_ticks_of_the_schedule() -> None:
    story = Story()
    story.declare(spec(startingDeadlineSeconds=10, catchUp={"policy": "None"}))
    demanded(story, scheduledTime="2026-11-01T00:00:00Z")
    assert story.run.start_by == at(20)


def test_what_was_decided_ahead_is_taken_back_and_what_was_demanded_is_not() -> None:
    story = Story()
    story.declare(spec())
    story.at(56)
    demanded(story)
    progress = take_back(story.progress, NOON, Rules())
    assert [run.demand for run in progress.open] == ["again"]


def test_the_same_tick_may_run_by_the_schedule_and_by_several_demands() -> None:
    story = Story()
    story.declare(spec())
    story.at(61)
    for name in ("one", "two"):
        demanded(story, key_of("default", name), uid=name, scheduledTime="2026-11-24T12:01:00Z")
    assert len({run.job for run in story.progress.open}) == len({run.id for run in story.progress.open}) == 3
    for run in story.progress.open:
        story.finished(run)
    assert story.verdicts == ["60 Succeeded"]


def test_a_refused_attempt_goes_to_the_next_cluster_however_old_its_tick_and_though_suspended() -> None:
    story = Story()
    story.declare(spec(suspend=True, startingDeadlineSeconds=10))
    story.declare(spec(suspend=True, startingDeadlineSeconds=10), cluster="east")
    demanded(story, scheduledTime="2026-11-01T00:00:00Z", ignoreSuspend=True)
    first = story.run
    story.refused(first)
    assert (story.run.attempt, story.run.demand, story.run.cluster) == (2, "again", "west" if first.cluster == "east" else "east")
    story.finished(story.run)
    assert demand(story).account.succeeded == 1


@pytest.mark.parametrize(
    ("guarantee", "over"), [("AtMostOnce", True), ("AtLeastOnce", False)], ids=["at most once", "at least once"]
)
def test_a_lost_run_is_accounted_for_by_its_guarantee(guarantee: str, over: bool) -> None:
    story = Story(clusters=("west",))
    story.declare(spec("0 0 1 1 *", guarantee=guarantee))
    demanded(story)
    story.alive = set()
    story.at(60)
    assert results(story) == ["12:00 Lost"]
    assert (demand(story).account.finished is not None) is over
    lost = story.progress.open[0]
    story.finished(lost)  # the truth
    assert results(story) == ["12:00 Succeeded"]
    assert (demand(story).account.succeeded, demand(story).account.failed) == (1, 0)


def test_a_demand_is_not_over_while_its_lost_run_may_be_tried_again_when_the_spec_is_corrected() -> None:
    story = Story()
    fields = {"guarantee": "AtLeastOnce", "placement": {"clusters": ["west", "east"]}}
    story.declare(spec("0 0 1 1 *", **fields))
    demanded(story)
    story.started(story.run)
    story.alive = {"east"}
    story.declare(spec("nonsense", **fields), generation=2)
    story.at(400)
    assert (story.runs, results(story)) == (["0 Lost west #1"], ["12:00 Lost"])
    assert demand(story).account.finished is None
    story.declare(spec("0 0 1 1 *", **fields), generation=3)
    story.finished(story.run)
    assert results(story) == ["12:00 Succeeded"]
    assert demand(story).account.finished == story.now


# --- when they may start ---


def test_a_range_under_allow_starts_all_but_not_at_once() -> None:
    story = Story()
    story.declare(spec("*/5 * * * *"))
    demanded(story, range=span("08:00:00", "09:55:00"))
    assert len(story.progress.open) == AT_ONCE
    story.at(1)
    assert len(story.progress.open) == 24
    assert demand(story).account.total == demand(story).account.decided == 24


@pytest.mark.parametrize("policy", ["Forbid", "Replace"])
def test_a_range_is_one_after_another_under(policy: str) -> None:
    story = Story()
    story.declare(spec("0 * * * *", concurrencyPolicy=policy))
    demanded(story, range=span("08:00:00", "10:00:00"))
    for hour in (8, 9, 10):
        assert [run.tick.hour for run in story.progress.open] == [hour]
        story.started(story.run)
        story.at(60 * hour)
        story.finished(story.run)
    assert results(story) == ["08:00 Succeeded", "09:00 Succeeded", "10:00 Succeeded"]


def test_a_single_run_replaces_what_runs() -> None:
    story = Story()
    story.declare(spec(concurrencyPolicy="Replace"))
    story.at(60)
    story.started(story.run)
    demanded(story)
    assert story.runs == ["60 Stopping west #1"]
    story.stopped(story.run)
    assert story.run.demand == "again"


@pytest.mark.parametrize("is_ahead", [True, False])
def test_nothing_makes_way_for_a_run_that_no_cluster_would_take(is_ahead: bool) -> None:
    story = Story(clusters=("west",))
    story.declare(spec("*/5 * * * *", concurrencyPolicy="Replace"))
    story.at(296 if is_ahead else 300)
    before, story.events = story.runs, []
    story.cordoned = {"west": "maintenance"}
    story.at(297 if is_ahead else 301)
    demanded(story)
    assert (story.runs, waits(story), story.events) == (before, "NoCluster", [])
    story.at(310)
    assert story.runs == before == ["300 Pending west #1"]
    story.cordoned = {}
    story.at(315)
    assert story.runs == ["300 Stopping west #1"]


def test_what_waits_for_a_further_attempt_makes_way_for_a_single_run_at_once() -> None:
    story = refused_and_waiting(concurrencyPolicy="Replace")
    assert story.runs == ["60 Lost west #1"]
    story.at(90)
    demanded(story)
    assert (story.run.demand, story.verdicts, waits(story)) == ("again", ["60 Skipped Replaced"], "")


def test_a_demanded_run_that_waited_and_made_way_is_accounted_for_when_its_demand_is_over() -> None:
    story = Story()
    both = {"clusters": ["west", "east"]}
    story.declare(spec("0 0 1 1 *", guarantee="AtLeastOnce", concurrencyPolicy="Replace", placement=both))
    story.at(40)
    story.alive = {"west"}
    story.at(60)
    demanded(story)
    story.refused(story.run, "QuotaExceeded")
    assert story.runs == ["60 Lost west #1"]
    story.written.clear()
    story.events.clear()
    demanded(story, key_of("default", "other"), uid="other")
    over = [record.account for record in story.written if isinstance(record, Demand) and record.account.finished is not None]
    assert [(account.succeeded, account.failed) for account in over] == [(0, 1)]
    assert results(story) == ["12:01 Skipped"]
    assert [event.reason for event in story.events if event.problem] == ["Completed"]


def test_a_tick_of_the_schedule_replaces_what_was_demanded_and_a_range_goes_on_when_that_has_ended() -> None:
    story = Story()
    story.declare(spec(concurrencyPolicy="Replace"))
    demanded(story, range=span("08:00:00", "08:01:00"))
    story.started(story.run)
    story.at(60)
    assert story.runs == ["-14400 Stopping west #1"]
    story.stopped(story.run)
    assert story.runs == ["60 Pending west #1"]
    story.started(story.run)
    story.finished(story.run)
    assert [(run.tick, run.demand) for run in story.progress.open] == [(at(-14340), "again")]
    assert results(story) == ["08:00 Stopped"]


def test_a_single_run_comes_before_what_is_left_of_a_range() -> None:
    story = Story()
    story.declare(spec("0 * * * *", concurrencyPolicy="Forbid"))
    demanded(story, range=span("08:00:00", "10:00:00"))
    demanded(story, key_of("default", "now"), uid="now")
    story.finished(story.run)
    assert [run.demand for run in story.progress.open] == ["now"]
    story.finished(story.run)
    assert [run.demand for run in story.progress.open] == ["again"]


def test_what_holds_up_one_need_not_hold_up_the_next() -> None:
    story = Story()
    story.declare(spec("0 0 1 1 *", suspend=True, concurrencyPolicy="Forbid"))
    demanded(story, key_of("default", "late"), uid="late", scheduledTime="2026-11-24T15:00:00Z")
    demanded(story, key_of("default", "rests"), uid="rests")
    demanded(story, key_of("default", "urgent"), uid="urgent", ignoreSuspend=True)
    demanded(story, key_of("default", "next"), uid="next", ignoreSuspend=True)
    assert [run.demand for run in story.progress.open] == ["urgent"]
    why = {key: accounts.render(story.state, key, "west") for key in story.state.demands}
    told = {key.removeprefix("default/"): status["conditions"][1]["reason"] for key, status in why.items() if status}
    assert told == {"late": "NotYet", "rests": "Suspended", "urgent": "Running", "next": "JobAlreadyActive"}


def test_one_that_waits_behind_another_says_what_holds_it_up_itself_and_that_only_while_it_does() -> None:
    story = Story()
    story.declare(spec("0 0 1 1 *", concurrencyPolicy="Forbid"))
    demanded(story, key_of("default", "runs"), uid="runs")
    story.started(story.run)
    later = key_of("default", "later")
    for name, fields in (("first", {}), ("later", {"scheduledTime": "2026-11-24T12:05:00Z"})):
        demanded(story, key_of("default", name), uid=name, **fields)

    def told() -> list[str]:
        statuses = [accounts.render(story.state, key_of("default", name), "west") for name in ("first", "later")]
        return [status["conditions"][1]["reason"] for status in statuses if status is not None]

    assert told() == ["JobAlreadyActive", "NotYet"]
    story.at(310)
    assert told() == ["JobAlreadyActive", "NotItsTurn"]
    story.declare(spec("0 0 1 1 *", concurrencyPolicy="Forbid", suspend=True), generation=2)
    story.at(320)
    assert told() == ["Suspended", "Suspended"]
    story.declare(spec("0 0 1 1 *", concurrencyPolicy="Forbid"), generation=3)
    story.at(330)
    assert told() == ["JobAlreadyActive", "NotItsTurn"]
    written = [record for record in story.written if isinstance(record, Demand) and record.key == later]
    assert len(written) == 4, "however often it is looked at"


def test_a_thousand_demands_of_one_cronjob_hold_nothing_up() -> None:
    """Looking at each of them at each look once took longer than an executor may be silent."""
    story = Story()
    story.declare(spec("0 * * * *", concurrencyPolicy="Forbid"))
    body = msgspec.Raw(msgspec.json.encode({"cronJob": "hello"}))
    one = RunsDemanded(key=AGAIN, cluster="west", uid="x", generation=1, created_at=NOON, spec=body)
    names = [f"n-{number:04}" for number in range(1000)]
    story.tell(*(replace(one, key=key_of("default", name), uid=name) for name in names))
    written = len(story.written)
    story.finished(story.run)
    assert len(story.written) - written <= 5
    assert story.run.demand == "n-0001"


def test_queue_lets_as_many_run_as_it_says() -> None:
    story = Story()
    story.declare(spec("0 * * * *", concurrencyPolicy="Queue", maxActive=2))
    demanded(story, range=span("08:00:00", "11:00:00"))
    assert len(story.progress.open) == 2
    story.finished(story.progress.open[0])
    assert [run.tick.hour for run in story.progress.open] == [9, 10]


def test_a_tick_of_the_schedule_that_waits_comes_first() -> None:
    story = Story()
    story.declare(spec(concurrencyPolicy="Forbid"))
    demanded(story, range=span("08:00:00", "08:05:00"))
    story.started(story.run)
    story.at(61)
    assert waits(story) == "TickWaits"
    story.finished(story.run)
    assert [(run.tick, run.demand) for run in story.progress.open] == [(at(60), "")]


def test_under_replace_a_tick_that_was_decided_ahead_replaces_what_is_demanded_before_it() -> None:
    story = Story(clusters=("west",))
    story.declare(spec("*/5 * * * *", concurrencyPolicy="Replace"))
    story.at(296)
    assert story.runs == ["300 Pending west #1"]
    demanded(story)
    assert story.runs == ["296 Pending west #1"]
    story.started(story.run)
    story.at(301)
    assert story.runs == ["296 Stopping west #1"]
    story.stopped(story.run)
    assert story.runs == ["300 Pending west #1"]
    assert results(story) == ["12:04 Stopped"]


def test_under_replace_what_is_demanded_when_a_tick_is_about_to_start_replaces_that_one() -> None:
    story = Story(clusters=("west",))
    story.declare(spec("*/5 * * * *", concurrencyPolicy="Replace"))
    story.at(299)
    demanded(story)
    assert (story.runs, waits(story)) == (["300 Pending west #1"], "TickWaits")
    story.at(300)
    story.started(story.run)
    story.at(306)
    assert (story.runs, waits(story)) == (["300 Stopping west #1"], "Replacing")
    story.stopped(story.run)
    assert story.runs == ["299 Pending west #1"]
    assert story.verdicts == ["300 Stopped Replaced"]


@pytest.mark.parametrize(
    ("schedule", "fields", "wrong"),
    [
        ("*/5 * * * *", {"range": span("00:00:00", "12:00:00")}, "the range has 145 ticks and range.limit is 100"),
        ("* * * * *", {"range": span("00:00:00", "23:00:00", limit=1000)}, "the range has more than 1000 ticks"),
        ("0 3 * * *", {"range": span("04:00:00", "12:00:00")}, "the schedule has no tick in the range"),
        ("0 3 * * *", {"range": span("05:00:00", "04:00:00")}, "range.to must not be before range.from"),
        ("0 3 * * *", {"cronJob": None}, "cronJob must be the name of a HACronJob in the same namespace"),
    ],
)
def test_what_will_have_no_runs_says_why(schedule: str, fields: dict[str, Any], wrong: str) -> None:
    story = Story()
    story.declare(spec(schedule))
    demanded(story, **fields)
    story.at(5)
    assert wrong in demand(story).wrong
    assert story.progress.open == ()
    story.tell(DemandWithdrawn(key=AGAIN, cluster="west", uid="asked"))
    story.at(700)
    assert AGAIN not in story.state.demands


@pytest.mark.parametrize("made_anew", [False, True], ids=["deleted", "made anew"])
def test_a_run_that_waits_for_its_next_attempt_when_its_cronjob_is_deleted_is_accounted_for(made_anew: bool) -> None:
    story = Story()
    body = spec("0 0 1 1 *", guarantee="AtLeastOnce", placement={"clusters": ["west", "east"]})
    story.declare(body)
    story.at(40)
    story.alive = {"west"}
    story.at(60)
    demanded(story)
    story.refused(story.run, "QuotaExceeded")
    story.written.clear()
    if made_anew:
        story.declare(body, uid="uid-2")
    else:
        story.withdraw()
    assert results(story) == ["12:01 Skipped"]
    assert (demand(story).account.failed, demand(story).account.finished) == (1, at(60))
    assert not any(record.told for record in story.written if isinstance(record, Progress))


def test_open_runs_are_gone_through_once_and_not_for_each_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    story = Story()
    story.declare(spec("0 0 1 1 *", concurrencyPolicy="Forbid"))
    for number in range(50):
        demanded(story, key_of("default", f"n-{number}"), uid=f"n-{number}")
    asked: list[str] = []
    monkeypatch.setattr(demands, "identity_of", lambda run: asked.append(run) or identity_of(run))
    story.started(story.run)
    assert asked == [story.run.id]


def test_one_look_starts_only_so_many_however_many_are_demanded() -> None:
    story = Story()
    story.declare(spec("0 * * * *", suspend=True))
    for number in range(25):
        demanded(story, key_of("default", f"n-{number}"), uid=f"n-{number}")
    story.declare(spec("0 * * * *"), generation=2)
    assert len(story.progress.open) == AT_ONCE
    story.at(1)
    assert len(story.progress.open) == 25


def test_long_ranges_are_counted_a_part_at_a_time_and_hold_nothing_up() -> None:
    story = Story()
    story.declare(spec("* * * * *"))
    for number in range(5):
        demanded(story, key_of("default", f"long-{number}"), range={"from": "1970-01-01T00:00:00Z", "to": "2026-11-24T11:59:00Z"})
    assert {demand.counted for demand in story.state.demands.values()} < set(range(1001))
    story.at(5)
    assert all("more than 1000 ticks" in demand.wrong for demand in story.state.demands.values())


def test_a_range_that_begins_with_time_itself_harms_nobody() -> None:
    story = Story()
    story.declare(spec("0 0 1 1 *"))
    beginning = Wanted(begin=datetime(instants.FIRST_YEAR, 1, 1, tzinfo=UTC), end=NOON, limit=1000)
    known = Demand(
        key=AGAIN, created_at=NOON, homes={}, account=Account(id="x"), cronjob=key_of("default", "hello"), wanted=beginning
    )
    story.write([(known,)])
    story.at(1)
    assert (demand(story).account.total, demand(story).account.decided) == (57, 57)


def test_ticks_of_every_are_counted_from_the_beginning_of_the_range() -> None:
    story = Story()
    story.declare(spec("@every 20m"))
    demanded(story, range=span("08:05:00", "09:00:00"))
    assert [f"{run.tick:%H:%M}" for run in story.progress.open] == ["08:25", "08:45"]


# --- once ---


def test_what_comes_late_and_twice_starts_nothing() -> None:
    story = Story()
    story.declare(spec("0 3 * * *"))
    demanded(story)
    first = story.run
    demanded(story)
    story.finished(first)
    demanded(story)
    story.tell(DemandWithdrawn(key=AGAIN, cluster="west", uid="asked"))
    demanded(story)
    assert story.progress.open == ()
    story.at(30)
    demanded(story, uid="another")
    assert [run.id.split(".")[0] for run in story.progress.open] == ["another"]


def told(identity: str, many: int, **fields: Any) -> Account:
    """What a status may say of so many runs that are open; what a status does not say is in `fields`."""
    times = {"tick": NOON, "start_by": NOON, "cluster": "west", "fencing": 0, "state": RunState.RUNNING}
    runs = [Run(**({"id": f"{identity}.{n}.1", "job": f"job-{n}"} | times | fields)) for n in range(many)]
    return Account(id=identity, total=1000, decided=many, next_tick=NOON, open=tuple(runs))


def test_no_account_has_more_open_runs_than_a_cronjob_may_have() -> None:
    story = Story()
    demanded(story, account=told("asked", MOST_OPEN), range=span("08:00:00", "10:00:00"))
    assert demand(story).account.decided == MOST_OPEN
    for key, account in (("many", told("x", MOST_OPEN + 1)), ("nameless", told("y", 1, job=""))):
        demanded(story, key=key_of("default", key), uid=key, account=account, range=span("08:00:00", "10:00:00"))
        assert demand(story, key_of("default", key)).account == Account(id=key)


def test_of_a_run_that_is_told_to_be_open_only_that_is_kept_which_a_status_says() -> None:
    story = Story()
    words = {"because": "x" * 4000, "reason": "r", "refused_by": ("a", "b"), "demand": "d"}
    demanded(story, account=told("asked", 2, **words))
    assert demand(story).account == told("asked", 2, was_in_time=True)


def test_however_much_is_told_to_be_open_a_cronjobs_record_can_be_read() -> None:
    story = Story()
    for number in range(5):
        fields = {"account": told(f"u{number}", MOST_OPEN), "range": span("08:00:00", "10:00:00")}
        demanded(story, key=key_of("default", f"again-{number}"), uid=f"u{number}", **fields)
    story.declare(spec("0 * * * *", concurrencyPolicy="Forbid"))
    assert len(story.progress.open) == 2 * MOST_OPEN
    for _ in range(20):
        story.finished(story.progress.open[0])
    story.at(30)
    assert len(story.progress.open) == 2 * MOST_OPEN  # those that there was no room for have followed


def known_again(story: Story, alive: str, **fields: Any) -> Story:
    """Return what follows when the ledger is lost, and the `.status` in west is all that is known of a demand."""
    shown = accounts.render(story.state, AGAIN, "west")
    assert shown is not None
    another = Story(clusters=(alive,))
    another.declare(story.state.definitions[HELLO]["west"].spec)
    demanded(another, account=accounts.remembered(msgspec.json.decode(msgspec.json.encode(shown))), **fields)
    return another


def test_a_run_that_waits_for_a_cluster_still_waits_for_one_after_the_ledger_was_lost() -> None:
    story = Story(clusters=("west",))
    story.declare(spec("0 0 1 1 *", guarantee="AtLeastOnce", placement={"clusters": ["west", "east"]}))
    demanded(story)
    story.refused(story.run)
    assert (story.run.state, story.run.reason) == (RunState.LOST, "NotStarted")
    another = known_again(story, alive="east")
    assert another.runs == ["0 Lost west #1"]
    another.at(20)
    assert another.runs == ["0 Pending east #2"]
    another.finished(another.run)
    assert results(another) == ["12:00 Succeeded"]
    assert demand(another).account.finished is not None


def test_a_run_that_was_placed_elsewhere_is_not_placed_once_more_after_the_ledger_was_lost() -> None:
    story = Story(clusters=("west", "east"))
    clusters = ["west", "east", "north"]
    story.declare(spec("0 0 1 1 *", guarantee="AtLeastOnce", placement={"strategy": "Preferred", "clusters": clusters}))
    demanded(story)
    story.alive = {"east"}
    story.at(60)
    story.started(story.run)
    assert story.runs == ["0 Lost west #1", "0 Running east #2"]
    another = known_again(story, alive="north")
    another.at(20)
    assert another.runs == story.runs


@pytest.mark.parametrize("began", [True, False])
def test_a_run_that_was_given_up_is_not_taken_for_running_after_the_ledger_was_lost(began: bool) -> None:
    story = Story(clusters=("west",))
    story.declare(spec("0 * * * *", concurrencyPolicy="Forbid"))
    asked = span("08:00:00", "10:00:00")
    demanded(story, range=asked)
    if began:
        story.started(story.run)
    story.alive = set()
    story.at(400)
    assert (story.run.state, results(story)) == (RunState.LOST, ["08:00 Lost"])
    another = known_again(story, alive="east", range=asked)
    (run,) = another.progress.open
    assert (run.state, run.reason, run.has_begun) == (RunState.LOST, "ClusterSilent", began)
    assert results(another) == ["08:00 Lost"]
    another.finished(run)
    assert results(another) == ["08:00 Succeeded"]


def test_what_its_status_says_to_be_over_does_not_run_again() -> None:
    story = Story()
    story.declare(spec("0 * * * *", concurrencyPolicy="Forbid"))
    demanded(story, range=span("08:00:00", "10:00:00"))
    story.finished(story.run)
    shown = accounts.render(story.state, AGAIN, "west")
    assert shown is not None
    another = Story()
    another.declare(spec("0 * * * *", concurrencyPolicy="Forbid"))
    demanded(another, uid="other", account=accounts.remembered(shown), range=span("08:00:00", "10:00:00"))
    assert [(run.id, run.state) for run in another.progress.open] == [(story.run.id, "Running")]
    for _ in range(2):
        another.finished(another.run)
    assert results(another) == ["08:00 Succeeded", "09:00 Succeeded", "10:00 Succeeded"]
    assert demand(another).account.finished is not None


@pytest.mark.parametrize(
    "status",
    [
        None,
        [],
        {},
        {"id": 5, "total": 1},
        {"id": "x", "total": -1},
        {"id": "x", "total": 1, "runs": [{"tick": "x"}]},
        {"id": "x", "total": 1, "runs": [{"tick": "2026-11-24T12:00:00Z", "verdict": "Fine"}]},
        {"id": "x", "total": 1, "active": [{"tick": "2026-11-24T12:00:00Z", "cluster": "WEST!", "job": "j"}]},
        {"id": "x", "total": 1, "runs": {"a": 1}},
    ],
    ids=str,
)
def test_a_status_that_says_nonsense_is_not_believed(status: object) -> None:
    assert accounts.remembered(status) is None


def test_a_count_in_a_status_that_nobody_could_read_is_none() -> None:
    run = {"tick": "2026-11-24T12:00:00Z", "verdict": "Missed", "count": 10**40}
    account = accounts.remembered({"id": "x", "total": 1, "runs": [run]})
    asked = RunsDemanded(
        key=AGAIN, cluster="west", uid="x", generation=1, created_at=NOON, spec=msgspec.Raw(b"{}"), account=account
    )
    assert codec.decode_command(codec.encode_message(asked)) == asked


def test_one_that_says_something_else_shows_nothing_of_the_first_and_keeps_what_it_tells_of_itself() -> None:
    """Which came first may be another one after the ledger was lost, and what has run before must not run again."""
    story = Story()
    story.declare(spec("0 3 * * *"))
    demanded(story)
    demanded(story, cluster="east", uid="other", scheduledTime="2026-11-24T15:00:00Z")
    shown = accounts.render(story.state, AGAIN, "east")
    assert shown is not None
    assert shown.keys() == {"observedGeneration", "conditions", "phase"}
    assert (shown["phase"], "west" in shown["conditions"][0]["message"]) == ("Refused", True)


def test_one_that_was_deleted_is_not_forgotten_before_its_run_has_ended() -> None:
    story = Story()
    story.declare(spec("0 3 * * *"))
    demanded(story)
    story.started(story.run)
    story.tell(DemandWithdrawn(key=AGAIN, cluster="west", uid="asked"))
    story.at(900)
    assert AGAIN in story.state.demands
    story.finished(story.run)
    assert AGAIN not in story.state.demands


@pytest.mark.parametrize("guarantee", ["AtMostOnce", "AtLeastOnce"])
def test_one_that_was_deleted_does_not_begin_where_a_cluster_refuses_it_only_then(guarantee: str) -> None:
    story = Story()
    story.declare(spec("0 3 * * *", guarantee=guarantee, placement={"clusters": ["west", "east"]}))
    demanded(story)
    assert story.run.cluster == "west"
    story.tell(DemandWithdrawn(key=AGAIN, cluster="west", uid="asked"))
    story.refused(story.run, too_late=True)
    assert story.runs == []


def test_one_that_was_deleted_waits_for_no_cluster() -> None:
    story = Story()
    story.declare(spec("0 3 * * *", guarantee="AtLeastOnce", placement={"clusters": ["west", "east"]}))
    story.alive = {"west"}
    story.at(40)
    demanded(story)
    story.refused(story.run)
    assert [run.split(" ")[1] for run in story.runs] == ["Lost"]
    story.tell(DemandWithdrawn(key=AGAIN, cluster="west", uid="asked"))
    assert story.runs == []
    assert [result.reason for result in story.state.demands[AGAIN].account.results] == ["Withdrawn"]


def test_what_runs_when_the_ledger_is_lost_is_known_before_anything_starts_beside_it() -> None:
    """A single run comes before a range, and a tick of the schedule before both."""
    story = Story()
    story.state.born = NOON
    story.declare(spec("0 * * * *", concurrencyPolicy="Forbid"), created_at=at(-1800))
    open_run = Run(id="range.1795507200.1", tick=at(-14400), cluster="west", start_by=NOON, fencing=0, job="j")
    told = Account(id="range", total=3, decided=1, next_tick=at(-10800), open=(open_run,))
    demanded(story)
    demanded(story, key_of("default", "range"), account=told, range=span("08:00:00", "10:00:00"))
    story.at(11)
    assert [run.id for run in story.progress.open] == [open_run.id]
    assert story.progress.held is not None
    assert story.progress.held.reason == "JobAlreadyActive"


@pytest.mark.parametrize(
    ("policy", "open_at_once", "open_later"),
    [
        ("Allow", ["uid-west"], ["uid-west", "asked"]),
        ("Forbid", [], ["asked"]),
        ("Queue", [], ["asked"]),
        ("Replace", [], ["asked"]),
    ],
)
def test_a_tick_just_after_the_ledger_was_lost_does_not_begin_beside_what_runs(
    policy: str, open_at_once: list[str], open_later: list[str]
) -> None:
    story = Story()
    story.state.born = at(-2)
    open_run = Run(id="asked.1795507200.1", tick=at(-14400), cluster="west", start_by=NOON, fencing=0, job="j")
    demanded(story, account=Account(id="asked", total=1, decided=1, open=(open_run,)))
    story.declare(spec("* * * * *", concurrencyPolicy=policy), created_at=at(-1800), last_schedule_time=at(-60))
    assert [run.id.split(".")[0] for run in story.progress.open] == open_at_once
    story.at(9)
    assert [run.id.split(".")[0] for run in story.progress.open] == open_later


def test_a_run_that_is_told_of_while_it_is_open_is_open_once() -> None:
    story = Story()
    story.declare(spec())
    demanded(story)
    story.started(story.run)
    told = Run(id=story.run.id, tick=NOON, cluster="west", start_by=NOON, fencing=0, job=story.run.job, state=RunState.RUNNING)
    demanded(story, uid="made anew", account=Account(id="asked", total=1, decided=1, open=(told, told)))
    assert demand(story).homes["west"].uid == "made anew"
    (run,) = story.progress.open
    story.finished(run)
    assert demand(story).account.succeeded == 1


def test_a_copy_of_another_one_status_and_all_has_an_identity_of_its_own() -> None:
    story = Story()
    story.declare(spec("0 * * * *", concurrencyPolicy="Forbid"))
    told = Account(id="uid-west", total=3, decided=1, succeeded=1, next_tick=at(-7200))
    demanded(story, uid="asked", account=told, range=span("08:00:00", "10:00:00"))
    demanded(story, key_of("default", "copy"), uid="copied", account=told, range=span("08:00:00", "10:00:00"))
    assert [demand.account.id for demand in story.state.demands.values()] == ["asked", "copied"]
    assert [run.id.split(".")[0] for run in story.progress.open] == ["asked"]


def test_many_that_are_told_at_once_are_not_one_message() -> None:
    """As after the loss of the ledger: a message that is too long can be read by nobody."""
    story = Story()
    story.declare(spec("0 * * * *"))
    results = tuple(verdict(minute) for minute in range(100))
    body = msgspec.Raw(msgspec.json.encode({"cronJob": "hello"}))
    told = [Account(id=f"uid-{n}", total=100, decided=100, succeeded=100, results=results, finished=NOON) for n in range(30)]
    one = RunsDemanded(key=AGAIN, cluster="west", uid="x", generation=1, created_at=NOON, spec=body)
    commands = [replace(one, key=key_of("default", account.id), uid=account.id, account=account) for account in told]
    groups = story.scheduler.decide(commands, story.now)
    assert max(len(group) for group in groups) == 1


# --- accounts ---


def verdict(minute: int, kind: VerdictKind = VerdictKind.SUCCEEDED, attempt: int = 1) -> Verdict:
    return Verdict(tick=at(60 * minute), verdict=kind, attempt=attempt, run="x")


def test_of_many_results_those_that_failed_are_kept_longest() -> None:
    account = Account(id="asked")
    for minute in range(RESULTS_KEPT + 50):
        kind = VerdictKind.FAILED if minute % 50 == 0 else VerdictKind.SUCCEEDED
        account = with_result(account, verdict(minute, kind))
    assert (account.succeeded, account.failed, len(account.results)) == (147, 3, RESULTS_KEPT)
    assert [one.tick for one in account.results if one.verdict is VerdictKind.FAILED] == [at(0), at(3000), at(6000)]


def test_a_tick_is_counted_once_however_many_attempts_it_takes() -> None:
    account = with_result(Account(id="asked"), verdict(1, VerdictKind.LOST))
    account = with_result(account, verdict(1, VerdictKind.REFUSED, 2))
    assert (account.succeeded, account.failed) == (0, 1)
    account = with_result(account, verdict(1, VerdictKind.SUCCEEDED, 3))
    assert (account.succeeded, account.failed) == (1, 0)
    assert with_result(account, verdict(1, VerdictKind.FAILED)) == account


@pytest.mark.parametrize("kind", [VerdictKind.LOST, VerdictKind.MISSED, VerdictKind.REFUSED, VerdictKind.STOPPED])
def test_an_end_stands_beside_another_attempt_that_has_none(kind: VerdictKind) -> None:
    account = with_result(Account(id="asked"), verdict(1, VerdictKind.FAILED, 2))
    assert with_result(account, verdict(1, kind)) == account
    assert with_result(account, verdict(1)).succeeded == 1


def test_one_that_was_deleted_and_whose_run_is_lost_has_no_further_attempt() -> None:
    story = Story()
    story.declare(spec("0 3 * * *", guarantee="AtLeastOnce", placement={"clusters": ["west", "east"]}))
    story.alive = {"west"}
    story.at(40)
    demanded(story)
    story.started(story.run)
    story.alive = set()
    story.at(400)
    assert [run.split(" ")[1] for run in story.runs] == ["Lost"]
    story.tell(DemandWithdrawn(key=AGAIN, cluster="west", uid="asked"))
    story.alive = {"east"}
    story.at(420)
    assert story.runs == []


def test_a_tick_is_counted_once_though_many_have_been_told_since() -> None:
    account, many = Account(id="asked", total=RESULTS_KEPT + 50), range(RESULTS_KEPT + 50)
    account = with_result(account, verdict(0, VerdictKind.LOST), {at(0)})
    account = with_result(account, verdict(0), {at(0)})  # the truth about the first attempt; the second one is open
    for minute in many[1:-1]:
        account = with_result(account, verdict(minute), {at(0)})
    assert with_result(account, verdict(0, attempt=2)) == account
    account = with_result(account, verdict(many[-1]))
    assert (account.succeeded, account.failed, len(account.results)) == (RESULTS_KEPT + 50, 0, RESULTS_KEPT)
    assert with_result(account, verdict(3, attempt=2)) == account


def test_of_many_that_failed_one_that_may_be_tried_again_is_kept_and_turns() -> None:
    account = Account(id="asked", total=RESULTS_KEPT + 50)
    for minute in range(RESULTS_KEPT + 50):
        account = with_result(account, verdict(minute, VerdictKind.LOST), {at(0), at(600)})
    assert (account.failed, len(account.results)) == (RESULTS_KEPT + 50, RESULTS_KEPT)
    account = with_result(with_result(account, verdict(0, attempt=2), {at(600)}), verdict(10, attempt=2))
    assert (account.succeeded, account.failed) == (2, RESULTS_KEPT + 48)


def test_two_attempts_of_one_tick_of_a_long_range_that_succeed_are_one_success() -> None:
    story = Story(clusters=("west", "east"))
    story.declare(spec("0 * * * *", guarantee="AtLeastOnce", placement={"clusters": ["west", "east"]}))
    demanded(story, range={"from": "2026-11-01T00:00:00Z", "to": "2026-11-05T13:00:00Z", "limit": 200})
    story.at(1)
    story.alive = {"east"}
    story.at(60)
    first = [run for run in story.progress.open if run.cluster == "west"]
    second = [run for run in story.progress.open if run.cluster == "east"]
    assert (len(first), len(second)) == (110, 110)
    for run in (*second, *first):
        story.finished(run)
    account = demand(story).account
    assert (account.succeeded, account.failed, account.total) == (110, 0, 110)


@pytest.mark.parametrize(("limit", "last"), [(100, "10 00:00"), (9, "06 00:00")])
def test_a_range_goes_on_to_its_end_under_a_denser_schedule_unless_that_is_beyond_its_limit(limit: int, last: str) -> None:
    story = Story()
    story.declare(spec("0 3 * * *", concurrencyPolicy="Forbid"))
    demanded(story, range={"from": "2026-11-01T00:00:00Z", "to": "2026-11-10T00:00:00Z", "limit": limit})
    for _ in range(3):
        story.finished(story.run)
    assert demand(story).account.total == 9
    story.declare(spec("0 */6 * * *", concurrencyPolicy="Forbid"), generation=2)
    while story.progress.open:
        story.finished(story.run)
    account = demand(story).account
    assert f"{account.results[-1].tick:%d %H:%M}" == last
    assert account.succeeded == account.decided == account.total


def test_what_edits_have_added_to_ranges_is_counted_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are edited at once."""
    monkeypatch.setattr(draft, "TICKS_COUNTED", 50)
    story = Story()
    keys = [key_of("default", name) for name in ("one", "two", "three")]
    once = "1971-01-01T00:00:00Z"
    asked = {"from": "1970-01-01T00:00:00Z", "to": "9000-01-01T00:00:00Z", "limit": 60}
    for key in keys:
        story.declare(spec("0 0 1 1 *", startTime=once, endTime=once, suspend=True), key, uid=key)
        demanded(story, key, uid=f"{key} more", cronJob=name_of(key), range=asked)
    before, forbid = story.now, spec("0 0 1 * *", concurrencyPolicy="Forbid")
    edits = [CronJobDeclared(key=key, cluster="west", uid=key, generation=2, created_at=before, spec=forbid) for key in keys]
    story.tell(*edits)
    assert [demand(story, key).account.decided for key in keys] == [1, 1, 1]
    assert sorted(demand(story, key).account.total for key in keys) == [2, 2, 1 + 50]
    for key in keys:
        while story.state.progress[key].open:
            run = story.state.progress[key].open[-1]
            end = RunFinished(key=key, run_id=run.id, cluster=run.cluster, outcome=Outcome.SUCCEEDED, finished=story.now)
            story.tell(end)
        account = demand(story, key).account
        assert account.succeeded == account.decided == account.total == 60


# --- the spec ---


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (b"", ""),
        (b"[]", ""),
        (b'{"cronJob": 5}', "cronJob"),
        (b'{"cronJob": "A"}', "cronJob"),
        (b'{"cronJob": "a/b"}', "cronJob"),
        (b'{"cronJob": "a", "ignoreSuspend": "no"}', "ignoreSuspend"),
        (b'{"cronJob": "a", "scheduledTime": "2026-11-24T12:00:00"}', "scheduledTime"),
        (b'{"cronJob": "a", "scheduledTime": 5}', "scheduledTime"),
        (b'{"cronJob": "a", "scheduledTime": "2026-11-24T12:00:00Z", "range": {}}', "range"),
        (b'{"cronJob": "a", "range": []}', "range"),
        (b'{"cronJob": "a", "range": {"from": "2026-11-24T12:00:00Z"}}', "range.to"),
        (
            b'{"cronJob": "a", "range": {"from": "2026-11-24T12:00:00Z", "to": "2026-11-24T12:00:00Z", "limit": true}}',
            "range.limit",
        ),
        (
            b'{"cronJob": "a", "range": {"from": "2026-11-24T12:00:00Z", "to": "2026-11-24T12:00:00Z", "limit": 1001}}',
            "range.limit",
        ),
    ],
)
def test_what_is_wrong_is_told_by_its_field(spec: bytes, field: str) -> None:
    with pytest.raises(InvalidCronJob) as refused:
        wanted.read(spec)
    assert refused.value.field == field
    assert len(str(refused.value)) < 200


def test_a_time_is_of_whole_seconds_and_the_least_is_a_name() -> None:
    assert wanted.read(b'{"cronJob": "a"}') == ("a", Wanted())
    name, read = wanted.read(b'{"cronJob": "a", "scheduledTime": "2026-11-24T13:00:00.7+01:00", "range": null}')
    assert (name, read.at) == ("a", NOON)


def test_names_of_jobs_fit_and_are_their_own() -> None:
    names = {
        job_name("x" * 52, NOON + timedelta(seconds=s), attempt, uid)
        for s in (0, 1)
        for attempt in (1, 9)
        for uid in ("", "a", "b")
    }
    assert len(names) == 12
    assert max(map(len, names)) <= 63


@pytest.mark.parametrize("version", [3, 7])
def test_of_two_objects_of_one_second_the_one_with_the_greater_version_counts(version: int) -> None:
    """What was said of the first may land when the second is known."""
    story = Story()
    story.declare(spec("0 0 1 1 *"))
    demanded(story, uid="second", version=5)
    demanded(story, uid="other", version=version)
    assert demand(story).homes["west"].uid == ("other" if version > 5 else "second")
