"""The typed client that KubeSpawner uses, with the calls that it makes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from kubernetes_asyncio import client as models
from kubernetes_asyncio import watch
from kubernetes_asyncio.client import (
    ApiClient,
    ApiException,
    BatchV1Api,
    Configuration,
    CoordinationV1Api,
    CoreV1Api,
    CustomObjectsApi,
)
from kubernetes_asyncio.config import load_kube_config
from support.kubeapi import RunningApi

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def core(api: RunningApi) -> AsyncIterator[CoreV1Api]:
    configuration = Configuration()
    await load_kube_config(config_file=str(api.kubeconfig), client_configuration=configuration)
    async with ApiClient(configuration) as client:
        yield CoreV1Api(client)


def session_pod(name: str = "jupyter-ann", **spec: Any) -> models.V1Pod:
    """What `kubespawner.objects.make_pod` builds, in small."""
    return models.V1Pod(
        metadata=models.V1ObjectMeta(
            name=name,
            labels={"component": "singleuser-server", "hub.jupyter.org/username": "ann"},
            annotations={"hub.jupyter.org/username": "ann"},
        ),
        spec=models.V1PodSpec(
            restart_policy="OnFailure",
            enable_service_links=False,
            automount_service_account_token=False,
            security_context=models.V1PodSecurityContext(fs_group=100),
            containers=[
                models.V1Container(
                    name="notebook",
                    image="quay.io/jupyter/base-notebook:latest",
                    env=[models.V1EnvVar(name="A", value="1")],
                    ports=[models.V1ContainerPort(name="notebook-port", container_port=8888)],
                    volume_mounts=[models.V1VolumeMount(name="home", mount_path="/home/jovyan")],
                    resources=models.V1ResourceRequirements(limits={"memory": "1073741824"}, requests={"cpu": "0.5"}),
                )
            ],
            volumes=[
                models.V1Volume(
                    name="home",
                    persistent_volume_claim=models.V1PersistentVolumeClaimVolumeSource(claim_name="claim-ann"),
                )
            ],
            **spec,
        ),
    )


async def test_a_pod_is_created_read_listed_and_deleted(core: CoreV1Api) -> None:
    made = await core.create_namespaced_pod("default", session_pod())
    assert made.status.phase == "Pending"
    assert made.metadata.uid
    found = await core.read_namespaced_pod("jupyter-ann", "default")
    assert found.spec.containers[0].resources.requests == {"cpu": "500m", "memory": "1073741824"}
    listed = await core.list_namespaced_pod("default", label_selector="component=singleuser-server")
    assert [pod.metadata.name for pod in listed.items] == ["jupyter-ann"]
    options = models.V1DeleteOptions(grace_period_seconds=1)
    await core.delete_namespaced_pod("jupyter-ann", "default", body=options, grace_period_seconds=1)
    with pytest.raises(ApiException) as caught:
        await core.read_namespaced_pod("jupyter-ann", "default")
    assert caught.value.status == 404


async def test_a_name_that_is_taken_is_a_409(core: CoreV1Api) -> None:
    await core.create_namespaced_pod("default", session_pod())
    with pytest.raises(ApiException) as caught:
        await core.create_namespaced_pod("default", session_pod())
    assert caught.value.status == 409
    assert caught.value.reason == "Conflict"


async def test_a_reflector_lists_and_watches(core: CoreV1Api) -> None:
    """As `kubespawner.reflector.ResourceReflector` does: raw list, then `watch` with the list's version."""
    raw = await core.list_namespaced_pod("default", label_selector="a=b", _preload_content=False, _request_timeout=5)
    listed = await raw.json()
    version = listed["metadata"]["resourceVersion"]
    assert listed["items"] == []

    async def write() -> None:
        for name in ("one", "two"):
            body = session_pod(name)
            body.metadata.labels["a"] = "b"
            await core.create_namespaced_pod("default", body)
        await core.delete_namespaced_pod("one", "default")

    writing = asyncio.create_task(write())
    seen: list[tuple[str, str]] = []
    async with watch.Watch() as watcher:
        stream = watcher.stream(
            core.list_namespaced_pod, "default", label_selector="a=b", resource_version=version, timeout_seconds=5
        )
        async for event in stream:
            seen.append((event["type"], event["raw_object"]["metadata"]["name"]))
            if event["type"] == "DELETED":
                break
    await writing
    assert seen == [("ADDED", "one"), ("ADDED", "two"), ("DELETED", "one")]


