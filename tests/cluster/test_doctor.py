"""`aiinfn doctor` on the real control plane: one thing is broken after the other, named, and mended by its own line."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from bench.spawners import kubeconfig_of_spawners, session_manifest
from support.appliedexample import FILE, Applied
from support.controlplane.cluster import Cluster, until
from support.exampleworld import EXAMPLE, settings
from support.offload import order

from aiinfn_hub.install.doctor.findings import Finding, examine
from aiinfn_hub.install.doctor.reader import read
from aiinfn_hub.install.doctor.table import CHECKS
from aiinfn_hub.install.rbac import HUB, SERVICE
from aiinfn_hub.kube.client import CONFIGMAPS, JOBS, NODES, PODS, KubeClient
from aiinfn_hub.kube.kinds import DEPLOYMENTS
from aiinfn_hub.offload.manifest import job_manifest

pytestmark = pytest.mark.timeout(900)
#: What is not there: kubelets that renew their nodes, and the pods of Kueue, which runs from a file.
SILENT = {"virtual-node-not-ready", "node-not-ready", "kueue-not-running"}


@pytest_asyncio.fixture
async def applied(own_cluster: Cluster) -> AsyncIterator[Applied]:
    client = await KubeClient.connect(own_cluster.kubeconfig)
    try:
        there = Applied(own_cluster.kubeconfig, client)
        await there.install()
        yield there
    finally:
        await client.close()


async def seen(applied: Applied) -> list[Finding]:
    """What the doctor finds."""
    await applied.beat()
    findings = examine(await read(applied.client, EXAMPLE, FILE), CHECKS)
    return [one for one in findings if one.code not in SILENT]


async def nothing(applied: Applied) -> bool:
    return await seen(applied) == []


#: Code -> a line that breaks it. Each is mended by the line that the doctor prints.
BROKEN = {
    "queue-held": """kubectl patch clusterqueue batch --type merge --patch '{"spec": {"stopPolicy": "Hold"}}'""",
    "queues-differ": "kubectl patch clusterqueue interactive --type json --patch "
    """'[{"op": "add", "path": "/spec/resourceGroups/0/flavors/0/resources/0/lendingLimit", "value": "1"}]'""",
    "preempts-within-queue": "kubectl patch clusterqueue batch --type merge --patch "
    """'{"spec": {"preemption": {"withinClusterQueue": "LowerPriority"}}}'""",
    "workload-priorities-missing": "kubectl delete workloadpriorityclass batch",
    "local-queues-missing": "kubectl --namespace aiinfn delete localqueue cms-ml-batch",
    "rights-wider": "kubectl --namespace aiinfn patch role aiinfn-hub --type json --patch "
    """'[{"op": "add", "path": "/rules/2/verbs/-", "value": "list"}]'""",
    "rights-elsewhere": "kubectl create clusterrolebinding oops --clusterrole view --serviceaccount aiinfn:default",
    "site-reads-secrets": "kubectl create clusterrole leonardo --verb get --resource secrets && "
    "kubectl create clusterrolebinding leonardo --clusterrole leonardo --serviceaccount interlink:leonardo",
    "policies-missing": "kubectl delete validatingadmissionpolicy aiinfn-doors",
    "policies-not-denying": "kubectl patch validatingadmissionpolicybinding aiinfn-pods --type merge --patch "
    """'{"spec": {"validationActions": ["Warn"]}}'""",
    "pod-security-missing": "kubectl label namespace aiinfn pod-security.kubernetes.io/enforce-",
    "network-policies-missing": "kubectl --namespace aiinfn delete networkpolicy aiinfn-closed",
    "network-policies-differ": "kubectl --namespace aiinfn patch networkpolicy aiinfn-closed --type merge --patch "
    """'{"spec": {"ingress": [{}]}}'""",
    "priority-default": "kubectl create priorityclass normal --value 5 --preemption-policy Never --global-default",
    "quota-twice": "kubectl --namespace aiinfn create quota q --hard pods=10",
}


async def at_a_look(applied: Applied, later_s: float = 0.0) -> list[Finding]:
    """What the doctor finds at once, or would find so much later; the nodes are left as they are."""
    facts = await read(applied.client, EXAMPLE, FILE)
    return examine(replace(facts, now=facts.now + later_s), CHECKS)


async def mended(applied: Applied, code: str, later_s: float = 0.0) -> None:
    """It is found; after the lines that were printed it is not."""
    found = [one for one in await at_a_look(applied, later_s) if one.code == code]
    assert found, code
    for one in found:
        applied.must(one.mend)

    async def gone() -> bool:
        return code not in {one.code for one in await at_a_look(applied, later_s)}

    await until(gone, f"no {code}")


async def expect(applied: Applied, *codes: str) -> list[Finding]:
    """Look until these are found; all of what was."""

    async def told() -> list[Finding]:
        found = await seen(applied)
        return found if set(codes) <= {one.code for one in found} else []

    return await until(told, ", ".join(codes))


@pytest.mark.asyncio
async def test_each_trap_is_named_and_mended_by_the_line_that_is_printed(
    applied: Applied, own_cluster: Cluster, tmp_path: Path
) -> None:
    await until(lambda: nothing(applied), "nothing, once Kueue has taken up its queues")
    told = applied.run(f"aiinfn doctor --platform {FILE} --json")
    assert {one["code"] for one in json.loads(told.stdout)["findings"]} <= SILENT

    for code, line in BROKEN.items():
        applied.must(line)
        found = await expect(applied, code)
        for mend in dict.fromkeys(one.mend for one in found if one.code == code):
            applied.must(mend)
        await until(lambda: nothing(applied), f"nothing, after {code} was mended")

    # The manager here reads a file: what its ConfigMap says is looked at and not obeyed.
    await applied.client.patch(CONFIGMAPS, "kueue-manager-config", settings(waitForPodsReady=None), "kueue-system")
    await expect(applied, "pods-ready-timeout", "pods-ready-recovery")
    await applied.client.patch(CONFIGMAPS, "kueue-manager-config", settings(), "kueue-system")
    await until(lambda: nothing(applied), "nothing, with the settings as they were")

    await what_was_left(applied, own_cluster, tmp_path)
    await what_comes_near_a_site(applied)

    image = {"containers": [{"name": "manager", "image": "registry.k8s.io/kueue/kueue:v0.18.3"}]}
    template = {"spec": {"template": {"spec": image}}}
    await applied.client.patch(DEPLOYMENTS, "kueue-controller-manager", template, "kueue-system")
    old = {one.code: one for one in await at_a_look(applied)}
    assert "kueue:v0.18.3" in old["kueue-old"].evidence
    assert "--version 0.19.2" in old["kueue-old"].mend
    assert "status.availableReplicas is 0" in old["kueue-not-running"].evidence

    nobody = await own_cluster.account("default", "nobody")
    blind = applied.run(f"aiinfn doctor --platform {FILE} --kubeconfig {nobody} --json")
    assert blind.returncode == 1, blind.stderr
    findings = json.loads(blind.stdout)["findings"]
    assert {one["code"] for one in findings} == {"could-not-look"}
    assert any(one["evidence"].startswith("list nodes (nodes): forbidden") for one in findings)

    own_cluster.ours.kueue.kill()
    await expect(applied, "kueue-silent", "visibility-unavailable")
    down = applied.run(f"aiinfn doctor --platform {FILE}")
    assert down.returncode == 1
    assert "no pod and no Job can be created" in " ".join(down.stdout.split())


async def what_was_left(applied: Applied, cluster: Cluster, folder: Path) -> None:
    """A session that nobody starts, a job whose inputs never came: made by the accounts that may, found a day later."""
    home = EXAMPLE.system_namespace
    hub, service = [await KubeClient.connect(await cluster.account(home, name)) for name in (HUB, SERVICE)]
    try:
        with kubeconfig_of_spawners(cluster.kubeconfig):
            await hub.create(PODS, await session_manifest(folder, "cpu"))
        await service.create(JOBS, job_manifest(EXAMPLE, order()))
    finally:
        await hub.close()
        await service.close()
    assert not {"session-forgotten", "job-forgotten"} & {one.code for one in await at_a_look(applied)}
    for code in ("session-forgotten", "job-forgotten"):
        await mended(applied, code, later_s=2 * 86400.0)


async def what_comes_near_a_site(applied: Applied) -> None:
    """A virtual node without its taint; a pod there whose token would travel."""
    node = "leonardo"
    await applied.client.patch(NODES, node, {"spec": {"taints": None}})
    await mended(applied, "virtual-node-untainted")
    spec = {"nodeName": node, "containers": [{"name": "c", "image": "i:1"}]}
    await applied.client.create(PODS, {"metadata": {"name": "talks"}, "spec": spec}, "default")
    (found,) = [one for one in await at_a_look(applied) if one.code == "token-at-site"]
    assert found.mend.startswith("kubectl --namespace default delete pod talks ")
    # As the line does where a kubelet says that the pod has ended.
    await applied.client.delete(PODS, "talks", "default", grace_s=0)
    assert "token-at-site" not in {one.code for one in await at_a_look(applied)}
