"""What a failed pod means for its Job, and when it is replaced, on the real control plane and on ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.places import Place
from support.trials import appears, events, history, holds, job, phase, pods_of, until

from aiinfn_hub.kube.client import JOBS, PODS

pytestmark = pytest.mark.asyncio
Object = dict[str, Any]
DISRUPTED = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}


def codes(action: str, operator: str, *values: int, container: str | None = "main") -> Object:
    named = {"containerName": container} if container else {}
    return {"action": action, "onExitCodes": {"operator": operator, "values": list(values)} | named}


POLICY = "PodFailurePolicy"
LIMIT = "BackoffLimitExceeded"
SAID = "Container main for pod {pod} failed with exit code {code} matching FailJob rule at index {index}"
LIMIT_SAID = "Job has reached the specified backoff limit"


@pytest.mark.parametrize(
    ("code", "rules", "reason", "message"),
    [
        pytest.param(70, [DISRUPTED, codes("FailJob", "In", 70, 71)], POLICY, SAID, id="in the list"),
        pytest.param(3, [codes("FailJob", "NotIn", 70, 71)], POLICY, SAID, id="not in the list"),
        pytest.param(3, [codes("FailJob", "In", 3, container=None)], POLICY, SAID, id="any container"),
        pytest.param(72, [codes("FailJob", "In", 70)], LIMIT, LIMIT_SAID, id="no rule fits: it counts"),
        pytest.param(70, [codes("Count", "In", 70), codes("FailJob", "In", 70)], LIMIT, LIMIT_SAID, id="first rule"),
    ],
)
async def test_the_first_rule_that_fits_decides_about_a_failure(
    place: Place, code: int, rules: list[Object], reason: str, message: str
) -> None:
    async with history(place, JOBS) as jobs:
        await place.create(JOBS, job("a", f"exit {code}", podFailurePolicy={"rules": rules}))
        ended = await jobs.until("a", holds("Failed"))
    (pod,) = await pods_of(place, "a")
    expected = message.format(pod=f"{place.namespace}/{pod['metadata']['name']}", code=code, index=len(rules) - 1)
    assert jobs.turns("a") == [f"FailureTarget=True {reason}", f"Failed=True {reason}"]
    assert {one["message"] for one in ended["status"]["conditions"]} == {expected}
    assert ended["status"]["failed"] == 1
    assert (await events(place, "a", reason))[-1] == (reason, expected)


async def test_a_disrupted_pod_is_ignored_and_replaced_when_it_has_ended(place: Place, tmp_path: Path) -> None:
    policy = {"rules": [DISRUPTED, codes("FailJob", "NotIn", 0)]}
    async with history(place, JOBS) as jobs, history(place, PODS) as pods:
        made = await place.create(JOBS, job("a", until(tmp_path / "go"), podFailurePolicy=policy))
        pod = (await pods.first(phase("Running")))["metadata"]["name"]
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
        await place.client.create(PODS, eviction, place.namespace, name=pod, subresource="eviction")
        await pods.until_gone(pod)
        (tmp_path / "go").touch()
        done = await jobs.until("a", holds("Complete"))
    assert made["spec"]["podReplacementPolicy"] == "Failed"
    assert "failed" not in done["status"]
    assert holds("DisruptionTarget")(pods.of(pod)[-1])


@pytest.mark.parametrize(("policy", "counted_at_once"), [("TerminatingOrFailed", True), ("Failed", False)])
async def test_a_pod_that_is_ending_holds_its_place_if_the_job_says_so(
    place: Place, tmp_path: Path, policy: str, *, counted_at_once: bool
) -> None:
    wait = f"until [ -e {tmp_path}/die ]; do sleep 0.05; done; exit 1"
    stubborn = f"trap '{wait}' TERM; touch {tmp_path}/up; while :; do sleep 0.05; done"
    async with history(place, JOBS) as jobs, history(place, PODS) as pods:
        spec = {"podReplacementPolicy": policy, "pod": {"terminationGracePeriodSeconds": 20}}
        await place.create(JOBS, job("a", stubborn, **spec))
        pod = (await pods.first(phase("Running")))["metadata"]["name"]
        await appears(tmp_path / "up")
        await place.client.delete(PODS, pod, place.namespace)
        await jobs.until("a", lambda one: one["status"].get("terminating") == 1)
        if counted_at_once:
            await jobs.until("a", holds("FailureTarget"))
            assert pod not in pods.gone
        (tmp_path / "die").touch()
        ended = await jobs.until("a", holds("Failed"))
    assert ended["status"]["failed"] == 1
    first = next(one for one in jobs.of("a") if holds("FailureTarget")(one))
    assert first["status"]["terminating"] == (1 if counted_at_once else 0)


PREFIX = "spec.podFailurePolicy.rules[0]"
REFUSED = [
    ({"podFailurePolicy": {"rules": [{"action": "FailJob"}]}}, PREFIX, "specifying one of OnExitCodes and"),
    (
        {"podFailurePolicy": {"rules": [codes("Retry", "In", 1)]}},
        f"{PREFIX}.action",
        'Unsupported value: "Retry": supported values: "Count", "FailIndex", "FailJob", "Ignore"',
    ),
    (
        {"podFailurePolicy": {"rules": [codes("FailJob", "In", 0)]}},
        f"{PREFIX}.onExitCodes.values[0]",
        "Invalid value: 0: must not be 0 for the In operator",
    ),
    (
        {"podFailurePolicy": {"rules": [codes("FailJob", "In")]}},
        f"{PREFIX}.onExitCodes.values",
        "Invalid value: []: at least one value is required",
    ),
    (
        {"podFailurePolicy": {"rules": [codes("FailJob", "In", 2, 1)]}},
        f"{PREFIX}.onExitCodes.values",
        "Invalid value: [2,1]: must be ordered",
    ),
    (
        {"podFailurePolicy": {"rules": [codes("FailJob", "In", 1, container="x")]}},
        f"{PREFIX}.onExitCodes.containerName",
        'Invalid value: "x": must be one of the container or initContainer names in the pod template',
    ),
    (
        {"podFailurePolicy": {"rules": [DISRUPTED]}, "podReplacementPolicy": "TerminatingOrFailed"},
        "spec.podReplacementPolicy",
        'Unsupported value: "TerminatingOrFailed": supported values: "Failed"',
    ),
    ({"backoffLimitPerIndex": 1}, "spec.backoffLimitPerIndex", "Invalid value: 1: requires indexed completion mode"),
    (
        {"completionMode": "Indexed", "completions": None, "parallelism": 1},
        "spec.completions",
        "Required value: when completion mode is Indexed",
    ),
    (
        {"maxFailedIndexes": 1, "completionMode": "Indexed", "completions": 1},
        "spec.backoffLimitPerIndex",
        "Required value: when maxFailedIndexes is specified",
    ),
]


async def test_a_job_that_makes_no_sense_is_refused_with_the_field_and_the_reason(place: Place) -> None:
    for spec, field, message in REFUSED:
        answer = await place.call("POST", "/apis/batch/v1/namespaces/{ns}/jobs", job("a", **spec))
        assert answer.status == 422, spec
        (cause,) = answer.json["details"]["causes"]
        assert cause["field"] == field
        assert message in cause["message"]
