"""What happens to a pod, on the real control plane and on ours."""

from __future__ import annotations

import pytest
from support.places import Place

from aiinfn_hub.kube.client import PODS

pytestmark = pytest.mark.asyncio


async def test_a_pod_is_bound_and_runs_to_its_end(place: Place) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a"},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "i:1", "command": ["true"]}]},
    }
    made = await place.create(PODS, pod)
    assert made["status"]["phase"] == "Pending"
    ended = await place.until(PODS, "a", lambda found: found["status"]["phase"] == "Succeeded")
    assert ended["spec"]["nodeName"] == place.node.name
