"""The offload room as it runs: two real listeners, the embedded Kubernetes API, and a test that plays the cluster."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import sqlalchemy as sa
from support.kubeapi import running_api
from support.offload import person, platform
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from aiinfn_hub.contract.jobs import FramePage, JobRequest, JobState, JobView, ValueRef
from aiinfn_hub.errors import NotAuthenticated, QuotaExceeded
from aiinfn_hub.identity.person import Caller
from aiinfn_hub.kube.cache import WatchCache
from aiinfn_hub.kube.client import CONFIGMAPS, JOBS, NAMESPACES, PODS, SECRETS, WORKLOADS, KubeClient
from aiinfn_hub.kube.slim import decode_pod, decode_workload
from aiinfn_hub.local.controllers.admission import admit
from aiinfn_hub.offload import act_routes, checkpoint_routes, run_routes, runs, sweep_routes
from aiinfn_hub.offload.bell import Bell
from aiinfn_hub.offload.blobs import PIECES, BlobStore
from aiinfn_hub.offload.follow import Follower
from aiinfn_hub.offload.kubejob import decode_job
from aiinfn_hub.offload.orders import Shipment, runner_files
from aiinfn_hub.offload.outlook import Outlook
from aiinfn_hub.offload.routes import Room, routes
from aiinfn_hub.offload.run_routes import Gate
from aiinfn_hub.offload.runs import NewRun, Run
from aiinfn_hub.offload.session import Heritage, inherit
from aiinfn_hub.offload.submit import Submitter
from aiinfn_hub.pods import names
from aiinfn_hub.store.engine import Database

PREFIX = "/services/aiinfn"
NAMESPACE = platform().namespace
#: Token -> who shows it.
PEOPLE = {name: person(name=name) for name in ("alice", "bob")} | {"carol": person("cms-ml", "fpga", name="carol")}


async def identify(handler: RequestHandler) -> Caller:
    """As the hub would: `Authorization: token NAME`."""
    who = PEOPLE.get(handler.request.headers.get("Authorization", "").removeprefix("token "))
    if who is None:
        raise NotAuthenticated("Nobody knows this token.")
    return Caller(who, "")


class NoBudget:
    """There is room for everything."""

    def check(self, connection: sa.Connection, run: Run, *, now: float) -> None:
        """It has."""

    def place(self, connection: sa.Connection, run: Run, *, now: float) -> str:
        """It is in."""
        runs.note(connection, run.id, now=now, placed_at=now)
        return ""

    def refused(self, connection: sa.Connection, new: NewRun, error: QuotaExceeded, *, now: float) -> None:
        """Nothing is noted."""


async def no_token(run: Run, job_uid: str) -> None:
    assert not run.wanted.token, f"nobody gives {job_uid} a token here"


async def heritage(caller: Caller, server: str) -> Heritage:
    return inherit(caller.person, server, None)


@dataclass
class Cluster:
    """Plays Kueue, the Job controller and the kubelet, one step at a time."""

    client: KubeClient

    async def job(self, run_id: str) -> dict[str, Any]:
        return await self.client.get(JOBS, f"job-{run_id}", NAMESPACE)

    async def objects(self) -> dict[str, int]:
        """How many Jobs, ConfigMaps and Secrets there are of runs."""
        kinds = {"jobs": JOBS, "configmaps": CONFIGMAPS, "secrets": SECRETS}
        of_runs = f"{names.KIND}={names.JOB}"
        return {name: len((await self.client.list(kind, NAMESPACE, labels=of_runs))[0]) for name, kind in kinds.items()}

    async def capability(self, run_id: str) -> str:
        """What the pod finds in its Secret."""
        import base64  # noqa: PLC0415  only here

        found = await self.client.get(SECRETS, f"job-{run_id}", NAMESPACE)
        return base64.b64decode(found["data"]["capability"]).decode()

    async def suspend(self, run_id: str, *, suspended: bool) -> None:
        await self.client.patch(JOBS, f"job-{run_id}", {"spec": {"suspend": suspended}}, NAMESPACE)

    async def start_pod(self, run_id: str, phase: str = "Running", number: int = 1) -> str:
        """Admit the Job and make its pod; the pod's uid."""
        await self.suspend(run_id, suspended=False)
        job = await self.job(run_id)
        owner = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": job["metadata"]["name"],
            "uid": job["metadata"]["uid"],
        }
        template = job["spec"]["template"]
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"job-{run_id}-{number}",
                "namespace": NAMESPACE,
                "labels": template["metadata"]["labels"],
                "annotations": template["metadata"]["annotations"],
                "ownerReferences": [{**owner, "controller": True}],
            },
            "spec": {**template["spec"], "nodeName": "node-1"},
        }
        made = await self.client.create(PODS, body)
        await self.pod_status(run_id, {"phase": phase}, number)
        uid: str = made["metadata"]["uid"]
        return uid

    async def pod_status(self, run_id: str, status: dict[str, Any], number: int = 1) -> None:
        name = f"job-{run_id}-{number}"
        await self.client.patch(PODS, name, {"status": status}, NAMESPACE, subresource="status")

    async def end_pod(self, run_id: str, code: int, number: int = 1, reason: str = "Error") -> None:
        ended = {"exitCode": code, "reason": reason, "finishedAt": "2026-11-23T10:00:00Z"}
        status = {"name": "main", "state": {"terminated": ended}, "ready": False, "restartCount": 0}
        status |= {"image": "x", "imageID": "x"}
        phase = "Failed" if code else "Succeeded"
        await self.pod_status(run_id, {"phase": phase, "containerStatuses": [status]}, number)

    async def delete_pod(self, run_id: str, number: int = 1) -> None:
        await self.client.delete(PODS, f"job-{run_id}-{number}", NAMESPACE, grace_s=0)

    async def end_job(self, run_id: str, condition: str) -> None:
        found = [{"type": condition, "status": "True", "reason": "Test", "message": "by the test"}]
        patch = {"status": {"conditions": found}}
        await self.client.patch(JOBS, f"job-{run_id}", patch, NAMESPACE, subresource="status")

    async def gone(self, run_id: str) -> bool:
        jobs, _ = await self.client.list(JOBS, NAMESPACE, labels=f"{names.RUN}={run_id}")
        return not jobs


