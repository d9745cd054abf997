"""Names of Jobs: whatever a HACronJob may be called, the API server takes them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hacron.core.manifests import NAME_LENGTH, job_name

SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
LONGEST = 52  # as the CRD has it
TICK = datetime(2026, 11, 24, 12, 1, tzinfo=UTC)
HALF = timedelta(seconds=30)

names = st.from_regex(SUBDOMAIN, fullmatch=True).filter(lambda name: len(name) <= LONGEST) | st.text(
    "a.-", min_size=36, max_size=LONGEST
).filter(SUBDOMAIN.fullmatch)
ticks = st.integers(0, 7000 * 365 * 24 * 3600).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


@given(names, ticks, st.integers(1, 9), st.sampled_from(["", "uid-1"]), st.sampled_from([0, 1, 10, 11, 2**31 - 1]))
def test_the_name_of_a_job_is_one_that_the_api_server_takes(
    name: str, tick: datetime, attempt: int, demand_id: str, indexes: int
) -> None:
    found = job_name(name, tick, attempt, demand_id, indexes)
    assert SUBDOMAIN.fullmatch(found)
    assert len(found) <= NAME_LENGTH
    assert indexes == 0 or len(f"{found}-{indexes - 1}") <= NAME_LENGTH, "the names of its pods too"


@given(names, ticks, st.integers(1, 9), st.sampled_from(["", "uid-1"]), st.integers(1, 100_000))
def test_only_a_name_that_no_api_server_took_for_an_indexed_job_is_another_one(
    name: str, tick: datetime, attempt: int, demand_id: str, indexes: int
) -> None:
    of_others, found = job_name(name, tick, attempt, demand_id), job_name(name, tick, attempt, demand_id, indexes)
    assert (found == of_others) is (len(f"{of_others}-{indexes - 1}") <= NAME_LENGTH)


@pytest.mark.parametrize("mark", [".", "-"])
@pytest.mark.parametrize("tick", [TICK, TICK + HALF])
@pytest.mark.parametrize("attempt", [1, 2])
@pytest.mark.parametrize("demand_id", ["", "uid-1"])
def test_wherever_a_dot_or_a_dash_stands_it_may_be_where_the_name_is_cut(
    mark: str, tick: datetime, attempt: int, demand_id: str
) -> None:
    for at in range(1, LONGEST - 1):
        found = job_name("a" * at + mark + "b" * (LONGEST - at - 1), tick, attempt, demand_id)
        assert SUBDOMAIN.fullmatch(found), found
        assert len(found) <= NAME_LENGTH


def test_names_that_were_in_order_stay_as_they_are() -> None:
    assert job_name("hello", TICK, 1) == "hello-29925361"
    assert job_name("a" * 52, TICK + HALF, 2, "uid-1") == "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-6c1b3d-4a49ac-1795521690-2"
    assert (
        job_name("a" * 35 + "-" + "b" * 16, TICK + HALF, 2, "uid-1")
        == "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa--ea32df-4a49ac-1795521690-2"
    )
