"""What two settings must be to each other, and why: what is fine for each alone may be wrong together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Check:
    """What settings must be to each other, and why."""

    names: tuple[str, ...]
    holds: Callable[..., bool]
    sentence: str


CHECKS: Final = (
    Check(
        ("proof_lease_s", "proof_interval_s"),
        lambda lease, interval: lease >= 2 * interval,
        "the lease must be at least twice the interval, or one late proof makes the executor step down",
    ),
    Check(
        ("token_missing_after_s", "heartbeat_s"),
        lambda missing, heartbeat: missing > 2 * heartbeat,
        "the first must be more than twice the heartbeat, or the token is put back while the broker is"
        " still about to take it from a frozen holder",
    ),
    Check(
        ("token_missing_after_s", "proof_lease_s"),
        lambda missing, lease: missing > lease,
        "the first must be more than the lease, or the token is put back while its holder still believes in itself",
    ),
    Check(
        ("token_missing_after_s", "seen_interval_s"),
        lambda missing, seen: missing >= 1.5 * seen,
        "the first must be at least one and a half times the interval, or a word that is late has a worker's token put back",
    ),
    Check(
        ("silent_after_s", "seen_interval_s"),
        lambda silent, seen: silent >= 2 * seen,
        "the first must be at least twice the interval, or one late word makes a cluster silent",
    ),
    Check(
        ("lost_after_s", "silent_after_s"),
        lambda lost, silent: lost >= silent,
        "the first must be at least the second: a run is given up only in a cluster that is silent",
    ),
    Check(
        ("start_window_s", "skew_margin_s"),
        lambda window, skew: window > skew,
        "the window must be more than the margin, or a cluster whose clock is ahead starts nothing",
    ),
    Check(
        ("start_window_s", "backup_after_s"),
        lambda window, backup: window > backup,
        "the window must be more than the second, or a frozen worker's runs are too late for anybody else",
    ),
    Check(
        ("forget_after_s", "start_window_s"),
        lambda forget, window: forget > window,
        "the first must be more than the window, or a cronjob is forgotten while one of its runs may still start",
    ),
    Check(
        ("broker_cert_file", "broker_key_file"),
        lambda certificate, key: (certificate is None) == (key is None),
        "a certificate and its key are given together, or neither is",
    ),
    *(
        Check(
            (file, "broker_url"),
            lambda path, urls: path is None or all(url.startswith("amqps://") for url in urls.split(",")),
            "the file is for amqps:// URLs only; with amqp:// nothing is encrypted and nobody's certificate is looked at",
        )
        for file in ("broker_ca_file", "broker_cert_file")
    ),
    Check(
        ("broker_user", "broker_password"),
        lambda user, password: bool(user) == bool(password),
        "a user and its password are given together, or neither is",
    ),
    Check(
        ("broker_users", "cluster"),
        lambda users, cluster: not users or cluster in users,
        "this cluster is not among those of which it is said who speaks for them: all that it says would be set aside",
    ),
    *(
        Check(
            (others, "cluster"),
            lambda named, own: own not in named,
            "only other clusters are named there, and this one is alive: take it out before it starts again",
        )
        for others in ("gone_clusters", "forgotten_clusters")
    ),
    Check(
        ("broker_cert_user", "broker_cert_file"),
        lambda user, certificate: not user or certificate is not None,
        "to log in by a certificate, one is needed",
    ),
    Check(
        ("broker_cert_user", "broker_user"),
        lambda by_certificate, by_password: not (by_certificate and by_password),
        "it logs in by its certificate or with a password: keep one of the two",
    ),
    Check(
        ("broker_cert_user", "broker_url"),
        lambda user, urls: not user or "@" not in urls,
        "to log in by a certificate, no URL may name a user",
    ),
    Check(
        ("ledger_max_bytes", "ledger_segment_bytes"),
        lambda ledger, segment: ledger >= 8 * segment,
        "the ledger must hold at least 8 segments, because only whole ones are dropped, and records that"
        " are live must not be among them",
    ),
)