@dataclass
class World:
    """Everything that a test of the room needs."""

    database: Database
    client: KubeClient
    cluster: Cluster
    submitter: Submitter
    follower: Follower
    blobs: BlobStore
    bell: Bell
    gate: Gate
    url: str
    runs_url: str
    http: httpx.AsyncClient

    async def call(self, method: str, path: str, *, who: str = "alice", **options: Any) -> httpx.Response:
        """A request of a person; `path` below /api."""
        headers = {"Authorization": f"token {who}", **options.pop("headers", {})}
        return await self.http.request(method, f"{self.url}/api{path}", headers=headers, **options)

    async def runner(self, method: str, run_id: str, path: str, token: str, **options: Any) -> httpx.Response:
        """A request of a runner."""
        headers = {"Authorization": f"Bearer {token}", **options.pop("headers", {})}
        return await self.http.request(method, f"{self.runs_url}/runs/{run_id}/{path}", headers=headers, **options)

    async def send(self, data: bytes, *, who: str = "alice") -> ValueRef:
        """Upload the bytes of an input."""
        sha256 = hashlib.sha256(data).hexdigest()
        answer = await self.call("PUT", f"/blobs/{sha256}", who=who, content=data)
        assert answer.status_code == 201, answer.text
        return ValueRef("json", sha256, len(data))

    async def submit(self, wanted: JobRequest, *, who: str = "alice", key: str = "") -> JobView:
        headers = {"Idempotency-Key": key} if key else {}
        answer = await self.call("POST", "/jobs", who=who, headers=headers, content=msgspec.json.encode(wanted))
        assert answer.status_code in (200, 201), answer.text
        return msgspec.json.decode(answer.content, type=JobView)

    async def job(self, run_id: str, *, who: str = "alice") -> JobView:
        answer = await self.call("GET", f"/jobs/{run_id}", who=who)
        assert answer.status_code == 200, answer.text
        return msgspec.json.decode(answer.content, type=JobView)

    async def frames(self, run_id: str, after: int = 0, wait: float = 0, **query: Any) -> FramePage:
        answer = await self.call("GET", f"/jobs/{run_id}/frames", params={"after": after, "wait": wait, **query})
        assert answer.status_code == 200, answer.text
        return msgspec.json.decode(answer.content, type=FramePage)

    async def until(self, run_id: str, *states: JobState, seconds: float = 5) -> JobView:
        """The job once it is in one of the states."""
        async with asyncio.timeout(seconds):
            while True:
                view = await self.job(run_id)
                if view.state in states:
                    return view
                await asyncio.sleep(0.02)

    async def running(self, wanted: JobRequest) -> tuple[JobView, str]:
        """A job whose runner has introduced itself, and its token."""
        view = await self.submit(wanted)
        uid = await self.cluster.start_pod(view.id)
        return await self.job(view.id), await self.exchange(view.id, uid)

    async def exchange(self, run_id: str, pod_uid: str) -> str:
        capability = await self.cluster.capability(run_id)
        answer = await self.runner("POST", run_id, "exchange", capability, json={"pod_uid": pod_uid})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["token"])


