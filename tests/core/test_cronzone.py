"""Zones → spans of constant offset, against the raw zone files."""

from __future__ import annotations

import itertools
import struct
from datetime import UTC, datetime, timedelta
from importlib import resources

import pytest

from hacron.core.ticks.cronzone import STRIDE, zone

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NAMES = sorted((resources.files("tzdata") / "zones").read_text(encoding="utf-8").split())


def changes(name: str) -> list[tuple[int, int]]:
    """When the offset changes, in Unix seconds, and to what, in seconds: the 64-bit block of a zone file.

    What comes after the last of them follows from a rule at the file's end, which only `zoneinfo` reads here.
    """
    raw = (resources.files("tzdata") / "zoneinfo" / name).read_bytes()
    utc_flags, std_flags, leaps, count, kinds, letters = struct.unpack(">6l", raw[20:44])
    block = 44 + count * 5 + kinds * 6 + letters + leaps * 8 + std_flags + utc_flags
    count, kinds = struct.unpack(">2l", raw[block + 32 : block + 40])
    at = block + 44
    instants = struct.unpack(f">{count}q", raw[at : at + 8 * count])
    which = raw[at + 8 * count : at + 9 * count]
    at += 9 * count
    offsets = [struct.unpack(">l", raw[at + 6 * n : at + 6 * n + 4])[0] for n in range(kinds)]
    found, offset = [], offsets[0]
    for instant, n in zip(instants, which, strict=True):
        if offsets[n] != offset:
            offset = offsets[n]
            found.append((instant, offset))
    return found


def test_no_zone_changes_its_offset_twice_within_a_stride() -> None:
    for name in NAMES:
        instants = [instant for instant, _ in changes(name)]
        shortest = min((b - a for a, b in itertools.pairwise(instants)), default=10**9)
        assert timedelta(seconds=shortest) > STRIDE, name


@pytest.mark.parametrize("name", NAMES[::12])
def test_spans_begin_where_the_zone_file_says(name: str) -> None:
    begin, end = datetime(1975, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)
    listed = [(EPOCH + timedelta(seconds=instant), timedelta(seconds=offset)) for instant, offset in changes(name)]
    last_listed = min(max((instant for instant, _ in listed), default=begin), end)

    spans = list(zone(name).spans(begin, end - timedelta(seconds=1)))

    found = [(b.begin, b.offset) for a, b in itertools.pairwise(spans) if a.offset != b.offset]
    assert [change for change in found if change[0] <= last_listed] == [c for c in listed if begin < c[0] <= last_listed]
    assert all(a.end == b.begin for a, b in itertools.pairwise(spans))
    assert spans[0].begin == begin
    assert spans[-1].end == end
