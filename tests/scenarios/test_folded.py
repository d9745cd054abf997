"""The judge's own fold notices what it is for: a replica that has made something else of the ledger, and what nobody wrote."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from hacron.broker import codec
from hacron.core.messages import RunStarted
from hacron.core.model import CronJob
from tests.fakes.broker import COMMANDS
from tests.scenarios.folded import by_now, disagreeing, unread, unwritten
from tests.scenarios.ordinary import HELLO, at
from tests.scenarios.script import spec
from tests.scenarios.world import World


@pytest.fixture
def told(world: World) -> World:
    """A world in which a cronjob was edited, and fires."""
    for second, schedule in ((10, "* * * * *"), (70, "@every 7s")):
        world.at(at(second))
        world.cluster("west").apply(HELLO, spec({"schedule": schedule, "clusters": "west,east"}))
    world.at(at(100))
    return world


def test_an_ordinary_story_is_as_it_should_be(told: World) -> None:
    assert (list(unwritten(told)), list(disagreeing(told)), list(unread(told))) == ([], [], [])
    assert len(told.broker.acknowledged) > 10


@pytest.mark.parametrize("name", ["west-1", "east-1"])
def test_a_replica_that_has_something_else_in_mind_is_noticed(told: World, name: str) -> None:
    session = told.processes[name].session
    assert session is not None
    session.state.progress[HELLO] = msgspec.structs.replace(session.state.progress[HELLO], last_tick=at(0))
    assert list(disagreeing(told)) == [f"{name} has other progress of {HELLO} than the ledger"]


def test_what_was_acknowledged_and_nobody_has_written_is_noticed(told: World) -> None:
    said = next(one.body for one in told.broker.acknowledged if one.queue == COMMANDS)
    told.broker.note_acknowledged(COMMANDS, said.replace(b'"generation":1', b'"generation":9'), told.broker.end)
    (found,) = unwritten(told)
    assert found.startswith("hello: CronJobDeclared of west was acknowledged and is not in the ledger")


@pytest.mark.parametrize(("before", "asks"), [(1, False), (0, True)], ids=["before its run was noted", "after"])
def test_a_report_asks_for_nothing_if_it_was_taken_before_its_run_was_known(told: World, before: int, asks: bool) -> None:
    """If the run is noted after all, as of a ledger that was lost, its worker tells of it again."""
    said = next(one for one in told.broker.acknowledged if b'"RunStarted"' in one.body)
    (report,), _ = codec.decode_reports(said.body)
    assert isinstance(report, RunStarted)
    noted = next(stored.offset for stored in told.broker.ledger if report.run_id.encode() in stored.body)
    told.broker.acknowledged[:] = [dataclasses.replace(said, taken=noted - before, end=noted)]
    assert any("RunStarted" in one for one in unwritten(told)) == asks


@pytest.mark.parametrize(("known", "asks"), [(False, False), (True, True)], ids=["before its object was noted", "after"])
def test_a_deletion_asks_for_nothing_if_it_was_taken_before_its_object_was_known(told: World, known: bool, asks: bool) -> None:
    """What was noted then is an earlier object of that name. If its own is noted after all, its relay tells of it again."""
    west, before = told.cluster("west"), told.broker.end
    first = west.cronjobs[HELLO]["metadata"]["uid"]
    west.delete(HELLO)
    told.settle()
    west.apply(HELLO, spec({"schedule": "* * * * *"}))
    told.settle()
    second = west.cronjobs[HELLO]["metadata"]["uid"]
    said = next(one for one in told.broker.acknowledged if b'"CronJobWithdrawn"' in one.body)
    body = said.body.replace(first.encode(), second.encode())
    end = told.broker.end
    told.broker.acknowledged[:] = [dataclasses.replace(said, body=body, taken=end if known else before, end=end)]
    assert any("CronJobWithdrawn of west" in one for one in unwritten(told)) == asks


def test_a_replica_that_has_not_read_everything_is_noticed(told: World) -> None:
    reads = told.processes["east-1"].broker
    assert reads is not None
    reads.reads_nothing = True
    told.at(at(103))
    assert list(unread(told)) == ["east-1 has not read the ledger to its end"]


def test_of_what_homes_declare_the_newest_change_counts(told: World) -> None:
    def said_by() -> tuple[str, str] | None:
        fold = by_now(told)
        counts, cronjob = fold.counts(HELLO), fold.cronjob(HELLO)
        return (counts.cluster, cronjob.schedule.text) if counts is not None and isinstance(cronjob, CronJob) else None

    def declares(home: str, schedule: str) -> None:
        told.cluster(home).apply(HELLO, spec({"schedule": schedule}))
        told.settle()

    assert said_by() == ("west", "@every 7s")
    declares("east", "*/2 * * * *")
    assert said_by() == ("east", "*/2 * * * *")
    declares("west", "@every 20s")
    assert said_by() == ("west", "@every 20s")
    for home, left in (("west", ("east", "*/2 * * * *")), ("east", None)):
        told.cluster(home).delete(HELLO)
        told.settle()
        assert said_by() == left
