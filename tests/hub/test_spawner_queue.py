"""Sessions that have to wait: the spawner against a real API server with a queue that has one slice."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.hubfakes import TOKEN, FakeUser, in_groups, make_spawner, write_platform
from support.kubeapi import running_api
from support.mailserver import running_mail_server
from support.sessionqueue import resize, session_queue

from aiinfn_hub.errors import InvalidInput, NotFound, Unavailable
from aiinfn_hub.hub.refusal import QUEUED, Refusal
from aiinfn_hub.hub.session_objects import SessionObjects, gates, is_ticket
from aiinfn_hub.hub.spawner import AiinfnSpawner
from aiinfn_hub.kube.client import NAMESPACES, PODS, SECRETS, KubeClient, Object
from aiinfn_hub.local.controllers.admission import admit
from aiinfn_hub.pods import names

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("fresh_kubeconfig")]

SLICE = {"flavour": "a100-1g.5gb"}
#: Of starts that need not wait: the queue lets them in when it comes to it, on a loaded machine too.
PATIENT: dict[str, Any] = {"queue_patience": 60.0}
POD = "jupyter-mrossi"


@asynccontextmanager
async def cluster(folder: Path, slices: int = 1) -> AsyncIterator[KubeClient]:
    async with running_api(folder, admit) as api:
        client = await KubeClient.connect(api.kubeconfig)
        await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "aiinfn"}})
        try:
            async with session_queue(client, slices):
                yield client
        finally:
            await AiinfnSpawner._stop_all_reflectors()
            await client.close()


def somebody(folder: Path, name: str = "mrossi", **more: Any) -> AiinfnSpawner:
    """The spawner of a person who wants a slice, and has little patience: for starts that have to wait."""
    user = more.pop("user", None) or FakeUser(name, groups=in_groups("/aiinfn", "/aiinfn/lhcb"))
    known: dict[str, Any] = {"options": SLICE, "queue_patience": 0.2}
    return make_spawner(folder, user=user, **known | more)


async def pod_of(client: KubeClient, name: str = POD) -> Object | None:
    try:
        return await client.get(PODS, name, "aiinfn")
    except NotFound:
        return None


async def until(question: Any) -> Any:
    async with asyncio.timeout(15):
        while not (answer := await question()):
            await asyncio.sleep(0.02)
    return answer


async def is_gone(client: KubeClient, name: str = POD) -> bool:
    """Wait until Kueue's finalizer is gone too."""

    async def gone() -> bool:
        return await pod_of(client, name) is None

    return bool(await until(gone))


async def runs(client: KubeClient, name: str = POD, *, uid: str = "") -> Object:
    """Wait until the pod may be placed, then play the kubelet."""

    async def free() -> Object | None:
        found = await pod_of(client, name)
        return found if found and not gates(found) and uid in ("", found["metadata"]["uid"]) else None

    await until(free)
    ready = {"name": "notebook", "ready": True, "image": "x", "imageID": "x", "restartCount": 0}
    status = {"phase": "Running", "podIP": "127.0.0.9", "containerStatuses": [{**ready, "state": {"running": {}}}]}
    return await client.patch(PODS, name, {"status": status}, "aiinfn", subresource="status")


async def taken(client: KubeClient, folder: Path) -> AiinfnSpawner:
    """Somebody else has the only slice."""
    other = somebody(folder, "other", **PATIENT)
    start = other.start()
    await runs(client, "jupyter-other")
    await asyncio.wait_for(start, 15)
    return other


async def parked(spawner: AiinfnSpawner) -> Refusal:
    """A start that has to wait, with what JupyterHub does after it."""
    with pytest.raises(Refusal) as refused:
        await asyncio.wait_for(spawner.start(), 15)
    if await spawner.poll() is None:
        await spawner.stop()
    return refused.value


def uid_of(pod: Object | None) -> str:
    assert pod is not None
    return str(pod["metadata"]["uid"])


# A start that need not wait


async def test_with_a_free_place_a_session_starts_as_before(tmp_path: Path) -> None:
    async with cluster(tmp_path) as client:
        start = somebody(tmp_path, **PATIENT).start()
        pod = await runs(client)
        assert await asyncio.wait_for(start, 15) == "http://127.0.0.9:8888"
        secret = await client.get(SECRETS, f"{POD}-token", "aiinfn")
        assert base64.b64decode(secret["data"]["token"]).decode() == TOKEN
        assert secret["metadata"]["ownerReferences"][0]["uid"] == uid_of(pod)