async def soon(condition: Callable[[], Awaitable[bool]], seconds: float = 5) -> None:
    """Wait until it is true."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)


def listen(application: Application, port: int = 0) -> tuple[HTTPServer, int]:
    (sock,) = bind_sockets(port, "127.0.0.1")
    server = HTTPServer(application, max_body_size=4 * 1024**2)  # as the service has it
    server.add_sockets([sock])
    return server, sock.getsockname()[1]


@asynccontextmanager
async def room(
    folder: Path, database: Database, client: KubeClient, *, run_port: int = 0, **options: Any
) -> AsyncIterator[World]:
    """The room over a cluster: what the service process wires together. `options` are of the `Follower`."""
    bell, store = Bell(), BlobStore(folder / "blobs")
    follow: list[Follower] = []

    async def belongs(run: Run, pod_uid: str) -> bool:
        return await follow[0].belongs(run, pod_uid)

    pieces = BlobStore(folder / "blobs" / PIECES)
    gate = Gate(database=database, blobs=store, pieces=pieces, bell=bell, belongs=belongs)
    run_server, run_port = listen(
        Application([*run_routes.routes(gate=gate), *checkpoint_routes.routes(gate=gate)]), run_port
    )
    runs_url = f"http://127.0.0.1:{run_port}"
    shipment = Shipment(runner_files(), runs_url)
    submitter = Submitter(platform(), database, client, shipment, bell, give_token=no_token, budget=NoBudget())
    label = f"{names.KIND}={names.JOB}"
    jobs = WatchCache(client, JOBS, decode_job, namespace=NAMESPACE, labels=label)
    pods = WatchCache(client, PODS, decode_pod)
    workloads = WatchCache(client, WORKLOADS, decode_workload, namespace=NAMESPACE)
    follower = Follower(platform(), submitter, jobs, pods, workloads, **({"sweep_s": 0.5} | options))
    follow.append(follower)
    jobs.on_event, pods.on_event, workloads.on_event = follower.on_job, follower.on_pod, follower.on_workload
    for cache in (jobs, pods, workloads):
        await cache.start()
    task = asyncio.create_task(follower.run())
    desk = Room(
        platform=platform(), database=database, blobs=store, submitter=submitter, follower=follower, bell=bell,
        heritage=heritage, outlook=Outlook(database, follower),
    )  # fmt: skip
    server, port = listen(
        Application(
            [
                *routes(PREFIX, room=desk),
                *act_routes.routes(PREFIX, room=desk),
                *sweep_routes.routes(PREFIX, room=desk),
            ],
            identify=identify,
        )
    )
    async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
        yield World(
            database, client, Cluster(client), submitter, follower, store, bell, gate, f"http://127.0.0.1:{port}{PREFIX}",
            runs_url, http,
        )  # fmt: skip
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    for cache in (jobs, pods, workloads):
        await cache.close()
    for listener in (server, run_server):
        listener.stop()
        await listener.close_all_connections()


@asynccontextmanager
async def cluster_api(folder: Path) -> AsyncIterator[KubeClient]:
    """The embedded API with the namespace of the platform, and a client."""
    async with running_api(folder, admit) as api:
        client = await KubeClient.connect(api.kubeconfig)
        await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        try:
            yield client
        finally:
            await client.close()


@asynccontextmanager
async def world(folder: Path, database: Database, **options: Any) -> AsyncIterator[World]:
    """The room over an empty cluster."""
    async with cluster_api(folder) as client, room(folder, database, client, **options) as found:
        yield found


def sqlite(folder: Path) -> Database:
    """A fresh SQLite database, made without the time that migrations take."""
    from aiinfn_hub.store import tables  # noqa: PLC0415  only here

    database = Database(f"sqlite:///{folder}/offload.sqlite")
    tables.metadata.create_all(database.engine)
    return database
