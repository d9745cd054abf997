"""A Job belongs to the HACronJob as it is here, also while the ledger has yet to hear that it was made anew."""

from __future__ import annotations

from tests.scenarios.script import Script


def test_a_job_is_not_collected_with_an_object_that_was_replaced_without_the_executor_knowing() -> None:
    script = Script()
    script.run("replicas west-1")
    script.run('apply west hello schedule="* * * * *" runs=10')
    script.run("at 12:00:40")
    script.run("stall commands")
    script.run("delete west hello")
    script.run('apply west hello schedule="* * * * *" runs=10')
    script.run("at 12:01:05")
    west = script.world.cluster("west")
    (job,) = west.jobs.values()
    assert job.body["metadata"]["ownerReferences"][0]["uid"] == west.cronjobs["default/hello"]["metadata"]["uid"]
