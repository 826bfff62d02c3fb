"""A crowded cluster on the real API server: nodes that KWOK plays, pods of ours and of others, and a queue.

Pods are bound when they are created, so that neither the scheduler nor Kueue (8 to 9 admissions a second) decides how
long it takes. Of what waits, the gated pods go through Kueue and find no quota; the Workloads of Jobs are written here,
because Kueue makes 1 to 9 a second. Those of one kind it judges together, as it does with its own.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa
from bench.spawners import free_pod, plain_manifest, session_manifest
from support.controlplane.cluster import Cluster, install_kueue
from support.offload import new_run, order, plan, platform, request
from support.queues import PLENTY, cluster_queue, flavor, local_queue, priority_class

from aiinfn_hub.catalogue import Flavour
from aiinfn_hub.kube.client import (
    CLUSTER_QUEUES,
    JOBS,
    LOCAL_QUEUES,
    NAMESPACES,
    NODES,
    PODS,
    RESOURCE_FLAVORS,
    WORKLOAD_PRIORITY_CLASSES,
    WORKLOADS,
    Kind,
    KubeClient,
    Object,
)
from aiinfn_hub.kube.slim import decode_pod
from aiinfn_hub.offload import runs
from aiinfn_hub.offload.manifest import GATED_BY, job_manifest
from aiinfn_hub.pods import names
from aiinfn_hub.store import tables
from aiinfn_hub.store.engine import Database

#: Requests that are under way at the same time.
AT_ONCE = 24
PER_NODE = 16
ACTIVITIES = ("lhcb-flashsim", "cms-ml", "teaching")
FAKE = {"kwok.x-k8s.io/node": "fake"}


@dataclass(frozen=True)
class Size:
    """How crowded it is. Of 10 pods 3 are sessions, 2 jobs, 5 other people's; of 25 that wait one is a session."""

    nodes: int = 1000
    pods: int = 10_000
    workloads: int = 5000

    @property
    def tickets(self) -> int:
        """Sessions that wait."""
        return self.workloads // 25


@dataclass
class Crowd:
    """What was made, and how many seconds each part took."""

    size: Size
    running: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


@asynccontextmanager
async def timed(crowd: Crowd, name: str) -> AsyncIterator[None]:
    started = time.monotonic()
    yield
    crowd.seconds[name] = time.monotonic() - started


async def create_all(client: KubeClient, things: Iterable[tuple[Kind, Object]]) -> list[Object]:
    """Create them, many at a time, in about the order given; what the API made of them."""
    source, made = iter(things), []

    async def work() -> None:
        for kind, thing in source:
            made.append(await client.create(kind, thing))

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return made


def flavours() -> list[Flavour]:
    """Those with an accelerator that the selectors of nodes tell apart."""
    return [flavour for flavour in platform().flavours if flavour.accelerator and flavour.node_selector]


def nodes(size: Size) -> Iterator[tuple[Kind, Object]]:
    """One model after the other, each with labels and images as the kubelet and the GPU operator write them."""
    for number, flavour in zip(range(size.nodes), itertools.cycle(flavours()), strict=False):
        amounts = {"cpu": "128", "memory": "1Ti", "pods": "250", flavour.resource: str(PER_NODE)}
        labels = {f"feature.node.kubernetes.io/cpu-cpuid.FEATURE{n}": "true" for n in range(20)}
        images = [{"names": [f"registry.example.org/image-{n}@sha256:{n:064x}"], "sizeBytes": n} for n in range(30)]
        meta = {"name": node_name(number), "labels": labels | dict(flavour.node_selector), "annotations": FAKE}
        status = {"allocatable": amounts, "capacity": amounts, "images": images}
        yield NODES, {"apiVersion": "v1", "kind": "Node", "metadata": meta, "status": status}


def node_name(number: int) -> str:
    return f"node-{number:04}"


