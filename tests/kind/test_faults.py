"""What fails where operators run: a pod, a machine, a cluster. Judged by the Jobs that the API servers tell of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.kind.estate import QUICK, Estate
from tests.kind.work import ON_ITS_WAY, Load

pytestmark = pytest.mark.kind

NOTICED = timedelta(seconds=QUICK["silent_after_s"] + QUICK["start_window_s"] + 4)


def test_the_executor_is_deleted_without_being_asked_to_stop(estate: Estate, load: Load) -> None:
    executor = estate.executor()
    executor.kill()
    assert estate.executor().name != executor.name
    load.await_runs()
    load.await_right()


@pytest.mark.parametrize("fault", ["paused", "switched off"])
def test_a_whole_cluster_with_the_executor_is_away_and_back(fault: str, estate: Estate, load: Load) -> None:
    cluster = estate.executor().cluster
    away, back = (cluster.pause, cluster.resume) if fault == "paused" else (cluster.power_off, cluster.power_on)
    began = datetime.now(UTC)
    away()
    try:
        assert estate.executor().cluster is not cluster
        load.await_runs_elsewhere(cluster, began + NOTICED)
    finally:
        back()
    load.await_runs()
    load.await_right((began - ON_ITS_WAY, datetime.now(UTC)))
