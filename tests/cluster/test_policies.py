"""The second wall on a real API server: every attack is refused with its reason, and the platform's own work is not.

The wall stands alone, as `attacks.py` says: no Pod Security Standard in the namespace, no Kueue. Everything is sent as
a dry run, which goes through admission like the rest.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from install.attacks import ATTACKS, JOB_CONTROLLER, KUBELET, WORK, Attack
from install.test_policies import EXAMPLE, good
from kubespawner.clients import load_config
from support.controlplane.cluster import Cluster, running_cluster
from support.offload import RUN_ID

from aiinfn_hub.install import policies
from aiinfn_hub.kube.apply import apply
from aiinfn_hub.kube.client import KubeClient
from aiinfn_hub.pods import names

Object = dict[str, Any]
NAMESPACE = EXAMPLE.namespace
PODS, JOBS = f"/api/v1/namespaces/{NAMESPACE}/pods", f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"


@dataclass
class Wall:
    """The API server with the policies, the good manifests, and the objects that are there to be changed."""

    http: httpx.Client
    manifests: dict[str, Object]
    there: dict[str, Object]

    def send(
        self, method: str, path: str, body: Object | None = None, user: str = "", *, dry: bool = True
    ) -> httpx.Response:
        """One request, as `user` with every right: what is refused is refused by admission."""
        who = {"Impersonate-User": user, "Impersonate-Group": "system:masters"} if user else {}
        query = {"dryRun": "All"} if dry else {}
        return self.http.request(method, path, json=body, params=query, headers=who)

    def make(self, path: str, manifest: Object, user: str = "") -> Object:
        """An object that is really there."""
        answer = self.send("POST", path, manifest, user, dry=False)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def attempt(self, attack: Attack) -> httpx.Response:
        """Send an attack as its kind says."""
        what, _, how = attack.kind.partition(" ")
        if attack.kind in ("session", "job", "job pod"):
            path = JOBS if attack.kind == "job" else PODS
            sender = attack.user or (JOB_CONTROLLER if attack.kind == "job pod" else "")
            return self.send("POST", path, attack.on(self.manifests[attack.kind]), sender)
        if what == "site":
            what, how = "site pod", how.removeprefix("pod ")
        path = f"{JOBS if what == 'job' else PODS}/{self.there[what]['metadata']['name']}"
        if how == "delete":
            return self.send("DELETE", path, user=attack.user)
        subresource = "" if how == "change" else f"/{how}"
        found = self.send("GET", path).json()
        return self.send("PUT", path + subresource, attack.on(found), attack.user)


@pytest.fixture(scope="module")
def wall(controlplane: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wall]:
    folder = tmp_path_factory.mktemp("wall")
    with running_cluster(folder, with_kueue=False) as cluster:
        plane = cluster.ours
        manifests = asyncio.run(_prepared(cluster, folder))
        tls = ssl.create_default_context(cadata=plane.authority.pem.decode())
        headers = {"Authorization": f"Bearer {plane.tokens['admin']}"}
        with httpx.Client(base_url=plane.url, verify=tls, headers=headers, timeout=30) as http:
            wall = Wall(http, manifests, {})
            _until_it_stands(wall)
            plane.manager.stop()  # it would take away the pod of a Job that is suspended
            _populate(wall)
            yield wall


async def _prepared(cluster: Cluster, folder: Path) -> dict[str, Object]:
    """The policies in place, without the labels of the namespace; the good manifests."""
    client = await KubeClient.connect(cluster.kubeconfig)
    try:
        wanted = [deepcopy(one) for one in policies.objects(EXAMPLE)]
        for one in wanted:
            if one["kind"] == "Namespace":
                one["metadata"]["labels"] = {}
        await apply(client, wanted)
    finally:
        await client.close()
    load_config.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(cluster.kubeconfig))
        patch.setattr("kubernetes_asyncio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(cluster.kubeconfig))
        manifests = await good(folder)
    load_config.cache_clear()
    return manifests


def _until_it_stands(wall: Wall) -> None:
    """Policies are compiled some seconds after they are created."""
    deadline = time.monotonic() + 60
    while any(wall.attempt(attack).is_success for attack in ATTACKS if attack.id.endswith(("host-path", "of no kind"))):
        assert time.monotonic() < deadline, "the policies do not take effect"
        time.sleep(0.2)


def _populate(wall: Wall) -> None:
    """A session that Kueue holds, a job, and a pod of a job at a site."""
    job = wall.make(JOBS, _renamed(wall.manifests["job"], RUN_ID, RUN_ID[:-1] + "9"))
    wall.manifests["job pod"] = _pod_of(job)
    name = wall.manifests["session"]["metadata"]["name"]
    waiting = _renamed(wall.manifests["session"], name, f"{name}-there")
    waiting["metadata"]["labels"]["kueue.x-k8s.io/managed"] = "true"
    waiting["metadata"]["finalizers"] = ["kueue.x-k8s.io/managed"]
    waiting["spec"]["schedulingGates"] = [{"name": "kueue.x-k8s.io/admission"}, {"name": names.GATE}]
    at_site = _pod_of(job)
    at_site["spec"]["tolerations"] = at_site["spec"].get("tolerations", [])
    wall.there = {"session": wall.make(PODS, waiting), "job": job}
    placed = wall.make(PODS, at_site, JOB_CONTROLLER)
    node = KUBELET.rpartition(":")[2]
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": placed["metadata"]["name"]},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    }
    bound = wall.send("POST", f"{PODS}/{placed['metadata']['name']}/binding", binding, dry=False)
    assert bound.status_code == 201, bound.text
    wall.there["site pod"] = placed


def _renamed(manifest: Object, old: str, new: str) -> Object:
    """Another one of the kind: names of its Secret and labels follow."""
    return dict(json.loads(json.dumps(manifest).replace(old, new)))


def _pod_of(job: Object) -> Object:
    """A pod as the Job controller makes it."""
    owner = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": job["metadata"]["name"],
        "uid": job["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    template = deepcopy(job["spec"]["template"])
    meta = template["metadata"] | {"generateName": f"{job['metadata']['name']}-", "ownerReferences": [owner]}
    meta["finalizers"] = ["batch.kubernetes.io/job-tracking"]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.id)
def test_an_attack_is_refused_and_told_why(wall: Wall, attack: Attack) -> None:
    answer = wall.attempt(attack)
    assert answer.status_code in (403, 422), f"{answer.status_code}: {answer.text[:400]}"
    assert attack.words in answer.json()["message"]


@pytest.mark.parametrize("work", WORK, ids=lambda attack: attack.id)
def test_the_platforms_own_work_goes_through(wall: Wall, work: Attack) -> None:
    answer = wall.attempt(work)
    assert answer.is_success, f"{work.words} is refused: {answer.text[:600]}"
