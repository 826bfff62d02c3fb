"""`aiinfn doctor` on the real control plane: one thing is broken after the other, named, and mended by its own line."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from support.appliedexample import FILE, Applied
from support.controlplane.cluster import Cluster, until
from support.exampleworld import EXAMPLE, settings

from aiinfn_hub.install.doctor.findings import Finding, examine
from aiinfn_hub.install.doctor.reader import read
from aiinfn_hub.install.doctor.table import CHECKS
from aiinfn_hub.kube.client import CONFIGMAPS, KubeClient

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


async def expect(applied: Applied, *codes: str) -> list[Finding]:
    """Look until these are found; all of what was."""

    async def told() -> list[Finding]:
        found = await seen(applied)
        return found if set(codes) <= {one.code for one in found} else []

    return await until(told, ", ".join(codes))


@pytest.mark.asyncio
async def test_each_trap_is_named_and_mended_by_the_line_that_is_printed(
    applied: Applied, own_cluster: Cluster
) -> None:
    assert await seen(applied) == []
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
