"""The testbed itself: what other tests rely on without looking."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest

from tests.testbed import guard
from tests.testbed.broker import Broker
from tests.testbed.cluster import KubectlFailed
from tests.testbed.control_plane import ControlPlane
from tests.testbed.process import Process, ProcessFailed
from tests.testbed.replica import Replica
from tests.testbed.wait import until

STARTS_SOMETHING = """
import pathlib, sys
from tests.testbed.process import Process, remove_at_exit, run_at_exit
folder = pathlib.Path(sys.argv[1])
data = folder / "data"
data.mkdir()
remove_at_exit(data)
run_at_exit("touch", str(folder / "told"))
# The child of the child has left the process group, as a daemon does.
Process("sleeper", ["sh", "-c", "setsid sleep 1000 & wait"], log=folder / "log", env={"SLEEPER": str(folder)}).start()
print("started", flush=True)
sys.stdin.read()
"""

ANSWERS_AS_A_REPLICA = """
import http.server, os
class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'# HELP runs How many\\nruns{cluster="west"} 7.0\\nup 1\\n')
print("hello from", os.environ["HACRON_REPLICA"])
http.server.HTTPServer(("127.0.0.1", int(os.environ["HACRON_HTTP_PORT"])), Answers).serve_forever()
"""


def job(name: str, **annotations: str) -> str:
    """Return a Job whose pod has these annotations, `testbed/` before their names."""
    described = {f"testbed/{key.replace('_', '-')}": value for key, value in annotations.items()}
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "none"}]}
    return json.dumps(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name},
            "spec": {"backoffLimit": 0, "template": {"metadata": {"annotations": described}, "spec": pod}},
        }
    )


class TestProcesses:
    @pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    def test_nothing_outlives_tests_that_are_killed(self, tmp_path: Path, end: signal.Signals) -> None:
        command = [sys.executable, "-c", STARTS_SOMETHING, str(tmp_path)]
        tests = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert tests.stdout is not None
        assert tests.stdout.readline() == b"started\n"
        until(lambda: len(guard.marked(f"SLEEPER={tmp_path}")) == 2, 60, "the sleeper and its shell")

        tests.send_signal(end)
        tests.communicate()

        until(lambda: not guard.marked(f"SLEEPER={tmp_path}"), 60, "end of the sleepers")
        until(lambda: not (tmp_path / "data").exists(), 60, "removal of the data")
        until((tmp_path / "told").exists, 60, "what was to be run at the end")

    def test_a_killed_process_takes_what_it_started_with_it(self, tmp_path: Path) -> None:
        process = Process("parent", ["sh", "-c", "setsid sleep 1000 & wait"], log=tmp_path / "log")
        process.start()
        until(lambda: len(process.family()) == 2, 60, "the child")
        assert process.kill() == -signal.SIGKILL
        assert process.family() == []

    def test_a_process_that_ended_by_itself_is_reported_with_its_last_words(self, tmp_path: Path) -> None:
        process = Process("brief", ["sh", "-c", "echo out of luck; exit 3"], log=tmp_path / "log")
        process.start()
        until(lambda: not process.alive, 60, "the end")
        with pytest.raises(ProcessFailed, match="out of luck"):
            process.check()

    def test_settings_of_the_caller_are_not_inherited(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HACRON_CLUSTER", "the real one")
        process = Process("env", ["env"], log=tmp_path / "log")
        process.start()
        until(lambda: not process.alive, 60, "the end")
        assert "HACRON_CLUSTER" not in process.tail(1000)


class TestReplica:
    @pytest.fixture
    def replica(self, tmp_path: Path) -> Iterator[Replica]:
        replica = Replica(
            "west-1",
            cluster="west",
            kubeconfig=tmp_path / "none",
            broker_url="amqp://nowhere",
            log=tmp_path / "log",
            command=[sys.executable, "-c", ANSWERS_AS_A_REPLICA],
        )
        replica.start()
        yield replica
        replica.kill()

    def test_a_replica_is_asked_for_its_readiness_metrics_and_log(self, replica: Replica) -> None:
        replica.wait_ready(60)
        assert replica.metrics() == {'runs{cluster="west"}': 7.0, "up": 1.0}
        assert replica.log().startswith("hello from west-1\n")

    def test_a_frozen_replica_can_be_terminated(self, replica: Replica) -> None:
        replica.wait_ready(60)
        replica.freeze()
        assert replica.terminate(30) == -signal.SIGTERM
        with pytest.raises(ProcessFailed):
            replica.wait_ready(1)


@pytest.mark.broker
class TestBroker:
    @pytest.fixture(scope="class", name="own")
    @staticmethod
    def _own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
        broker = Broker(tmp_path_factory.mktemp("own"))
        broker.start()
        yield broker
        broker.close()

    def publish(self, broker: Broker) -> None:
        with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
            channel = connection.channel()
            channel.queue_declare("kept", durable=True, arguments={"x-queue-type": "quorum"})
            channel.confirm_delivery()
            channel.basic_publish("", "kept", b"body", mandatory=True)

    def messages(self, broker: Broker) -> int:
        with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
            channel = connection.channel()
            channel.queue_declare("kept", durable=True, arguments={"x-queue-type": "quorum"})
            _, _, body = channel.basic_get("kept", auto_ack=False)
            return 1 if body else 0

    def test_what_is_stored_outlives_a_kill_but_not_a_wipe(self, own: Broker) -> None:
        self.publish(own)
        # A quorum queue is entered into a register that is saved by and by: a node that is killed within half a second of
        # its first declaration comes back with a queue that never has a leader.
        own.restart()
        self.publish(own)
        own.kill()
        own.start()
        assert self.messages(own) == 1
        own.wipe()
        assert self.messages(own) == 0

    def test_queues_can_be_listed(self, own: Broker) -> None:
        self.publish(own)
        assert {"name": "kept", "type": "quorum"} in own.list_queues("name", "type")

    def test_a_stopped_broker_leaves_no_process(self, own: Broker) -> None:
        before = guard.marked(f"RABBITMQ_NODE_PORT={own.port}")
        own.stop()
        assert before
        assert guard.marked(f"RABBITMQ_NODE_PORT={own.port}") == []


@pytest.mark.cluster
class TestControlPlane:
    def test_a_job_ends_as_the_annotations_of_its_pod_say(self, west: ControlPlane) -> None:
        west.apply(job("good"))
        west.apply(job("bad", run_seconds="0.2", fail="true"))
        west.apply(job("endless", run_seconds="36000"))
        west.kubectl("wait", "--for=condition=Complete", "job/good", "--timeout=30s")
        west.kubectl("wait", "--for=condition=Failed", "job/bad", "--timeout=30s")
        west.kubectl("wait", "--for=jsonpath={.status.ready}=1", "job/endless", "--timeout=30s")
        west.kubectl("delete", "job", "good", "bad", "endless", "--cascade=foreground", "--timeout=30s")
        assert west.kubectl("get", "pods", "--selector", "job-name in (good, bad, endless)", "--output=name") == ""

    def test_pods_run_and_end_when_kwok_has_died(self, west: ControlPlane) -> None:
        kwok = west._others[-1]
        (itself,) = set(kwok.family()) - {kwok.pid}
        os.kill(itself, signal.SIGKILL)
        west.apply(job("after-kwok", run_seconds="0"))
        west.kubectl("wait", "--for=condition=Complete", "job/after-kwok", "--timeout=60s")
        west.kubectl("delete", "job", "after-kwok")

    def test_the_data_and_the_controllers_outlive_the_api_server(self, west: ControlPlane) -> None:
        west.kubectl("create", "configmap", "kept")
        west.stop_apiserver()
        with pytest.raises(KubectlFailed):
            west.kubectl("get", "configmap", "kept")
        west.start_apiserver()
        west.kubectl("delete", "configmap", "kept")
        west.apply(job("after", run_seconds="0"))
        west.kubectl("wait", "--for=condition=Complete", "job/after", "--timeout=60s")
        west.kubectl("delete", "job", "after")

    def test_a_frozen_api_server_answers_when_it_is_thawed(self, west: ControlPlane) -> None:
        west.freeze_apiserver()
        try:
            with pytest.raises(KubectlFailed):
                west.kubectl("get", "namespaces", "--request-timeout=1s")
        finally:
            west.thaw_apiserver()
        assert "kube-system" in west.kubectl("get", "namespaces")

    def test_the_operator_has_the_rights_of_its_service_account_only(self, west: ControlPlane) -> None:
        with pytest.raises(KubectlFailed, match="system:serviceaccount:hacron-system:hacron"):
            west.kubectl("get", "secrets", kubeconfig=west.operator_kubeconfig)
        role = "create", "clusterrole", "secret-reader", "--verb=list", "--resource=secrets"
        west.kubectl(*role)
        west.kubectl(
            "create",
            "clusterrolebinding",
            "secret-reader",
            "--clusterrole=secret-reader",
            "--serviceaccount=hacron-system:hacron",
        )
        until(lambda: self.may_list_secrets(west), 60, "the new right")
        west.kubectl("delete", "clusterrole/secret-reader", "clusterrolebinding/secret-reader")

    def may_list_secrets(self, cluster: ControlPlane) -> bool:
        try:
            cluster.kubectl("get", "secrets", kubeconfig=cluster.operator_kubeconfig)
        except KubectlFailed:
            return False
        return True

    def test_the_certificate_holds_for_python(self, west: ControlPlane) -> None:
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            urllib.request.urlopen(f"{west.url}/readyz", timeout=5)
        assert os.access(west.operator_kubeconfig, os.R_OK)
