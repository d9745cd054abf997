"""The watch on Jobs at a real API server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hacron.core.manifests import LABEL, RUN_ID
from hacron.core.messages import Outcome
from hacron.ports import DeleteJob, JobSeen, JobsListed
from tests.cluster.asking import Asking, all_at_once, asking, create, job, some_key
from tests.testbed.control_plane import ControlPlane
from tests.testbed.wait import until

pytestmark = pytest.mark.cluster


@pytest.fixture
def watching(west: ControlPlane) -> Iterator[Asking]:
    with asking(west.operator_kubeconfig) as kube:
        kube.client.watch_jobs(True)
        until(lambda: len(kube.lists()) == 1, 20, "a list of the Jobs")
        yield kube


def ended(watching: Asking, name: str) -> bool:
    return any(seen.view.terminal is Outcome.SUCCEEDED for seen in watching.sightings(name))


def test_a_job_is_seen_from_its_beginning_to_its_end(watching: Asking, namespace: str) -> None:
    assert watching.ask(create("hello", namespace)).status == 201
    until(lambda: watching.sightings("hello"), 20, "the new Job")
    assert not watching.sightings("hello")[0].gone
    until(lambda: ended(watching, "hello"), 30, "its success")
    watching.ask(DeleteJob(key=some_key(namespace), run_id="", namespace=namespace, name="hello"))
    until(lambda: watching.sightings("hello")[-1].gone, 20, "its deletion")
    assert [seen.gone for seen in watching.sightings("hello")].count(True) == 1
    assert len(watching.lists()) == 1


def test_what_has_our_label_and_is_not_ours_is_not_seen(watching: Asking, west: ControlPlane, namespace: str) -> None:
    body = job("odd", namespace)
    del body["metadata"]["annotations"][RUN_ID]
    watching.ask(create("odd", namespace, body))
    watching.ask(create("ours", namespace))
    until(lambda: ended(watching, "ours"), 30, "the end of ours")
    assert not watching.sightings("odd")
    with asking(west.operator_kubeconfig) as another:
        another.client.watch_jobs(True)
        until(another.lists, 20, "a list of the Jobs")
        assert another.lists()[0] & {"odd", "ours"} == {"ours"}


def test_jobs_of_others_are_not_seen(watching: Asking, west: ControlPlane, namespace: str) -> None:
    for name, labels in (("theirs", {}), ("almost", {LABEL: "false"}), ("ours", None)):
        watching.ask(create(name, namespace, job(name, namespace, labels=labels)))
    until(lambda: ended(watching, "ours"), 30, "the end of ours")
    assert not watching.sightings("theirs")
    assert not watching.sightings("almost")
    with asking(west.operator_kubeconfig) as another:
        another.client.watch_jobs(True)
        until(another.lists, 20, "a list of the Jobs")
        assert another.lists()[0] & {"theirs", "almost", "ours"} == {"ours"}


def test_a_job_that_loses_our_label_is_gone_to_us(watching: Asking, west: ControlPlane, namespace: str) -> None:
    watching.ask(create("hello", namespace, job("hello", namespace, run_seconds=600)))
    until(lambda: watching.sightings("hello"), 20, "the new Job")
    west.kubectl("label", "job", "hello", "--namespace", namespace, f"{LABEL}-")
    until(lambda: watching.sightings("hello")[-1].gone, 20, "its end, as far as we are concerned")


def test_nothing_is_seen_of_a_watch_that_was_ended(watching: Asking, namespace: str) -> None:
    watching.client.watch_jobs(False)
    watching.ask(create("before", namespace))
    watching.client.watch_jobs(True)
    until(lambda: len(watching.lists()) == 2, 20, "a list of the Jobs")
    assert "before" in watching.lists()[1]
    second = max(position for position, each in enumerate(watching.seen) if isinstance(each, JobsListed))
    told = [each.view for each in watching.seen[:second] if isinstance(each, JobSeen)]
    assert not [each for each in told if each.namespace == namespace]  # those of other tests go as they please
    watching.client.watch_jobs(True)
    watching.ask(create("after", namespace))
    until(lambda: ended(watching, "after"), 30, "the end of a Job")
    assert len(watching.lists()) == 2, "told twice to watch, it watches once"


def test_all_jobs_are_listed_however_many_there_are(west: ControlPlane, namespace: str) -> None:
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    names = {f"many-{number}" for number in range(520)}
    bodies = [job(name, namespace) for name in names]
    for body in bodies:
        body["spec"]["suspend"] = True
    assert set(all_at_once(west.admin_kubeconfig, [("POST", path, body) for body in bodies])) == {201}
    try:
        with asking(west.operator_kubeconfig) as kube:
            kube.client.watch_jobs(True)
            until(kube.lists, 30, "a list of the Jobs")
            assert kube.lists()[0] >= names
    finally:
        all_at_once(west.admin_kubeconfig, [("DELETE", f"{path}?propagationPolicy=Background", None)])