@pytest.mark.parametrize(("queued", "gate"), [(True, [f"PATCH {POD}"]), (False, [])])
async def test_a_start_asks_the_api_for_no_more_than_it_needs(tmp_path: Path, gate: list[str], *, queued: bool) -> None:
    """The pod, the Secret that it owns, and in a queue our gate."""
    asked: list[str] = []

    class Counting(KubeClient):
        async def _request(self, method: str, path: str, *args: Any, **more: Any) -> Any:
            if "workloads" not in path:
                asked.append(f"{method} {path.rpartition('/')[2]}")
            return await super()._request(method, path, *args, **more)

    async with cluster(tmp_path) as client:

        class Spawner(AiinfnSpawner):
            @property
            def objects(self) -> SessionObjects:
                return SessionObjects(Counting(client._api), self.namespace, self.pod_name)

        start = somebody(tmp_path, kind=Spawner, queued=queued, **PATIENT).start()
        await runs(client)
        await asyncio.wait_for(start, 15)
    assert asked == ["POST pods", "POST secrets", *gate]


# A start that has to wait


async def test_a_session_that_has_to_wait_is_left_in_the_queue(tmp_path: Path) -> None:
    async with cluster(tmp_path) as client:
        await taken(client, tmp_path)
        spawner = somebody(tmp_path)
        refused = await parked(spawner)
        assert (refused.reason, refused.status_code) == (QUEUED, 202)
        assert refused.jupyterhub_message.startswith("Your session is in the queue: NVIDIA A100 slice <1g> & 5 GB. ")
        assert "yours is short by 1" in refused.jupyterhub_message
        assert "&lt;1g&gt; &amp; 5 GB" in refused.jupyterhub_html_message
        pod = await pod_of(client)
        assert is_ticket(pod)
        assert gates(pod)[0] == names.GATE  # type: ignore[arg-type]
        with pytest.raises(NotFound):
            await client.get(SECRETS, f"{POD}-token", "aiinfn")
        assert await spawner.poll() == 0, "for JupyterHub nothing runs"


async def test_the_same_choice_again_keeps_its_place(tmp_path: Path) -> None:
    async with cluster(tmp_path) as client:
        other = await taken(client, tmp_path)
        await parked(somebody(tmp_path))
        ticket = await pod_of(client)
        await parked(somebody(tmp_path, options={**SLICE, "cpu": "2"}))
        assert uid_of(await pod_of(client)) == uid_of(ticket)
        again = somebody(tmp_path, **PATIENT).start()
        await other.stop(now=True)
        pod = await runs(client)
        await asyncio.wait_for(again, 15)
        assert uid_of(pod) == uid_of(ticket)
        secret = await client.get(SECRETS, f"{POD}-token", "aiinfn")
        assert secret["metadata"]["ownerReferences"][0]["uid"] == uid_of(ticket)


async def test_whoever_waited_is_written_to_when_the_turn_comes(tmp_path: Path) -> None:
    with running_mail_server() as server:
        mail = {"host": "127.0.0.1", "port": server.port, "security": "none", "sender": "platform@example.org"}
        write_platform(tmp_path / "platform.yaml", mail=mail | {"after": "1s"})
        async with cluster(tmp_path) as client:
            user = FakeUser(groups=in_groups("/aiinfn", "/aiinfn/lhcb"), auth_state={"email": "mario@example.org"})
            other = await taken(client, tmp_path)
            await parked(somebody(tmp_path, user=user))
            await asyncio.sleep(2)
            start = somebody(tmp_path, user=user, **PATIENT).start()
            await other.stop(now=True)
            await runs(client)
            await asyncio.wait_for(start, 15)

            async def written() -> bool:
                return bool(server.received)

            await until(written)
    [(recipients, message)] = server.received
    assert recipients == ["mario@example.org"]
    assert "has waited for 1 min, and starts now." in message.get_content()


