"""A session that waits: nobody keeps a page or a process open for it, and it starts when its turn comes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.demo import RunningDemo, Visitor

from aiinfn_hub.errors import NotFound
from aiinfn_hub.kube.client import PODS, KubeClient

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

A30 = {
    "flavour": "a30",
    "cpu": "2",
    "memory": "8Gi",
    "activity": "lhcb-flashsim",
    "environment": "image",
    "environment-image": "pytorch",
    "lifetime": "4h",
}


async def until(question: Callable[[], Awaitable[Any]], seconds: float = 90) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if answer := await question():
                return answer
        except (httpx.TransportError, ValueError, KeyError, NotFound):
            pass  # killed, and not back yet
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)


async def person(demo: RunningDemo, name: str) -> Visitor:
    visitor = Visitor(demo, name)
    await visitor.login()
    return visitor


async def tickets(visitor: Visitor) -> list[dict[str, Any]]:
    answer = await visitor.http.get(f"{visitor.demo.info['service_url']}/api/tickets")
    return list(answer.json()["tickets"])


async def servers(visitor: Visitor) -> dict[str, Any]:
    return dict((await visitor.api("GET", f"/users/{visitor.name}")).json()["servers"])


async def in_queue(visitor: Visitor) -> bool:
    """Whether the form says so, and the hub has nothing under way."""
    page = await visitor.http.get(f"{visitor.hub}/hub/spawn")
    return page.url.path == "/hub/spawn" and 'id="aiinfn-ticket"' in page.text and not await servers(visitor)


async def queue_of_two(demo: RunningDemo) -> tuple[Visitor, Visitor]:
    """Somebody who has the only A30, and somebody who has just asked for it."""
    holder, waiter = await person(demo, "pi"), await person(demo, "scientist")
    for visitor in (holder, waiter):
        await visitor.api("DELETE", f"/users/{visitor.name}/server")
        await until(lambda visitor=visitor: stopped(visitor))
    await holder.spawn(A30)
    await holder.ready()
    await waiter.spawn(A30)
    return holder, waiter


async def stopped(visitor: Visitor) -> bool:
    return not await servers(visitor)


def kill(demo: RunningDemo, pattern: str) -> None:
    found = demo.children(pattern)
    assert found, f"nothing runs {pattern}"
    for pid in found:
        os.kill(pid, signal.SIGKILL)


async def uid_of(demo: RunningDemo, name: str) -> str:
    client = await KubeClient.connect(Path(demo.info["kubeconfig"]))
    try:
        return str((await client.get(PODS, f"jupyter-{name}", "aiinfn"))["metadata"]["uid"])
    finally:
        await client.close()


@pytest.mark.asyncio
async def test_a_session_waits_through_two_deaths_of_the_hub_and_one_of_the_service(demo: RunningDemo) -> None:
    holder, waiter = await queue_of_two(demo)
    await until(lambda: in_queue(waiter))
    uid = await uid_of(demo, "scientist")
    (ticket,) = await until(lambda: tickets(waiter))
    assert (ticket["uid"], ticket["place"], ticket["of"]) == (uid, 1, 1)
    assert "Every GPU of this kind is taken" in ticket["reason"]
    for victim in ("jupyterhub -f", "service run", "jupyterhub -f"):
        kill(demo, victim)
        await asyncio.sleep(1)
        await until(lambda: in_queue(waiter))
        assert await uid_of(demo, "scientist") == uid
    (ticket,) = await until(lambda: tickets(waiter))
    assert (ticket["uid"], ticket["place"]) == (uid, 1)
    assert (await servers(holder))[""]["ready"], "who runs does not notice"
    await holder.api("DELETE", "/users/pi/server")
    await waiter.ready()
    assert await uid_of(demo, "scientist") == uid, "it is the session that was asked for"
    assert await tickets(waiter) == []
    kernel = await waiter.kernel()
    assert (await kernel.run("print(6 * 7)")).text == "42\n"
    records = (await waiter.http.get(f"{demo.info['service_url']}/api/accounting/records")).json()["records"]
    mine = next(record for record in records if record["pod_uid"] == uid)
    assert mine["held_from"] >= mine["created_at"] + 3, "the wait is not charged"


@pytest.mark.asyncio
async def test_a_hub_that_dies_in_the_middle_of_a_start_loses_nothing(demo: RunningDemo) -> None:
    holder, waiter = await queue_of_two(demo)
    uid = await until(lambda: uid_of(demo, "scientist"))
    kill(demo, "jupyterhub -f")  # within its patience: nobody has parked the session
    await until(lambda: in_queue(waiter))
    await holder.api("DELETE", "/users/pi/server")
    await waiter.ready()
    assert await uid_of(demo, "scientist") == uid


@pytest.mark.asyncio
async def test_a_place_is_given_back_by_a_click_or_by_another_choice(demo: RunningDemo) -> None:
    _, waiter = await queue_of_two(demo)
    await until(lambda: in_queue(waiter))
    first = await uid_of(demo, "scientist")
    headers = {"X-XSRFToken": waiter.xsrf("/hub/"), "Referer": f"{waiter.hub}/hub/spawn"}
    address = f"{waiter.hub}/hub/aiinfn/tickets/scientist/"
    answer = await waiter.http.delete(address, params={"uid": first}, headers=headers)
    assert answer.status_code == 204, answer.text

    async def out() -> bool:
        return await tickets(waiter) == []

    await until(out)
    await waiter.spawn(A30)
    await until(lambda: in_queue(waiter))
    await waiter.spawn(A30 | {"flavour": "t4"})
    await waiter.ready()
    assert await tickets(waiter) == []
    assert (await servers(waiter))[""]["user_options"]["flavour"] == "t4"