async def test_events_of_a_pod(core: CoreV1Api) -> None:
    made = await core.create_namespaced_pod("default", session_pod())
    about = models.V1ObjectReference(kind="Pod", name=made.metadata.name, namespace="default", uid=made.metadata.uid)
    event = models.CoreV1Event(
        metadata=models.V1ObjectMeta(generate_name="jupyter-ann."),
        involved_object=about,
        reason="Scheduled",
        message="Successfully assigned",
        type="Normal",
        last_timestamp=made.metadata.creation_timestamp,
    )
    await core.create_namespaced_event("default", event)
    selector = f"involvedObject.kind=Pod,involvedObject.uid={made.metadata.uid}"
    found = await core.list_namespaced_event("default", field_selector=selector)
    assert [(e.reason, e.involved_object.name) for e in found.items] == [("Scheduled", "jupyter-ann")]


async def test_secrets_claims_services_and_namespaces(core: CoreV1Api) -> None:
    owner = await core.create_namespaced_pod("default", session_pod())
    reference = models.V1OwnerReference(api_version="v1", kind="Pod", name=owner.metadata.name, uid=owner.metadata.uid)
    meta = models.V1ObjectMeta(name="jupyter-ann", owner_references=[reference])
    await core.create_namespaced_secret("default", models.V1Secret(metadata=meta, string_data={"token": "t"}))
    claim = models.V1PersistentVolumeClaim(
        metadata=models.V1ObjectMeta(name="claim-ann"),
        spec=models.V1PersistentVolumeClaimSpec(
            access_modes=["ReadWriteOnce"], resources=models.V1VolumeResourceRequirements(requests={"storage": "10Gi"})
        ),
    )
    made = await core.create_namespaced_persistent_volume_claim("default", claim)
    assert made.status.phase == "Pending"
    service = models.V1Service(
        metadata=meta, spec=models.V1ServiceSpec(ports=[models.V1ServicePort(port=8888)], selector={"a": "b"})
    )
    assert (await core.create_namespaced_service("default", service)).spec.cluster_ip
    await core.create_namespace(models.V1Namespace(metadata=models.V1ObjectMeta(name="team")))
    with pytest.raises(ApiException) as caught:
        await core.create_namespace(models.V1Namespace(metadata=models.V1ObjectMeta(name="team")))
    assert caught.value.status == 409
    await core.patch_namespaced_secret("jupyter-ann", "default", {"stringData": {"token": "u"}})
    await core.delete_namespaced_pod("jupyter-ann", "default")
    async with asyncio.timeout(5):
        while (await core.list_namespaced_secret("default")).items or (
            await core.list_namespaced_service("default")
        ).items:
            await asyncio.sleep(0.01)


async def test_mistakes_of_the_caller_come_back_in_the_usual_shape(core: CoreV1Api) -> None:
    with pytest.raises(ApiException) as caught:
        await core.create_namespaced_pod("default", session_pod("Not_A_Name"))
    assert caught.value.status == 422
    assert '"reason":"Invalid"' in caught.value.body


async def test_a_pod_with_everything_that_the_client_can_say_survives_the_trip(core: CoreV1Api) -> None:
    pod = session_pod(
        affinity=models.V1Affinity(
            node_affinity=models.V1NodeAffinity(
                required_during_scheduling_ignored_during_execution=models.V1NodeSelector(
                    node_selector_terms=[
                        models.V1NodeSelectorTerm(
                            match_expressions=[
                                models.V1NodeSelectorRequirement(
                                    key="nvidia.com/gpu.product", operator="In", values=["T4"]
                                )
                            ]
                        )
                    ]
                )
            )
        ),
        tolerations=[models.V1Toleration(key="nvidia.com/gpu", operator="Exists")],
        scheduling_gates=[models.V1PodSchedulingGate(name="kueue.x-k8s.io/admission")],
    )
    made = await core.create_namespaced_pod("default", pod)
    assert made.spec.affinity == pod.spec.affinity
    assert made.spec.tolerations == pod.spec.tolerations
    assert made.status.conditions[0].reason == "SchedulingGated"
    deleted = await core.delete_namespaced_pod("jupyter-ann", "default")
    assert deleted.metadata.name == "jupyter-ann"


