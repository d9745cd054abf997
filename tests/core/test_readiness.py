"""What tools make of a status that know nothing of cronjobs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.statuses import CRONJOBS, DEMANDS, Sample

SAMPLES = {**CRONJOBS, **DEMANDS}


def kstatus(body: dict[str, Any]) -> str:
    """Judge as kstatus does an object of a kind that it does not know: generation, Reconciling and Stalled, then Ready.

    https://github.com/fluxcd/cli-utils/blob/v0.37.2-flux.1/pkg/kstatus/status/status.go (checkGenericProperties, Compute)
    """
    status = body.get("status", {})
    if "observedGeneration" in status and status["observedGeneration"] != body["metadata"]["generation"]:
        return "InProgress"
    conditions = {each["type"]: each["status"] for each in status.get("conditions") or []}
    if conditions.get("Reconciling") == "True":
        return "InProgress"
    if conditions.get("Stalled") == "True":
        return "Failed"
    return "Current" if conditions.get("Ready", "True") == "True" else "InProgress"


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_kstatus_judges_rightly(sample: Sample) -> None:
    assert kstatus(sample.body) == sample.kstatus


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_ready_says_the_same(sample: Sample) -> None:
    """`kubectl wait --for=condition=Ready` ends when it is True, and `--for=condition=Stalled` when nothing will come of it."""
    generation = sample.body["metadata"]["generation"]
    of_this = [each for each in sample.body["status"].get("conditions") or [] if each["observedGeneration"] == generation]
    assert bool(of_this) == sample.observed
    conditions = {each["type"]: each["status"] for each in of_this}
    assert (conditions.get("Ready") == "True") == (sample.kstatus == "Current" and sample.observed)
    assert (conditions.get("Stalled") == "True") == (sample.kstatus == "Failed" and sample.observed)
