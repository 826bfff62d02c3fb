"""A session that has to wait, through every door of a real JupyterHub: each says "queued", none says "failed"."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
import pytest_asyncio
from bs4 import BeautifulSoup
from support.offerservice import OfferService
from support.plainhub import xsrf
from support.plainsite import HASTY, Site
from support.sessionqueue import hold

from aiinfn_hub.contract.offer import TicketOffer
from aiinfn_hub.errors import NotFound
from aiinfn_hub.hub.session_objects import gates, is_ticket
from aiinfn_hub.kube.client import PODS, KubeClient, Object
from aiinfn_hub.pods import names

pytestmark = pytest.mark.asyncio

WANTED = {"flavour": "a100-1g.5gb"}
IN_QUEUE = "Your session is in the queue"


@pytest_asyncio.fixture
async def kubernetes(busy_site: Site) -> AsyncIterator[KubeClient]:
    """The cluster, in which somebody has the only slice; nothing is left of the test."""
    busy_site.service.tickets.clear()
    async with busy_site.kubernetes() as client:
        await hold(client)
        yield client
        for pod in (await client.list(PODS, "aiinfn"))[0]:
            with suppress(NotFound):
                await client.delete(PODS, pod["metadata"]["name"], "aiinfn", grace_s=0)
        await until(lambda: nothing(client))


async def nothing(client: KubeClient) -> bool:
    return not (await client.list(PODS, "aiinfn"))[0]


async def until(question: Any, seconds: float = 60) -> Any:
    async with asyncio.timeout(seconds):
        while not (answer := await question()):
            await asyncio.sleep(0.05)
    return answer


async def pod_of(client: KubeClient, name: str) -> Object | None:
    try:
        return await client.get(PODS, f"jupyter-{name}", "aiinfn")
    except NotFound:
        return None


def soup(page: httpx.Response) -> BeautifulSoup:
    return BeautifulSoup(page.text, "html.parser")


async def post(browser: httpx.AsyncClient, path: str = "/hub/spawn") -> httpx.Response:
    form = soup(await browser.get(path)).select_one("#spawn_form")
    assert form is not None
    return await browser.post(str(form["action"]), data=WANTED)


async def failed(browser: httpx.AsyncClient, pending: httpx.Response) -> dict[str, Any]:
    """The last message of the pending page's stream."""
    found = soup(pending).select_one("#aiinfn-pending")
    assert found is not None, pending.text
    headers = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
    message: dict[str, Any] = {}
    async with asyncio.timeout(15), browser.stream("GET", str(found["data-progress"]), headers=headers) as answer:
        async for line in answer.aiter_lines():
            message = json.loads(line.removeprefix("data: ")) if line else message
    return message


# The doors


async def test_the_form_leads_to_the_queue(busy_site: Site, kubernetes: KubeClient) -> None:
    async with busy_site.hub.person("mrossi") as browser:
        pending = await post(browser)
        assert pending.url.path == "/hub/spawn-pending/mrossi"
        last = await failed(browser, pending)
        assert last["failed"] is True, "JupyterHub has no other word"
        assert IN_QUEUE in last["message"]
        assert "aiinfn-queued" in last["html_message"], "by this our page knows better"
        again = await browser.get("/hub/spawn-pending/mrossi")
        assert again.status_code == 202
        assert soup(again).select_one("h1").get_text().strip() == IN_QUEUE  # type: ignore[union-attr]
        assert soup(again).select_one("#aiinfn-queue")["href"] == "/hub/spawn/mrossi"  # type: ignore[index]
        assert "failed" not in soup(again).get_text()
        old_link = await browser.get("/hub/user/mrossi/lab")
        assert (old_link.url.path, old_link.status_code) == ("/hub/spawn-pending/mrossi", 202)
    assert is_ticket(await pod_of(kubernetes, "mrossi"))
    assert not busy_site.active("mrossi")


async def test_a_form_that_is_answered_at_once_says_so_too(busy_site: Site, kubernetes: KubeClient) -> None:
    async with busy_site.hub.person("hasty0") as browser:
        page = await post(browser)
    found = soup(page)
    assert page.status_code == 202
    assert IN_QUEUE in found.select_one("p.alert-info[role=status]").get_text()  # type: ignore[union-attr]
    assert found.select(".spawn-error-msg") == []
    assert found.select_one("#aiinfn-ticket") is not None
    assert is_ticket(await pod_of(kubernetes, "hasty0"))


