"""A cluster that is lost or retired is forgotten when people say so: what it declares, what waits for it, and its name."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from hacron.core.demand.demanding import MAY_HAVE_RUN
from hacron.core.forgetting import AT_ONCE
from hacron.core.hearing import to_be_forgotten
from hacron.core.messages import ClusterSeen, Definition, DemandForgotten, RunsDemanded
from hacron.core.model import Cluster, CronJob, Pause, key_of
from tests.core.ledger_story import HELLO, NOON, Story, spec

OTHER, NOW = key_of("default", "other"), key_of("default", "now")


def lost(story: Story, at: float = 70) -> None:
    """West is lost, and east says at once that it is to be forgotten."""
    story.at(at)
    story.alive = {"east"}
    story.forgotten = {"east": ("west",)}


def written_of(story: Story, cluster: str) -> list[str]:
    """What the ledger still has of a cluster."""
    return [" ".join(subject) for subject in story.state._live if cluster in (subject[1], subject[2])]


def test_what_only_it_declares_is_withdrawn_after_five_minutes_of_silence_and_its_name_goes_last() -> None:
    story = Story()
    story.declare(spec())
    story.declare(spec(), OTHER, cluster="east")
    lost(story)
    story.at(360)
    assert story.progress.withdrawn_at is None
    story.at(380)
    assert story.progress.withdrawn_at is not None
    assert HELLO not in story.state.definitions
    assert story.state.progress[OTHER].withdrawn_at is None
    story.at(1000)
    assert HELLO not in story.state.progress
    assert set(story.state.clusters) == {"east"}
    assert written_of(story, "west") == ["cluster west "], "when it was forgotten, and no more"
    story.rewrite()
    assert set(story.state.clusters) == {"east"}
    assert story.state.former["west"].forgotten_at is not None


def test_what_others_declare_too_goes_on_there_and_nothing_that_ran_is_started_again() -> None:
    story = Story()
    for generation, cluster in ((1, "east"), (2, "west")):
        body = spec(placement={"clusters": ["west", "east"]}, suspend=False, successfulJobsHistoryLimit=generation)
        story.declare(body, cluster=cluster, generation=generation)
    story.at(60)
    story.started(story.run)
    fencing = story.run.fencing
    lost(story)
    story.at(365)  # the tick of 60 ran in west, and those from 120 on go to east
    cronjob = story.state.cronjob(HELLO)
    assert isinstance(cronjob, CronJob)
    assert cronjob.successful_limit == 2
    story.at(500)
    cronjob = story.state.cronjob(HELLO)
    assert isinstance(cronjob, CronJob)
    assert cronjob.successful_limit == 1, "the newest of those that are left"
    assert set(story.state.definitions[HELLO]) == {"east"}
    started = {(run.tick, run.attempt) for run in story.progress.open} | {
        (one.tick, one.attempt) for one in story.progress.recent
    }
    assert {attempt for _, attempt in started} == {1}
    assert [run for run in story.progress.open if run.cluster == "west"] == []
    assert "60 Lost ClusterSilent" in story.verdicts
    assert story.progress.fencing > fencing
    story.at(510)
    assert written_of(story, "west") == ["cluster west "]


def test_its_runs_hold_nothing_up_also_one_that_was_to_be_stopped() -> None:
    story = Story()
    story.declare(spec(concurrencyPolicy="Replace", placement={"clusters": ["west", "east"]}), cluster="east")
    story.at(60)
    story.started(story.run)
    story.at(122)
    assert story.runs == ["60 Stopping west #1"]
    lost(story, 123)
    story.at(200)
    assert [run.split()[2] for run in story.runs] == ["east"]
    assert "60 Lost ClusterSilent" in story.verdicts


def test_a_pause_that_only_it_declares_ends() -> None:
    story = Story()
    story.declare(spec(), cluster="east")
    story.declare(spec(), pause=Pause(reason="moved"), version=2)
    lost(story, 10)
    story.at(300)
    assert story.progress.open == ()
    story.at(430)
    assert [run.split()[2] for run in story.runs] != []


def test_what_is_demanded_there_is_withdrawn_too() -> None:
    story = Story()
    story.declare(spec("0 0 * * *"), cluster="east")
    for cluster, key in (("west", NOW), ("west", OTHER), ("east", OTHER)):
        body = msgspec.Raw(b'{"cronJob": "hello", "scheduledTime": "2030-01-01T00:00:00Z"}')
        story.tell(
            RunsDemanded(key=key, cluster=cluster, uid=f"{key}-{cluster}", generation=1, created_at=NOON, spec=body, account=None)
        )
    lost(story)
    story.at(400)
    assert story.state.demands[NOW].withdrawn_at is not None
    assert set(story.state.demands[OTHER].homes) == {"east"}
    story.at(1000)
    assert [record.key for record in story.written if isinstance(record, DemandForgotten)] == [NOW]
    assert set(story.state.clusters) == {"east"}


def test_should_it_come_back_nothing_that_it_says_counts_as_long_as_it_is_named() -> None:
    story = Story()
    story.declare(spec(), cluster="east")
    story.declare(spec("0 0 * * *"), generation=7)
    lost(story)
    story.at(500)
    assert set(story.state.clusters) == {"east"}
    story.alive = {"east", "west"}
    story.at(520)
    story.declare(spec("0 0 * * *"), generation=7)
    story.declare(spec(placement={"clusters": ["west", "east"]}), OTHER, cluster="east")
    assert set(story.state.definitions[HELLO]) == {"east"}
    story.at(600)
    assert {run.cluster for progress in story.state.progress.values() for run in progress.open} == {"east"}
    assert set(story.state.clusters) == {"east", "west"}, "it is heard all the same"
    story.forgotten = {}
    story.at(620)
    story.declare(spec("0 0 * * *"), generation=7)
    winner = story.state.winner(HELLO)
    assert winner is not None
    assert winner.cluster == "west", "what it says now is the newest change"


@pytest.mark.parametrize("named", [False, True], ids=["when it is no longer named", "while it is named"])
def test_what_may_have_run_elsewhere_is_not_run_again_when_it_comes_back(named: bool) -> None:
    """Every ten minutes; only west declares it, east runs it. West knows nothing of that, and says so when it is back."""
    story = Story()
    created = NOON - timedelta(days=1)
    body = spec("*/10 * * * *", placement={"clusters": ["east"]})
    demanded = msgspec.Raw(b'{"cronJob": "hello"}')

    def declared() -> None:
        story.declare(body, created_at=created, last_schedule_time=NOON)
        about = {"uid": "uid-now", "generation": 1, "created_at": created, "spec": demanded, "account": None}
        story.tell(RunsDemanded(key=NOW, cluster="west", **about))

    declared()
    story.at(3)
    story.finished(story.run)
    story.at(100)
    story.alive = {"east"}
    story.at(605)
    story.finished(story.run)
    ran = [one.tick for one in story.progress.recent]
    story.forgotten = {"east": ("west",)}
    story.at(1190)
    assert set(story.state.clusters) == {"east"}, "ten minutes after it was withdrawn"
    story.forgotten = {"east": ("west",)} if named else {}
    story.at(1500)
    story.alive = {"east", "west"}
    story.at(1520)
    declared()
    assert (HELLO in story.state.progress) is not named
    story.forgotten = {}
    story.at(1540)
    declared()
    assert story.progress.open == ()
    assert story.state.demands[NOW].wrong == MAY_HAVE_RUN
    story.at(1790)
    assert story.progress.open == ()
    story.at(1801)
    assert [run.tick for run in story.progress.open] == [NOON + timedelta(minutes=30)]
    assert NOON + timedelta(minutes=10) in ran


def test_what_it_alone_declared_counts_as_soon_as_it_is_no_longer_named() -> None:
    """It was withdrawn in its place and not deleted: that its end is remembered for ten minutes is for what people delete."""
    story = Story()
    asked = {"uid": "uid-now", "generation": 1, "created_at": NOON, "spec": msgspec.Raw(b'{"cronJob": "hello"}'), "account": None}
    story.declare(spec())
    story.at(60)
    story.finished(story.run)
    story.tell(RunsDemanded(key=NOW, cluster="west", **asked))
    story.finished(story.run)
    lost(story)
    story.at(400)
    assert story.progress.withdrawn_at is not None
    assert story.state.demands[NOW].withdrawn_at is not None
    story.alive, story.forgotten = {"east", "west"}, {}
    story.at(410)
    story.declare(spec())
    story.tell(RunsDemanded(key=NOW, cluster="west", **asked))
    assert story.progress.withdrawn_at is None
    account = story.state.demands[NOW].account
    assert (account.succeeded, account.finished is not None) == (1, True), "it is still known what has run"
    assert story.runs == []
    story.at(422)
    assert [run.split()[0] for run in story.runs] == ["420"]


def test_a_cluster_that_speaks_loses_nothing_that_it_has_declared() -> None:
    story = Story()
    story.declare(spec())
    story.at(60)
    story.started(story.run)
    story.forgotten = {"east": ("west",)}
    story.at(700)
    assert set(story.state.definitions[HELLO]) == {"west"}
    assert story.runs == ["60 Running west #1"]
    assert story.progress.held is not None
    assert "west is to be forgotten, as another cluster says" in story.progress.held.message


def test_silence_that_is_over_within_five_minutes_costs_nothing() -> None:
    story = Story()
    story.declare(spec())
    lost(story)
    story.at(350)
    story.alive = {"east", "west"}
    story.at(900)
    assert set(story.state.definitions[HELLO]) == {"west"}
    assert set(story.state.clusters) == {"east", "west"}


@pytest.mark.parametrize(
    ("said", "forgotten"),
    [
        ({"west": ("east",), "east": ("west",)}, set()),
        ({"west": ("west",)}, set()),
        ({"west": ("east",), "east": ("south",)}, {"east"}),
        ({"west": ("east", "north"), "south": ("east",)}, {"east", "north"}),
        ({}, set()),
    ],
    ids=["each other", "itself", "by one that is to be forgotten", "by several", "none"],
)
def test_who_is_to_be_forgotten(said: dict[str, tuple[str, ...]], forgotten: set[str]) -> None:
    names = ("west", "east", "south")
    clusters = {name: Cluster(name=name, seen_at=NOON, forgotten=said.get(name, ())) for name in names}
    assert to_be_forgotten(clusters) == forgotten


def test_ten_thousand_are_withdrawn_a_part_at_a_time() -> None:
    story = Story()
    keys = [key_of("many", f"cronjob-{number}") for number in range(2 * AT_ONCE + 1)]
    for number, key in enumerate(keys):
        story.write([(_definition(story, key, number),)])
    story.declare(spec("0 0 * * *"), cluster="east")
    story.at(10)
    story.alive = {"east"}
    story.at(400)
    left = [len(story.state.definitions)]
    story.forgotten = {"east": ("west",)}
    while left[-1] > 1:
        before = len(story.written)
        story.tell(ClusterSeen(cluster="east", replica="east-1", api_ok=True, clock=story.now, forgotten=("west",)))
        left.append(len(story.state.definitions))
        assert len(story.written) - before < 5 * AT_ONCE
    assert left == [2 * AT_ONCE + 2, AT_ONCE + 2, 2, 1]


def test_a_version_that_knows_nothing_of_it_reads_what_is_written() -> None:
    class Older(msgspec.Struct, frozen=True):
        name: str
        gone: tuple[str, ...] = ()

    cluster = Cluster(name="west", seen_at=NOON, forgotten=("east",), removed=True)
    assert msgspec.json.decode(msgspec.json.encode(cluster), type=Older) == Older("west")
    assert b"forgotten" not in msgspec.json.encode(Cluster(name="west", seen_at=NOON))


def _definition(story: Story, key: str, number: int) -> Definition:
    return Definition(
        key=key_of(*key.split("/")),
        cluster="west",
        uid=f"uid-{number}",
        generation=1,
        created_at=story.now,
        revision=number + 1,
        changed_at=story.now,
        spec=spec("0 0 * * *"),
    )
