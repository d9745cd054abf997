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
    assert under_way == found.most


def test_what_comes_after_all_else_begins_when_nothing_else_can() -> None:
    found = lanes(4)
    for item in ("a-event", "b-event"):
        found.put(item[0], item, after_all_else=True)
    found.put("b", "b-status")
    assert taken(found) == ["b-status", "a-event", "b-event"]


def test_one_lane_is_one_lane() -> None:
    found = lanes(1, "a-1", "a-2", "b-1")
    assert [taken(found), found.end("a"), taken(found), found.end("b"), taken(found)] == [["a-1"], None, ["b-1"], None, ["a-2"]]


def test_whether_somebody_waits_may_leave_namespaces_out() -> None:
    found = lanes(2, "a", "b")
    assert found.somebody_waits(besides={"a"})
    assert not found.somebody_waits(besides={"a", "b"})
    taken(found)
    assert not found.somebody_waits()
