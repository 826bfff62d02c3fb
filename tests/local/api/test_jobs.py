"""Jobs, services and claims: what the server fills in, refuses, and keeps fixed."""

from __future__ import annotations

from typing import Any

import pytest

from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.kube.client import JOBS, PERSISTENT_VOLUME_CLAIMS, SERVICES, KubeClient

pytestmark = pytest.mark.asyncio


def job(name: str = "j", **spec: Any) -> dict[str, Any]:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "i:1"}]}}
    return {"metadata": {"name": name}, "spec": {"template": template, **spec}}


async def test_a_new_job_is_tied_to_its_pods_by_uid(client: KubeClient) -> None:
    made = await client.create(JOBS, job(), "default")
    uid = made["metadata"]["uid"]
    assert made["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    assert made["spec"]["template"]["metadata"]["labels"] == {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": "j",
        "controller-uid": uid,
        "job-name": "j",
    }
    assert made["status"] == {}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param(
            {},
            {"parallelism": 1, "completions": 1, "backoffLimit": 6, "suspend": False, "completionMode": "NonIndexed"},
            id="one pod",
        ),
        pytest.param({"parallelism": 3}, {"parallelism": 3, "completions": None}, id="a work queue has no completions"),
        pytest.param({"completions": 3}, {"parallelism": 1, "completions": 3}, id="one after the other"),
        pytest.param(
            {"suspend": True}, {"suspend": True, "podReplacementPolicy": "TerminatingOrFailed"}, id="suspended"
        ),
        pytest.param(
            {"podFailurePolicy": {"rules": []}}, {"podReplacementPolicy": "Failed"}, id="with a failure policy"
        ),
        pytest.param(
            {"completionMode": "Indexed", "completions": 1, "backoffLimitPerIndex": 1},
            {"backoffLimit": 2**31 - 1},
            id="with a limit per index",
        ),
    ],
)
async def test_defaults_of_a_job(client: KubeClient, spec: dict[str, Any], expected: dict[str, Any]) -> None:
    made = await client.create(JOBS, job(**spec), "default")
    assert {key: made["spec"].get(key) for key in expected} == expected
    assert made["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 30


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"parallelism": -1}, "spec.parallelism: Invalid value: -1: must be greater than or equal to 0"),
        ({"completionMode": "Odd"}, 'spec.completionMode: Unsupported value: "Odd"'),
        (
            {"completionMode": "Indexed", "parallelism": 2},
            "spec.completions: Required value: when completion mode is Indexed",
        ),
        (
            {"template": {"spec": {"containers": [{"name": "a", "image": "i"}]}}},
            'spec.template.spec.restartPolicy: Unsupported value: "Always": supported values: "OnFailure", "Never"',
        ),
        ({"template": {"spec": {"restartPolicy": "Never"}}}, "spec.template.spec.containers: Required value"),
    ],
    ids=["parallelism", "mode", "no completions", "restart policy", "no containers"],
)
async def test_mistakes_in_a_job_are_named(client: KubeClient, spec: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await client.create(JOBS, job(**spec), "default")
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("before", "patch", "allowed"),
    [
        pytest.param({}, {"parallelism": 5}, True, id="parallelism may change"),
        pytest.param({}, {"suspend": True}, True, id="it may be suspended"),
        pytest.param({}, {"completions": 5}, False, id="completions are fixed"),
        pytest.param(
            {"completionMode": "Indexed", "completions": 2, "parallelism": 2},
            {"completions": 3, "parallelism": 3},
            True,
            id="but those of an indexed job follow its parallelism",
        ),
        pytest.param({}, {"completionMode": "Indexed"}, False, id="the mode is fixed"),
        pytest.param({}, {"selector": {"matchLabels": {"a": "b"}}}, False, id="the selector is fixed"),
        pytest.param({}, {"template": {"spec": {"nodeSelector": {"a": "b"}}}}, False, id="the template is fixed"),
        pytest.param(
            {"suspend": True},
            {"template": {"spec": {"nodeSelector": {"a": "b"}}}},
            True,
            id="but its placement while suspended",
        ),
        pytest.param(
            {"suspend": True}, {"template": {"spec": {"hostNetwork": True}}}, False, id="and nothing else of it"
        ),
    ],
)
async def test_what_an_update_of_a_job_may_change(
    client: KubeClient, before: dict[str, Any], patch: dict[str, Any], *, allowed: bool
) -> None:
    await client.create(JOBS, job(**before), "default")
    if allowed:
        await client.patch(JOBS, "j", {"spec": patch}, "default")
    else:
        with pytest.raises(InvalidInput, match="field is immutable"):
            await client.patch(JOBS, "j", {"spec": patch}, "default")


async def test_a_started_job_is_not_placed_again(client: KubeClient) -> None:
    await client.create(JOBS, job(suspend=True), "default")
    await client.patch(JOBS, "j", {"status": {"startTime": "2026-01-01T00:00:00Z"}}, "default", subresource="status")
    with pytest.raises(InvalidInput, match="field is immutable"):
        await client.patch(JOBS, "j", {"spec": {"template": {"spec": {"nodeSelector": {"a": "b"}}}}}, "default")


async def test_a_selector_by_hand_is_left_alone(client: KubeClient) -> None:
    selector = {"matchLabels": {"a": "b"}}
    made = await client.create(JOBS, job(manualSelector=True, selector=selector), "default")
    assert made["spec"]["selector"] == selector
    assert "labels" not in made["spec"]["template"].get("metadata", {})


async def test_a_service_gets_an_address_and_ports(client: KubeClient) -> None:
    made = await client.create(SERVICES, {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}, "default")
    assert made["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    assert made["spec"]["clusterIP"].startswith("10.96.")
    headless = {"metadata": {"name": "h"}, "spec": {"clusterIP": "None"}}
    assert (await client.create(SERVICES, headless, "default"))["spec"]["clusterIP"] == "None"
    with pytest.raises(InvalidInput, match=r"spec.ports\[0\].port: Invalid value: 99999"):
        await client.create(SERVICES, {"metadata": {"name": "t"}, "spec": {"ports": [{"port": 99999}]}}, "default")


async def test_a_claim_is_pending_and_must_say_how_much(client: KubeClient) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    made = await client.create(PERSISTENT_VOLUME_CLAIMS, {"metadata": {"name": "c"}, "spec": spec}, "default")
    assert made["status"] == {"phase": "Pending"}
    assert made["spec"]["volumeMode"] == "Filesystem"
    with pytest.raises(InvalidInput, match=r"spec\.accessModes: Required value: at least 1 access mode is required"):
        await client.create(PERSISTENT_VOLUME_CLAIMS, {"metadata": {"name": "d"}, "spec": {}}, "default")
