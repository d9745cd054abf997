"""Every setting: its unit, its default, and what follows from it. What two of them must be to each other: `checks`."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from hacron.settings.readers import (
    DNS_LABEL,
    Reader,
    amqp_urls,
    existing_file,
    labels,
    matching,
    names,
    one_of,
    reason,
    seconds,
    size_in_bytes,
    some_text,
    users,
    whole,
    yes_or_no,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What there is to know of a setting, beyond its name and default; in the metadata of its field."""

    unit: str
    read: Reader
    consequence: str
    default_in_words: str | None = None  # where the value itself would not tell
    secret: bool = False  # its value is in no message


def about_of(setting: Field[Any]) -> About:
    about = setting.metadata["about"]
    assert isinstance(about, About)
    return about


def setting(
    unit: str,
    read: Reader,
    consequence: str,
    *,
    default: object = MISSING,
    default_factory: Callable[[], object] | None = None,
    default_in_words: str | None = None,
    secret: bool = False,
    hash: bool = True,
) -> Any:
    """Declare a setting; without a default it is required."""
    about = About(unit=unit, read=read, consequence=consequence, default_in_words=default_in_words, secret=secret)
    kwargs: dict[str, Any] = {"default": default} if default_factory is None else {"default_factory": default_factory}
    return field(**kwargs, repr=not secret, hash=hash, metadata={"about": about})


def _host_and_pid() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


