"""Our form, links and stream inside a real JupyterHub, used as a browser would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from bs4 import BeautifulSoup
from support.offerservice import KEY, OfferService
from support.plainhub import xsrf
from support.plainsite import Site, eventually

from aiinfn_hub.kube.client import PODS, SECRETS

pytestmark = pytest.mark.asyncio

EVIL = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def service(site: Site) -> OfferService:
    site.service.free, site.service.status, site.service.delay_s = 3, 200, 0
    return site.service


def soup(page: httpx.Response) -> BeautifulSoup:
    return BeautifulSoup(page.text, "html.parser")


async def post(browser: httpx.AsyncClient, path: str, fields: dict[str, Any]) -> httpx.Response:
    page = await browser.get(path)
    action = soup(page).select_one("#spawn_form")
    assert action is not None, page.text
    return await browser.post(str(action["action"]), data=fields)


# The form


async def test_the_form_stands_in_jupyterhubs_own_page(site: Site) -> None:
    async with site.hub.person("mrossi") as browser:
        page = await browser.get("/hub/spawn")
    found = soup(page)
    assert page.status_code == 200
    assert found.select_one("form#spawn_form #aiinfn-spawn") is not None
    assert [heading.get_text() for heading in found.select("h1")] == ["Start a session"]
    assert found.select_one('nav a[href="/services/aiinfn/"]').get_text() == "Usage"  # type: ignore[union-attr]
    assert found.select_one('[id="free-a100-1g.5gb"]').get_text().strip() == "3 of 7 free"  # type: ignore[union-attr]
    assert found.select_one("form#spawn_form button[type=submit]").get_text() == "Start"  # type: ignore[union-attr]


async def test_a_slow_service_does_not_hold_the_form_up(site: Site, service: OfferService) -> None:
    service.delay_s = 10
    async with site.hub.person("both") as browser:
        async with asyncio.timeout(4):
            page = await browser.get("/hub/spawn")
        assert "unknown" in page.text
        assert "3 of 7 free" not in page.text


async def test_somebody_without_an_activity_gets_a_sentence(site: Site) -> None:
    async with site.hub.person("nobody") as browser:
        page = await browser.get("/hub/spawn")
    assert page.status_code == 403
    assert "in no activity" in soup(page).get_text()
    assert "Traceback" not in page.text


@pytest.mark.parametrize(
    ("fields", "status", "field", "says"),
    [
        pytest.param({"flavour": "v100"}, 400, "flavour", "There is no", id="a flavour that does not exist"),
        pytest.param({"flavour": "u55c"}, 403, "flavour", "/aiinfn/fpga", id="a flavour of another group"),
        pytest.param({"flavour": "t4", "cpu": "16"}, 400, "cpu", "nearest is 4", id="more CPU than there is"),
        pytest.param(
            {"environment": "registry", "environment-registry": f"ghcr.io/{EVIL}"},
            400,
            "environment",
            "image",
            id="a tag",
        ),
        pytest.param({"activity": "cms"}, 403, "activity", "lhcb", id="an activity of others"),
    ],
)
async def test_a_mistake_comes_back_at_its_field(
    site: Site, fields: dict[str, str], status: int, field: str, says: str
) -> None:
    async with site.hub.person("mrossi") as browser:
        page = await post(browser, "/hub/spawn", fields)
    found = soup(page)
    assert page.status_code == status
    mistake = found.select_one(f"#mistake-{field}")
    assert mistake is not None
    assert says in mistake.get_text()
    assert EVIL not in page.text
    assert len(found.select(".spawn-error-msg")) == 1, "JupyterHub's own message repeats ours"
    assert not site.active("mrossi")


async def test_a_mistake_in_a_named_server_comes_back_too(site: Site) -> None:
    async with site.hub.person("mrossi") as browser:
        page = await post(browser, "/hub/spawn/mrossi/lab", {"cpu": "3"})
    assert page.status_code == 400
    assert soup(page).select_one("#mistake-cpu") is not None


async def test_a_mistake_is_shown_once(site: Site) -> None:
    async with site.hub.person("mrossi") as browser:
        await post(browser, "/hub/spawn", {"cpu": "3"})
        page = await browser.get("/hub/spawn")
    assert page.status_code == 200
    assert "mistake-cpu" not in page.text


# Links


async def test_a_link_fills_the_form_in_and_starts_nothing(site: Site) -> None:
    async with site.hub.person("mrossi") as browser:
        page = await browser.get("/hub/spawn?opt-flavour=t4&opt-environment=image:root&opt-volumes=s3")
    found = soup(page)
    assert page.status_code == 200
    assert found.select_one("#flavour-t4").has_attr("checked")  # type: ignore[union-attr]
    assert found.select_one("select[name=environment-image] option[selected]")["value"] == "root"  # type: ignore[index]
    assert "Nothing is started before you press Start" in found.get_text()
    assert found.select(".spawn-error-msg") == []
    assert not site.active("mrossi")


async def test_a_link_without_an_accelerator_starts_nothing_either(site: Site) -> None:
    async with site.hub.person("mrossi") as browser:
        assert (await browser.get("/hub/spawn?opt-flavour=cpu")).status_code == 200
    assert not site.active("mrossi")


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        pytest.param("opt-flavour=v100", 400, "There is no", id="a flavour that does not exist"),
        pytest.param("opt-flavour=u55c", 403, "/aiinfn/fpga", id="a flavour of another group"),
        pytest.param("opt-flavour=t4&opt-flavour=cpu", 400, "2 times", id="two flavours"),
        pytest.param(f"opt-image={EVIL}", 400, "There is no option", id="an option that does not exist"),
    ],
)
async def test_a_link_goes_through_the_same_validation(site: Site, query: str, status: int, says: str) -> None:
    async with site.hub.person("mrossi") as browser:
        page = await browser.get(f"/hub/spawn?{query}")
    assert page.status_code == status
    assert says in soup(page).get_text()
    assert EVIL not in page.text
    assert not site.active("mrossi")


# REST


@pytest.mark.parametrize("server", ["server", "servers/lab"], ids=["the default server", "a named server"])
@pytest.mark.parametrize(
    ("options", "status", "says"),
    [
        pytest.param({"flavour": "v100"}, 400, "There is no 'v100'", id="a flavour that does not exist"),
        pytest.param({"flavour": "u55c"}, 403, "/aiinfn/fpga", id="a flavour of another group"),
        pytest.param({"profile": "x"}, 400, "There is no option", id="KubeSpawner's options"),
        pytest.param({"flavour": ["t4"]}, 400, "not a text", id="a value of another type"),
    ],
)
async def test_rest_answers_with_a_sentence(
    site: Site, server: str, options: dict[str, Any], status: int, says: str
) -> None:
    with site.hub.api as api:
        api.post("/users/mrossi")
        answer = api.post(f"/users/mrossi/{server}", json={"user_options": options})
    assert answer.status_code == status, answer.text
    assert says in answer.json()["message"]
    assert not site.active("mrossi")


# The stream


@asynccontextmanager
async def stream(browser: httpx.AsyncClient, **more: Any) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """Messages of an EventSource, opened as a browser opens it from the hub's page."""
    token = xsrf((await browser.get("/hub/spawn")).text)
    headers = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin", "Accept": "text/event-stream"}
    async with browser.stream("GET", "/hub/aiinfn/offer", params={"_xsrf": token, **more}, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")

        async def messages() -> AsyncIterator[dict[str, Any]]:
            async for line in answer.aiter_lines():
                if line:
                    yield json.loads(line.removeprefix("data: "))

        yield messages()


async def test_the_stream_follows_what_is_free(site: Site, service: OfferService) -> None:
    async with site.hub.person("mrossi") as browser, asyncio.timeout(10), stream(browser) as messages:
        first = await anext(messages)
        assert set(first["flavours"]) == {"cpu", "t4", "a100-1g.5gb"}
        assert first["activities"] == {"lhcb": "12.0 of 40 GPU-h left"}
        service.free = 0
        async for message in messages:
            if message["flavours"]["a100-1g.5gb"]["text"] == "none free of 7":
                break


async def test_a_service_that_fails_is_unknown_in_the_stream_too(site: Site, service: OfferService) -> None:
    async with site.hub.person("mrossi") as browser, asyncio.timeout(10), stream(browser) as messages:
        await anext(messages)
        service.status = 503
        async for message in messages:
            if message["flavours"]["t4"]["state"] == "unknown":
                assert message["flavours"]["t4"]["since"] == message["at"]
                break


async def test_all_pages_of_a_person_share_one_question(site: Site, service: OfferService) -> None:
    person = site.hub.person("mrossi")
    async with person as browser, stream(browser) as one, stream(browser) as two, stream(browser) as three:
        service.asked.clear()
        for _ in range(5):
            await asyncio.gather(*(anext(messages) for messages in (one, two, three)))
        assert len(service.asked) <= 7


async def test_when_nobody_looks_nobody_asks(site: Site, service: OfferService) -> None:
    async with site.hub.person("mrossi") as browser:
        async with asyncio.timeout(10), stream(browser) as messages:
            await anext(messages)
        await asyncio.sleep(0.5)
        service.asked.clear()
        await asyncio.sleep(0.7)
        assert service.asked == []


async def test_without_a_login_there_is_no_stream(site: Site) -> None:
    async with httpx.AsyncClient(base_url=site.hub.url) as stranger:
        assert (await stranger.get("/hub/aiinfn/offer")).status_code == 403


async def test_another_site_cannot_open_the_stream(site: Site) -> None:
    async with site.hub.person("mrossi") as browser:
        headers = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "cross-site"}
        assert (await browser.get("/hub/aiinfn/offer", headers=headers)).status_code == 403


