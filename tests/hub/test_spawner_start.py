"""A start against a real API server: the Secret, the pod, the owner between them, and what goes wrong."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.hubfakes import TOKEN, make_spawner
from support.kubeapi import running_api

from aiinfn_hub.errors import Forbidden as Refused
from aiinfn_hub.errors import NotFound, Unavailable
from aiinfn_hub.hub.outbox import Outbox
from aiinfn_hub.hub.refusal import Refusal
from aiinfn_hub.hub.session_objects import START, SessionObjects, gates
from aiinfn_hub.hub.spawner import AiinfnSpawner
from aiinfn_hub.kube.client import NAMESPACES, PODS, SECRETS, WORKLOADS, Kind, KubeClient, Object
from aiinfn_hub.pods import names

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("fresh_kubeconfig")]

RUNNING = {
    "phase": "Running",
    "podIP": "127.0.0.9",
    "containerStatuses": [
        {"name": "notebook", "ready": True, "image": "x", "imageID": "x", "restartCount": 0, "state": {"running": {}}}
    ],
}
Admission = Callable[[Kind, Object], Object]


@asynccontextmanager
async def cluster(folder: Path, admission: Admission | None = None) -> AsyncIterator[KubeClient]:
    """An API server with the platform's namespace, and a client; spawners of the test use the same."""
    async with running_api(folder, admission) as api:
        client = await KubeClient.connect(api.kubeconfig)
        await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "aiinfn"}})
        try:
            yield client
        finally:
            await AiinfnSpawner._stop_all_reflectors()
            await client.close()


async def eventually(ask: Callable[[], Awaitable[Any]], seconds: float = 10) -> Any:
    """The first answer that is neither false nor missing."""
    async with asyncio.timeout(seconds):
        while True:
            with suppress(NotFound):
                answer = await ask()
                if answer:
                    return answer
            await asyncio.sleep(0.02)


async def pod_of(client: KubeClient, name: str = "jupyter-mrossi") -> Object:
    found: Object = await eventually(lambda: client.get(PODS, name, "aiinfn"))
    return found


async def play_kubelet(client: KubeClient, status: dict[str, Any], name: str = "jupyter-mrossi") -> Object:
    """Say about the pod what a kubelet or a scheduler would."""
    await pod_of(client, name)
    return await client.patch(PODS, name, {"status": status}, "aiinfn", subresource="status")


def over(objects: type[SessionObjects], client: KubeClient) -> type[AiinfnSpawner]:
    """A spawner whose objects in Kubernetes are these."""

    class Spawner(AiinfnSpawner):
        @property
        def objects(self) -> SessionObjects:
            return objects(client, self.namespace, self.pod_name)

    return Spawner


async def secret_of(client: KubeClient, name: str = "jupyter-mrossi-token") -> Object:
    return await client.get(SECRETS, name, "aiinfn")


async def gone(client: KubeClient, kind: Kind, name: str) -> bool:
    try:
        await client.get(kind, name, "aiinfn")
    except NotFound:
        return True
    return False


async def test_a_session_starts_and_its_token_is_in_a_secret_that_the_pod_owns(tmp_path: Path) -> None:
    async with cluster(tmp_path) as client:
        start = make_spawner(tmp_path).start()
        pod = await play_kubelet(client, RUNNING)
        assert await asyncio.wait_for(start, 10) == "http://127.0.0.9:8888"
        secret = await secret_of(client)
        assert base64.b64decode(secret["data"]["token"]).decode() == TOKEN
        (owner,) = secret["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"]) == ("Pod", pod["metadata"]["uid"])
        assert TOKEN not in str(pod)


async def test_the_token_of_the_iam_is_in_a_secret_of_its_own_that_goes_with_the_pod(tmp_path: Path) -> None:
    async with cluster(tmp_path) as client:
        spawner = make_spawner(tmp_path)
        start = spawner.start()
        pod = await play_kubelet(client, RUNNING)
        await asyncio.wait_for(start, 10)
        uid = pod["metadata"]["uid"]
        for text in ("first", "second"):
            await spawner.objects.put_iam_token({"token": text}, {}, uid)
            secret = await client.get(SECRETS, "jupyter-mrossi-iam", "aiinfn")
            assert base64.b64decode(secret["data"]["token"]).decode() == text
        assert [owner["uid"] for owner in secret["metadata"]["ownerReferences"]] == [uid]
        await spawner.objects.put_iam_token({}, {}, uid)
        assert not (await client.get(SECRETS, "jupyter-mrossi-iam", "aiinfn")).get("data")
        await spawner.stop(now=True)
        assert await eventually(lambda: gone(client, SECRETS, "jupyter-mrossi-iam"))


