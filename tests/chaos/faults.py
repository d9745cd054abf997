"""Every fault, as a function that brings it about, lets it last, and takes it back.

`yield` hands over to the runner, which lets the load go on for as long as the fault lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import pika

from hacron.broker.channel import way_in
from tests.chaos.stage import PREFIX, Part, Stage
from tests.testbed import tools
from tests.testbed.api_proxy import Trouble
from tests.testbed.broker import Broker
from tests.testbed.cluster import start_together
from tests.testbed.wait import until

Act = Callable[[Stage], Iterator[None]]
KEPT = "kept-for-too-long"  # a queue
WORKER_REPLACED_S = 14.0  # two heartbeats and a second, up to 13 s by the default settings; times are known to a second


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that fails."""

    name: str  # of the function
    words: str  # as the report says it
    act: Act
    lasts_s: float
    short: bool  # also in the short form
    nodes: int  # how many the broker must have for it
    may_double: bool  # by the documented rules
    fires: bool  # by the documented rules: every tick is started meanwhile
    heard_s: float  # so long after its end a Job may be taken for running


FAULTS: dict[str, Fault] = {}


def fault(
    words: str,
    *,
    lasts_s: float = 25,
    short: bool = False,
    nodes: int = 1,
    may_double: bool = False,
    fires: bool = False,
    heard_s: float = 0,
) -> Callable[[Act], Act]:
    """Enter a function into the list."""

    def enter(act: Act) -> Act:
        FAULTS[act.__name__] = Fault(act.__name__, words, act, lasts_s, short, nodes, may_double, fires, heard_s)
        return act

    return enter


# --- replicas ---


@fault("the executor is killed (SIGKILL)", lasts_s=15, short=True, fires=True)
def executor_killed(stage: Stage) -> Iterator[None]:
    holders = stage.holders()
    stage.begins()
    for holder in holders:
        holder.kill()
    yield
    for holder in holders:
        holder.start()


@fault("the executor is stopped (SIGTERM)", lasts_s=15, fires=True)
def executor_stopped(stage: Stage) -> Iterator[None]:
    holder = stage.fleet.await_executor()
    holder.terminate()
    yield
    holder.start()


@fault("the executor hangs (SIGSTOP) for 25 s, then wakes up", short=True)
def executor_frozen(stage: Stage) -> Iterator[None]:
    yield from _frozen(stage, stage.holders())


@fault("a worker that is not the executor hangs (SIGSTOP) for 25 s", fires=True, heard_s=WORKER_REPLACED_S)
def worker_frozen(stage: Stage) -> Iterator[None]:
    executor = stage.fleet.await_executor()
    worker = next(each for each in stage.fleet if each is not executor and each.told().get("worker"))
    yield from _frozen(stage, [worker])


@fault("all replicas of the executor's cluster are killed")
def cluster_of_replicas_killed(stage: Stage) -> Iterator[None]:
    lost = stage.fleet.in_cluster(stage.fleet.await_executor().cluster)
    for replica in lost:
        replica.kill()
    yield
    for replica in lost:
        replica.start()


# --- the network between replicas and broker ---


@fault("the executor is cut off from all broker nodes, both ways", short=True)
def executor_cut_off(stage: Stage) -> Iterator[None]:
    for holder in stage.holders():
        stage.cut_off(holder.place, [node.place for node in stage.brokers.nodes])
    yield
    _heal(stage)


@fault("all replicas of a cluster are cut off from the broker, both ways")
def cluster_cut_off(stage: Stage) -> Iterator[None]:
    for replica in stage.fleet.in_cluster("west"):
        stage.cut_off(replica.place, [node.place for node in stage.brokers.nodes])
    yield
    _heal(stage)


@fault("one way: the executor reaches the broker and hears nothing from it")
def executor_deaf(stage: Stage) -> Iterator[None]:
    for holder in stage.holders():
        stage.cut_off(holder.place, [node.place for node in stage.brokers.nodes], both=False)
    yield
    _heal(stage)


@fault("one way: the executor hears the broker and reaches it not")
def executor_mute(stage: Stage) -> Iterator[None]:
    for holder in stage.holders():
        stage.cut_off(holder.place, [node.place for node in stage.brokers.nodes], both=False, incoming=False)
    yield
    _heal(stage)


# --- broker nodes ---