@pytest.mark.parametrize(
    ("server", "pod"),
    [("server", "third"), ("servers/lab", "third--lab")],
    ids=["the default server", "a named server"],
)
async def test_rest_says_accepted(busy_site: Site, kubernetes: KubeClient, server: str, pod: str) -> None:
    with busy_site.hub.api as api:
        api.post("/users/third")
        answer = api.post(f"/users/third/{server}", json={"user_options": WANTED})
        model = api.get("/users/third").json()
    assert answer.status_code == 202
    assert answer.json()["message"].startswith(f"{IN_QUEUE}: NVIDIA A100 slice")
    assert all(not one["pending"] and not one["ready"] for one in model["servers"].values())
    assert is_ticket(await pod_of(kubernetes, pod))


async def test_a_mistake_is_still_a_mistake(busy_site: Site, kubernetes: KubeClient) -> None:
    with busy_site.hub.api as api:
        api.post("/users/third")
        assert api.post("/users/third/server", json={"user_options": {"flavour": "v100"}}).status_code == 400
    assert await pod_of(kubernetes, "third") is None


async def test_thirty_tickets_take_no_place_among_the_starts(busy_site: Site, kubernetes: KubeClient) -> None:
    """Five starts at the same time are allowed, and five failures in a row would stop this hub."""
    with busy_site.hub.api as api:
        for name in HASTY:
            api.post(f"/users/{name}")
            answer = api.post(f"/users/{name}/server", json={"user_options": WANTED})
            assert answer.status_code == 202, answer.text
        users = api.get("/users", params={"state": "active"}).json()
        assert [user["name"] for user in users if user["name"] in HASTY] == []
        tickets = [pod for pod in (await kubernetes.list(PODS, "aiinfn"))[0] if is_ticket(pod)]
        assert len(tickets) == 30
        started = api.post("/users/both/server", json={"user_options": {"flavour": "cpu", "activity": "cms"}})
        assert started.status_code in (201, 202), started.text
        assert not started.content
        api.delete("/users/both/server")


# The turn comes


async def test_the_hub_starts_it_when_it_is_asked_to(busy_site: Site, kubernetes: KubeClient) -> None:
    with busy_site.hub.api as api:
        api.post("/users/mrossi")
        api.post("/users/mrossi/server", json={"user_options": WANTED})
        ticket = await pod_of(kubernetes, "mrossi")
        await kubernetes.delete(PODS, "holder", "aiinfn", grace_s=0)

        async def let_in() -> bool:
            return gates(await pod_of(kubernetes, "mrossi")) == [names.GATE]  # type: ignore[arg-type]

        await until(let_in)
        # As the service does: without options, for those of the ticket.
        asked = asyncio.create_task(asyncio.to_thread(api.post, "/users/mrossi/server"))

        async def placed() -> bool:
            return not gates(await pod_of(kubernetes, "mrossi"))  # type: ignore[arg-type]

        await until(placed)
        found = await pod_of(kubernetes, "mrossi")
        assert found is not None
        assert ticket is not None
        assert found["metadata"]["uid"] == ticket["metadata"]["uid"]
        assert api.get("/users/mrossi").json()["servers"][""]["pending"] == "spawn"
        assert api.post("/users/mrossi/server").status_code == 202, "asked twice is no harm"
        # JupyterHub 6 looks at the wrong object after a refusal, and says 201 of what is still pending.
        assert (await asked).status_code in (201, 202)
        api.delete("/users/mrossi/server")

        async def gone() -> bool:
            return await pod_of(kubernetes, "mrossi") is None

        await until(gone)


# The panel, its stream, and the way out


def known(service: OfferService, name: str, pod: Object, **changes: Any) -> None:
    fields = {"server": "", "flavour": WANTED["flavour"], "activity": "lhcb", "since": 1_795_428_000.0}
    service.tickets[name] = [TicketOffer(uid=pod["metadata"]["uid"], **fields | changes)]


async def parked(site: Site, client: KubeClient, name: str = "mrossi") -> Object:
    with site.hub.api as api:
        api.post(f"/users/{name}")
        assert api.post(f"/users/{name}/server", json={"user_options": WANTED}).status_code == 202
    pod = await pod_of(client, name)
    assert pod is not None
    return pod