async def test_the_secret_is_there_before_the_pod_may_be_placed(tmp_path: Path) -> None:
    there: list[bool] = []

    async with cluster(tmp_path) as client:

        class Watched(SessionObjects):
            async def open_gate(self, pod: Object) -> None:
                assert names.GATE in gates(await pod_of(client))
                there.append(not await gone(client, SECRETS, "jupyter-mrossi-token"))
                await super().open_gate(pod)

        start = make_spawner(tmp_path, kind=over(Watched, client)).start()
        await play_kubelet(client, RUNNING)
        await asyncio.wait_for(start, 10)
        assert gates(await pod_of(client)) == []
    assert there == [True]


async def test_the_token_of_an_earlier_start_is_replaced(tmp_path: Path) -> None:
    async with cluster(tmp_path) as client:
        stale = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "jupyter-mrossi-token", "namespace": "aiinfn"},
            "data": {"token": base64.b64encode(b"old").decode(), "more": ""},
        }
        await client.create(SECRETS, stale)
        start = make_spawner(tmp_path).start()
        await play_kubelet(client, RUNNING)
        await asyncio.wait_for(start, 10)
        data = (await secret_of(client))["data"]
        assert {key: base64.b64decode(value).decode() for key, value in data.items()} == {"token": TOKEN}


async def test_stopping_takes_pod_and_secret_away(tmp_path: Path) -> None:
    async with cluster(tmp_path) as client:
        spawner = make_spawner(tmp_path)
        start = spawner.start()
        await play_kubelet(client, RUNNING)
        await asyncio.wait_for(start, 10)
        await asyncio.wait_for(spawner.stop(now=True), 10)
        assert await gone(client, PODS, "jupyter-mrossi")
        assert await gone(client, SECRETS, "jupyter-mrossi-token")


async def test_a_hub_that_was_restarted_stops_what_it_finds(tmp_path: Path) -> None:
    async with cluster(tmp_path) as client:
        before = make_spawner(tmp_path)
        start = before.start()
        await play_kubelet(client, RUNNING)
        await asyncio.wait_for(start, 10)
        after = make_spawner(tmp_path)
        after.load_state(before.get_state())
        assert await after.poll() is None
        await asyncio.wait_for(after.stop(now=True), 10)
        assert await gone(client, SECRETS, "jupyter-mrossi-token")
        assert await after.poll() == 1


async def test_the_audit_says_what_the_hub_started_and_stopped(tmp_path: Path) -> None:
    """By the pod's uid, so that the ledger can be held against it."""
    async with cluster(tmp_path) as client:
        spawner = make_spawner(tmp_path)
        outbox = Outbox(tmp_path / "acts.sqlite")
        spawner.authenticator = SimpleNamespace(outbox=outbox)
        start = spawner.start()
        pod = await play_kubelet(client, RUNNING)
        await asyncio.wait_for(start, 10)
        await asyncio.wait_for(spawner.stop(now=True), 10)
        await asyncio.wait_for(spawner.stop(now=True), 10)
        acts = await outbox.next([])
        assert [(act.what, act.about) for act in acts] == [
            ("session-started", "mrossi"),
            ("session-stopped", "mrossi"),
        ]
        assert [act.facts for act in acts] == 2 * [{"server": "", "uid": pod["metadata"]["uid"]}]


async def test_stopping_what_is_gone_already_is_fine(tmp_path: Path) -> None:
    async with cluster(tmp_path):
        await asyncio.wait_for(make_spawner(tmp_path).stop(now=True), 10)