async def test_somebody_who_is_removed_is_told_nothing_more(site: Site) -> None:
    async with site.hub.person("leaver") as browser, asyncio.timeout(15), stream(browser) as messages:
        await anext(messages)
        with site.hub.api as api:
            assert api.delete("/users/leaver").status_code == 204
        async for _ in messages:
            pass


# The way to a session


async def progress(browser: httpx.AsyncClient, pending: httpx.Response, cause: str) -> dict[str, Any]:
    """The first message of the pending page's stream that says this."""
    found = soup(pending).select_one("#aiinfn-pending")
    assert found is not None, pending.text
    url = str(found["data-progress"])
    headers = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
    async with asyncio.timeout(15), browser.stream("GET", url, headers=headers) as answer:
        async for line in answer.aiter_lines():
            message = json.loads(line.removeprefix("data: ")) if line else {}
            if cause in (message.get("aiinfn", {}).get("cause"), "failed" if message.get("failed") else ""):
                return dict(message)
    raise AssertionError("the stream ended")


async def test_a_start_can_be_followed_and_cancelled(site: Site) -> None:
    async with site.hub.person("both") as browser, site.kubernetes() as client:
        pending = await post(browser, "/hub/spawn", {"activity": "cms", "flavour": "t4"})
        assert pending.url.path == "/hub/spawn-pending/both"
        steps = soup(pending).select("#aiinfn-steps li")
        assert [step.get_text() for step in steps] == ["Quota", "Queue", "Node", "Start"]
        await eventually(client, PODS, "jupyter-both", there=True)
        message = "0/4 nodes are available: 4 Insufficient nvidia.com/gpu."
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        await client.patch(
            PODS, "jupyter-both", {"status": {"conditions": [condition]}}, "aiinfn", subresource="status"
        )
        told = await progress(browser, pending, "device-taken")
        assert told["aiinfn"]["step"] == "node"
        assert told["message"].startswith("Every GPU of this kind is in use")
        headers = {"X-XSRFToken": xsrf(pending.text), "Sec-Fetch-Mode": "cors"}
        answer = await browser.delete("/hub/api/users/both/server", headers=headers)
        assert answer.status_code in (202, 204), answer.text
        await eventually(client, PODS, "jupyter-both", there=False)
        await eventually(client, SECRETS, "jupyter-both-token", there=False)


