"""The Job's name is the lock: what might free it, or lead to another name for the same tick."""

from __future__ import annotations

import pytest

from hacron.core.model import RunState
from tests.fakes.kube_client import FakeKube
from tests.fakes.kubernetes import FAILS, Fate, all_made
from tests.scenarios.judge import wrong
from tests.scenarios.ordinary import HELLO, at
from tests.scenarios.script import spec
from tests.scenarios.world import World


def about_to_make_a_job(ttl: str) -> World:
    """Two seconds before 12:01, whose Job ends in a second, and is to be deleted `ttl` seconds after that."""
    world = World()
    world.start("west-1")
    world.cluster("west").apply(HELLO, spec({"schedule": "1 12 * * *", "runs": "1", "ttl": ttl}))
    world.at(at(58))
    return world


def test_a_job_that_its_template_has_deleted_at_once_keeps_its_name_while_a_request_may_come() -> None:
    """The API server carries out the first request 45 seconds late; the second one has made the Job."""
    world = about_to_make_a_job(ttl="5")
    west = world.cluster("west")
    first = iter([Fate(delay_s=45)])
    west.fate = lambda name: next(first, Fate()) if name == "CreateJob" else Fate()
    world.at(at(140))
    assert [(one.how, one.gone_at) for one in all_made([west])] == [("Complete", None)]
    world.at(at(240))
    (made,) = all_made([west])
    assert made.gone_at is not None
    assert wrong(world) == []


def test_a_job_that_its_template_has_deleted_at_once_is_there_until_its_end_is_known() -> None:
    """The only cluster is cut off as it has made the Job, and for ten minutes: the run would look as if it had never begun."""
    world = about_to_make_a_job(ttl="0")
    west = world.cluster("west")
    west.fate = lambda name: world.silence("west") or Fate() if name == "CreateJob" else Fate()
    world.at(at(660))
    west.fate = None
    world.silence("west", silent=False)
    world.at(at(661))
    (made,) = all_made([west])
    assert (made.how, made.gone_at) == ("Complete", None)
    world.at(at(690))
    (made,) = all_made([west])
    assert made.gone_at is not None
    assert world.executor is not None
    assert world.executor.session is not None
    assert [said.verdict for said in world.executor.session.state.progress[HELLO].recent] == ["Succeeded"]


def let_through_late(fields: dict[str, str], until_s: float) -> World:
    """Have a webhook let the Job of 12:01 through at 12:01:56, and fail for whoever takes its name meanwhile, up to a second."""
    world = World()
    world.start("west-1")
    west = world.cluster("west")
    west.apply(HELLO, spec(fields))
    for seconds, fate in ((50, Fate()), (62, Fate(delay_s=56)), (until_s, FAILS)):
        west.webhooks["default"] = fate
        world.at(at(seconds))
    return world


def test_a_job_that_a_webhook_lets_through_late_is_stopped_at_the_tick_that_replaces_it() -> None:
    """Its name was tried to be taken meanwhile, ever more rarely."""
    world = let_through_late({"schedule": "1,2 12 * * *", "runs": "500", "policy": "Replace"}, until_s=125)
    (made,) = all_made([world.cluster("west")])
    assert made.at == at(116)
    assert made.over is not None
    assert at(120) <= made.over <= at(122)


def test_a_job_that_a_webhook_lets_through_late_is_told_of_at_once() -> None:
    """Its name is tried to be taken ever more rarely; that it is there is seen."""
    world = let_through_late({"schedule": "1 12 * * *", "runs": "500"}, until_s=118)
    (made,) = all_made([world.cluster("west")])
    assert made.at == at(116)
    assert world.executor is not None
    assert world.executor.session is not None
    (run,) = world.executor.session.state.progress[HELLO].open
    assert (run.state, run.started) == (RunState.RUNNING, at(116))


