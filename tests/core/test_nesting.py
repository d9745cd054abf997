"""What is nested too deep is left out, the same whether it has been parsed or not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hacron.core import nesting
from tests.nested import nested, nested_text

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('"\\{}[],é', max_size=6),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text('"\\{}[]a', max_size=3), inside, max_size=3),
    max_leaves=20,
)


def depth(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inside is None else 1 + max(map(depth, inside), default=0)


@given(JSON, st.integers(1, 5))
def test_text_and_values_are_cut_alike(value: Any, levels: int) -> None:
    for text in (json.dumps(value), json.dumps(value, indent=1, ensure_ascii=False)):
        assert json.loads(nesting.cut_text(text, levels)) == nesting.cut(value, levels)
    assert depth(nesting.cut(value, levels)) <= levels
    assert nesting.is_deeper(value, levels) is (depth(value) > levels)
    if depth(value) <= levels:
        assert nesting.cut(value, levels) == value


@pytest.mark.parametrize("levels", [nesting.MOST, nesting.MOST + 1, 900])
def test_a_spec_is_encoded_without_what_is_too_deep(levels: int) -> None:
    value = nested(levels - 1, [])
    read = json.loads(bytes(nesting.encoded(value)))
    assert depth(read) == nesting.MOST
    assert (read == value) is (levels <= nesting.MOST)


def test_text_that_no_parser_follows_is_cut_in_no_time() -> None:
    assert depth(json.loads(nesting.cut_text(nested_text(100_000, "[]")))) == nesting.MOST


@pytest.mark.parametrize("levels", [300, 900, 9000])
def test_a_spec_is_the_same_wherever_it_is_read(levels: int) -> None:
    spec = nested_text(levels)
    alone = nesting.decoded(f'{{"spec":{spec}}}'.encode())
    told = nesting.decoded(f'{{"type":"ADDED","object":{{"spec":{spec}}}}}'.encode())
    listed = nesting.decoded(f'{{"items":[{{"spec":{spec}}}]}}'.encode())
    assert (
        nesting.encoded(alone["spec"]) == nesting.encoded(told["object"]["spec"]) == nesting.encoded(listed["items"][0]["spec"])
    )


@pytest.mark.parametrize("levels", [1, 300, 9000])
def test_what_no_parser_follows_is_decoded_all_the_same(levels: int) -> None:
    read = nesting.decoded(f'{{"before":1,"deep":{nested_text(levels)},"after":2}}'.encode())
    assert (read["before"], depth(read), read["after"]) == (1, min(levels + 1, nesting.MOST_IN_ALL), 2)


@pytest.mark.parametrize("text", [b"", b"[1", b"\xff", b'"\xff"', b'{"a":1}}', b"[" * 100_000, b'{"a":' * 5000])
def test_what_is_no_json_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"malformed|truncated|utf-8"):
        nesting.decoded(text)