@fault("the broker node that leads the token's queue is killed (SIGKILL)", short=True, nodes=3, fires=True)
def token_leader_killed(stage: Stage) -> Iterator[None]:
    yield from _killed(stage, stage.brokers.leader(f"{PREFIX}.token"))


@fault("the broker node that leads the ledger is killed (SIGKILL)", nodes=3, fires=True)
def ledger_leader_killed(stage: Stage) -> Iterator[None]:
    yield from _killed(stage, stage.brokers.leader(f"{PREFIX}.ledger"))


@fault("the broker node that leads the token's queue hangs (SIGSTOP) for 45 s, then wakes up", lasts_s=45, nodes=3)
def token_leader_frozen(stage: Stage) -> Iterator[None]:
    yield from _frozen(stage, [stage.brokers.leader(f"{PREFIX}.token")])


@fault("the broker node that the executor is connected to hangs (SIGSTOP) for 45 s, then wakes up", lasts_s=45, nodes=3)
def executors_node_frozen(stage: Stage) -> Iterator[None]:
    yield from _frozen(stage, [stage.common_node()])


@fault("the broker node that the executor is connected to is cut off from the other nodes", lasts_s=45, nodes=3)
def executors_node_cut_off(stage: Stage) -> Iterator[None]:
    node = stage.common_node()
    stage.cut_off(node.place, [other.place for other in stage.other_nodes(node)])
    yield
    _heal(stage)


@fault("the broker node that leads the ledger hangs (SIGSTOP) for 45 s, then wakes up", lasts_s=45, nodes=3)
def ledger_leader_frozen(stage: Stage) -> Iterator[None]:
    yield from _frozen(stage, [stage.brokers.leader(f"{PREFIX}.ledger")])


@fault("the token's node is cut off from the other nodes, both ways", lasts_s=45, short=True, nodes=3)
def node_cut_off(stage: Stage) -> Iterator[None]:
    node = stage.brokers.leader(f"{PREFIX}.token")
    stage.cut_off(node.place, [other.place for other in stage.other_nodes(node)])
    yield
    _heal(stage)


@fault("one way: the token's node hears nothing from the other nodes", lasts_s=45, nodes=3)
def node_deaf(stage: Stage) -> Iterator[None]:
    node = stage.brokers.leader(f"{PREFIX}.token")
    stage.cut_off(node.place, [other.place for other in stage.other_nodes(node)], both=False)
    yield
    _heal(stage)


@fault("one way: the token's node hears the other nodes and reaches them not", lasts_s=45, nodes=3)
def node_mute(stage: Stage) -> Iterator[None]:
    node = stage.brokers.leader(f"{PREFIX}.token")
    stage.cut_off(node.place, [other.place for other in stage.other_nodes(node)], both=False, incoming=False)
    yield
    _heal(stage)


@fault("all nodes are cut off from each other: no majority anywhere", nodes=3)
def no_majority(stage: Stage) -> Iterator[None]:
    first, second, third = (node.place for node in stage.brokers.nodes)
    stage.cut_off(first, [second, third])
    stage.cut_off(second, [third])
    yield
    _heal(stage)


@fault("two of three nodes are killed: no majority", nodes=3)
def majority_killed(stage: Stage) -> Iterator[None]:
    lost = stage.brokers.nodes[1:]
    for node in lost:
        node.kill()
    yield
    start_together(lost)


@fault("the whole broker is killed (SIGKILL) and started")
def broker_killed(stage: Stage) -> Iterator[None]:
    for node in stage.brokers.nodes:
        node.kill()
    yield
    start_together(stage.brokers.nodes)  # one that did not go last waits for those that went later


# --- queues ---


@fault("the token is purged", lasts_s=25)
def token_purged(stage: Stage) -> Iterator[None]:
    for replica in stage.fleet:  # while it is held, it cannot be purged
        replica.freeze()
    with stage.channel() as channel:
        until(lambda: channel.queue_purge(f"{PREFIX}.token").method.message_count, 60, "the token in its queue")
    for replica in stage.fleet:
        replica.thaw()
    yield


@fault("three further tokens", lasts_s=15, fires=True)
def token_doubled(stage: Stage) -> Iterator[None]:
    with stage.channel() as channel:
        for _ in range(3):
            channel.basic_publish(way_in(f"{PREFIX}.token"), f"{PREFIX}.token", b"{}")
            channel.basic_publish("", stage.naive.queue, b"token")
    yield