async def test_another_choice_gives_the_place_back(tmp_path: Path) -> None:
    async with cluster(tmp_path) as client:
        await taken(client, tmp_path)
        await parked(somebody(tmp_path))
        ticket = await pod_of(client)
        start = somebody(tmp_path, options={"flavour": "cpu"}, **PATIENT).start()
        pod = await runs(client)
        await asyncio.wait_for(start, 15)
        assert uid_of(pod) != uid_of(ticket)
        assert pod["metadata"]["labels"][names.FLAVOUR] == "cpu"


async def test_a_new_hub_takes_up_what_an_old_one_left(tmp_path: Path) -> None:
    """The old one was killed in the middle of the start: no park, no cleanup."""
    async with cluster(tmp_path) as client:
        other = await taken(client, tmp_path)
        killed = somebody(tmp_path, **PATIENT)
        start = killed.start()
        ticket = await until(lambda: pod_of(client))
        start.cancel()
        await asyncio.gather(start, return_exceptions=True)
        found = somebody(tmp_path)
        assert await found.poll() == 0, "it is not taken for a server that does not answer"
        await found.stop()
        assert uid_of(await pod_of(client)) == uid_of(ticket), "nor is it cleaned up"
        await other.stop(now=True)

        async def let_in() -> bool:
            return gates(await pod_of(client)) == [names.GATE]  # type: ignore[arg-type]

        await until(let_in)
        again = found.start()
        await runs(client, uid=uid_of(ticket))
        await asyncio.wait_for(again, 15)


async def test_a_named_server_has_a_ticket_of_its_own(tmp_path: Path) -> None:
    async with cluster(tmp_path) as client:
        await taken(client, tmp_path)
        await parked(somebody(tmp_path))
        await parked(somebody(tmp_path, server="lab"))
        notes = [(await pod_of(client, name))["metadata"]["annotations"] for name in (POD, f"{POD}--lab")]  # type: ignore[index]
        assert [one[names.SERVER] for one in notes] == ["", "lab"]
        assert len({one[names.CHOICE] for one in notes}) == 1


# The end of a ticket


async def test_somebody_who_stops_the_start_wants_no_ticket(tmp_path: Path) -> None:
    async with cluster(tmp_path) as client:
        await taken(client, tmp_path)
        spawner = somebody(tmp_path, **PATIENT)
        start = spawner.start()
        await until(lambda: pod_of(client))
        await asyncio.sleep(0.3)
        start.cancel()  # as JupyterHub does for DELETE of a server
        await asyncio.gather(start, return_exceptions=True)
        assert await spawner.poll() is None
        await asyncio.wait_for(spawner.stop(), 15)
        assert await is_gone(client)


async def test_a_ticket_that_is_taken_out_ends_the_start_that_waits_for_it(tmp_path: Path) -> None:
    async with cluster(tmp_path) as client:
        await taken(client, tmp_path)
        spawner = somebody(tmp_path, **PATIENT)
        start = spawner.start()
        ticket = await until(lambda: pod_of(client))
        await asyncio.sleep(0.3)
        assert await spawner.objects.withdraw(uid_of(ticket))
        with pytest.raises(Refusal, match="withdrawn"):
            await asyncio.wait_for(start, 15)
        assert await is_gone(client)


@pytest.mark.parametrize(("uid", "out"), [("", True), ("another", False)])
async def test_a_late_click_takes_nothing_out(tmp_path: Path, uid: str, *, out: bool) -> None:
    async with cluster(tmp_path) as client:
        await taken(client, tmp_path)
        spawner = somebody(tmp_path)
        await parked(spawner)
        assert await spawner.objects.withdraw(uid) is out
        assert is_ticket(await pod_of(client)) is not out
        assert await somebody(tmp_path, "nobody").objects.withdraw() is False


async def test_a_session_that_runs_is_no_ticket_to_withdraw(tmp_path: Path) -> None:
    async with cluster(tmp_path) as client:
        other = await taken(client, tmp_path)
        assert await other.objects.withdraw() is False
        assert await pod_of(client, "jupyter-other")


async def test_with_its_server_a_ticket_is_deleted(tmp_path: Path) -> None:
    async with cluster(tmp_path) as client:
        await taken(client, tmp_path)
        spawner = somebody(tmp_path, server="lab")
        await parked(spawner)
        await spawner.delete_forever()
        assert await is_gone(client, f"{POD}--lab")


# What waiting does not help


