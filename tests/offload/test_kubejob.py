from __future__ import annotations

import json

import msgspec
import pytest

from aiinfn_hub.kube.slim import Condition
from aiinfn_hub.offload.kubejob import decode_job


def test_a_job_is_read_from_the_apis_text() -> None:
    text = {
        "metadata": {
            "name": "job-1", "uid": "u", "resourceVersion": "7", "labels": {"a": "b"},
            "creationTimestamp": "2026-11-23T10:00:00Z",
        },
        "spec": {"suspend": True, "template": {"anything": 1}},
        "status": {
            "active": 1, "failed": 2,
            "conditions": [{"type": "Failed", "status": "True", "reason": "R", "message": "m"}],
        },
    }  # fmt: skip
    job = decode_job(json.dumps(text).encode())
    assert (job.uid, job.name, job.rv, job.labels) == ("u", "job-1", "7", {"a": "b"})
    assert (job.suspended, job.active, job.failed, job.created) == (True, 1, 2, 1795428000.0)
    assert job.conditions == {"Failed": Condition("True", "R", "m")}
    assert job.holds("Failed")
    assert job.finished


@pytest.mark.parametrize("status", ["{}", "null", '{"conditions": null, "active": null}'])
def test_a_job_without_a_status_is_open(status: str) -> None:
    job = decode_job(b'{"metadata": {"name": "j", "uid": "u"}, "spec": {}, "status": %s}' % status.encode())
    assert not job.finished
    assert not job.suspended


def test_a_condition_that_is_false_does_not_hold() -> None:
    text = b'{"metadata": {}, "status": {"conditions": [{"type": "Complete", "status": "False"}]}}'
    assert not decode_job(text).holds("Complete")


def test_what_is_no_job_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_job(b'{"metadata": 7}')