async def test_jobs_leases_and_custom_objects_through_their_own_apis(core: CoreV1Api) -> None:
    batch, coordination, custom = (
        BatchV1Api(core.api_client),
        CoordinationV1Api(core.api_client),
        CustomObjectsApi(core.api_client),
    )
    template = models.V1PodTemplateSpec(
        spec=models.V1PodSpec(restart_policy="Never", containers=[models.V1Container(name="main", image="i:1")])
    )
    meta = models.V1ObjectMeta(name="j", labels={"kueue.x-k8s.io/queue-name": "q"})
    job = await batch.create_namespaced_job(
        "default", models.V1Job(metadata=meta, spec=models.V1JobSpec(template=template, suspend=True, backoff_limit=0))
    )
    assert (job.spec.backoff_limit, job.spec.completions, job.spec.suspend) == (0, 1, True)
    started = await batch.patch_namespaced_job("j", "default", {"spec": {"suspend": False}})
    assert started.metadata.generation == 2
    condition = {"type": "Complete", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    done = await batch.patch_namespaced_job_status(
        "j", "default", {"status": {"conditions": [condition], "succeeded": 1}}
    )
    assert (done.status.succeeded, done.status.conditions[0].type) == (1, "Complete")
    assert [item.metadata.name for item in (await batch.list_job_for_all_namespaces()).items] == ["j"]
    lease = models.V1Lease(metadata=models.V1ObjectMeta(name="l"), spec=models.V1LeaseSpec(holder_identity="me"))
    held = await coordination.create_namespaced_lease("default", lease)
    held.spec.holder_identity = "you"
    assert (await coordination.replace_namespaced_lease("l", "default", held)).spec.holder_identity == "you"
    with pytest.raises(ApiException) as caught:
        await coordination.replace_namespaced_lease("l", "default", held)
    assert caught.value.status == 409
    queue = {
        "apiVersion": "kueue.x-k8s.io/v1beta2",
        "kind": "LocalQueue",
        "metadata": {"name": "q"},
        "spec": {"clusterQueue": "c"},
    }
    path = ("kueue.x-k8s.io", "v1beta2", "default", "localqueues")
    await custom.create_namespaced_custom_object(*path, queue)
    status = {"status": {"pendingWorkloads": 2}}
    await custom.patch_namespaced_custom_object_status(*path, "q", status, _content_type="application/merge-patch+json")
    found = await custom.get_namespaced_custom_object(*path, "q")
    assert (found["spec"], found["status"]) == ({"clusterQueue": "c"}, {"pendingWorkloads": 2})
    await custom.delete_namespaced_custom_object(*path, "q")
    assert (await custom.list_namespaced_custom_object(*path))["items"] == []


async def test_the_log_of_a_pod(api: RunningApi, core: CoreV1Api) -> None:
    made = await core.create_namespaced_pod("default", session_pod(node_name="n1"))
    folder = api.logs_root / made.metadata.uid / "logs"
    folder.mkdir(parents=True)
    (folder / "notebook.log").write_text("one\ntwo\n")
    assert await core.read_namespaced_pod_log("jupyter-ann", "default", tail_lines=1) == "two\n"


async def test_a_collection_is_deleted_by_label(core: CoreV1Api) -> None:
    for name in ("one", "two"):
        body = session_pod(name)
        body.metadata.labels["run"] = name
        await core.create_namespaced_pod("default", body)
    await core.delete_collection_namespaced_pod("default", label_selector="run=one")
    assert [pod.metadata.name for pod in (await core.list_namespaced_pod("default")).items] == ["two"]


async def test_the_scheduler_binds_and_the_kubelet_reports(core: CoreV1Api) -> None:
    await core.create_namespaced_pod("default", session_pod())
    target = models.V1ObjectReference(api_version="v1", kind="Node", name="n1")
    binding = models.V1Binding(metadata=models.V1ObjectMeta(name="jupyter-ann"), target=target)
    await core.create_namespaced_pod_binding("jupyter-ann", "default", binding, _preload_content=False)
    running = models.V1ContainerState(running=models.V1ContainerStateRunning())
    status = models.V1ContainerStatus(
        name="notebook", image="i", image_id="", ready=True, restart_count=0, started=True, state=running
    )
    patch = {
        "status": {"phase": "Running", "podIP": "127.77.0.1", "containerStatuses": [status.to_dict(serialize=True)]}
    }
    await core.patch_namespaced_pod_status("jupyter-ann", "default", patch)
    found = await core.read_namespaced_pod("jupyter-ann", "default")
    assert (found.spec.node_name, found.status.pod_ip) == ("n1", "127.77.0.1")
    assert found.status.container_statuses[0].ready
    by_node = await core.list_pod_for_all_namespaces(field_selector="spec.nodeName=n1,status.phase=Running")
    assert [pod.metadata.name for pod in by_node.items] == ["jupyter-ann"]
