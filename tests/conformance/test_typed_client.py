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
)
from kubernetes_asyncio.config import load_kube_config
from support.places import Place

from aiinfn_hub.kube.client import NAMESPACES

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def core(place: Place) -> AsyncIterator[CoreV1Api]:
    configuration = Configuration()
    await load_kube_config(config_file=str(place.kubeconfig), client_configuration=configuration)
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
            node_selector={"nowhere": "true"},
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


async def test_a_pod_is_created_read_listed_and_deleted(place: Place, core: CoreV1Api) -> None:
    made = await core.create_namespaced_pod(place.namespace, session_pod())
    assert made.status.phase == "Pending"
    assert made.metadata.uid
    found = await core.read_namespaced_pod("jupyter-ann", place.namespace)
    assert found.spec.containers[0].resources.requests == {"cpu": "500m", "memory": "1073741824"}
    listed = await core.list_namespaced_pod(place.namespace, label_selector="component=singleuser-server")
    assert [pod.metadata.name for pod in listed.items] == ["jupyter-ann"]
    options = models.V1DeleteOptions(grace_period_seconds=1)
    await core.delete_namespaced_pod("jupyter-ann", place.namespace, body=options, grace_period_seconds=1)
    with pytest.raises(ApiException) as caught:
        await core.read_namespaced_pod("jupyter-ann", place.namespace)
    assert caught.value.status == 404


async def test_a_name_that_is_taken_is_a_409(place: Place, core: CoreV1Api) -> None:
    await core.create_namespaced_pod(place.namespace, session_pod())
    with pytest.raises(ApiException) as caught:
        await core.create_namespaced_pod(place.namespace, session_pod())
    assert caught.value.status == 409
    assert caught.value.reason == "Conflict"


async def test_a_reflector_lists_and_watches(place: Place, core: CoreV1Api) -> None:
    """As `kubespawner.reflector.ResourceReflector` does: raw list, then `watch` with the list's version."""
    asked = {"label_selector": "a=b", "_preload_content": False, "_request_timeout": 5}
    raw = await core.list_namespaced_pod(place.namespace, **asked)
    listed = await raw.json()
    version = listed["metadata"]["resourceVersion"]
    assert listed["items"] == []

    async def write() -> None:
        for name in ("one", "two"):
            body = session_pod(name)
            body.metadata.labels["a"] = "b"
            await core.create_namespaced_pod(place.namespace, body)
        await core.delete_namespaced_pod("one", place.namespace)

    writing = asyncio.create_task(write())
    seen: list[tuple[str, str]] = []
    async with watch.Watch() as watcher:
        stream = watcher.stream(
            core.list_namespaced_pod, place.namespace, label_selector="a=b", resource_version=version, timeout_seconds=5
        )
        async for event in stream:
            if event["type"] != "MODIFIED":  # by the scheduler
                seen.append((event["type"], event["raw_object"]["metadata"]["name"]))
            if event["type"] == "DELETED":
                break
    await writing
    assert seen == [("ADDED", "one"), ("ADDED", "two"), ("DELETED", "one")]


async def test_events_of_a_pod(place: Place, core: CoreV1Api) -> None:
    made = await core.create_namespaced_pod(place.namespace, session_pod())
    meta = made.metadata
    about = models.V1ObjectReference(kind="Pod", name=meta.name, namespace=place.namespace, uid=meta.uid)
    event = models.CoreV1Event(
        metadata=models.V1ObjectMeta(generate_name="jupyter-ann."),
        involved_object=about,
        reason="Pulled",
        message="Successfully pulled",
        type="Normal",
        last_timestamp=made.metadata.creation_timestamp,
    )
    await core.create_namespaced_event(place.namespace, event)
    selector = f"involvedObject.kind=Pod,involvedObject.uid={meta.uid},reason=Pulled"
    found = await core.list_namespaced_event(place.namespace, field_selector=selector)
    assert [(e.reason, e.involved_object.name) for e in found.items] == [("Pulled", "jupyter-ann")]


async def test_secrets_claims_services_and_namespaces(place: Place, core: CoreV1Api) -> None:
    owner = await core.create_namespaced_pod(place.namespace, session_pod())
    reference = models.V1OwnerReference(api_version="v1", kind="Pod", name=owner.metadata.name, uid=owner.metadata.uid)
    meta = models.V1ObjectMeta(name="jupyter-ann", owner_references=[reference])
    await core.create_namespaced_secret(place.namespace, models.V1Secret(metadata=meta, string_data={"token": "t"}))
    claim = models.V1PersistentVolumeClaim(
        metadata=models.V1ObjectMeta(name="claim-ann"),
        spec=models.V1PersistentVolumeClaimSpec(
            access_modes=["ReadWriteOnce"], resources=models.V1VolumeResourceRequirements(requests={"storage": "10Gi"})
        ),
    )
    made = await core.create_namespaced_persistent_volume_claim(place.namespace, claim)
    assert made.status.phase == "Pending"
    service = models.V1Service(
        metadata=meta, spec=models.V1ServiceSpec(ports=[models.V1ServicePort(port=8888)], selector={"a": "b"})
    )
    assert (await core.create_namespaced_service(place.namespace, service)).spec.cluster_ip
    await core.create_namespace(models.V1Namespace(metadata=models.V1ObjectMeta(name=f"team-{place.unique}")))
    place.made.append((NAMESPACES, f"team-{place.unique}"))
    with pytest.raises(ApiException) as caught:
        await core.create_namespace(models.V1Namespace(metadata=models.V1ObjectMeta(name=f"team-{place.unique}")))
    assert caught.value.status == 409
    await core.patch_namespaced_secret("jupyter-ann", place.namespace, {"stringData": {"token": "u"}})
    await core.delete_namespaced_pod("jupyter-ann", place.namespace)
    async with asyncio.timeout(20):
        while (await core.list_namespaced_secret(place.namespace)).items or (
            await core.list_namespaced_service(place.namespace)
        ).items:
            await asyncio.sleep(0.01)