async def test_a_pod_of_an_earlier_start_makes_way(tmp_path: Path) -> None:
    async with cluster(tmp_path) as client:
        first = make_spawner(tmp_path)
        start = first.start()
        old = await play_kubelet(client, RUNNING)
        await asyncio.wait_for(start, 10)
        again = make_spawner(tmp_path).start()
        new = await eventually(lambda: other_than(client, old))
        await play_kubelet(client, RUNNING)
        await asyncio.wait_for(again, 15)
        (owner,) = (await secret_of(client))["metadata"]["ownerReferences"]
        assert owner["uid"] == new["metadata"]["uid"]


async def other_than(client: KubeClient, old: Object) -> Object | None:
    found = await client.get(PODS, "jupyter-mrossi", "aiinfn")
    return found if found["metadata"]["uid"] != old["metadata"]["uid"] else None


async def test_a_pod_that_was_made_by_a_request_without_an_answer_is_kept(tmp_path: Path) -> None:
    """KubeSpawner's own retry gets a 409 and deletes the pod that its first request made."""
    async with cluster(tmp_path) as client:
        lost: list[Object | None] = []

        class Lossy(SessionObjects):
            async def create_pod(self, manifest: Object) -> Object | None:
                made = await super().create_pod(manifest)
                if lost:
                    return made
                lost.append(made)
                raise Unavailable("no answer", details={"status": 0})

        spawner = make_spawner(tmp_path, kind=over(Lossy, client))
        start = spawner.start()
        pod = await play_kubelet(client, RUNNING)
        await asyncio.wait_for(start, 15)
        assert (await pod_of(client))["metadata"]["uid"] == pod["metadata"]["uid"]
        assert len(lost) == 1
        assert pod["metadata"]["annotations"][START]


async def test_named_servers_have_pods_and_secrets_of_their_own(tmp_path: Path) -> None:
    async with cluster(tmp_path) as client:
        start = make_spawner(tmp_path, server="lab").start()
        await play_kubelet(client, RUNNING, "jupyter-mrossi--lab")
        await asyncio.wait_for(start, 10)
        assert await secret_of(client, "jupyter-mrossi--lab-token")
        assert await gone(client, SECRETS, "jupyter-mrossi-token")


# What goes wrong


def waiting(reason: str, message: str) -> dict[str, Any]:
    status = {"name": "notebook", "ready": False, "state": {"waiting": {"reason": reason, "message": message}}}
    return {"phase": "Pending", "containerStatuses": [{**status, "image": "x", "imageID": "", "restartCount": 0}]}


@pytest.mark.parametrize(
    ("status", "reason", "says"),
    [
        pytest.param(
            waiting("ErrImagePull", "x: not found"), "image-missing", "no such image", id="an image is missing"
        ),
        pytest.param(
            {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."},
            "evicted-by-node",
            "ran short of memory",
            id="the node throws it out",
        ),
        pytest.param(
            waiting("CreateContainerConfigError", "container has runAsNonRoot and image will run as root"),
            "image-root",
            "root",
            id="the image wants to be root",
        ),
    ],
)
async def test_a_start_that_cannot_succeed_ends_at_once_with_its_reason(
    tmp_path: Path, status: dict[str, Any], reason: str, says: str
) -> None:
    async with cluster(tmp_path) as client:
        start = make_spawner(tmp_path).start()
        await play_kubelet(client, status)
        with pytest.raises(Refusal) as refused:
            await asyncio.wait_for(start, 10)
        assert (refused.value.reason, refused.value.status_code) == (reason, 409)
        assert says in refused.value.jupyterhub_message


async def test_a_start_that_takes_too_long_says_what_it_waited_for(tmp_path: Path) -> None:
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/4 nodes are available: 4 Insufficient nvidia.com/gpu.",
    }
    async with cluster(tmp_path) as client:
        start = make_spawner(tmp_path, start_timeout=2).start()
        await play_kubelet(client, {"phase": "Pending", "conditions": [condition]})
        with pytest.raises(Refusal, match="Every GPU of this kind is in use") as refused:
            await asyncio.wait_for(start, 10)
        assert refused.value.reason == "device-taken"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(
            Refused(
                "pods is forbidden: exceeded quota: q, requested: pods=1, used: pods=9, limited: pods=9",
                details={"status": 403},
            ),
            "namespace-quota",
            id="the namespace is full",
        ),
        pytest.param(
            Unavailable('failed calling webhook "mpod.kb.io": connection refused', details={"status": 500}),
            "queue-down",
            id="Kueue is down",
        ),
    ],
)
async def test_a_refusal_of_the_api_is_a_sentence(tmp_path: Path, error: Any, reason: str) -> None:
    class Refusing(SessionObjects):
        async def put_token(self, token: str, labels: Mapping[str, str], owner: str) -> None:
            raise error

    async with cluster(tmp_path) as client:
        spawner = make_spawner(tmp_path, kind=over(Refusing, client))
        with pytest.raises(Refusal) as refused:
            await asyncio.wait_for(spawner.start(), 10)
        assert refused.value.reason == reason


