"""Continuous authorisation in the service: a fake hub's groups change, with a real API server underneath."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.service import RunningService, running_service

from aiinfn_hub.errors import Unavailable
from aiinfn_hub.identity import audit
from aiinfn_hub.kube.client import NAMESPACES, PODS, WORKLOADS
from aiinfn_hub.pods import names

pytestmark = pytest.mark.asyncio
GROUP = "/aiinfn/lhcb-flashsim"
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "aiinfn"}}


@pytest_asyncio.fixture
async def service(tmp_path: Path) -> AsyncIterator[RunningService]:
    async with running_service(tmp_path) as running:
        await running.client.create(NAMESPACES, NAMESPACE)
        yield running


def pod(name: str, person: str, server: str = "", *, ticket: bool = False) -> dict[str, Any]:
    """A session, running or in the queue."""
    labels = {names.KIND: "session", names.ACTIVITY: "lhcb-flashsim", names.FLAVOUR: "cpu", names.PERSON: person}
    spec: dict[str, Any] = {"containers": [{"name": "nb", "image": "x"}]}
    spec |= {"schedulingGates": [{"name": names.GATE}]} if ticket else {"nodeName": "node-1"}
    annotations = {names.PERSON_NAME: person, names.SERVER: server}
    return {"metadata": {"name": name, "namespace": "aiinfn", "labels": labels, "annotations": annotations}} | {
        "spec": spec
    }


async def put(service: RunningService, manifest: dict[str, Any]) -> dict[str, Any]:
    made = await service.client.create(PODS, manifest, "aiinfn")
    async with asyncio.timeout(10):
        while made["metadata"]["uid"] not in {one.uid for one in service.service.pods.items.values()}:
            await asyncio.sleep(0.02)
    return made


async def notices(service: RunningService, person: str, server: str = "") -> list[dict[str, Any]]:
    async with service.person(f"token-of-{person}") as http:
        answer = await http.get("/api/notices")
    assert answer.status_code == 200, answer.text
    return list(answer.json()["notices"])


async def acts(service: RunningService) -> list[tuple[str, str]]:
    found = await service.service.database.read(audit.acts)
    return [(act.what, act.about) for act in reversed(found)]


async def test_a_lost_group_gives_notice_and_then_the_session_ends(service: RunningService) -> None:
    service.hub.add("ada", "/aiinfn", GROUP, gpu={"activity": "lhcb-flashsim"})
    await put(service, pod("jupyter-ada--gpu", "ada", "gpu"))
    rights, now = service.service.rights, [1000.0]
    rights._clock = lambda: now[0]
    await rights.look()
    assert await notices(service, "ada") == []
    service.hub.users["ada"]["groups"] = ["/aiinfn"]
    await rights.look()
    [notice] = await notices(service, "ada")
    assert notice["due"] == 1900.0
    assert notice["server"] == "gpu"
    assert GROUP in notice["text"]
    now[0] = 1899.0
    await rights.look()
    assert service.hub.stops == []
    now[0] = 1900.0
    await rights.look()
    assert service.hub.stops == [("ada", "gpu")]
    await service.client.delete(PODS, "jupyter-ada--gpu", "aiinfn", grace_s=0)
    async with asyncio.timeout(10):
        while service.service.pods.items:
            await asyncio.sleep(0.02)
    await rights.look()
    assert await notices(service, "ada") == []
    assert await acts(service) == [("drain", "ada"), ("stopped", "ada")]


async def test_a_right_that_comes_back_calls_the_end_off(service: RunningService) -> None:
    service.hub.add("ada", "/aiinfn", gpu={"activity": "lhcb-flashsim"})
    await put(service, pod("jupyter-ada--gpu", "ada", "gpu"))
    await service.service.rights.look()
    assert len(await notices(service, "ada")) == 1
    service.hub.users["ada"]["groups"] = ["/aiinfn", GROUP]
    await service.service.rights.look()
    assert await notices(service, "ada") == []
    assert service.hub.stops == []
    assert await acts(service) == [("drain", "ada"), ("drain-off", "ada")]


async def test_an_account_that_is_not_active_is_stopped_at_once(service: RunningService) -> None:
    service.hub.add("ada", **{"": {"activity": "lhcb-flashsim"}})
    await put(service, pod("jupyter-ada", "ada"))
    words = {"sentence": "The login provider says that this account is not active.", "next_step": "Ask."}
    service.hub.standings["ada"] = {"reason": "inactive", "since": 1.0} | words
    for _ in range(2):  # it is asked for until the pod is gone, and told once
        await service.service.rights.look()
    assert service.hub.stops == [("ada", ""), ("ada", "")]
    assert await acts(service) == [("drain", "ada")]
    await service.client.delete(PODS, "jupyter-ada", "aiinfn", grace_s=0)
    async with asyncio.timeout(10):
        while service.service.pods.items:
            await asyncio.sleep(0.02)
    for _ in range(2):
        await service.service.rights.look()
    assert await acts(service) == [("drain", "ada"), ("stopped", "ada")]


async def test_an_outage_stops_nobody_and_is_told(service: RunningService) -> None:
    """Once its grace is over, the hub takes the groups away; what runs is not touched."""
    service.hub.add("ada", **{"": {"activity": "lhcb-flashsim"}})
    await put(service, pod("jupyter-ada", "ada"))
    words = {"sentence": "The login provider has not answered since 10:00 UTC.", "next_step": "Wait."}
    service.hub.standings["ada"] = {"reason": "outage", "since": 1.0, "until": 2.0, "over": True} | words
    await service.service.rights.look()
    assert service.hub.stops == []
    [notice] = await notices(service, "ada")
    assert (notice["title"], notice["text"], notice["due"]) == (*words.values(), None)
    assert await acts(service) == []


async def test_without_the_hubs_word_nothing_is_taken(service: RunningService) -> None:
    service.hub.add("ada", "/aiinfn", **{"": {"activity": "lhcb-flashsim"}})
    await put(service, pod("jupyter-ada", "ada"))
    service.hub.down = True
    with pytest.raises(Unavailable):
        await service.service.rights.look()
    service.hub.down = False
    del service.hub.users["ada"]
    await service.service.rights.look()
    assert await acts(service) == []


async def test_a_restart_does_not_begin_the_notice_anew(service: RunningService) -> None:
    service.hub.add("ada", "/aiinfn", **{"": {"activity": "lhcb-flashsim"}})
    await put(service, pod("jupyter-ada", "ada"))
    await service.service.rights.look()
    [before] = await notices(service, "ada")
    service.service.rights.drains = {}  # what another process, or the next one, knows
    await service.service.rights.look()
    assert await notices(service, "ada") == [before]


async def test_other_sessions_do_not_hear_of_it(service: RunningService) -> None:
    """A session asks with its own token, and reads what is about it or about the person."""
    service.hub.add("ada", "/aiinfn", gpu={"activity": "lhcb-flashsim"}, other={"activity": "cms-ml"})
    await put(service, pod("jupyter-ada--gpu", "ada", "gpu"))
    await service.service.rights.look()
    service.hub.tokens["of-other"] = service.hub.tokens["token-of-ada"] | {
        "scopes": ["access:services!service=aiinfn", "access:servers!server=ada/other"]
    }
    async with service.person("of-other") as http:
        assert (await http.get("/api/notices")).json() == {"notices": []}


async def test_the_panel_shows_it(service: RunningService) -> None:
    token = service.hub.add("ada", "/aiinfn", gpu={"activity": "lhcb-flashsim"})
    await put(service, pod("jupyter-ada--gpu", "ada", "gpu"))
    await service.service.rights.look()
    async with service.person(token) as http:
        page = (await http.get("/")).text
    assert "This session ends at <time" in page
    assert GROUP in page


async def workload(service: RunningService, owner: dict[str, Any]) -> dict[str, Any]:
    """What Kueue makes for something that waits."""
    meta = owner["metadata"]
    reference = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"], "controller": True}
    manifest = {
        "apiVersion": "kueue.x-k8s.io/v1beta2",
        "kind": "Workload",
        "metadata": {"name": f"pod-{meta['name']}", "namespace": "aiinfn", "ownerReferences": [reference]},
        "spec": {"queueName": "lhcb-flashsim-interactive", "active": True, "podSets": []},
    }
    made = await service.client.create(WORKLOADS, manifest, "aiinfn")
    async with asyncio.timeout(10):
        while not service.service.offloading.workloads.items:
            await asyncio.sleep(0.02)
    return made


async def test_what_waits_is_held_and_goes_on_later(service: RunningService) -> None:
    service.hub.add("ada", "/aiinfn")
    ticket = await put(service, pod("jupyter-ada", "ada", ticket=True))
    made = await workload(service, ticket)
    rights = service.service.rights

    async def seen(*, active: bool) -> dict[str, Any]:
        async with asyncio.timeout(10):
            while next(iter(service.service.offloading.workloads.items.values())).active is not active:
                await asyncio.sleep(0.02)
        return await service.client.get(WORKLOADS, made["metadata"]["name"], "aiinfn")

    await rights.look()
    held = await seen(active=False)
    assert GROUP in held["metadata"]["annotations"][names.HELD]
    assert [notice["level"] for notice in await notices(service, "ada")] == ["warning"]
    await rights.look()
    service.hub.users["ada"]["groups"] = ["/aiinfn", GROUP]
    service.service.hub._users.clear()
    await rights.look()
    back = await seen(active=True)
    assert names.HELD not in (back["metadata"].get("annotations") or {})
    assert await notices(service, "ada") == []
    assert await acts(service) == [("held", "ada"), ("held-off", "ada")]


async def test_what_an_operator_put_aside_is_not_taken_up(service: RunningService) -> None:
    service.hub.add("ada", "/aiinfn", GROUP)
    ticket = await put(service, pod("jupyter-ada", "ada", ticket=True))
    made = await workload(service, ticket)
    await service.client.patch(WORKLOADS, made["metadata"]["name"], {"spec": {"active": False}}, "aiinfn")
    async with asyncio.timeout(10):
        while next(iter(service.service.offloading.workloads.items.values())).active:
            await asyncio.sleep(0.02)
    await service.service.rights.look()
    found = await service.client.get(WORKLOADS, made["metadata"]["name"], "aiinfn")
    assert found["spec"]["active"] is False


def with_a_card(name: str, person: str, server: str) -> dict[str, Any]:
    """A session on a whole A100, which has been on its node for nine hours."""
    manifest = pod(name, person, server)
    manifest["metadata"]["labels"] |= {names.FLAVOUR: "a100-40", names.ACTIVITY: "teaching"}
    manifest["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "1"}}
    return manifest


async def test_a_quota_that_is_used_up_gives_notice_and_ends_the_session(service: RunningService) -> None:
    """The example gives a participant of a school ten hours of an A100 in a week."""
    service.hub.add("ada", "/aiinfn", "/aiinfn/teaching", gpu={"activity": "teaching"})
    made = await put(service, with_a_card("jupyter-ada--gpu", "ada", "gpu"))
    running = service.service
    await running.observer.flush()
    begin = time.time()
    now = [begin + 9.5 * 3600]
    running.spent._clock = running.rights._clock = lambda: now[0]
    await running.spent.look()
    await running.rights.look()
    assert await notices(service, "ada") == [], "half an hour is left, and a notice is a quarter"
    now[0] = begin + 9.8 * 3600
    await running.spent.look()
    await running.rights.look()
    [notice] = await notices(service, "ada")
    assert notice["due"] == now[0] + 900
    assert notice["text"].startswith(
        "9.8 of 10 GPU-hours of one participant in a week are used, and the rest lasts 12 min"
    )
    now[0] += 900
    await running.spent.look()
    await running.rights.look()
    assert service.hub.stops == [("ada", "gpu")]
    assert await acts(service) == [("drain", "ada")]
    assert running.spent.lapses.keys() == {made["metadata"]["uid"]}


async def test_room_that_comes_back_calls_the_end_off_once_it_is_enough(service: RunningService) -> None:
    service.hub.add("ada", "/aiinfn", "/aiinfn/teaching", gpu={"activity": "teaching"})
    await put(service, with_a_card("jupyter-ada--gpu", "ada", "gpu"))
    running = service.service
    await running.observer.flush()
    running.spent._clock = running.rights._clock = lambda: time.time() + 9.8 * 3600
    await running.spent.look()
    await running.rights.look()
    assert len(await notices(service, "ada")) == 1
    running.spent._clock = lambda: time.time() + 9.6 * 3600
    await running.spent.look()
    await running.rights.look()
    assert len(await notices(service, "ada")) == 1, "24 minutes are less than two notice periods"
    running.spent._clock = lambda: time.time() + 9 * 3600
    await running.spent.look()
    await running.rights.look()
    assert await notices(service, "ada") == []
    assert await acts(service) == [("drain", "ada"), ("drain-off", "ada")]
