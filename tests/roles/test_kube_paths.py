"""What goes into the URL of a request is quoted, whoever made it up."""

from __future__ import annotations

from hacron.kube.client import _job


def test_the_name_of_a_job_stays_one_part_of_the_path() -> None:
    assert _job("team", "a-1") == "/apis/batch/v1/namespaces/team/jobs/a-1"
    assert _job("team", "a/../b?c#d") == "/apis/batch/v1/namespaces/team/jobs/a%2F..%2Fb%3Fc%23d"