async def test_more_than_the_queue_has_is_refused_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    async with cluster(tmp_path, slices=0) as client:
        with pytest.raises(Refusal) as refused:
            await asyncio.wait_for(somebody(tmp_path, **PATIENT).start(), 15)
        assert (refused.value.reason, refused.value.status_code) == ("quota-too-small", 409)
        assert await is_gone(client)


async def test_a_queue_that_grows_lets_tickets_in(tmp_path: Path) -> None:
    async with cluster(tmp_path) as client:
        await taken(client, tmp_path)
        await parked(somebody(tmp_path))
        await resize(client, 2)

        async def let_in() -> bool:
            return gates(await pod_of(client)) == [names.GATE]  # type: ignore[arg-type]

        assert await until(let_in)


async def test_tickets_count_among_the_sessions_that_a_person_may_have(tmp_path: Path) -> None:
    async with cluster(tmp_path) as client:
        user = FakeUser(groups=in_groups("/aiinfn/lhcb"))
        waits = somebody(tmp_path, user=user, server="lab", options={"flavour": "t4"})
        ticket = {
            "metadata": {
                "name": waits.pod_name,
                "namespace": "aiinfn",
                "labels": {names.FLAVOUR: "t4", "component": "singleuser-server", "app.kubernetes.io/component": "x"},
                "annotations": {names.PERSON_NAME: "mrossi"},
            },
            "spec": {"containers": [{"name": "x", "image": "x"}], "schedulingGates": [{"name": names.GATE}]},
        }
        await client.create(PODS, ticket, "aiinfn")
        await waits.poll()  # the watch of all spawners has begun
        with pytest.raises(Refusal, match="quota-exceeded") as refused:
            await asyncio.wait_for(somebody(tmp_path, user=user, options={"flavour": "t4"}).start(), 15)
        assert "1 of 1" in refused.value.jupyterhub_message


# The API is not always there


class Lossy(SessionObjects):
    """Loses the answer to the opening of the gate, or finds the list changed."""

    def __init__(self, client: KubeClient, namespace: str, name: str, before: list[Exception], after: list[Exception]):
        super().__init__(client, namespace, name)
        self.before, self.after = before, after

    async def open_gate(self, pod: Object) -> None:
        if self.before:
            raise self.before.pop()
        await super().open_gate(pod)
        if self.after:
            raise self.after.pop()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param([Unavailable("away")], [], id="the request is lost"),
        pytest.param([], [Unavailable("away")], id="the answer is lost"),
    ],
)
async def test_the_start_goes_on_when_the_api_does_not_answer(
    tmp_path: Path, before: list[Exception], after: list[Exception]
) -> None:
    async with cluster(tmp_path) as client:
        made: list[str] = []

        class Spawner(AiinfnSpawner):
            @property
            def objects(self) -> SessionObjects:
                return Lossy(client, self.namespace, self.pod_name, before, after)

        start = somebody(tmp_path, kind=Spawner, **PATIENT).start()
        made.append(uid_of(await runs(client)))
        await asyncio.wait_for(start, 30)
        assert [uid_of(await pod_of(client))] == made
    assert before == after == []


async def test_a_list_of_gates_that_changed_is_looked_at_again(tmp_path: Path) -> None:
    async with cluster(tmp_path) as client:
        await taken(client, tmp_path)
        spawner = somebody(tmp_path)
        await parked(spawner)
        pod = await pod_of(client)
        assert pod is not None
        stale = pod | {"spec": {"schedulingGates": [{"name": "x"}, {"name": names.GATE}]}}
        with pytest.raises(Unavailable) as refused:
            await spawner.objects.open_gate(stale)
        assert isinstance(refused.value.__cause__, InvalidInput)
        assert gates(await pod_of(client)) == gates(pod)  # type: ignore[arg-type]


async def test_thirty_tickets_hold_nothing_at_the_hub(tmp_path: Path) -> None:
    async with cluster(tmp_path) as client:
        await taken(client, tmp_path)
        people = [somebody(tmp_path, f"p{number}") for number in range(30)]
        await asyncio.gather(*(parked(one) for one in people))
        pods, _ = await client.list(PODS, "aiinfn")
        assert sum(1 for pod in pods if is_ticket(pod)) == 30
        assert {one.starting for one in people} == {False}
        assert {await one.poll() for one in people} == {0}