async def test_a_start_that_fails_says_why_on_its_page(site: Site) -> None:
    async with site.hub.person("mrossi") as browser, site.kubernetes() as client:
        pending = await post(browser, "/hub/spawn", {"flavour": "cpu"})
        await eventually(client, PODS, "jupyter-mrossi", there=True)
        waiting = {"reason": "ErrImagePull", "message": "ghcr.io/infn/pytorch:2.9: not found"}
        status = {"name": "notebook", "ready": False, "image": "x", "imageID": "", "restartCount": 0}
        statuses = [{**status, "state": {"waiting": waiting}}]
        await client.patch(
            PODS, "jupyter-mrossi", {"status": {"containerStatuses": statuses}}, "aiinfn", subresource="status"
        )
        failed = await progress(browser, pending, "failed")
        assert "The registry has no such image. Check its name and tag." in failed["message"]
        page = await browser.get("/hub/spawn-pending/mrossi")
    assert page.status_code == 409
    assert "The registry has no such image. Check its name and tag." in soup(page).get_text()
    assert "Refusal" not in page.text


# Nothing of all this may leave a trace


async def test_no_log_line_holds_a_key_and_no_page_failed(site: Site) -> None:
    log = site.hub.log.read_text()
    assert KEY not in log
    assert "500 GET" not in log
    assert "500 POST" not in log