def test_a_further_attempt_that_is_taken_back_is_the_same_attempt_again() -> None:
    """north does not accept it ahead of the tick; an edit takes back the attempt in east, where a replica hears nothing of it."""
    world = World()
    for name in ("west-1", "east-1", "east-2", "north-1"):
        world.start(name)
    fields = {"schedule": "*/5 * * * *", "clusters": "north,east"}
    world.cluster("east").namespaces["default"] = {"hacron.io/accept-from": "*"}
    world.cluster("west").apply(HELLO, spec(fields))
    world.at(at(296))
    assert world.executor is not None
    assert world.executor.session is not None
    progress = world.executor.session.state.progress
    (before,) = progress[HELLO].open
    assert (before.cluster, before.attempt) == ("east", 2)
    deaf = next(one for one in world.of("east") if one is not world.worker("east") and one is not world.executor)
    world.deafen(deaf.name)
    world.cluster("west").apply(HELLO, spec(fields | {"successful": "5"}))
    world.at(at(298))
    (after,) = progress[HELLO].open
    assert (after.job, after.refused_by) == (before.job, ("north",))
    world.at(at(420))
    assert wrong(world) == []


def taken_back_unheard(fields: dict[str, str], fate: Fate) -> World:
    """A run of 12:01 in east is suspended in west, which east reads a second after the tick; what becomes of its request."""
    world = World()
    for name in ("west-1", "east-1"):
        world.start(name)
    east = world.cluster("east")
    east.namespaces["default"] = {"hacron.io/accept-from": "*"}
    world.cluster("west").apply(HELLO, spec(fields))
    world.at(at(56))
    reads = world.processes["east-1"].broker
    assert reads is not None
    reads.reads_nothing = True
    world.cluster("west").apply(HELLO, spec(fields | {"suspend": "true"}))
    east.fate = lambda name: fate if name == "CreateJob" else Fate()
    world.at(at(61))
    reads.reads_nothing = False
    return world


def test_a_run_that_is_taken_back_while_its_job_is_being_made_is_a_run_again() -> None:
    """It reads that it was taken back before the API server has answered, and nobody asks for the Job any more."""
    fields = {"schedule": "* * * * *", "clusters": "east", "runs": "500"}
    world = taken_back_unheard(fields, Fate(delay_s=6))
    world.at(at(68))
    (made,) = all_made([world.cluster("east")])
    assert made.at == at(66)
    assert world.executor is not None
    assert world.executor.session is not None
    (run,) = world.executor.session.state.progress[HELLO].open
    assert (run.tick, run.state) == (at(60), RunState.RUNNING)


@pytest.mark.parametrize("answers_after_s", [0.0, 2.0, 9.0])
def test_a_run_that_was_taken_back_is_heard_of_however_late_the_api_server_answers(answers_after_s: float) -> None:
    """The watch tells of its Job, then the ledger that it was taken back, and then comes the answer."""
    fields = {"schedule": "* * * * *", "clusters": "east", "runs": "100", "policy": "Replace"}
    world = taken_back_unheard(fields, Fate(answer_s=answers_after_s))
    world.at(at(75))
    assert world.executor is not None
    assert world.executor.session is not None
    progress = world.executor.session.state.progress
    (run,) = progress[HELLO].open
    assert (run.tick, run.state) == (at(60), RunState.RUNNING)
    world.cluster("west").apply(HELLO, spec(fields))
    world.at(at(200))
    assert [verdict.tick for verdict in progress[HELLO].recent][:2] == [at(60), at(120)]
    assert wrong(world) == []


def test_what_an_api_server_that_has_just_started_says_of_rights_says_nothing_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was down until it was too late for the run; it refuses the tombstone, and the look that follows is allowed already."""
    world = World()
    world.start("west-1")
    west = world.cluster("west")
    west.apply(HELLO, spec({"schedule": "1 12 * * *"}))
    world.at(at(58))
    west.up = False
    world.at(at(85))
    west.forbids = True
    west.start()
    monkeypatch.setattr(west, "note_refusal", lambda _: setattr(west, "forbids", False))
    monkeypatch.setattr(FakeKube, "reachable", property(lambda _: world.now >= at(90)))
    world.at(at(120))
    first, *_ = all_made([west])
    assert (first.attempt, first.tombstone) == (1, True)
    assert wrong(world) == []
