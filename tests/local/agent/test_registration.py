"""Node objects, leases, and what is different on a real API."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from support.kubeapi import running_api
from support.nodeagent import NODE, Cluster, agent_on, phase, pod, python, running_cluster

from aiinfn_hub.kube.client import LEASES, NAMESPACES, NODES, PODS, KubeClient
from aiinfn_hub.kube.moments import unix
from aiinfn_hub.kube.slim import decode_node
from aiinfn_hub.local.agent.registration import LEASE_NAMESPACE, Registration
from aiinfn_hub.local.agent.worker import PORTS_ANNOTATION
from aiinfn_hub.local.nodes import NodeSpec, Taint, load_nodes


@pytest.mark.asyncio
async def test_a_node_is_what_its_spec_says(cluster: Cluster) -> None:
    await cluster.create(pod("p", "true"))
    await cluster.until("p", phase("Succeeded"))
    (text,), _ = await cluster.client.list_raw(NODES)
    node = decode_node(text)
    assert node.ready
    assert node.labels["zone"] == "one"
    assert node.labels["kubernetes.io/hostname"] == "n1"
    assert node.labels["kubernetes.io/os"] == "linux"
    assert node.labels["kubernetes.io/arch"] in ("amd64", "arm64")
    assert node.allocatable["cpu"] == 4000
    assert node.allocatable["memory"] == 8 * 2**30
    assert node.allocatable["nvidia.com/gpu"] == 1
    assert node.allocatable["pods"] == 110


@pytest.mark.asyncio
async def test_every_node_of_the_demo_is_registered_by_one_agent(tmp_path: Path) -> None:
    nodes = load_nodes()
    async with running_cluster(tmp_path, nodes=nodes) as cluster:
        await cluster.create(pod("p", "true", node="gpu-5"))
        await cluster.until("p", phase("Succeeded"))
        found, _ = await cluster.client.list(NODES)
    assert {node["metadata"]["name"] for node in found} == {node.name for node in nodes}
    sliced = next(node for node in found if node["metadata"]["name"] == "gpu-5")
    assert sliced["status"]["allocatable"]["nvidia.com/mig-1g.10gb"] == "7"
    assert sliced["spec"]["taints"][0]["key"] == "nvidia.com/gpu"


@pytest.mark.asyncio
async def test_leases_are_made_and_renewed(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        client = await KubeClient.connect(api.kubeconfig)
        now = [1_800_000_000.25]
        registration = Registration(client, [NODE], ip="127.0.0.1", clock=lambda: now[0])
        await registration.register()
        first = await client.get(LEASES, "n1", LEASE_NAMESPACE)
        assert first["spec"]["holderIdentity"] == "n1"
        assert first["spec"]["leaseDurationSeconds"] == 40
        now[0] += 10
        await registration.renew()
        second = await client.get(LEASES, "n1", LEASE_NAMESPACE)
        assert unix(second["spec"]["renewTime"]) - unix(first["spec"]["renewTime"]) == 10
        await client.close()


@pytest.mark.asyncio
async def test_a_node_that_is_there_is_brought_up_to_date_and_keeps_what_others_put_there(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        client = await KubeClient.connect(api.kubeconfig)
        await Registration(client, [NODE], ip="127.0.0.1").register()
        await client.patch(NODES, "n1", {"metadata": {"labels": {"mine": "1"}}, "spec": {"unschedulable": True}})
        larger = NodeSpec(name="n1", capacity={"cpu": "8", "memory": "8Gi"}, labels={"zone": "two"})
        await Registration(client, [larger], ip="127.0.0.1").register()
        node = await client.get(NODES, "n1")
        assert node["metadata"]["labels"]["mine"] == "1"
        assert node["metadata"]["labels"]["zone"] == "two"
        assert node["spec"]["unschedulable"]
        assert node["status"]["allocatable"]["cpu"] == "8"
        assert len([c for c in node["status"]["conditions"] if c["type"] == "Ready"]) == 1
        await client.close()


@pytest.mark.asyncio
async def test_an_agent_of_one_namespace_takes_no_pod_of_another_and_its_node_is_tainted(tmp_path: Path) -> None:
    taint = Taint("aiinfn.infn.it/embedded", "NoSchedule")
    async with running_cluster(tmp_path, namespace="aiinfn", taint=taint) as cluster:
        other = pod("theirs", "true")
        other["metadata"]["namespace"] = "other"
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}}
        await cluster.client.create(NAMESPACES, body)
        await cluster.client.create(PODS, other, "other")
        await cluster.create(pod("ours", "true"))
        await cluster.until("ours", phase("Succeeded"))
        await asyncio.sleep(0.2)
        assert (await cluster.client.get(PODS, "theirs", "other"))["status"]["phase"] == "Pending"
        node = await cluster.client.get(NODES, "n1")
        assert node["spec"]["taints"] == [{"key": "aiinfn.infn.it/embedded", "effect": "NoSchedule"}]


@pytest.mark.asyncio
async def test_where_pods_share_an_address_each_gets_a_port_and_says_which(tmp_path: Path) -> None:
    serve = (
        "import os, socket, urllib.parse; u = urllib.parse.urlparse(os.environ['JUPYTERHUB_SERVICE_URL'])\n"
        "s = socket.create_server((u.hostname, u.port)); print('up', flush=True); s.accept()[0].sendall(b'hello')"
    )
    env = [{"name": "JUPYTERHUB_SERVICE_URL", "value": "http://0.0.0.0:8888/user/mock/"}]
    container = {"env": env, "ports": [{"containerPort": 8888}]}
    async with running_cluster(tmp_path, host={"own_addresses": False}) as cluster:
        for name in ("one", "two"):
            await cluster.create(pod(name, *python(serve), container=container))
        for name in ("one", "two"):
            await cluster.says(name, "up")
            found = await cluster.until(name, phase("Running"))
            assert found["status"]["podIP"] == "127.0.0.1"
            port = json.loads(found["metadata"]["annotations"][PORTS_ANNOTATION])["8888"]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await reader.read() == b"hello"
            writer.close()
            await cluster.until(name, phase("Succeeded"))


@pytest.mark.asyncio
async def test_an_agent_waits_for_an_api_that_is_not_there_yet(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        kubeconfig = api.kubeconfig
        client = await KubeClient.connect(kubeconfig)
    async with agent_on(client, tmp_path) as agent:
        await asyncio.sleep(0.3)
        assert not agent._cache.items
    await client.close()
