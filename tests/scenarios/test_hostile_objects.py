"""Objects that no sane person writes: each shows what is wrong with it, and beside it an ordinary cronjob fires every minute."""

from __future__ import annotations

import re
from typing import Any

import pytest

from hacron.core import manifests
from hacron.core.manifests import rfc3339
from hacron.core.messages import SPEC_BYTES
from hacron.core.model import key_of
from tests.fakes.kubernetes import all_made
from tests.nested import nested
from tests.scenarios.ordinary import HELLO, ODD, all_is_well, at, unreadable
from tests.scenarios.script import spec
from tests.scenarios.world import World

DISTORTED_SPECS: dict[str, Any] = {
    "a schedule of 300 KB": {"schedule": "*," * 150_000},
    "a schedule that is no text": {"schedule": 5},
    "a zone of 100 KB": {"timeZone": "x" * 100_000},
    "clusters that are no list": {"placement": {"clusters": "west"}},
    "clusters that are no names": {"placement": {"clusters": ["\x00", "", "x" * 10_000]}},
    "numbers that are none": {"startingDeadlineSeconds": "soon", "successfulJobsHistoryLimit": -1},
    "numbers beyond measure": {"startingDeadlineSeconds": 2**31, "failedJobsHistoryLimit": 10**40},
    "a deadline of seventy years": {"startingDeadlineSeconds": 2**31 - 1},
    "no template": {"jobTemplate": None},
    "a template without a pod": {"jobTemplate": {"spec": {"template": {}}}},
    "labels that are a list": {"jobTemplate": {"metadata": {"labels": [1, 2]}, "spec": {"template": {"spec": {}}}}},
    "annotations that are a text": {"jobTemplate": {"metadata": {"annotations": "x"}, "spec": {"template": {"spec": {}}}}},
    "metadata that is a number": {"jobTemplate": {"metadata": 5, "spec": {"template": {"spec": {}}}}},
    "a pod that is a text": {"jobTemplate": {"spec": {"template": {"spec": "x"}}}},
    "containers that are an object": {"jobTemplate": {"spec": {"template": {"spec": {"containers": {"a": 1}}}}}},
    "containers that are a number": {"jobTemplate": {"spec": {"template": {"spec": {"containers": 7}}}}},
    "containers that are texts": {"jobTemplate": {"spec": {"template": {"spec": {"containers": ["x", None, 3]}}}}},
    "an environment that is a text": {"jobTemplate": {"spec": {"template": {"spec": {"containers": [{"env": "x"}]}}}}},
    "an environment of numbers": {"jobTemplate": {"spec": {"template": {"spec": {"containers": [{"env": [1, None]}]}}}}},
    "names in it that are lists": {"jobTemplate": {"spec": {"template": {"spec": {"containers": [{"env": [{"name": []}]}]}}}}},
    "a deadline of the Job that is a text": {"jobTemplate": {"spec": {"activeDeadlineSeconds": "x", "template": {"spec": {}}}}},
    "a pod of 300 levels": {"jobTemplate": {"spec": {"template": {"spec": {"x": nested(300)}}}}},
    "a pod of 900 levels": {"jobTemplate": {"spec": {"template": {"spec": {"x": nested(900)}}}}},
    "a template of a megabyte": {"jobTemplate": {"spec": {"template": {"spec": {"x": "y" * 2**20}}}}},
}


@pytest.mark.parametrize("what", DISTORTED_SPECS)
def test_an_object_that_no_sane_person_writes_shows_what_is_wrong_and_harms_nobody(world: World, what: str) -> None:
    sane = spec({"schedule": "* * * * *"})
    world.cluster("west").apply(ODD, sane | DISTORTED_SPECS[what])
    all_is_well(world)
    status = world.cluster("west").cronjobs[ODD]["status"]
    accepted = next(condition for condition in status["conditions"] if condition["type"] == "Accepted")
    ran = [made for made in all_made(list(world.clusters.values())) if made.key == ODD]
    assert ran if what == "a deadline of seventy years" else accepted["status"] == "False"
    assert len(accepted["message"]) <= 1000