async def test_the_form_shows_the_ticket_with_its_place(busy_site: Site, kubernetes: KubeClient) -> None:
    pod = await parked(busy_site, kubernetes)
    known(busy_site.service, "mrossi", pod, place=2, of=3, reason="Every GPU slice is taken.")
    await asyncio.sleep(1.1)  # an offer is used again for a second
    async with busy_site.hub.person("mrossi") as browser:
        found = soup(await browser.get("/hub/spawn"))
    panel = found.select_one("#aiinfn-ticket")
    assert panel is not None
    assert panel["data-uid"] == pod["metadata"]["uid"]
    text = " ".join(panel.get_text().split())
    assert f"{IN_QUEUE} NVIDIA A100 slice <1g> & 5 GB, place 2 of 3" in text
    assert "Every GPU slice is taken. Asked for at 10:00 UTC." in text
    assert found.select_one('[id="flavour-a100-1g.5gb"]').has_attr("checked"), "the same again keeps the place"  # type: ignore[union-attr]


async def test_without_the_service_the_form_shows_it_without_a_place(busy_site: Site, kubernetes: KubeClient) -> None:
    busy_site.service.status = 503
    try:
        pod = await parked(busy_site, kubernetes)
        async with busy_site.hub.person("mrossi") as browser:
            panel = soup(await browser.get("/hub/spawn")).select_one("#aiinfn-ticket")
            assert panel is not None
            assert panel["data-uid"] == pod["metadata"]["uid"]
            assert "place" not in panel.select_one("#aiinfn-ticket-headline").get_text()  # type: ignore[union-attr]
            assert soup(await browser.get("/hub/spawn/mrossi/lab")).select_one("#aiinfn-ticket") is None
    finally:
        busy_site.service.status = 200


async def test_the_stream_follows_the_ticket(busy_site: Site, kubernetes: KubeClient) -> None:
    pod = await parked(busy_site, kubernetes)
    known(busy_site.service, "mrossi", pod, place=2, of=3)
    async with busy_site.hub.person("mrossi") as browser, asyncio.timeout(15):
        token = xsrf((await browser.get("/hub/spawn")).text)
        headers = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
        seen: list[dict[str, Any]] = []
        async with browser.stream("GET", "/hub/aiinfn/offer", params={"_xsrf": token}, headers=headers) as answer:
            async for line in answer.aiter_lines():
                message = json.loads(line.removeprefix("data: ")) if line else {}
                ticket = next(iter(message.get("tickets") or ()), None)
                if ticket and ticket["headline"].endswith("place 2 of 3"):
                    seen.append(ticket)
                    known(busy_site.service, "mrossi", pod, place=1, of=2)
                elif ticket and seen:
                    assert ticket["headline"].endswith("place 1 of 2")
                    assert message["starting"] == []
                    break


async def test_a_person_takes_the_own_session_out_of_the_queue(busy_site: Site, kubernetes: KubeClient) -> None:
    pod = await parked(busy_site, kubernetes)
    address = "/hub/aiinfn/tickets/mrossi/"
    uid = {"uid": pod["metadata"]["uid"]}
    async with busy_site.hub.person("third") as other:
        token = {"X-XSRFToken": xsrf((await other.get("/hub/home")).text)}
        assert (await other.delete(address, params=uid, headers=token)).status_code == 404, "nobody else's"
    async with busy_site.hub.person("mrossi") as browser:
        token = {"X-XSRFToken": xsrf((await browser.get("/hub/home")).text), "Sec-Fetch-Mode": "cors"}
        assert (await browser.delete(address, params=uid)).status_code == 403, "a page of another site"
        assert (await browser.delete(address, params={"uid": "old"}, headers=token)).status_code == 404
        assert (await browser.delete(address, headers=token)).status_code == 400
        assert (await browser.delete(f"{address}lab", params=uid, headers=token)).status_code == 404
        assert is_ticket(await pod_of(kubernetes, "mrossi"))
        answer = await browser.delete(address, params=uid, headers=token)
        assert answer.status_code == 204, answer.text
        assert not is_ticket(await pod_of(kubernetes, "mrossi"))
        assert (await browser.delete(address, params=uid, headers=token)).status_code == 404
        assert soup(await browser.get("/hub/spawn")).select_one("#aiinfn-ticket") is None
    assert "took mrossi/ out of the queue" in busy_site.hub.log.read_text()


async def test_no_page_failed_and_no_failure_was_counted(busy_site: Site) -> None:
    log = busy_site.hub.log.read_text()
    assert "500 GET" not in log
    assert "500 POST" not in log
    assert "consecutive spawns failed" not in log
