"""What the broker, or the way to it, refuses: one sentence each on what is missing and who can give it.

The broker's own words follow in brackets, for those who look them up; what is not known here is told in these words alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

OLDEST: Final = (3, 10)
"""RabbitMQ 3.10: streams that can be read by offset and quorum queues as `topology` declares them."""

Say = Callable[[re.Match[str]], str]


def explain(said: str) -> str:
    """Put before what was said the sentence that tells what to do about it, if there is one."""
    return _explain(said, _ANY_TIME)


def explain_opening(said: str) -> str:
    """Do so for what was said when a connection was opened."""
    return _explain(said, _OPENING + _ANY_TIME)


def _explain(said: str, causes: tuple[tuple[str, Say], ...]) -> str:
    for pattern, say in causes:
        found = re.search(pattern, said, re.IGNORECASE)
        if found:
            return f"{say(found)} ({said})"
    return said


def too_old(product: object, version: object) -> str:
    """Say what is wrong with the broker's version; empty: nothing. One that tells none is believed to be new enough."""
    numbers = re.match(r"(\d+)\.(\d+)", str(version))
    if product != "RabbitMQ" or numbers is None or tuple(map(int, numbers.groups())) >= OLDEST:
        return ""
    oldest = ".".join(map(str, OLDEST))
    return f"RabbitMQ {str(version)[:20]} is too old: {oldest} is the first with the queues that are needed; upgrade it"


def _other_arguments(queue: str) -> str:
    """Say what it means that a queue stands there as something else."""
    return (
        f"queue {queue} exists with other arguments than this replica is set up with: give all replicas the same"
        " settings as the one that made it; to change them, stop all replicas first (docs/operations.md, Settings that queues"
        " are made with)"
    )


# What is asked of a queue or an exchange, as Channel has it → the permission that RabbitMQ wants for it.
_PERMISSIONS: Final = {
    "declaring": "configure",
    "binding": "write on the queue and read on the exchange",
    "consuming": "read",
    "looking": "read",
    "publishing": "write",
}


def of_channel(doing: str, said: str) -> str:
    """Say why the broker has closed a channel over what was being done, such as "declaring queue hacron.token"."""
    if "inequivalent arg" in said:
        return f"{_other_arguments(doing.rpartition(' ')[2])}: {said}"
    return _lacks_permission(doing, said) or explain(said)


def _lacks_permission(doing: str, said: str) -> str:
    found = re.search(r"access to (\w+) '([^']*)' in vhost '([^']*)' refused for user '([^']*)'", said)
    if found is None:
        return ""
    kind, name, vhost, user = found.groups()
    permission = _PERMISSIONS.get(doing.partition(" ")[0], "configure, write and read")
    return (
        f"user {user} lacks a permission on {kind} {name} in virtual host {vhost}: {doing} needs {permission};"
        f" deploy/rabbitmq/ has the permissions of a replica ({said})"
    )


_ANY_TIME: Final[tuple[tuple[str, Say], ...]] = (
    (
        r"user_id property set to '([^']*)' but authenticated user was '([^']*)'",
        lambda found: (
            f"the broker takes our certificate for user {found[2]}: HACRON_BROKER_CERT_USER must be that, not {found[1]}"
        ),
    ),
    (
        r"queue '([^']*)' in vhost .* feature flag is disabled",
        lambda found: f"the broker cannot make the queue {found[1]} yet: rabbitmqctl enable_feature_flag all",
    ),
    (
        r"no (queue|exchange) '([^']*)' in vhost",
        lambda found: (
            f"nobody has made the {found[1]} {found[2]}: with HACRON_BROKER_DECLARE=false that is for whoever sets the broker up"
        ),
    ),
    (
        r"queue limit|too many queues",
        lambda _: "the virtual host may hold no more queues: raise its limit max-queues",
    ),
)

_OPENING: Final[tuple[tuple[str, Say], ...]] = (
    (
        r"^EXTERNAL$",
        lambda _: (
            "nobody can log in there by a certificate: rabbitmq-plugins enable rabbitmq_auth_mechanism_ssl, and let"
            " auth_mechanisms have EXTERNAL"
        ),
    ),
    (
        r"ACCESS_REFUSED - Login was refused using authentication mechanism EXTERNAL",
        lambda _: "the broker has no user of the name that it makes of our certificate (ssl_cert_login_from): add one",
    ),
    (
        r"ACCESS_REFUSED - Login was refused|authentication failure|ProbableAuthenticationError",
        lambda _: "the broker knows no such user with this password: compare the Secret with the broker's users",
    ),
    (
        r"vhost '?([^' ,]+)'? not found|no access to this vhost|vhost (\S+) not found",
        lambda found: f"the broker has no virtual host {found[1] or found[2] or ''}: make it, or correct the end of the URL",
    ),
    (
        r"access to vhost '([^']*)' refused for user '([^']*)': .*limit",
        lambda found: f"virtual host {found[1]} takes no more connections of user {found[2]}: raise its limit",
    ),
    (
        r"access to vhost '([^']*)' refused for user '([^']*)'",
        lambda found: f"user {found[2]} may not use virtual host {found[1]}: give it permissions there, as in deploy/rabbitmq/",
    ),
    (
        r"unable to get local issuer|self.signed certificate",
        lambda _: "no authority that is trusted here has signed the broker's certificate: name the one in HACRON_BROKER_CA_FILE",
    ),
    (
        r"certificate has expired|certificate is not yet valid",
        lambda _: "the broker's certificate is out of date, or this machine's clock is wrong",
    ),
    (
        r"Hostname mismatch|IP address mismatch|doesn't match",
        lambda _: "the broker's certificate is for another host: correct HACRON_BROKER_URL, or add this name to the certificate",
    ),
    (
        r"certificate.required|bad.certificate|unknown.ca|handshake.failure|certificate.unknown|EOF occurred in violation",
        lambda _: "the broker wants a certificate of ours that it trusts: HACRON_BROKER_CERT_FILE and HACRON_BROKER_KEY_FILE",
    ),
    (
        r"WRONG_VERSION_NUMBER|record layer failure",
        lambda _: "what listens there does not speak TLS: amqps:// is for the broker's TLS port, mostly 5671, amqp:// for 5672",
    ),
    (
        r"getaddrinfo|Name or service not known|nodename nor servname|name resolution",
        lambda _: "there is no host of this name: correct HACRON_BROKER_URL, or look at DNS",
    ),
    (
        r"Connection refused",
        lambda _: "nothing listens there",
    ),
)
