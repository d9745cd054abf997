"""An API server that is stopped, started, frozen and thawed while a replica works with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hacron.kube import http
from hacron.ports import GetJob, ListInventory
from tests.cluster.asking import Asking, asking, create, some_key
from tests.testbed.control_plane import ControlPlane
from tests.testbed.wait import until

pytestmark = pytest.mark.cluster


@pytest.fixture
def kube(west: ControlPlane, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asking]:  # noqa: ARG001  goes after it
    """A client that does not wait long, of an API server that works in the end."""
    monkeypatch.setattr(http, "PROBE_S", 1.0)
    with asking(west.operator_kubeconfig, timeout_s=2.0) as found:
        until(lambda: found.ask(get("hello")).status == 404, 60, "an answer")
        yield found
    west.thaw_apiserver()
    west.start_apiserver()


def get(name: str, namespace: str = "default") -> GetJob:
    return GetJob(key=some_key(namespace), run_id=name, namespace=namespace, name=name)


def test_an_api_server_that_is_stopped_answers_nothing_and_works_again_when_it_is_back(
    kube: Asking, west: ControlPlane, namespace: str
) -> None:
    kube.client.watch_jobs(True)
    until(lambda: len(kube.lists()) == 1, 20, "a list of the Jobs")
    west.stop_apiserver()
    answers = kube.ask_all([get("hello"), create("lost", namespace), ListInventory()])
    assert [answer.status for answer in answers] == [0, 0, 0]
    assert all("Cannot connect" in answer.reason and answer.unreachable for answer in answers)
    until(lambda: not kube.client.reachable, 20, "the word that it does not answer")
    west.start_apiserver()
    until(lambda: kube.client.reachable, 60, "the word that it answers again")
    until(lambda: kube.ask(get("lost", namespace)).status == 404, 60, "its word that nothing was made meanwhile")
    until(lambda: kube.ask(create("found", namespace)).status in (201, 409), 60, "a Job")  # 409: made, and the answer came late
    until(lambda: kube.sightings("found") or any("found" in each for each in kube.lists()), 30, "the Job in the watch")


def test_an_api_server_that_hangs_is_given_up_in_time(kube: Asking, west: ControlPlane, namespace: str) -> None:
    west.freeze_apiserver()
    answers = kube.ask_all([get("hello"), create("hangs", namespace)], timeout=60)
    assert [answer.status for answer in answers] == [0, 0]
    assert all("Timeout" in answer.reason for answer in answers)
    until(lambda: not kube.client.reachable, 20, "the word that it does not answer")
    west.thaw_apiserver()
    until(lambda: kube.client.reachable, 60, "the word that it answers again")
    # What was sent may have acted all the same: the name tells.
    until(lambda: kube.ask(create("hangs", namespace)).status in (201, 409), 60, "its name taken")


def test_a_silent_api_server_is_noticed_when_nobody_asks_for_anything(kube: Asking, west: ControlPlane) -> None:
    west.freeze_apiserver()
    asked = len(kube.answers())
    until(lambda: not kube.client.reachable, 30, "the word that it does not answer")
    assert len(kube.answers()) == asked