@fault("the token's queue is deleted", lasts_s=25)
def token_queue_deleted(stage: Stage) -> Iterator[None]:
    with stage.channel() as channel:
        channel.queue_delete(f"{PREFIX}.token")
        channel.queue_delete(stage.naive.queue)
    yield
    if stage.naive.replicas[0].alive:
        stage.naive.put_token()


@fault("the queues of commands and reports are deleted", lasts_s=15, fires=True)
def mail_queues_deleted(stage: Stage) -> Iterator[None]:
    with stage.channel() as channel:
        channel.queue_delete(f"{PREFIX}.commands")
        channel.queue_delete(f"{PREFIX}.reports")
    yield


@fault("the ledger is deleted", may_double=True)
def ledger_deleted(stage: Stage) -> Iterator[None]:
    with stage.channel() as channel:
        channel.queue_delete(f"{PREFIX}.ledger")
    yield


@fault("the broker loses all its data", lasts_s=10, may_double=True)
def broker_wiped(stage: Stage) -> Iterator[None]:
    stage.brokers.wipe()
    if stage.naive.replicas[0].alive:
        stage.naive.put_token()
    yield
    stage.brokers.grow(f"{PREFIX}.ledger")  # replicas have made the queues on the node that was there first


# --- a broker in distress ---


@fault("memory alarm on all nodes: publishers are blocked", lasts_s=20, short=True)
def memory_alarm(stage: Stage) -> Iterator[None]:
    for node in stage.brokers.nodes:
        node.ctl("set_vm_memory_high_watermark", "0.000001")
    yield
    for node in stage.brokers.nodes:
        node.ctl("set_vm_memory_high_watermark", "absolute", "1GB")


@fault("disk alarm on one node: publishers are blocked everywhere", lasts_s=20)
def disk_alarm(stage: Stage) -> Iterator[None]:
    node = stage.brokers.nodes[0]
    node.ctl("set_disk_free_limit", "900000GB")
    yield
    node.ctl("set_disk_free_limit", "50MB")


@fault("the broker takes it amiss after 10 s that a message is not acknowledged (consumer timeout)", lasts_s=40, fires=True)
def consumer_timeout(stage: Stage) -> Iterator[None]:
    _consumer_timeout(stage, 10_000)
    with stage.channel() as holder:  # of a queue without a limit of its own: newer brokers go by the one of our queues
        holder.queue_declare(KEPT, durable=True, arguments={"x-queue-type": "quorum"})
        holder.basic_publish("", KEPT, b"kept")
        deliveries: list[object] = []
        holder.basic_consume(KEPT, lambda *told: deliveries.append(told))
        until(lambda: holder.connection.process_data_events(0.2) or deliveries, 30, "the message")
        stage.begins()
        yield
        with suppress(pika.exceptions.AMQPError):  # it is told here that its channel is closed, after all that came before
            for _ in range(10):
                holder.connection.process_data_events(0.2)
        is_held = holder.is_open and bool(holder.consumer_tags) and len(deliveries) == 1
    with stage.channel() as channel:
        channel.queue_delete(KEPT)
    _consumer_timeout(stage, 1_800_000)
    if is_held:
        raise RuntimeError("the broker has taken nothing amiss: this was no fault")


# --- the API server ---


@fault("the API server of a cluster is killed and started", lasts_s=20)
def api_server_killed(stage: Stage) -> Iterator[None]:
    west = stage.clusters["west"]
    west.stop_apiserver()
    try:
        yield
    finally:
        west.start_apiserver()


@fault("the API server of a cluster refuses every connection", lasts_s=20)
def api_server_refuses(stage: Stage) -> Iterator[None]:
    yield from _trouble(stage, Trouble(refused=True))


@fault("the API server of a cluster takes 2 s for every answer", lasts_s=20, fires=True)
def api_server_slow(stage: Stage) -> Iterator[None]:
    yield from _trouble(stage, Trouble(delay_s=2))


@fault("every other answer of a cluster's API server is 500", lasts_s=20, fires=True)
def api_server_500(stage: Stage) -> Iterator[None]:
    yield from _trouble(stage, Trouble(share=0.5, status=500))


@fault(
    "the API server of a cluster does what it is asked, and answers every other write with 500",
    lasts_s=20,
    short=True,
    fires=True,
)
def api_server_500_after(stage: Stage) -> Iterator[None]:
    yield from _trouble(stage, Trouble(share=0.5, status=500, acted=True, writes_only=True))