def on_node(size: Size, flavour: Flavour, number: int) -> str:
    """A node of this flavour; of ten thousand pods on a thousand nodes each gets ten."""
    known = flavours()
    fitting = range(known.index(flavour) % size.nodes, size.nodes, len(known))
    return node_name(fitting[number // len(known) % len(fitting)])


def named(manifest: Object, name: str, **labels: str) -> Object:
    """A copy under another name."""
    thing = copy.deepcopy(manifest)
    thing["metadata"] |= {"name": name, "labels": thing["metadata"].get("labels", {}) | labels}
    return thing


async def sessions(size: Size, folder: Path) -> AsyncIterator[Object]:
    """Sessions of one unit each, as the spawner makes them and the queue and the hub have let them go."""
    manifests = [free_pod(await session_manifest(folder, flavour.name)) for flavour in flavours()]
    known = flavours()
    for number in range(size.pods * 3 // 10):
        which = number % len(known)
        pod = named(manifests[which], f"jupyter-u{number}", **{names.PERSON: f"u{number}"})
        pod["metadata"]["annotations"][names.PERSON_NAME] = f"u{number}"
        yield pod | {"spec": pod["spec"] | {"nodeName": on_node(size, known[which], number)}}


def others(size: Size) -> Iterator[tuple[Kind, Object]]:
    """Pods of other people in three namespaces: every third holds an accelerator."""
    known = flavours()
    for number in range(size.pods - size.pods * 3 // 10 - size.pods // 5):
        flavour = known[number % len(known)]
        requests = {"cpu": "500m", "memory": "1Gi"} | ({flavour.resource: "1"} if number % 3 == 0 else {})
        pod = plain_manifest(f"other-{number}", requests)
        pod["metadata"]["namespace"] = f"others-{number % 3}"
        pod["spec"]["nodeName"] = on_node(size, flavour, number)
        yield PODS, pod


def job(number: int, *, waits: bool) -> Object:
    """A Job as the service sends it, whose inputs are there, unknown to Kueue. One that runs makes no pods."""
    wanted = request(f"fit-{number}", gpu=_model(number))
    made = order(wanted, run_id=runs.new_id(time.time()), owner=f"u{number % 500}", plan=plan(wanted))
    thing = job_manifest(platform(), made)
    del thing["metadata"]["annotations"][GATED_BY]
    for label in (names.QUEUE, names.PRIORITY):
        del thing["metadata"]["labels"][label]
    return thing if waits else thing | {"spec": thing["spec"] | {"suspend": False, "parallelism": 0}}


def workload_of(made: Object) -> Object:
    """The Workload that Kueue would make of a Job."""
    meta = made["metadata"]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": meta["name"], "uid": meta["uid"], "controller": True}
    template = {"metadata": made["spec"]["template"]["metadata"], "spec": made["spec"]["template"]["spec"]}
    return {
        "apiVersion": WORKLOADS.api_version,
        "kind": "Workload",
        "metadata": {"name": meta["name"], "namespace": meta["namespace"], "ownerReferences": [owner]},
        "spec": {
            "queueName": names.batch_queue(meta["labels"][names.ACTIVITY]),
            "podSets": [{"name": "main", "count": 1, "template": template}],
        },
    }


def _model(number: int) -> str:
    known = flavours()
    return known[number % len(known)].name


def pod_of(made: Object, size: Size, number: int) -> Object:
    """The pod that the Job controller would make, bound; not under its control, so that it leaves it alone."""
    template, meta = made["spec"]["template"], made["metadata"]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": meta["name"], "uid": meta["uid"]}
    labels = {key: value for key, value in template["metadata"]["labels"].items() if key.startswith(names.PREFIX)}
    flavour = platform().flavour(labels[names.FLAVOUR])
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": template["metadata"]
        | {"name": f"{meta['name']}-x", "namespace": meta["namespace"], "labels": labels, "ownerReferences": [owner]},
        "spec": template["spec"] | {"nodeName": on_node(size, flavour, number)},
    }


async def tickets(size: Size, folder: Path) -> AsyncIterator[Object]:
    """Sessions that wait in the queue, as the spawner leaves them."""
    manifest = await session_manifest(folder, flavours()[0].name)
    for number in range(size.tickets):
        pod = named(manifest, f"jupyter-t{number}", **{names.PERSON: f"t{number}"})
        pod["metadata"]["annotations"][names.PERSON_NAME] = f"t{number}"
        yield pod


async def make_queues(client: KubeClient) -> None:
    """One accelerator of each resource for sessions and one for jobs: the first gets it, the others wait."""
    quota = PLENTY | {flavour.resource: 1 for flavour in flavours()}
    await client.create(RESOURCE_FLAVORS, flavor("any"))
    for name, priority in ((names.INTERACTIVE, 10000), (names.BATCH, 100)):
        queue = cluster_queue(name, quota, flavor="any")
        del queue["spec"]["cohortName"]
        await client.create(CLUSTER_QUEUES, queue)
        await client.create(WORKLOAD_PRIORITY_CLASSES, priority_class(name, priority))
        for activity in ACTIVITIES:
            local = local_queue(f"{activity}-{name}", name)
            local["metadata"]["namespace"] = platform().namespace
            await client.create(LOCAL_QUEUES, local)


async def make_namespaces(client: KubeClient) -> None:
    for name in (platform().namespace, *(f"others-{number}" for number in range(3))):
        await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


async def populate(cluster: Cluster, client: KubeClient, database: Database, folder: Path, size: Size) -> Crowd:
    """All of it, on an empty cluster; returns when every pod runs and everything that waits is in the queue.

    Kueue comes when the pods are there: its webhooks look at each of them, and make that twice as long.
    """
    crowd = Crowd(size)
    await make_namespaces(client)
    async with timed(crowd, "nodes"):
        await create_all(client, nodes(size))
    async with timed(crowd, "pods"):
        started = await bound_pods(client, folder, crowd)
    await install_kueue(cluster.ours)
    await make_queues(client)
    async with timed(crowd, "Jobs and tickets that wait"):
        queued = await the_queue(client, folder, size)
    database.run(remember, [(made, "running") for made in started] + [(made, "queued") for made in queued])
    async with timed(crowd, "until all run or wait"):
        await settled(client, size)
    return crowd


async def bound_pods(client: KubeClient, folder: Path, crowd: Crowd) -> list[Object]:
    """Everything that runs; the Jobs of it."""
    size = crowd.size
    mine = await create_all(client, [(PODS, pod) async for pod in sessions(size, folder)])
    crowd.running = [pod["metadata"]["name"] for pod in mine]
    started = await create_all(client, ((JOBS, job(n, waits=False)) for n in range(size.pods // 5)))
    await create_all(client, ((PODS, pod_of(made, size, n)) for n, made in enumerate(started)))
    await create_all(client, others(size))
    return started


async def the_queue(client: KubeClient, folder: Path, size: Size) -> list[Object]:
    """Everything that waits; the Jobs of it."""
    await create_all(client, [(PODS, pod) async for pod in tickets(size, folder)])
    queued = await create_all(client, ((JOBS, job(n, waits=True)) for n in range(size.workloads - size.tickets)))
    await create_all(client, ((WORKLOADS, workload_of(made)) for made in queued))
    return queued


async def settled(client: KubeClient, size: Size, timeout_s: float = 900) -> None:
    """Until KWOK runs every bound pod and every Workload is there."""
    deadline = time.monotonic() + timeout_s
    while True:
        texts, _ = await client.list_raw(PODS)
        running = sum(decode_pod(text).phase == "Running" for text in texts)
        waiting, _ = await client.list_raw(WORKLOADS)
        if running >= size.pods and len(waiting) >= size.workloads:
            return
        assert time.monotonic() < deadline, f"{running} pods run, {len(waiting)} workloads wait"
        await asyncio.sleep(1)


def remember(connection: sa.Connection, made: list[tuple[Object, str]]) -> None:
    """The runs of these Jobs, as the service would have written them before it was stopped."""
    for number, (thing, state) in enumerate(made):
        meta = thing["metadata"]
        labels, owner = meta["labels"], meta["annotations"][names.PERSON_NAME]
        wanted = request(f"fit-{number}", gpu=labels[names.FLAVOUR])
        new = new_run(wanted, owner=owner, idempotency_key=f"key-{number}", flavour=labels[names.FLAVOUR])
        run, _ = runs.create(connection, new, now=time.time())
        changes = {"id": labels[names.RUN], "state": state, "job_name": meta["name"], "job_uid": meta["uid"]}
        connection.execute(tables.run.update().where(tables.run.c.id == run.id).values(attempt=1, **changes))
