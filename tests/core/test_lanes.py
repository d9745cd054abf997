"""Whose request is next: what each namespace gets of a number of lanes."""

from __future__ import annotations

from collections import Counter

from hacron.core.lanes import Lanes


def lanes(count: int, *waiting: str) -> Lanes[str]:
    """Return lanes for which items wait, named by their namespace and, behind a dash, as one likes."""
    found: Lanes[str] = Lanes(count)
    for item in waiting:
        found.put(item.partition("-")[0], item)
    return found


def taken(found: Lanes[str]) -> list[str]:
    """Take all that may begin."""
    items = []
    while (item := found.take()) is not None:
        items.append(item)
    return items


def test_namespaces_take_turns_and_each_keeps_its_order() -> None:
    assert taken(lanes(8, "a-1", "a-2", "a-3", "b-1", "b-2", "c-1")) == ["a-1", "b-1", "c-1", "a-2", "b-2", "a-3"]


def test_a_namespace_has_all_lanes_while_it_is_alone() -> None:
    assert Counter(taken(lanes(8, *["a"] * 20))) == {"a": 8}


def test_while_others_wait_a_namespace_has_half_of_the_lanes() -> None:
    assert Counter(taken(lanes(8, *["a"] * 20, *["b"] * 20))) == {"a": 4, "b": 4}


def test_who_comes_when_one_namespace_has_all_lanes_need_not_wait() -> None:
    found = lanes(8, *["a"] * 20)
    taken(found)
    for item in ("b-1", "c-1", "b-2", "c-2", "b-3"):
        found.put(item[0], item)
    assert taken(found) == ["b-1", "c-1", "b-2", "c-2"]


def test_what_ends_makes_room_for_whoever_has_less() -> None:
    found = lanes(4, *["a"] * 9)
    assert taken(found) == ["a"] * 4
    found.put("b", "b")
    assert taken(found) == ["b"]
    found.end("a")
    assert taken(found) == [], "three of a and one of b are four"
    found.end("b")
    assert taken(found) == ["a"]


def test_no_more_are_under_way_than_there_are_connections_for() -> None:
    found = lanes(8, *["a"] * 20)
    under_way = len(taken(found))
    for number in range(20):
        found.put(f"{number}", f"{number}")
        under_way += len(taken(found))
    assert under_way == 12, "half of what the first has counts"


def unanswered(found: Lanes[str], *namespaces: str) -> None:
    """Have a request of each get no answer."""
    for namespace in namespaces:
        found.put(namespace, namespace)
        assert found.take() == namespace
    for namespace in namespaces:
        found.end(namespace, answered=False)


def test_namespaces_that_do_not_answer_count_as_one() -> None:
    found = lanes(8)
    unanswered(found, "a", "b", "c")
    for item in [*["a", "b", "c"] * 10, *["d"] * 10]:
        found.put(item, item)
    assert Counter(taken(found)) == {"a": 2, "b": 1, "c": 1, "d": 4}


def test_where_nobody_answers_all_lanes_are_used() -> None:
    found = lanes(8)
    unanswered(found, "a", "b")
    for item in ["a", "b"] * 10:
        found.put(item, item)
    assert Counter(taken(found)) == {"a": 4, "b": 4}


def test_a_namespace_that_answers_again_counts_by_itself_again() -> None:
    found = lanes(4)
    unanswered(found, "a", "b")
    for item in ["a", "b"]:
        found.put(item, item)
        assert found.take() == item
        found.end(item, answered=None if item == "a" else True)
    for item in [*["a"] * 4, *["b"] * 4, *["c"] * 4]:
        found.put(item, item)
    assert list(found._unanswered) == ["a"], "who was not asked has not answered"
    assert Counter(taken(found)) == {"a": 2, "b": 1, "c": 1}


def test_of_those_that_did_not_answer_who_was_asked_longest_ago_is_next() -> None:
    """A passing fault, minutes ago, is not behind all that hang since."""
    found = lanes(2)
    for namespace in ("passing", "a", "b", "c"):
        found.put(namespace, namespace)
        assert found.take() == namespace
        found.end(namespace, answered=False)
    for namespace in ("c", "b", "a", "passing"):
        found.put(namespace, namespace)
    assert taken(found) == ["passing", "a"]
    found.end("passing")
    found.end("a", answered=False)
    found.put("a", "a")
    assert taken(found) == ["b", "c"]


def test_an_answer_to_something_else_does_not_show_that_a_namespace_answers() -> None:
    found = lanes(4)
    for kind, answered in (("event", False), ("status", True)):
        found.put("a", kind)
        assert found.take() == kind
        found.end("a", answered=answered, kind=kind)
    unanswered(found, "b")
    for item in [*["a", "b"] * 4, *["c"] * 4]:
        found.put(item, item)
    assert Counter(taken(found)) == {"a": 1, "b": 1, "c": 2}


def test_however_many_namespaces_begin_to_hang_at_once_there_is_a_limit() -> None:
    found = lanes(4)
    for number in range(20):
        namespace = f"{number}"
        for _ in range(4):
            found.put(namespace, namespace)
        while (item := found.take()) is not None:
            found._unanswered[item] = {""}
    assert sum(found._under_way.values()) <= found.most


def test_what_comes_after_all_else_begins_when_nothing_else_can() -> None:
    found = lanes(4)
    for item in ("a-event", "b-event"):
        found.put(item[0], item, after_all_else=True)
    found.put("b", "b-status")
    assert taken(found) == ["b-status", "a-event", "b-event"]


def test_one_lane_is_one_lane() -> None:
    found = lanes(1, "a-1", "a-2", "b-1")
    assert [taken(found), found.end("a"), taken(found), found.end("b"), taken(found)] == [["a-1"], None, ["b-1"], None, ["a-2"]]


def test_somebody_waits_but_for_where_nobody_answers() -> None:
    found = lanes(2)
    unanswered(found, "a")
    for item in ("a", "b"):
        found.put(item, item)
    assert found.somebody_waits()
    assert taken(found) == ["a", "b"]
    found.put("a", "a")
    assert not found.somebody_waits()


def test_what_is_dropped_has_waited_longest_where_most_wait_and_what_can_wait_goes_first() -> None:
    found = lanes(4, "a-1", "b-1", "b-2", "b-3")
    found.put("c", "c-1", after_all_else=True)
    assert [found.drop() for _ in range(3)] == ["c-1", "b-1", "b-2"]
    assert found.waiting == 2
    assert taken(found) == ["a-1", "b-3"]
    assert found.drop() is None


def test_what_waits_is_taken_out_and_what_is_under_way_is_not() -> None:
    found = lanes(2, "a-1", "a-2", "b-1")
    assert taken(found) == ["a-1", "b-1"]
    assert (found.waiting, found.drain(), found.waiting) == (1, ["a-2"], 0)
    found.put("c", "c-1")
    assert not found.may_take()
    found.end("a")
    assert found.may_take()
    assert taken(found) == ["c-1"]
