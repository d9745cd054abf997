"""The checker can tell: histories that keep the promises and that break them, and what each fault promises."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from tests.chaos import trial
from tests.chaos.checker import History, Told, lost, violations, without_verdict
from tests.chaos.faults import FAULTS
from tests.chaos.load import EVERY_S, Declared, objects, sorts
from tests.chaos.stage import Stage
from tests.chaos.trial import judge
from tests.docs.pages import DOCS
from tests.testbed.judge import Ran

AT = datetime(2030, 1, 1, tzinfo=UTC)
ONCE, SURELY = "AtMostOnce", "AtLeastOnce"


def after(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


def ran(cronjob: str, at: int, cluster: str = "west", attempt: int = 1, ended: int | None = 1, state: str = "Complete") -> Ran:
    """Return a Job for the tick `at` seconds after AT, made then, and ended so many seconds later."""
    return Ran(
        cluster=cluster,
        cronjob=f"default/{cronjob}",
        tick=after(at),
        attempt=attempt,
        job=f"{cronjob}-{at}",
        uid=f"{cluster}-{cronjob}-{at}-{attempt}",
        created=after(at),
        fencing=1,
        state=state if ended is not None else "",
        ended=after(at + ended) if ended is not None else None,
    )


def late(job: Ran, seconds: int) -> Ran:
    """Return it as if it had been made, and had ended, so much later."""
    shift = timedelta(seconds=seconds)
    return replace(job, created=job.created + shift, ended=job.ended + shift if job.ended else None)


def declared(guarantee: str, policy: str) -> list[Declared]:
    """Return a cronjob "a", which is due at AT and every five seconds from there."""
    return [Declared("a", guarantee == ONCE, policy == "Forbid", after(-EVERY_S))]


def broken(history: History, guarantee: str = ONCE, policy: str = "Forbid", until: float = 21) -> list[str]:
    return violations(history, declared(guarantee, policy), after(-1), after(until))


def told(second: int, verdict: str = "Succeeded", count: int = 1) -> Told:
    return Told(after(second), verdict, count)


# --- verdicts ---


@pytest.mark.parametrize(
    ("told_then", "untold"),
    [
        ({told(0), told(5), told(10)}, []),
        ({told(0), told(10, "Missed", 2)}, []),
        ({told(0), told(10, "Missed")}, ["00:00:05 has no verdict"]),
        ({told(0), told(5)}, ["00:00:10 has no verdict"]),
        (set(), ["00:00:00 has no verdict", "00:00:05 has no verdict", "00:00:10 has no verdict"]),
        ({told(0), told(5, "Lost"), told(10)}, ["00:00:05 was Lost in west, and nothing after that"]),
        ({told(0), told(5, "Lost"), told(5), told(10)}, []),
    ],
    ids=["each", "two in one", "a gap", "the last", "none", "lost", "tried again"],
)
def test_a_tick_of_which_no_status_told_or_not_how_it_ended_is_seen(told_then: set[Told], untold: list[str]) -> None:
    verdicts = {("west", "a"): told_then}
    found = without_verdict(verdicts, declared(SURELY, "Allow"), after(-1), after(11))
    assert [sentence.removeprefix("a at ").removesuffix(" in west") for sentence in found] == untold
    assert without_verdict(verdicts, declared(SURELY, "Forbid"), after(-1), after(11)) == []


def test_that_a_verdict_is_missing_is_a_broken_promise_unless_the_ledger_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "ENDS_S", 0.0)
    stage = Played(*(ran("a", second) for second in (0, 5, 10, 15)))
    stage.verdicts["west", "a"].remove(told(10))
    assert stage.broken_by("broker_wiped") == ()
    assert stage.broken_by("executor_frozen") == ("a at 00:00:10 has no verdict in west",)


# --- ticks ---


def test_two_jobs_of_one_tick_are_seen() -> None:
    history = History.of([ran("a", 0), ran("a", 0, "east"), ran("a", 5)])
    figures = history.figures([("a", AT), ("a", after(5)), ("a", after(10))], at_most_once=True)
    assert (figures.due, figures.started, figures.not_started) == (3, 2, 1)
    assert figures.doubled == ("a at 00:00:00 has a-0 in west (attempt 1), a-0 in east (attempt 1)",)


def test_a_second_attempt_is_one_too_many_under_at_most_once_only() -> None:
    history = History.of([ran("a", 0), ran("a", 0, "east", attempt=2)])
    assert len(history.figures([("a", AT)], at_most_once=True).doubled) == 1
    allowed = history.figures([("a", AT)], at_most_once=False)
    assert (allowed.doubled, allowed.again) == ((), 1)


def test_a_tick_whose_jobs_have_all_failed_or_not_ended_is_seen() -> None:
    history = History.of([ran("a", 0, ended=None), ran("b", 0, state="Failed"), ran("c", 0, ended=None), ran("c", 0, attempt=2)])
    assert [told.partition(" ")[0] for told in history.unfinished([("a", AT), ("b", AT), ("c", AT)])] == ["a", "b"]


@pytest.mark.parametrize("guarantee", [ONCE, SURELY])
@pytest.mark.parametrize("policy", ["Allow", "Forbid"])
def test_a_tick_without_a_job_breaks_the_promise_of_a_fault_meanwhile_which_everything_fires(guarantee: str, policy: str) -> None:
    cronjobs = declared(guarantee, policy)
    assert len(lost(History.of([]), cronjobs, after(-1), after(16))) == 4
    some = [ran("a", 0), ran("a", 5), ran("a", 15)]
    assert lost(History.of(some), cronjobs, after(-1), after(16)) == ["a at 00:00:10 has no Job"]
    assert lost(History.of([*some, ran("a", 10)]), cronjobs, after(-1), after(16)) == []


# --- Forbid ---


@pytest.mark.parametrize("guarantee", [ONCE, SURELY])
def test_runs_of_forbid_one_after_the_other_are_right_and_beside_each_other_wrong(guarantee: str) -> None:
    """Ticks come every 5 s and Jobs take 7 s: each waits for the one before, and some are skipped; or nobody looks."""
    waited = History.of([ran("a", 0, ended=7), late(ran("a", 5, "east", ended=7), 2), late(ran("a", 10, ended=7), 4)])
    assert broken(waited, guarantee) == []
    unasked = History.of([ran("a", 0, ended=7), ran("a", 5, "east", ended=7), ran("a", 10, ended=7)])
    assert broken(unasked, guarantee) == [
        "a-0 in west had not ended when a-5 began in east",
        "a-5 in east had not ended when a-10 began in west",
    ]
    assert broken(unasked, guarantee, policy="Allow") == []


def test_a_job_that_has_not_ended_overlaps_all_that_follow() -> None:
    history = History.of([ran("a", 0, ended=None), ran("a", 5, "east", ended=None), ran("a", 10, "east")])
    assert history.overlaps("a", at_most_once=True) == [
        "a-0 in west had not ended when a-5 began in east",
        "a-0 in west had not ended when a-10 began in east",
        "a-5 in east had not ended when a-10 began in east",
    ]


def test_a_long_job_overlaps_also_the_job_after_the_next() -> None:
    history = History.of([ran("a", 0, ended=12), ran("a", 5, ended=1), ran("a", 10, ended=1), ran("a", 15)])
    assert [told.partition(" when ")[2] for told in history.overlaps("a", at_most_once=True)] == [
        "a-5 began in west",
        "a-10 began in west",
    ]


def test_a_job_that_begins_in_the_second_in_which_the_one_before_ends_is_not_beside_it() -> None:
    assert History.of([ran("b", 0, ended=5), ran("b", 5)]).overlaps("b", at_most_once=True) == []


def test_beside_a_further_attempt_another_may_run_under_at_least_once_only() -> None:
    again = late(ran("a", 0, "east", attempt=2, ended=7), 3)
    assert broken(History.of([ran("a", 0, ended=7), again]), SURELY) == []
    first, *others = broken(History.of([ran("a", 0, ended=7), again, ran("a", 5, ended=1)]), SURELY)
    assert (first, others) == ("a-0 in west had not ended when a-5 began in west", [])
    assert "a-0 in west had not ended when a-0 began in east" in broken(History.of([ran("a", 0, ended=7), again]), ONCE)


def test_a_tick_that_waits_for_a_job_of_forbid_and_is_passed_by_the_next_is_not_lost() -> None:
    history = History.of([ran("a", 0, ended=7), ran("b", 0, ended=3)])
    ticks = [("a", after(5)), ("b", after(5))]
    figures = history.figures(ticks, at_most_once=True, forbidding={"a", "b"})
    assert (figures.held, figures.not_started) == (1, 1)
    assert history.lost(ticks, {"a", "b"}) == ["b at 00:00:05 has no Job"]
    assert len(history.lost(ticks, forbidding=())) == 2


def test_the_end_of_a_job_counts_as_late_as_it_may_be_heard_of() -> None:
    history, ticks = History.of([ran("a", 0, ended=3)]), [("a", after(5)), ("a", after(10))]
    assert len(history.lost(ticks, {"a"})) == 2
    assert history.lost(ticks, {"a"}, heard_within=timedelta(seconds=4)) == ["a at 00:00:10 has no Job"]


def test_a_tick_that_waits_is_not_called_late() -> None:
    history = History.of([ran("a", 0, ended=7), late(ran("a", 5), 3), late(ran("a", 15), 1)])
    ticks = [("a", after(seconds)) for seconds in (0, 5, 15)]
    assert history.figures(ticks, at_most_once=True, forbidding={"a"}).late_max_s == 1
    assert history.figures(ticks, at_most_once=True).late_max_s == 3


def test_jobs_of_forbid_take_longer_than_until_the_next_tick() -> None:
    takes: dict[str, set[float]] = defaultdict(set)
    for made in objects(sorts(1), "west"):
        annotations = made["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["annotations"]
        takes[made["spec"]["concurrencyPolicy"]].add(float(annotations["testbed/run-seconds"]))
    assert min(takes["Forbid"]) > EVERY_S > max(takes["Allow"])


# --- what each fault promises ---


class Played:
    """What is read of a stage when a fault is judged; four ticks of a cronjob with Allow were due."""

    theirs: tuple[Ran, ...] = ()

    def __init__(self, *ours: Ran, policy: str = "Allow") -> None:
        self.ours = ours
        self.declared = declared(ONCE, policy)
        self.told: set[str] = set()
        self.verdicts = {("west", "a"): {told(second) for second in (0, 5, 10, 15)}}

    def note_verdicts(self) -> None:
        """All was told before."""

    def naive_ticks(self, *_: object) -> list[tuple[str, datetime]]:
        return []

    def takeover_s(self, *_: object) -> float | None:
        return None

    def result_of(self, name: str) -> trial.Result:
        return judge(cast(Stage, self), FAULTS[name], after(-1), after(16))

    def broken_by(self, name: str) -> tuple[str, ...]:
        return self.result_of(name).broken


def test_what_was_not_started_is_told_where_a_fault_keeps_nothing_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "ENDS_S", 0.0)
    some = [ran("a", 0), ran("a", 5), ran("a", 15)]
    assert Played(*some).broken_by("executor_killed") == ("a at 00:00:10 has no Job",)
    assert Played(*some).broken_by("executor_frozen") == ()
    assert Played(*some, ran("a", 10)).broken_by("executor_killed") == ()


def test_what_is_broken_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "ENDS_S", 0.0)
    stage = Played(ran("a", 0), ran("a", 0, "east"))
    assert len(stage.broken_by("executor_frozen")) == 1
    assert stage.broken_by("executor_frozen") == ()


@pytest.mark.parametrize(("name", "excused"), [("ledger_deleted", True), ("executor_frozen", False)])
def test_only_that_a_tick_runs_twice_is_excused_and_only_where_it_may(
    monkeypatch: pytest.MonkeyPatch, name: str, excused: bool
) -> None:
    monkeypatch.setattr(trial, "ENDS_S", 0.0)
    twice = Played(ran("a", 0), ran("a", 0, "east")).result_of(name)
    beside = Played(ran("a", 0, ended=7), ran("a", 5), policy="Forbid").result_of(name)
    assert (len(twice.broken), len(twice.unexcused)) == (1, 0 if excused else 1)
    assert len(beside.broken) == len(beside.unexcused) == 1


def rows() -> dict[str, list[tuple[str, str]]]:
    """Return what docs/failures.md says of each fault of ours: in each row that names it, "fires meanwhile" and "twice"."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for line in (DOCS / "failures.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 8 and "chaos `" in cells[6]:
            for name in re.findall(r"`(\w+)`", cells[6].partition("chaos ")[2]):
                found[name].append((cells[2], cells[3]))
    return found


def test_every_fault_stands_in_the_docs() -> None:
    assert set(rows()) == set(FAULTS)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_promises_what_the_docs_say_of_it(name: str) -> None:
    fires = all(
        meanwhile == "yes" or meanwhile.startswith(("yes:", "yes, by the cluster's other replica"))
        for meanwhile, _ in rows()[name]
    )
    assert FAULTS[name].fires == fires
    assert FAULTS[name].may_double == any("**possible**" in twice for _, twice in rows()[name])
