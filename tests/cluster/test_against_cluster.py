"""`aiinfn platform check --against-cluster` on the real control plane."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.appliedexample import FILE, Applied
from support.controlplane.cluster import Cluster, until

from aiinfn_hub.catalogue import example_path
from aiinfn_hub.kube.client import KubeClient
from aiinfn_hub.kube.kinds import PERSISTENT_VOLUME_CLAIMS

pytestmark = pytest.mark.timeout(600)
#: What is written otherwise -> path, and the nearest.
WRONG = {
    ("nvidia.com/gpu.product: Tesla-T4", "nvidia.com/gpu.product: NVIDIA-Tesla-T4"): (
        'flavours[1].node_selector["nvidia.com/gpu.product"]',
        "Tesla-T4",
    ),
    ("{kubernetes.io/hostname: leonardo}", "{kubernetes.io/hostname: leonard}"): (
        'sites[2].node_selector["kubernetes.io/hostname"]',
        "leonardo",
    ),
    ("claim: homes", "claim: home"): ("volumes[0].claim", "homes"),
    ("capacity: {cpu: 512, memory: 3712Gi}", "capacity: {cpu: 513, memory: 3712Gi}"): ("capacity.cpu", ""),
}


@pytest.mark.asyncio
async def test_the_example_is_compared_with_the_nodes_that_are_there(own_cluster: Cluster, tmp_path: Path) -> None:
    client = await KubeClient.connect(own_cluster.kubeconfig)
    try:
        applied = Applied(own_cluster.kubeconfig, client)
        await applied.install()

        async def bound() -> bool:
            claim = await client.get(PERSISTENT_VOLUME_CLAIMS, "homes", "aiinfn")
            return bool(claim["status"].get("phase") == "Bound")

        await until(bound, "the claims")
        assert "no mistakes" in applied.must(f"aiinfn platform check {FILE} --against-cluster")

        text = example_path().read_text()
        for right, wrong in WRONG:
            assert text.count(right) >= 1
            text = text.replace(right, wrong, 1)
        path = tmp_path / "p.yaml"
        path.write_text(text)
        done = applied.run(f"aiinfn platform check {path} --against-cluster --json")
        assert done.returncode == 1, done.stderr
        problems = json.loads(done.stdout)["problems"]
        lines = text.splitlines()
        assert {(one["path"], one["nearest"]) for one in problems} == set(WRONG.values())
        for _, wrong in WRONG:
            assert any(wrong in lines[one["line"] - 1] for one in problems), wrong
    finally:
        await client.close()