_DAY_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one replica is told at its start; get it from `loading.load`. Each field is a variable HACRON_<NAME>."""

    # Where it is
    cluster: str = setting(
        "DNS label",
        matching(DNS_LABEL, "a DNS label: a-z, 0-9 and -, at most 63"),
        "The name of this replica's cluster in placements, records and metrics. The same for all replicas of a "
        "cluster, different in every cluster.",
    )
    cluster_labels: dict[str, str] = setting(  # noqa: RUF009 - it is a field
        "key=value,…",
        labels,
        "What spec.placement.clusterSelector chooses this cluster by, such as its tier or zone. At most 100.",
        default_factory=dict,
        default_in_words="none",
        hash=False,
    )
    cordoned: str = setting(
        "text",
        reason(200),
        "Why no new runs are to go to this cluster, such as a maintenance. What runs there goes on. The same for all "
        "replicas of the cluster.",
        default="",
        default_in_words="runs may go there",
    )
    gone_clusters: tuple[str, ...] = setting(
        "clusters",
        names(DNS_LABEL, "names of clusters, separated by commas"),
        "Other clusters that will not come back, nor anything that ran there. While they are silent, runs there hold up "
        "nothing any more, also under AtMostOnce. It is enough that one cluster says so; take it out before they return.",
        default=(),
        default_in_words="none",
    )
    forgotten_clusters: tuple[str, ...] = setting(
        "clusters",
        names(DNS_LABEL, "names of clusters, separated by commas"),
        "Other clusters of which nothing is to be left: gone, and when they have been silent for HACRON_LOST_AFTER_S, what they "
        "declare is withdrawn and they are no longer shown. Nothing that they declare counts as long as they are named here.",
        default=(),
        default_in_words="none",
    )
    replica: str = setting(
        "name",
        matching(r"[A-Za-z0-9]([-\w.]{0,251}[A-Za-z0-9])?", "a name of letters, digits and - . _"),
        "The name of this replica in records, logs and metrics. Two replicas of one name cannot be told apart.",
        default_factory=_host_and_pid,
        default_in_words="host name-process id",
    )
    kubeconfig: Path | None = setting(  # noqa: RUF009 - it is a field
        "path",
        existing_file,
        "How to reach this cluster's API server. Absent: as the pod's service account.",
        default=None,
        default_in_words="in-cluster",
    )
    watch_namespaces: tuple[str, ...] = setting(
        "namespaces",
        names(DNS_LABEL, "names of namespaces, separated by commas"),
        "HACronJobs count and run in these namespaces only, and rights are needed only there. What is declared here in one "
        "that is taken away from the list counts as withdrawn.",
        default=(),
        default_in_words="all",
    )

    # The broker
    broker_url: str = setting(
        "URLs",
        amqp_urls,
        "Where RabbitMQ is: one amqp:// or amqps:// URL per node, separated by commas, tried in turn. A password is never shown.",
        secret=True,
    )
    broker_user: str = setting(
        "name",
        some_text,
        "Who logs in where a URL names no user.",
        default="",
        default_in_words="as the URLs say",
    )
    broker_password: str = setting(
        "text",
        some_text,
        "The password of that user, as it is: unlike in a URL, nothing in it is encoded.",
        default="",
        default_in_words="as the URLs say",
        secret=True,
    )
    broker_ca_file: Path | None = setting(  # noqa: RUF009 - it is a field
        "path",
        existing_file,
        "Certificates (PEM) of the authorities that have signed the broker's, for amqps:// URLs. Read at each connection.",
        default=None,
        default_in_words="those that the machine trusts",
    )
    broker_cert_file: Path | None = setting(  # noqa: RUF009 - it is a field
        "path",
        existing_file,
        "The certificate (PEM) that this replica shows the broker, for amqps:// URLs. Read at each connection.",
        default=None,
        default_in_words="none",
    )
    broker_key_file: Path | None = setting(  # noqa: RUF009 - it is a field
        "path",
        existing_file,
        "The private key (PEM, without a password) of that certificate.",
        default=None,
        default_in_words="none",
    )
    broker_cert_user: str = setting(
        "name",
        some_text,
        "The user whom the broker takes that certificate for: it logs in by it, without a password. RabbitMQ's plugin "
        "rabbitmq_auth_mechanism_ssl makes the name of what stands in the certificate.",
        default="",
        default_in_words="logs in with a password",
    )
    broker_prefix: str = setting(
        "name",
        matching(r"(?!amq\.)[A-Za-z0-9]([-\w.]{0,62}[A-Za-z0-9])?", "a name of letters, digits and - . _"),
        "What the names of all queues begin with. Replicas share cronjobs if they share this, the broker and the "
        "virtual host; another prefix is another world.",
        default="hacron",
    )
    broker_declare: bool = setting(
        "true or false",
        yes_or_no,
        "False: the queues and their exchanges are there already, and this replica's user needs no right to make (and so "
        "to delete) any.",
        default=True,
    )
    broker_users: dict[str, str] = setting(  # noqa: RUF009 - it is a field
        "cluster=user,…",
        users,
        "Who speaks for which cluster: what another user says of it is set aside, and so is all of a cluster that is "
        "not named. The same for all replicas. None: whoever may write is believed.",
        default_factory=dict,
        default_in_words="none",
        hash=False,
    )
    heartbeat_s: int = setting(
        "seconds",
        whole(1, 300),
        "A frozen or cut-off executor is replaced within twice this and a second. Shorter: a busy machine loses "
        "its connection for nothing.",
        default=5,
    )
    ledger_max_bytes: int = setting(
        "bytes",
        size_in_bytes(2**20),
        "Disk per broker node for the ledger; the broker drops its oldest segments beyond it. Must stay several "
        "times what is live; hacron_ledger_span_bytes tells.",
        default=2**30,
    )
    ledger_segment_bytes: int = setting(
        "bytes",
        size_in_bytes(2**16),
        "The ledger is dropped in pieces of this size. Takes effect when it is created.",
        default=16 * 2**20,
    )

    # The executor
    may_execute: bool = setting(
        "true or false",
        yes_or_no,
        "False: this replica never competes for the token. If no replica does, nothing fires.",
        default=True,
    )
    proof_interval_s: float = setting(
        "seconds",
        seconds(0.1, 60),
        "How often the executor proves that it reaches the ledger.",
        default=1.0,
    )
    proof_lease_s: float = setting(
        "seconds",
        seconds(0.2, 300),
        "An executor that has not read back a proof for so long steps down. Shorter: a broker that pauses makes "
        "takeovers; longer: nothing fires for longer when it is cut off.",
        default=3.0,
    )
    token_missing_after_s: float = setting(
        "seconds",
        seconds(1, 3600),
        "Without any executor's proof for so long, the token counts as gone and is put back. A second token does "
        "no harm, but makes a takeover.",
        default=12.0,
    )

    # When runs start
    decide_ahead_s: float = setting(
        "seconds",
        seconds(0, 30),
        "A tick is decided so long before it comes. An executor that dies within it makes no run late; after it a "
        "change of the cronjob may come too late for this tick.",
        default=5.0,
    )
    start_window_s: float = setting(
        "seconds",
        seconds(1, 3600),
        "A run may start so long after its tick, or its decision when that is later; then it is missed, or under "
        "AtLeastOnce tried elsewhere.",
        default=20.0,
    )
    backup_after_s: float = setting(
        "seconds",
        seconds(0.1, 300),
        "A replica that is not its cluster's worker makes a Job that is still pending so long after its tick. "
        "Less: more requests that find the Job there; more: runs are later when a worker is frozen.",
        default=1.0,
    )
    skew_margin_s: float = setting(
        "seconds",
        seconds(0, 300),
        "How far the clocks of two clusters may differ. Under AtLeastOnce an attempt elsewhere waits so much "
        "longer; clocks that differ more can make a run twice.",
        default=2.0,
    )

    # Clusters that are not heard of
    seen_interval_s: float = setting(
        "seconds",
        seconds(0.1, 300),
        "How often a worker says that its cluster lives.",
        default=5.0,
    )
    silent_after_s: float = setting(
        "seconds",
        seconds(0.2, 3600),
        "Without a word from a cluster for so long, it is silent: no new run is placed there.",
        default=15.0,
    )
    lost_after_s: float = setting(
        "seconds",
        seconds(1, 7 * _DAY_S),
        "A run that has begun in a cluster that has been silent for so long is given up: it is Lost, and under AtLeastOnce "
        "tried elsewhere. Shorter: more runs that are Lost and go on, or run twice; longer: this is told and done later.",
        default=300.0,
    )

    # What is kept
    inventory_interval_s: float = setting(
        "seconds",
        seconds(1, _DAY_S),
        "How often a relay lists the HACronJobs of its cluster, to find deletions that it was not told of.",
        default=300.0,
    )
    forget_after_s: float = setting(
        "seconds",
        seconds(1, 7 * _DAY_S),
        "A withdrawn cronjob is remembered so long, to delete its Jobs and to know late news of it. "
        "A cluster that is away for longer deletes them when it is back, if this ledger gave their runs.",
        default=600.0,
    )
    recent_limit: int = setting(
        "verdicts",
        whole(1, 100),
        "How many verdicts .status.recent keeps of each cronjob, unless more are new at once; half of the room is for those that "
        "are not Skipped. Each makes the ledger longer.",
        default=10,
    )

    # The API server
    kube_concurrency: int = setting(
        "requests",
        whole(1, 1000),
        "How many requests to the API server are under way at once; while those of one namespace hang, up to half as many more "
        "of others. Many Jobs in one second want many.",
        default=32,
    )
    kube_timeout_s: float = setting(
        "seconds",
        seconds(0.1, 25),  # namelock.REQUEST_LIVES is more than twice as long
        "A request without an answer for so long is given up and tried again. At most 25.",
        default=10.0,
    )

    # Who looks at it
    events: str = setting(
        "All, Problems or None",
        one_of("All", "Problems", "None"),
        "What is told in Events on HACronJobs: all that becomes of their ticks, only what somebody may have to see to "
        "(type Warning), or nothing. Two or three for each run; the API server keeps them for an hour.",
        default="All",
    )
    http_host: str = setting(
        "address",
        matching(r"[\w.:%-]+", "an address or host name"),
        "Where /healthz, /readyz and /metrics are. `::`: at every address, of IPv4 too.",
        default="::",
    )
    http_port: int = setting(
        "port",
        whole(0, 65535),
        "The same, its port. 0: any that is free; the log says which.",
        default=8080,
    )
    page: bool = setting(
        "true or false",
        yes_or_no,
        "True: /page/ shows cronjobs, what became of their ticks, and clusters to whoever reaches this port. Read-only, without "
        "templates of Jobs.",
        default=False,
    )
    page_hosts: tuple[str, ...] = setting(
        "host names",
        names(
            r"[A-Za-z0-9]([-A-Za-z0-9.]{0,251}[A-Za-z0-9])?",
            "host names such as hacron.example.com, without a port, separated by commas",
        ),
        "Names under which browsers may ask for the page, separated by commas, beside localhost, addresses and Services. "
        "Any name at all would let a hostile web site point its own here and read along.",
        default=(),
        default_in_words="none",
    )
    log_format: str = setting(
        "auto, text or json",
        one_of("auto", "text", "json"),
        "How logs look. auto: text on a terminal, else JSON.",
        default="auto",
    )
    log_level: str = setting(
        "level",
        one_of("DEBUG", "INFO", "WARNING", "ERROR"),
        "The least important lines that are logged. INFO says why each tick was skipped.",
        default="INFO",
    )

    @property
    def broker_urls(self) -> tuple[str, ...]:
        """The URLs of the broker's nodes, with their users and passwords."""
        return tuple(self._with_user(url) for url in self.broker_url.split(","))

    def _with_user(self, url: str) -> str:
        if not self.broker_user or "@" in urlsplit(url).netloc:
            return url
        scheme, _, rest = url.partition("://")
        return f"{scheme}://{quote(self.broker_user, safe='')}:{quote(self.broker_password, safe='')}@{rest}"
