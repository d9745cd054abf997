"""What each port promises, over the broker in memory and a real one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from hacron.broker.ledger import YOUNG
from hacron.core.messages import SPEC_BYTES, Batch, ClusterState, CronJobDeclared, CronJobWithdrawn, Later, RunStarted
from hacron.core.model import Cluster, Key
from hacron.ports import BrokerUnavailable
from tests.broker.worlds import NOW, World, await_end, read, settle, take, until

HOSTILE = [b"", b"\x00\xff\xfe", b"{}", b"null", b"[" * 100_000, b'{"v":99}', b"x" * 2**20, b'"' + b"a" * 9 * 2**20 + b'"']
HOSTILE += [
    b'{"v":1,"id":"i","epoch":1,"sent_at":"2030-01-01T00:00:00Z","from":"x","%s":[%s0]}' % (many, b"0," * 30_000)
    for many in (b"messages", b"records")
]


def small_ledger(test: Callable[..., None]) -> Callable[..., None]:
    test.small_ledger = True  # type: ignore[attr-defined]
    return test


def batch(epoch: int = 1, records: int = 1, padding: int = 0) -> Batch:
    cluster = Cluster(name="west", seen_at=NOW, labels={"padding": "x" * padding})
    return Batch(epoch=epoch, sender="r1", sent_at=NOW, records=(ClusterState(cluster=cluster),) * records)


def withdrawn(number: int) -> CronJobWithdrawn:
    return CronJobWithdrawn(key=Key(f"team/job-{number}"), cluster="west", uid=str(number))


def declared(padding: int) -> CronJobDeclared:
    spec = msgspec.Raw(msgspec.json.encode({"schedule": "x" * padding}))
    return CronJobDeclared(key=Key("team/big"), cluster="west", uid="u", generation=1, created_at=NOW, spec=spec)


def started(number: int) -> RunStarted:
    return RunStarted(key=Key(f"team/job-{number}"), run_id=f"{number}.1.1", cluster="west", started=NOW)


def holder(world: World, replica: str = "r1") -> Any:
    session = world.open(replica)
    session.token.compete()
    until(session, lambda: session.token.held)
    return session


# --- the token ----------------------------------------------------------------------------------------------------------


def test_nobody_holds_a_token_that_does_not_exist(world: World) -> None:
    session = world.open()
    session.token.compete()
    settle(session)
    assert not session.token.held


def test_the_first_in_line_gets_the_token_and_the_second_waits(world: World) -> None:
    world.put("token", b"{}")
    first = holder(world)
    second = world.open("r2")
    second.token.compete()
    settle(second)
    assert (first.token.held, second.token.held) == (True, False)


def test_the_token_is_held_on_through_many_turns_and_competing_twice_changes_nothing(world: World) -> None:
    world.put("token", b"{}")
    first = holder(world)
    first.token.compete()
    settle(first)
    assert first.token.held


@pytest.mark.parametrize("leave", ["drop", "close", "give_back"])
def test_whoever_is_next_in_line_takes_over(world: World, leave: str) -> None:
    world.put("token", b"{}")
    first = holder(world)
    second = world.open("r2")
    second.token.compete()
    settle(second)
    if leave == "give_back":
        first.token.give_back()
    else:
        getattr(first.connection, leave)()
    assert not first.token.held
    until(second, lambda: second.token.held)


def test_a_token_given_back_waits_for_whoever_comes_and_that_may_be_the_same_replica(world: World) -> None:
    world.put("token", b"{}")
    session = holder(world)
    session.token.give_back()
    session.token.give_back()
    settle(session)
    assert not session.token.held
    session.token.compete()
    until(session, lambda: session.token.held)


def test_giving_back_without_a_token_leaves_the_line(world: World) -> None:
    first, second = world.open("r1"), world.open("r2")
    first.token.compete()
    first.token.give_back()
    second.token.compete()
    second.token.put_back()
    until(second, lambda: second.token.held)
    settle(first)
    assert not first.token.held


def test_tokens_put_back_twice_make_one_holder_and_the_surplus_is_gone(world: World) -> None:
    first, second = world.open("r1"), world.open("r2")
    first.token.compete()
    second.token.compete()
    for _ in range(25):  # more than fit into any prefetch window
        second.token.put_back()
    until(first, lambda: first.token.held)
    settle(first)
    settle(second)
    assert not second.token.held
    first.connection.drop()
    until(second, lambda: second.token.held)
    second.token.give_back()
    third = holder(world, "r3")
    settle(second)
    assert third.token.held
    assert not second.token.held


def test_the_workers_token_of_each_cluster_is_its_own(world: World) -> None:
    west, south, west2 = world.open("w", "west"), world.open("s", "south"), world.open("w2", "west")
    for session in (west, south, west2):
        session.worker_token.compete()
    west.worker_token.put_back()
    south.worker_token.put_back()
    until(west, lambda: west.worker_token.held)
    until(south, lambda: south.worker_token.held)
    settle(west2)
    assert not west2.worker_token.held
    assert not west.token.held


def test_a_token_lost_with_its_queue_is_noticed_in_the_next_turns(world: World) -> None:
    world.put("token", b"{}")
    session = holder(world)
    world.delete("token")
    await_end(session)
    assert not session.token.held


def test_any_bytes_are_a_token(world: World) -> None:
    for body in HOSTILE:
        world.put("token", body)
    session = holder(world)
    settle(session)
    assert session.token.held


# --- the ledger ---------------------------------------------------------------------------------------------------------


def test_an_empty_ledger_is_caught_up_with_at_once(world: World) -> None:
    session = world.open()
    assert session.ledger.caught_up
    settle(session)
    assert session.ledger.read() == []
    assert not session.ledger.truncated


def test_what_is_appended_is_read_back_in_order_from_offset_zero_and_once(world: World) -> None:
    session = world.open()
    batches = [batch(epoch, records=2) for epoch in range(1, 201)]
    session.ledger.append(batches[:150], 0)
    session.ledger.append(batches[150:], 0)
    session.ledger.append([], 0)
    entries = read(session, 200)
    assert [entry.batch for entry in entries] == batches
    assert [entry.offset for entry in entries] == list(range(200))
    assert all(entry.size > 100 for entry in entries)
    settle(session)
    assert session.ledger.read() == []
    assert session.ledger.caught_up


def test_two_readers_see_the_same_whoever_wrote_it(world: World) -> None:
    first, second = world.open("r1"), world.open("r2")
    for number in range(20):
        (first if number % 3 else second).ledger.append([batch(number)], 0)
    assert read(first, 20) == read(second, 20)


def test_a_reader_who_starts_later_begins_at_the_floor_of_the_last_message(world: World) -> None:
    writer = world.open("r1")
    writer.ledger.append([batch(epoch) for epoch in range(100)], 0)
    writer.ledger.append([batch(100)], 70)
    reader = world.open("r2")
    assert not reader.ledger.caught_up
    entries = read(reader, 31)
    assert [entry.offset for entry in entries] == list(range(70, 101))
    assert reader.ledger.caught_up
    assert not reader.ledger.truncated


def test_a_young_ledger_is_read_from_its_beginning_whatever_floor_its_end_names(world: World) -> None:
    """All that stands there may have been sent to a ledger that is lost, and name a floor of that."""
    writer = world.open("r1")
    writer.ledger.append([batch(7)], 1)
    writer.ledger.append([batch(7)], 1)
    assert [entry.offset for entry in read(world.open("r2"), 2)] == [0, 1]


def test_what_an_earlier_executor_sent_and_lands_last_misleads_nobody_about_the_floor(world: World) -> None:
    """It may have been meant for another ledger, which is lost, and name a floor of that."""
    writer = world.open("r1")
    writer.ledger.append([batch(60) for _ in range(100)], 0)
    writer.ledger.append([batch(60)], 70)
    for floor in (95, 60):
        writer.ledger.append([batch(7)], floor)
    entries = read(world.open("r2"), 33)
    assert [entry.offset for entry in entries] == list(range(70, 103))


def test_what_names_no_floor_leaves_it_where_it_was(world: World) -> None:
    """So is a checkpoint by who has read nothing yet: its node may have had no copy of the ledger."""
    writer = world.open("r1")
    writer.ledger.append([batch(6) for _ in range(100)], 0)
    writer.ledger.append([batch(6)], 70)
    writer.ledger.append([batch(7)], None)
    reader = world.open("r2")
    assert [entry.offset for entry in read(reader, 32)] == list(range(70, 102))
    assert not reader.ledger.truncated


def test_caught_up_means_all_that_stood_there_not_what_comes_after(world: World) -> None:
    writer = world.open("r1")
    writer.ledger.append([batch(epoch) for epoch in range(2000)], 0)
    reader = world.open("r2")
    writer.ledger.append([batch(2000)], 0)
    entries: list[Any] = []
    until(reader, lambda: entries.extend(reader.ledger.read()) or reader.ledger.caught_up)
    assert [entry.offset for entry in entries[:2000]] == list(range(2000))
    entries += read(reader, 2001 - len(entries)) if len(entries) < 2001 else []
    assert entries[-1].batch == batch(2000)


def test_the_floor_may_be_the_message_itself(world: World) -> None:
    writer = world.open("r1")
    writer.ledger.append([batch(1) for _ in range(60)], 0)
    writer.ledger.append([batch(2)], 60)
    assert [entry.offset for entry in read(world.open("r2"), 1)] == [60]


@small_ledger
def test_of_a_young_ledger_that_has_lost_its_beginning_only_what_matters_is_read(world: World) -> None:
    writer = world.open("r1")
    for _ in range(20):
        writer.ledger.append([batch(1, padding=400_000)], 0)
        floor = read(writer, 1)[-1].offset
    writer.ledger.append([batch(2)], floor)
    assert read(world.open("r2"), 2)[0].offset == floor < YOUNG


@small_ledger
def test_a_ledger_that_has_lost_what_still_matters_says_so(world: World) -> None:
    writer = world.open("r1")
    for _ in range(80):
        writer.ledger.append([batch(1, padding=100_000)], 0)
    writer.ledger.append([batch(2)], 0)
    reader = world.open("r2")
    entries: list[Any] = []
    until(reader, lambda: entries.extend(reader.ledger.read()) or reader.ledger.caught_up)
    assert entries[0].offset > 0
    offsets = [entry.offset for entry in entries]
    assert offsets == sorted(set(offsets))  # with gaps: the broker itself writes something at the start of each segment
    assert entries[-1].batch == batch(2)
    assert reader.ledger.truncated


def test_bytes_in_the_ledger_that_nobody_can_read_are_entries_without_a_batch(world: World) -> None:
    session = world.open()
    for body in HOSTILE:
        world.put("ledger", body)
    session.ledger.append([batch(7)], 0)
    entries = read(session, len(HOSTILE) + 1)
    assert [entry.batch for entry in entries] == [None] * len(HOSTILE) + [batch(7)]
    assert [entry.size for entry in entries[:-1]] == [len(body) for body in HOSTILE]
    assert session.ledger.unreadable == len(HOSTILE)
    world.put("ledger", b"junk")  # now the last message of all, and without a floor of ours
    assert len(read(world.open("r2"), len(HOSTILE) + 2)) == len(HOSTILE) + 2


def test_of_a_batch_of_a_later_version_so_much_is_read_that_it_is_known_whether_it_counts(world: World) -> None:
    session = world.open()
    session.ledger.append([batch(7)], 0)
    world.put("ledger", b'{"v":2,"epoch":9,"from":"r3","begins":true}')
    later = Later(v=2, epoch=9, sender="r3", begins=True)
    for reader in (session, world.open("r2")):
        assert [(entry.batch, entry.later) for entry in read(reader, 2)] == [(batch(7), None), (None, later)]
        assert (reader.ledger.unreadable, reader.ledger.is_whole) == (0, True)


def test_a_batch_of_megabytes_is_read_back(world: World) -> None:
    session = world.open()
    session.ledger.append([batch(1, records=50, padding=100_000)], 0)
    assert len(read(session, 1)[0].batch.records) == 50


@pytest.mark.broker
def test_a_ledger_that_is_deleted_is_noticed(real: World) -> None:
    session = real.open()
    real.delete("ledger")
    await_end(session)


# --- commands and reports -----------------------------------------------------------------------------------------------


def test_commands_and_reports_arrive_in_the_order_in_which_each_was_sent(world: World) -> None:
    sender, receiver = world.open("r1"), world.open("r2")
    sender.outbox.send_commands([withdrawn(number) for number in range(3000)])
    sender.outbox.send_reports([started(number) for number in range(3000)])
    sender.outbox.send_commands([])
    receiver.inbox.open()
    receiver.inbox.open()
    messages = take(receiver, 6000)
    assert [message for message in messages if isinstance(message, CronJobWithdrawn)] == list(map(withdrawn, range(3000)))
    assert [message for message in messages if isinstance(message, RunStarted)] == list(map(started, range(3000)))
    assert receiver.inbox.take() == []


def test_an_inbox_that_is_not_open_takes_nothing_from_anybody(world: World) -> None:
    session = world.open()
    session.outbox.send_commands([withdrawn(1)])
    settle(session)
    assert session.inbox.take() == []
    session.inbox.acknowledge()


def test_what_was_not_acknowledged_comes_again_to_the_successor(world: World) -> None:
    first = world.open("r1")
    first.inbox.open()
    first.outbox.send_commands([withdrawn(1)])
    take(first, 1)
    first.inbox.acknowledge()
    first.inbox.acknowledge()
    first.outbox.send_commands([withdrawn(2)])
    first.outbox.send_reports([started(2)])
    take(first, 2)
    first.connection.drop()
    second = world.open("r2")
    second.inbox.open()
    assert set(take(second, 2)) == {withdrawn(2), started(2)}
    settle(second)
    assert second.inbox.take() == []


def test_acknowledging_reaches_only_what_was_taken(world: World) -> None:
    first = world.open("r1")
    first.inbox.open()
    first.outbox.send_commands([withdrawn(1)])
    take(first, 1)
    first.outbox.send_commands([withdrawn(2)])
    settle(first)  # it has arrived, but was not taken
    first.inbox.acknowledge()
    first.connection.close()  # in order, so that the broker has had the acknowledgement
    second = world.open("r2")
    second.inbox.open()
    assert take(second, 1) == [withdrawn(2)]


def test_more_commands_than_are_handed_out_at_once_all_arrive(world: World) -> None:
    sender = world.open("r1")
    for number in range(500):
        sender.outbox.send_commands([withdrawn(number)])
    receiver = world.open("r2")  # nobody would turn it meanwhile, and the broker wants heartbeats
    receiver.inbox.open()
    messages: list[Any] = []

    def drain() -> bool:
        messages.extend(receiver.inbox.take())
        receiver.inbox.acknowledge()
        return len(messages) >= 500

    until(receiver, drain)
    assert messages == list(map(withdrawn, range(500)))


@pytest.mark.parametrize("queue", ["commands", "reports"])
def test_messages_that_nobody_can_read_are_counted_and_do_not_block_the_queue(world: World, queue: str) -> None:
    session = world.open()
    session.inbox.open()
    for body in HOSTILE:
        world.put(queue, body)
    session.outbox.send_commands([withdrawn(1)])
    session.outbox.send_reports([started(1)])
    assert set(take(session, 2)) == {withdrawn(1), started(1)}
    assert session.inbox.unreadable == {"commands": 0, "reports": 0, queue: len(HOSTILE)}
    session.inbox.acknowledge()
    session.outbox.send_commands([withdrawn(2)])
    session.outbox.send_reports([started(2)])
    take(session, 2)  # a way through each queue and back: the broker has had what was acknowledged before
    session.connection.drop()
    successor = world.open("r2")
    successor.inbox.open()
    assert set(take(successor, 2)) == {withdrawn(2), started(2)}
    assert sum(successor.inbox.unreadable.values()) == 0


def test_the_longest_command_arrives_between_its_neighbours(world: World) -> None:
    session = world.open()
    session.inbox.open()
    big = declared(SPEC_BYTES - 100)
    session.outbox.send_commands([withdrawn(1), big, withdrawn(2)])
    assert take(session, 3) == [withdrawn(1), big, withdrawn(2)]


def test_what_waits_at_the_broker_is_held_up_until_some_of_it_comes(world: World) -> None:
    session = world.open()
    session.inbox.look()
    settle(session)
    assert not session.inbox.held_up
    session.outbox.send_commands([withdrawn(1)])
    session.inbox.look()
    until(session, lambda: session.inbox.held_up)
    assert list(session.inbox.held_up) == ["commands"]
    session.inbox.open()
    until(session, lambda: not session.inbox.held_up)  # it is in hand
    assert take(session, 1) == [withdrawn(1)]
    session.inbox.acknowledge()
    assert not session.inbox.held_up


def test_what_is_in_hand_does_not_wait(world: World) -> None:
    session = world.open()
    session.inbox.open()
    session.outbox.send_reports([started(1)])
    settle(session)
    session.inbox.look()
    settle(session)
    assert not session.inbox.held_up


# --- the connection -----------------------------------------------------------------------------------------------------


def test_when_the_broker_goes_everything_says_so(world: World) -> None:
    session = world.open()
    session.token.put_back()
    session.token.compete()
    session.inbox.open()
    until(session, lambda: session.token.held)
    world.stop()
    await_end(session)
    assert not session.token.held
    attempts: list[Callable[[], Any]] = [
        lambda: session.connection.turn(0),
        lambda: session.ledger.append([batch()], 0),
        lambda: session.outbox.send_commands([withdrawn(1)]),
        lambda: session.outbox.send_reports([started(1)]),
        session.token.put_back,
        session.token.give_back,
        session.worker_token.compete,
    ]
    for attempt in attempts:
        with pytest.raises(BrokerUnavailable):
            attempt()
    session.connection.drop()
    session.connection.drop()
    session.connection.close()
    session.connection.wake()
    with pytest.raises(BrokerUnavailable):
        world.open("r2")


def test_a_session_that_was_dropped_is_of_no_more_use(world: World) -> None:
    session = world.open()
    session.connection.drop()
    with pytest.raises(BrokerUnavailable):
        session.ledger.append([batch()], 0)
    with pytest.raises(BrokerUnavailable):
        session.connection.turn(0)


def test_waking_from_another_thread_is_harmless_at_any_time(world: World) -> None:
    session = world.open()
    threads = [threading.Thread(target=lambda: [session.connection.wake() for _ in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    settle(session)
    session.connection.drop()
    for thread in threads:
        thread.join()
    session.connection.wake()
