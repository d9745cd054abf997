"""Logging in by a certificate, at a real broker that makes a user's name of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pika
import pytest

from hacron.broker.session import Access
from hacron.broker.tls import Tls
from tests.broker.certificates import Authority
from tests.broker.test_refused import open_and_close, refusal, said_by_a_replica
from tests.testbed.broker import Broker
from tests.testbed.process import free_port

pytestmark = pytest.mark.broker

PLUGIN = "rabbitmq_auth_mechanism_ssl"
SETTINGS = """
auth_mechanisms.1 = PLAIN
auth_mechanisms.2 = EXTERNAL
ssl_cert_login_from = common_name
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def node(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Broker, str]]:
    """A broker with a user hacron-west who has no password, and the URL of its TLS port."""
    port = free_port()
    settings = authority.listener(port) + SETTINGS
    broker = Broker(tmp_path_factory.mktemp("node"), settings=settings, plugins=[PLUGIN])
    broker.start()
    try:
        broker.ctl("add_user", "hacron-west", "unused")
        broker.ctl("clear_password", "hacron-west")
        broker.ctl("set_permissions", "-p", "hacron", "hacron-west", "^hacron", "^hacron", "^hacron")
        yield broker, f"amqps://127.0.0.1:{port}/hacron"
    finally:
        broker.close()


@pytest.fixture
def access(node: tuple[Broker, str], authority: Authority) -> Access:
    """What lets west in."""
    return Access(urls=[node[1]], prefix="hacron", cluster="west", replica="r1", tls=shows(authority, "hacron-west"))


def shows(authority: Authority, name: str) -> Tls:
    certificate, key = authority.sign(name, f"DNS:{name}")
    return Tls(authority=authority.file, certificate=certificate, key=key, user=name)


def test_the_certificate_is_enough(access: Access, node: tuple[Broker, str]) -> None:
    open_and_close(access)
    assert {queue["name"] for queue in node[0].list_queues("name")} >= {"hacron.token", "hacron.ledger"}


def test_a_name_without_a_user(access: Access, authority: Authority) -> None:
    says = "the broker has no user of the name that it makes of our certificate (ssl_cert_login_from): add one"
    assert says in refusal(replace(access, tls=shows(authority, "hacron-nobody")))


def test_another_user_than_was_thought(access: Access) -> None:
    words = refusal(replace(access, tls=replace(access.tls, user="hacron-east")))
    assert "the broker takes our certificate for user hacron-west: HACRON_BROKER_CERT_USER must be that, not hacron-east" in words


def test_a_broker_where_nobody_can_log_in_by_a_certificate(access: Access, node: tuple[Broker, str]) -> None:
    broker, _ = node
    broker.ctl("eval", "application:set_env(rabbit, auth_mechanisms, ['PLAIN']).")
    try:
        assert f"nobody can log in there by a certificate: rabbitmq-plugins enable {PLUGIN}" in refusal(access)
    finally:
        broker.ctl("eval", "application:set_env(rabbit, auth_mechanisms, ['PLAIN', 'EXTERNAL']).")
    open_and_close(access)


def test_who_logs_in_with_a_password_is_let_in_as_before(access: Access, node: tuple[Broker, str]) -> None:
    broker, url = node
    named = url.replace("//", f"//{pika.URLParameters(broker.url).credentials.username}:{broker.password}@")
    open_and_close(replace(access, urls=[named], tls=replace(access.tls, user="")))


def test_a_replica_goes_by_its_settings(access: Access) -> None:
    given = {
        "HACRON_CLUSTER": "west",
        "HACRON_BROKER_URL": access.urls[0],
        "HACRON_BROKER_CA_FILE": str(access.tls.authority),
        "HACRON_BROKER_CERT_FILE": str(access.tls.certificate),
        "HACRON_BROKER_KEY_FILE": str(access.tls.key),
        "HACRON_BROKER_CERT_USER": "hacron-west",
    }
    assert said_by_a_replica(given, lambda health: health.executor) == ""