# Progress


async def told_until(spawner: AiinfnSpawner, cause: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    async with asyncio.timeout(15):
        async for event in spawner.progress():
            events.append(event)
            if event.get("aiinfn", {}).get("cause") == cause:
                break
    return events


async def test_progress_says_what_is_waited_for_and_shows_the_raw_events(tmp_path: Path) -> None:
    async with cluster(tmp_path) as client:
        spawner = make_spawner(tmp_path)
        start = spawner.start()
        pod = await pod_of(client)
        await client.create(Kind("", "v1", "Event", "events"), event_about(pod))
        await play_kubelet(
            client,
            {
                "phase": "Pending",
                "conditions": [
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "0/4 nodes are available: 4 Insufficient nvidia.com/gpu.",
                    }
                ],
            },
        )
        events = await told_until(spawner, "device-taken")
        await play_kubelet(client, {**RUNNING, "conditions": [{"type": "PodScheduled", "status": "True"}]})
        await asyncio.wait_for(start, 10)
        rest = await told_until(spawner, "started")
    last = events[-1]
    assert (last["aiinfn"]["step"], last["progress"]) == ("node", 50)
    assert last["message"].startswith("Every GPU of this kind is in use")
    assert any(event.get("raw_event", {}).get("reason") == "FailedScheduling" for event in [*events, *rest])


async def test_progress_reads_kueues_reason_from_the_workload(tmp_path: Path) -> None:
    def gate(kind: Kind, obj: Object) -> Object:
        if obj["kind"] == "Pod":
            obj["spec"]["schedulingGates"] = [{"name": "kueue.x-k8s.io/admission"}]
        return obj

    async with cluster(tmp_path, gate) as client:
        spawner = make_spawner(tmp_path)
        start = spawner.start()
        pod = await pod_of(client)
        await client.create(
            WORKLOADS,
            {
                "apiVersion": WORKLOADS.api_version,
                "kind": "Workload",
                "metadata": {
                    "name": "pod-jupyter-mrossi-12345",
                    "namespace": "aiinfn",
                    "labels": {"kueue.x-k8s.io/job-uid": pod["metadata"]["uid"]},
                },
                "spec": {"queueName": "lhcb-interactive", "podSets": []},
            },
        )
        message = "insufficient unused quota for nvidia.com/gpu in flavor a100, 1 more needed"
        condition = {"type": "QuotaReserved", "status": "False", "reason": "Pending", "message": message}
        await client.patch(
            WORKLOADS,
            "pod-jupyter-mrossi-12345",
            {"status": {"conditions": [condition]}},
            "aiinfn",
            subresource="status",
        )
        events = await told_until(spawner, "waiting-for-quota")
        start.cancel()
    assert events[-1]["aiinfn"]["step"] == "queue"
    assert "short by 1" in events[-1]["message"]


def event_about(pod: Object) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "jupyter-mrossi.1", "namespace": "aiinfn"},
        "involvedObject": {
            "kind": "Pod",
            "name": "jupyter-mrossi",
            "namespace": "aiinfn",
            "uid": pod["metadata"]["uid"],
        },
        "type": "Warning",
        "reason": "FailedScheduling",
        "message": "0/4 nodes are available: 4 Insufficient nvidia.com/gpu.",
        "lastTimestamp": "2026-11-23T10:00:00Z",
        "eventTime": None,
    }