@fault("the API server of a cluster does what it is asked, and cuts every other write's connection", lasts_s=20, fires=True)
def api_server_cuts_after(stage: Stage) -> Iterator[None]:
    yield from _trouble(stage, Trouble(share=0.5, refused=True, acted=True, writes_only=True))


@fault("every other answer of a cluster's API server is 429", lasts_s=20, fires=True)
def api_server_429(stage: Stage) -> Iterator[None]:
    yield from _trouble(stage, Trouble(share=0.5, status=429))


@fault("every other write to a cluster's API server is answered with 409", lasts_s=20, fires=True)
def api_server_409(stage: Stage) -> Iterator[None]:
    yield from _trouble(stage, Trouble(share=0.5, status=409, writes_only=True))


# --- clocks ---


@fault("the executor's clock is 1.5 s ahead, then 1.5 s behind", lasts_s=15, fires=True)
def clock_within_margin(stage: Stage) -> Iterator[None]:
    yield from _skewed(stage, 1.5)


@fault("the executor's clock is 20 s ahead, then 20 s behind: ten times the margin for it", lasts_s=20)
def clock_beyond_margin(stage: Stage) -> Iterator[None]:
    yield from _skewed(stage, 20)


# --- how ---


def _frozen(stage: Stage, parts: list[Part]) -> Iterator[None]:
    stage.begins()
    for part in parts:
        part.freeze()
    try:
        yield
    finally:
        for part in parts:
            part.thaw()


def _killed(stage: Stage, node: Broker) -> Iterator[None]:
    stage.begins()
    node.kill()
    yield
    node.start()


def _consumer_timeout(stage: Stage, milliseconds: int) -> None:
    """Set it, and begin anew on channels that go by it: each has the one of the moment at which it was opened."""
    for node in stage.brokers.nodes:
        node.ctl(
            "eval", "application:set_env(rabbit, channel_tick_interval, 1000)."
        )  # how often it looks; by default once a minute
        node.ctl("eval", f"application:set_env(rabbit, consumer_timeout, {milliseconds}).")
    for replica in stage.fleet:
        replica.terminate()
        replica.start()
        replica.wait_ready(60)
    for each in stage.naive.replicas:
        if each.alive:
            each.kill()
            each.start()


def _heal(stage: Stage) -> None:
    stage.network.heal()


def _trouble(stage: Stage, trouble: Trouble) -> Iterator[None]:
    with stage.proxies["west"].trouble(trouble):
        yield


def _skewed(stage: Stage, seconds: float) -> Iterator[None]:
    """Give one replica a clock of its own and make it the executor; half-way it steps to the other side."""
    replica = next(iter(stage.fleet))
    clock = stage.directory / "clock"
    clock.write_text(f"+{seconds:g}s\n")
    own = {
        "LD_PRELOAD": str(tools.faketime()),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    replica.kill()
    replica.env.update(own)
    with ExitStack() as undo:
        undo.callback(_own_clock_off, replica.env, own)
        replica.start()
        replica.wait_ready(60)
        for other in stage.fleet:
            if other is not replica:
                other.env["HACRON_MAY_EXECUTE"] = "false"
                undo.callback(other.env.pop, "HACRON_MAY_EXECUTE")
        _restart_others(stage, replica)
        until(lambda: stage.fleet.executor() is replica, 60, "the replica with the wrong clock to be executor")
        yield
        clock.write_text(f"-{seconds:g}s\n")
        yield
    _restart_others(stage, replica)  # first, so that one of them may be executor when this one is killed
    replica.kill()
    replica.start()


def _own_clock_off(env: dict[str, str], own: dict[str, str]) -> None:
    for name in own:
        env.pop(name, None)


def _restart_others(stage: Stage, replica: Part) -> None:
    for other in stage.fleet:
        if other is not replica:
            other.terminate()
            other.start()
            other.wait_ready(60)


@contextmanager
def done_to(stage: Stage, chosen: Fault) -> Iterator[Iterator[None]]:
    """Bring a fault about; what is yielded goes on with it. It is taken back at the end, also after a failure."""
    acting = iter(chosen.act(stage))
    next(acting)
    try:
        yield acting
    finally:
        with suppress(StopIteration):
            while True:
                next(acting)
