"""A spec that is too long is told by its length alone, and means the same wherever all of it still stands."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hacron.core.demand import wanted
from hacron.core.fields import TOO_LONG, encoded
from hacron.core.messages import SPEC_BYTES
from hacron.core.model import InvalidCronJob, Key
from hacron.core.spec import parse, says_the_same

HELLO = Key("default/hello")


def of_length(size: int) -> dict[str, Any]:
    return {"x": "x" * (size - len('{"x":""}'))}


def wrong(spec: msgspec.Raw) -> str:
    with pytest.raises(InvalidCronJob) as invalid:
        parse(HELLO, spec)
    return str(invalid.value)


def test_only_one_that_is_too_long_is_left_out() -> None:
    assert bytes(encoded(of_length(SPEC_BYTES))) == msgspec.json.encode(of_length(SPEC_BYTES))
    assert bytes(encoded(of_length(SPEC_BYTES + 1))) == b'{"tooLong":%d}' % (SPEC_BYTES + 1)


def test_its_length_and_the_bound_are_told() -> None:
    assert f"spec has {SPEC_BYTES + 1} bytes in JSON, and no more than {SPEC_BYTES}" in wrong(encoded(of_length(SPEC_BYTES + 1)))
    with pytest.raises(InvalidCronJob, match=f"{SPEC_BYTES + 1} bytes"):
        wanted.read(encoded(of_length(SPEC_BYTES + 1)))


def test_what_an_older_version_has_written_in_full_means_the_same() -> None:
    """So nothing is declared anew when a cluster gets a version that leaves it out."""
    long = of_length(SPEC_BYTES + 1)
    assert says_the_same(HELLO, msgspec.Raw(msgspec.json.encode(long)), encoded(long))
    assert not says_the_same(HELLO, msgspec.Raw(msgspec.json.encode(long)), encoded(of_length(SPEC_BYTES + 2)))


@pytest.mark.parametrize("told", [True, -1, SPEC_BYTES, 2**31, "x", None])
def test_a_length_that_is_none_is_a_spec_like_any_other(told: Any) -> None:
    spec = msgspec.Raw(msgspec.json.encode({TOO_LONG: told}))
    assert "bytes" not in wrong(spec)


def test_nor_is_one_of_thousands_of_digits() -> None:
    assert "bytes" not in wrong(msgspec.Raw(b'{"tooLong":1' + b"0" * 5000 + b"}"))
