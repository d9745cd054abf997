"""What a real broker refuses, and what is then said: one sentence on what is missing and who can give it."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pika
import pytest

from hacron.broker import refusals
from hacron.broker.session import Access, open_broker
from hacron.broker.tls import Tls
from hacron.ports import BrokerUnavailable, FromKubernetes
from hacron.replica import Replica
from hacron.settings.loading import load
from hacron.telemetry.health import Health
from hacron.telemetry.metrics import Metrics
from tests.broker.certificates import Authority
from tests.broker.neighbours import own_broker
from tests.broker.worlds import NOW
from tests.fakes.kube_client import FakeKube
from tests.fakes.kubernetes import FakeCluster
from tests.testbed.broker import Broker
from tests.testbed.process import free_port
from tests.testbed.wait import until

ALL = ".*"
QUEUES = "(?<![.]in)$"


def refusal(access: Access) -> str:
    """Return the words in which the broker is found to be of no use."""
    with pytest.raises(BrokerUnavailable) as caught:
        open_broker(access, lambda: NOW)
    words = str(caught.value)
    assert "\n" not in words
    return words


def open_and_close(access: Access) -> None:
    open_broker(access, lambda: NOW).connection.close()


# --- versions -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["3.10.0", "3.13.7", "4.0.0", "4.3.1-rc.1", "", "unknown", None])
def test_a_version_that_will_do_or_tells_nothing_is_taken(version: object) -> None:
    assert refusals.too_old("RabbitMQ", version) == ""


@pytest.mark.parametrize("version", ["3.9.29", "3.8.0", "2.99"])
def test_a_version_that_is_too_old_is_told_with_the_one_that_is_needed(version: str) -> None:
    words = refusals.too_old("RabbitMQ", version)
    assert words.startswith(f"RabbitMQ {version} is too old: 3.10 is the first")


class Older:
    """Stands before a broker and makes it say another version of the same length."""

    def __init__(self, port: int, version: bytes, says: bytes) -> None:
        self._target, self._version, self._says = ("127.0.0.1", port), version, says
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        near, _ = self._listener.accept()
        with near, socket.create_connection(self._target) as far:
            far.sendall(near.recv(4096))
            near.sendall(far.recv(65536).replace(self._version, self._says))
            threading.Thread(target=self._pass_on, args=(near, far), daemon=True).start()
            self._pass_on(far, near)

    @staticmethod
    def _pass_on(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass


@pytest.mark.broker
def test_a_broker_that_is_too_old_is_not_used(broker: Broker) -> None:
    version = broker.ctl("version").strip()
    older = "3.8.0".ljust(len(version), "9")
    before = Older(broker.port, version.encode(), older.encode())
    url = broker.url.replace(f":{broker.port}/", f":{before.port}/")
    words = refusal(Access(urls=[url], prefix="hacron-older", cluster="west", replica="r1"))
    assert (
        words
        == f"127.0.0.1:{before.port}: RabbitMQ {older} is too old: 3.10 is the first with the queues that are needed; upgrade it"
    )
    assert "hacron-older.token" not in str(broker.list_queues())


# --- rights -------------------------------------------------------------------------------------------------------------


@pytest.mark.broker
class TestRights:
    @pytest.fixture(scope="class")
    @staticmethod
    def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
        """A broker with a user who may do nothing yet, and with everything declared by another."""
        with own_broker(tmp_path_factory.mktemp("guarded")) as broker:
            broker.ctl("add_user", "limited", "pw")
            open_and_close(Access(urls=[broker.url], prefix="hacron", cluster="west", replica="r1"))
            yield broker

    def access(self, broker: Broker, *, url: str = "") -> Access:
        urls = [url or f"amqp://limited:pw@127.0.0.1:{broker.port}/hacron"]
        return Access(urls=urls, prefix="hacron", cluster="west", replica="r1")

    @pytest.mark.parametrize(
        ("configure", "write", "read", "says"),
        [
            ("", ALL, ALL, "on queue hacron.token in virtual host hacron: declaring queue hacron.token needs configure"),
            (
                "^hacron[.]token$",
                ALL,
                ALL,
                "on exchange hacron.token.in in virtual host hacron: declaring exchange hacron.token.in needs configure",
            ),
            (
                ALL,
                "[.]in$",
                ALL,
                "on queue hacron.token in virtual host hacron: binding queue hacron.token needs write on the queue",
            ),
            (
                ALL,
                ALL,
                QUEUES,
                "on exchange hacron.token.in in virtual host hacron: binding queue hacron.token needs write on the queue",
            ),
            (
                ALL,
                f"{QUEUES}|commands[.]in$",
                ALL,
                "on exchange hacron.reports.in in virtual host hacron: publishing needs write",
            ),
            (
                ALL,
                f"{QUEUES}|(commands|reports|west)[.]in$",
                ALL,
                "on exchange hacron.token.in in virtual host hacron: publishing needs",
            ),
            (ALL, f"{QUEUES}|[^r][.]in$", ALL, "on exchange hacron.ledger.in in virtual host hacron: publishing needs write"),
            (ALL, ALL, "[.]in$", "on queue hacron.commands in virtual host hacron: looking into hacron.commands needs read"),
            (
                ALL,
                ALL,
                "[.](in|commands)$",
                "on queue hacron.reports in virtual host hacron: looking into hacron.reports needs",
            ),
            (
                ALL,
                ALL,
                "[.](in|commands|reports)$",
                "on queue hacron.ledger in virtual host hacron: consuming from hacron.ledger needs",
            ),
        ],
    )
    def test_the_permission_that_is_lacking_is_named(
        self, configure: str, write: str, read: str, says: str, guarded: Broker
    ) -> None:
        guarded.ctl("set_permissions", "-p", "hacron", "limited", configure, write, read)
        words = refusal(self.access(guarded))
        assert f"user limited lacks a permission {says}" in words
        assert "deploy/rabbitmq/ has the permissions of a replica" in words

    def test_a_user_without_permissions_in_the_virtual_host(self, guarded: Broker) -> None:
        guarded.ctl("clear_permissions", "-p", "hacron", "limited")
        assert "user limited may not use virtual host hacron: give it permissions there" in refusal(self.access(guarded))

    @pytest.mark.parametrize(
        ("user", "vhost", "says"),
        [
            ("limited:wrong", "hacron", "the broker knows no such user with this password"),
            ("nobody:pw", "hacron", "the broker knows no such user with this password"),
            ("limited:pw", "other", "the broker has no virtual host other: make it, or correct the end of the URL"),
        ],
    )
    def test_who_and_where(self, user: str, vhost: str, says: str, guarded: Broker) -> None:
        url = f"amqp://{user}@127.0.0.1:{guarded.port}/{vhost}"
        words = refusal(self.access(guarded, url=url))
        assert f"127.0.0.1:{guarded.port}: {says}" in words
        assert user.partition(":")[2] not in words.replace("wrong", "").split()

    @pytest.mark.parametrize(
        ("limits", "says"),
        [
            ('{"max-queues": 5}', "the virtual host may hold no more queues: raise its limit max-queues"),
            ('{"max-connections": 0}', "virtual host hacron takes no more connections of user hacron: raise its limit"),
        ],
    )
    def test_limits_of_the_virtual_host(self, limits: str, says: str, guarded: Broker) -> None:
        guarded.ctl("set_vhost_limits", "-p", "hacron", limits)
        try:
            access = Access(urls=[guarded.url], prefix="hacron", cluster="another", replica="r1")
            assert says in refusal(access)
        finally:
            guarded.ctl("clear_vhost_limits", "-p", "hacron")

    def test_looking_takes_nothing_away(self, guarded: Broker) -> None:
        guarded.ctl("set_permissions", "-p", "hacron", "limited", ALL, ALL, ALL)
        connection = pika.BlockingConnection(pika.URLParameters(guarded.url))
        try:
            channel = connection.channel()
            channel.confirm_delivery()
            for number in range(3):
                channel.basic_publish("hacron.commands.in", "hacron.commands", str(number).encode(), mandatory=True)
            open_and_close(self.access(guarded))
            found = [channel.basic_get("hacron.commands", auto_ack=True)[2] for _ in range(3)]
            assert found == [b"0", b"1", b"2"]
        finally:
            connection.close()


@pytest.mark.broker
def test_a_broker_that_has_not_switched_streams_on_says_how(tmp_path: Path) -> None:
    broker = Broker(tmp_path, advanced="[{rabbit, [{forced_feature_flags_on_init, [quorum_queue]}]}].")
    broker.start()
    try:
        access = Access(urls=[broker.url], prefix="hacron", cluster="west", replica="r1")
        says = "the broker cannot make the queue hacron.ledger yet: rabbitmqctl enable_feature_flag all"
        assert says in refusal(access)
        broker.ctl("enable_feature_flag", "all")
        open_and_close(access)
    finally:
        broker.close()


# --- TLS ----------------------------------------------------------------------------------------------------------------


@pytest.mark.broker
class TestTls:
    @pytest.fixture(scope="class")
    @staticmethod
    def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
        return tmp_path_factory.mktemp("tls")

    @pytest.fixture(scope="class")
    @staticmethod
    def authority(folder: Path) -> Authority:
        return Authority(folder)

    @pytest.fixture(scope="class")
    @staticmethod
    def sealed(folder: Path, authority: Authority) -> Iterator[tuple[Broker, int]]:
        """A broker that wants a certificate from whoever connects, and the port where it does."""
        port = free_port()
        broker = Broker(folder / "node", settings=authority.listener(port))
        broker.start()
        try:
            yield broker, port
        finally:
            broker.close()

    @pytest.fixture
    @staticmethod
    def good(sealed: tuple[Broker, int], authority: Authority) -> Access:
        """All that is right: authority, certificate, key."""
        broker, port = sealed
        certificate, key = authority.sign("replica", "DNS:replica")
        url = f"amqps://hacron:{broker.password}@127.0.0.1:{port}/hacron"
        tls = Tls(authority=authority.file, certificate=certificate, key=key)
        return Access(urls=[url], prefix="hacron", cluster="west", replica="r1", tls=tls)

    def test_a_private_authority_and_a_certificate_of_ours(self, good: Access) -> None:
        open_and_close(good)

    def test_an_authority_that_nobody_named(self, good: Access) -> None:
        says = "no authority that is trusted here has signed the broker's certificate: name the one in HACRON_BROKER_CA_FILE"
        assert says in refusal(replace(good, tls=Tls()))

    def test_another_authority(self, good: Access, folder: Path) -> None:
        other = Authority(folder / "other", "other")
        assert "HACRON_BROKER_CA_FILE" in refusal(replace(good, tls=replace(good.tls, authority=other.file)))

    def test_no_certificate_of_ours(self, good: Access) -> None:
        assert "the broker wants a certificate of ours" in refusal(replace(good, tls=Tls(authority=good.tls.authority)))

    def test_a_certificate_of_ours_that_the_broker_does_not_trust(self, good: Access, folder: Path) -> None:
        certificate, key = Authority(folder / "stranger", "stranger").sign("replica", "DNS:replica")
        words = refusal(replace(good, tls=replace(good.tls, certificate=certificate, key=key)))
        assert "the broker wants a certificate of ours that it trusts" in words

    def test_a_name_that_the_certificate_does_not_hold(self, good: Access) -> None:
        urls = [good.urls[0].replace("127.0.0.1", "localhost")]
        assert "the broker's certificate is for another host" in refusal(replace(good, urls=urls))

    def test_tls_where_none_is_spoken(self, good: Access, sealed: tuple[Broker, int]) -> None:
        broker, port = sealed
        urls = [good.urls[0].replace(f":{port}/", f":{broker.port}/")]
        assert "what listens there does not speak TLS" in refusal(replace(good, urls=urls))

    def test_files_that_hold_something_else(self, good: Access, tmp_path: Path) -> None:
        rubbish = tmp_path / "rubbish.pem"
        rubbish.write_text("rubbish")
        says = refusal(replace(good, tls=replace(good.tls, authority=rubbish)))
        assert f"HACRON_BROKER_CA_FILE ({rubbish}) must hold certificates in PEM form" in says
        says = refusal(replace(good, tls=replace(good.tls, key=rubbish)))
        assert f"HACRON_BROKER_KEY_FILE ({rubbish}) must hold a certificate and its key in PEM form" in says
        says = refusal(replace(good, tls=replace(good.tls, authority=tmp_path / "gone")))
        assert f"HACRON_BROKER_CA_FILE ({tmp_path / 'gone'}) cannot be read: No such file or directory" in says

    def test_a_certificate_that_was_renewed_is_shown_at_the_next_connection(self, good: Access, folder: Path) -> None:
        assert good.tls.certificate is not None
        assert good.tls.key is not None
        certificate, key = Authority(folder / "before", "before").sign("renewed", "DNS:replica")
        access = replace(good, tls=replace(good.tls, certificate=certificate, key=key))
        refusal(access)
        certificate.write_bytes(good.tls.certificate.read_bytes())
        key.write_bytes(good.tls.key.read_bytes())
        open_and_close(access)

    def test_a_replica_goes_by_its_settings_and_says_what_is_missing_where_it_is_asked(self, good: Access) -> None:
        tls = good.tls
        user, address = good.urls[0].removeprefix("amqps://").split("@")
        given = {
            "HACRON_CLUSTER": "west",
            "HACRON_BROKER_URL": f"amqps://{address}",
            "HACRON_BROKER_PREFIX": "by-settings",
            "HACRON_BROKER_USER": user.partition(":")[0],
            "HACRON_BROKER_PASSWORD": user.partition(":")[2],
            "HACRON_BROKER_CERT_FILE": str(tls.certificate),
            "HACRON_BROKER_KEY_FILE": str(tls.key),
        }
        assert "HACRON_BROKER_CA_FILE" in said_by_a_replica(
            given, lambda health: bool(health.reasons and "CA" in health.reasons[0])
        )
        complete = {**given, "HACRON_BROKER_CA_FILE": str(tls.authority)}
        assert said_by_a_replica(complete, lambda health: health.executor) == ""


def said_by_a_replica(given: dict[str, str], enough: Callable[[Health], bool]) -> str:
    """Run a replica with these settings until its health is enough; return what it says of the broker then."""
    with running(given) as seen:
        until(lambda: any(map(enough, seen)), 30, f"what is to be said of {sorted(given)}")
    health = next(filter(enough, seen))
    return next((reason for reason in health.reasons if reason.startswith("broker: ")), "")


@contextmanager
def running(given: dict[str, str]) -> Iterator[list[Health]]:
    """Run a replica with these settings meanwhile; yield what it says of its health."""
    cluster, arrivals = given["HACRON_CLUSTER"], queue.SimpleQueue[FromKubernetes]()
    kube = FakeKube(FakeCluster(cluster, datetime.now(UTC)), "r1", lambda: datetime.now(UTC))  # else it would take no part
    replica = Replica(load(given), kube, arrivals, Metrics(replica="r1", cluster=cluster, tzdata=""))
    seen: list[Health] = []
    replica.health = seen.append
    thread = threading.Thread(target=replica.run)
    thread.start()
    try:
        yield seen
    finally:
        replica.stop()
        thread.join(20)