def test_of_a_spec_that_is_too_long_nothing_is_sent_but_how_long_it_is(world: World) -> None:
    pod = {"template": {"spec": {"containers": [{"name": "a", "image": "b", "args": ["x" * SPEC_BYTES]}]}}}
    world.cluster("west").apply(ODD, spec({"schedule": "* * * * *"}) | {"jobTemplate": {"spec": pod}})
    all_is_well(world)
    conditions = world.cluster("west").cronjobs[ODD]["status"]["conditions"]
    accepted = next(condition for condition in conditions if condition["type"] == "Accepted")
    assert re.fullmatch(rf"spec has 131\d\d\d bytes in JSON, and no more than {SPEC_BYTES} are taken: .*", accepted["message"])
    assert unreadable(world) == 0
    assert max(len(body) for _, body in world.broker.kept) < SPEC_BYTES
    world.cluster("west").apply(ODD, spec({"schedule": "* * * * *", "runs": "5"}))
    all_is_well(world, until=190)
    assert [made.tick for made in all_made(list(world.clusters.values())) if made.key == ODD] == [at(180)]


@pytest.mark.parametrize("length", [1, 51, 52, 53, 63, 64, 200, 253])
@pytest.mark.parametrize("schedule", ["* * * * *", "@every 45s"])
def test_names_up_to_the_longest_that_there_are(world: World, length: int, schedule: str) -> None:
    """The CRD takes 52 characters; what was made before it did must not hurt."""
    key = key_of("default", "n" * length)
    world.cluster("west").apply(key, spec({"schedule": schedule, "runs": "5"}))
    all_is_well(world)
    shown = world.cluster("west").cronjobs[key]["status"]
    assert [verdict["verdict"] for verdict in shown["recent"]] == ["Succeeded"] * 2


def test_two_long_names_that_begin_alike_do_not_take_each_others_jobs(world: World) -> None:
    keys = [key_of("default", "n" * 70 + end) for end in "ab"]
    for key in keys:
        world.cluster("west").apply(key, spec({"schedule": "* * * * *", "runs": "5"}))
    all_is_well(world)
    shown = [world.cluster("west").cronjobs[key]["status"]["recent"] for key in keys]
    assert [[verdict["verdict"] for verdict in each] for each in shown] == [["Succeeded"] * 2] * 2


@pytest.mark.parametrize("at_once", [1, 10, 1000])
def test_a_thousand_changes_of_one_object_in_a_second_end_with_the_last(world: World, at_once: int) -> None:
    for number in range(1000):
        world.cluster("west").apply(ODD, spec({"schedule": f"{number % 60} 1 * * *"}))
        if number % at_once == at_once - 1:
            world.at(at(10 + number / 1000))
    world.cluster("west").apply(ODD, spec({"schedule": "* * * * *", "runs": "5"}))
    all_is_well(world)
    ran = [made.tick for made in all_made(list(world.clusters.values())) if made.key == ODD]
    assert ran == [at(60), at(120)]
    assert world.cluster("west").patches < 100


@pytest.mark.parametrize(
    "crafted",
    [
        {manifests.RUN_ID: "x" * 254},
        {manifests.FENCING: "-1"},
        {manifests.ATTEMPT: f"{2**60}"},
    ],
    ids=["run", "fencing token", "attempt"],
)
def test_a_job_that_somebody_has_crafted_keeps_no_edit_from_counting(world: World, crafted: dict[str, str]) -> None:
    west, tick = world.cluster("west"), rfc3339(at(-60))
    marks = {manifests.CRONJOB: "hello", manifests.RUN_ID: "x", manifests.TICK: tick} | crafted
    metadata = {"name": "crafted", "labels": {manifests.LABEL: "true"}, "annotations": marks}
    west.create_job("default", {"metadata": metadata | {"namespace": "default"}, "spec": {"template": {"spec": {}}}}, "somebody")
    west.apply(HELLO, spec({"schedule": "* * * * *", "runs": "5", "suspend": "true"}))
    world.at(at(30))
    assert west.cronjobs[HELLO]["status"]["observedGeneration"] == 2
    assert unreadable(world) == 0
    west.apply(HELLO, spec({"schedule": "* * * * *", "runs": "5"}))
    world.at(at(130))
    assert [made.tick for made in all_made([west]) if made.tick > at(0)] == [at(60), at(120)]