async def test_mistakes_of_the_caller_come_back_in_the_usual_shape(place: Place, core: CoreV1Api) -> None:
    with pytest.raises(ApiException) as caught:
        await core.create_namespaced_pod(place.namespace, session_pod("Not_A_Name"))
    assert caught.value.status == 422
    assert '"reason":"Invalid"' in caught.value.body


async def test_a_pod_with_everything_that_the_client_can_say_survives_the_trip(place: Place, core: CoreV1Api) -> None:
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
    made = await core.create_namespaced_pod(place.namespace, pod)
    assert made.spec.affinity == pod.spec.affinity
    assert made.spec.tolerations[:1] == pod.spec.tolerations
    assert made.status.conditions[0].reason == "SchedulingGated"
    deleted = await core.delete_namespaced_pod("jupyter-ann", place.namespace)
    assert deleted.metadata.name == "jupyter-ann"


async def test_jobs_and_leases_through_their_own_apis(place: Place, core: CoreV1Api) -> None:
    batch, coordination = BatchV1Api(core.api_client), CoordinationV1Api(core.api_client)
    template = models.V1PodTemplateSpec(
        spec=models.V1PodSpec(restart_policy="Never", containers=[models.V1Container(name="main", image="i:1")])
    )
    spec = models.V1JobSpec(template=template, suspend=True, backoff_limit=0)
    job = await batch.create_namespaced_job(
        place.namespace, models.V1Job(metadata=models.V1ObjectMeta(name="j"), spec=spec)
    )
    assert (job.spec.backoff_limit, job.spec.completions, job.spec.suspend) == (0, 1, True)
    changed = await batch.patch_namespaced_job("j", place.namespace, {"spec": {"parallelism": 2}})
    assert changed.metadata.generation == 2
    assert [item.metadata.name for item in (await batch.list_namespaced_job(place.namespace)).items] == ["j"]
    lease = models.V1Lease(metadata=models.V1ObjectMeta(name="l"), spec=models.V1LeaseSpec(holder_identity="me"))
    held = await coordination.create_namespaced_lease(place.namespace, lease)
    held.spec.holder_identity = "you"
    assert (await coordination.replace_namespaced_lease("l", place.namespace, held)).spec.holder_identity == "you"
    with pytest.raises(ApiException) as caught:
        await coordination.replace_namespaced_lease("l", place.namespace, held)
    assert caught.value.status == 409


async def test_a_collection_is_deleted_by_label(place: Place, core: CoreV1Api) -> None:
    for name in ("one", "two"):
        body = session_pod(name)
        body.metadata.labels["run"] = name
        await core.create_namespaced_pod(place.namespace, body)
    await core.delete_collection_namespaced_pod(place.namespace, label_selector="run=one")
    assert [pod.metadata.name for pod in (await core.list_namespaced_pod(place.namespace)).items] == ["two"]


async def test_the_scheduler_binds_and_the_kubelet_reports(place: Place, core: CoreV1Api) -> None:
    await core.create_namespaced_pod(place.namespace, session_pod())
    target = models.V1ObjectReference(api_version="v1", kind="Node", name=f"none-{place.unique}")
    binding = models.V1Binding(metadata=models.V1ObjectMeta(name="jupyter-ann"), target=target)
    await core.create_namespaced_pod_binding("jupyter-ann", place.namespace, binding, _preload_content=False)
    running = models.V1ContainerState(running=models.V1ContainerStateRunning())
    status = models.V1ContainerStatus(
        name="notebook", image="i", image_id="", ready=True, restart_count=0, started=True, state=running
    )
    patch = {
        "status": {"phase": "Running", "podIP": "127.77.0.1", "containerStatuses": [status.to_dict(serialize=True)]}
    }
    await core.patch_namespaced_pod_status("jupyter-ann", place.namespace, patch)
    found = await core.read_namespaced_pod("jupyter-ann", place.namespace)
    assert (found.spec.node_name, found.status.pod_ip) == (f"none-{place.unique}", "127.77.0.1")
    assert found.status.container_statuses[0].ready
    selector = f"spec.nodeName=none-{place.unique},status.phase=Running"
    by_node = await core.list_pod_for_all_namespaces(field_selector=selector)
    assert [pod.metadata.name for pod in by_node.items] == ["jupyter-ann"]
