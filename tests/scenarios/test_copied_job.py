"""A copy of a Job under another name, annotations and all, is no run: it says nothing of the one that it was made from."""

from __future__ import annotations

import copy

import pytest

from tests.scenarios.script import Script


@pytest.mark.parametrize("fate", ["ends", "is deleted"])
def test_a_copy_does_not_speak_for_the_original(fate: str) -> None:
    script = Script()
    script.run("replicas west-1")
    script.run('apply west hello schedule="* * * * *" policy=Forbid runs=1000')
    script.run("at 12:01:10")
    west = script.world.cluster("west")
    (original,) = west.jobs.values()
    body = copy.deepcopy(original.body)
    body["metadata"]["name"] = "mine"
    body["metadata"].pop("uid", None)
    body["spec"]["template"]["metadata"]["annotations"]["testbed/run-seconds"] = "5" if fate == "ends" else "1000"
    assert west.create_job("default", body, "somebody")[0] == 201
    script.run("at 12:02:45")
    if fate == "is deleted":
        west.delete_job("default", "mine", None, "somebody", foreground=False)
    script.run("at 12:05:10")
    assert [job.body["metadata"]["name"] for job in west.jobs.values() if job.body["metadata"]["name"] != "mine"] == [
        original.body["metadata"]["name"]
    ]
