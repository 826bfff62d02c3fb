"""Waiting for the only A30, in a real browser: the panel, its numbers, the way out, and the turn that comes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect
from support.demo import RunningDemo

from aiinfn_hub.kube.client import PODS, KubeClient
from aiinfn_hub.pods import names

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
WAIT = 90_000
AMOUNTS = {"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": "1"}
#: Somebody has the only A30. Our gate without a person keeps it from being run: a loaded machine would take long.
HOLDER = {
    "metadata": {
        "name": "holder",
        "labels": {names.QUEUE: names.interactive_queue("lhcb-flashsim"), names.PRIORITY: names.INTERACTIVE},
    },
    "spec": {
        "containers": [{"name": "x", "image": "x", "resources": {"requests": AMOUNTS, "limits": AMOUNTS}}],
        "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-A30"},
        "tolerations": [{"operator": "Exists"}],
        "schedulingGates": [{"name": names.GATE}],
    },
}


async def login(page: Page, demo: RunningDemo, name: str) -> None:
    await page.goto(f"{demo.info['hub_url']}hub/oauth_login?next=/hub/spawn")
    await page.fill("[name=username]", name)
    await page.fill("[name=password]", demo.account(name)["password"])
    await page.click("form button")
    await page.wait_for_url(re.compile(r"/hub/spawn|/user/"))


#: A browser without a desktop shows none: what the page asks it to say is noted instead.
NOTIFICATIONS = """() => {
  window.Notification = class {
    static requestPermission() { return Promise.resolve("granted"); }
    constructor(text, more) { window.told(`${text}: ${more.body}`); }
  };
}"""
#: As when another tab comes to the front.
HIDDEN = """() => {
  Object.defineProperty(document, "hidden", { value: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


async def ask(page: Page) -> None:
    """Choose the A30, press Start, and come back to the form by itself."""
    await page.get_by_label("NVIDIA A30").check()
    await page.get_by_role("button", name="Start", exact=True).click()
    await page.wait_for_url(re.compile(r"/hub/spawn-pending/scientist"))
    await page.wait_for_url(re.compile(r"/hub/spawn/scientist"), timeout=WAIT)
    await expect(page.locator("#aiinfn-ticket-title")).to_have_text("Your session is in the queue")


@pytest.mark.asyncio
async def test_a_scientist_waits_without_a_page_and_starts_when_the_turn_comes(
    browser: Browser, demo: RunningDemo, camera: Any
) -> None:
    cluster = await KubeClient.connect(Path(demo.info["kubeconfig"]))
    await cluster.create(PODS, HOLDER, "aiinfn")
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    page = await context.new_page()
    mistakes: list[str] = []
    page.on("pageerror", lambda error: mistakes.append(str(error)))
    await login(page, demo, "scientist")
    await ask(page)
    headline = page.locator("#aiinfn-ticket-headline")
    await expect(headline).to_have_text("NVIDIA A30, place 1 of 1", timeout=15_000)
    await expect(page.locator("#aiinfn-ticket-reason")).to_contain_text("Every GPU of this kind is taken")
    await camera.shoot(page, "queue", whole=True)

    # Taken out with a click; asked for again; looked at with a phone.
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.locator("#aiinfn-ticket")).to_be_hidden()
    await page.reload()
    await expect(page.locator("#aiinfn-ticket")).to_have_count(0)
    await ask(page)
    await page.set_viewport_size({"width": 360, "height": 740})
    await expect(headline).to_have_text("NVIDIA A30, place 1 of 1", timeout=15_000)
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360, "nothing sticks out"
    await camera.shoot(page, "queue-phone", whole=True)

    # Told by the browser, also while another tab is in front; and the open page goes on by itself.
    told: list[str] = []
    await page.expose_function("told", lambda text: told.append(text))  # noqa: PLW0108  Playwright marks it
    await page.evaluate(NOTIFICATIONS)
    await page.get_by_role("button", name="Tell me when it starts").click()
    await expect(page.locator("#aiinfn-ticket-said")).to_contain_text("Your browser tells you")
    await page.evaluate(HIDDEN)
    await cluster.delete(PODS, "holder", "aiinfn", grace_s=0)
    await cluster.close()
    await page.wait_for_url(re.compile(r"/hub/spawn-pending/scientist|/user/scientist/"), timeout=WAIT)
    assert told == ["Your session starts: NVIDIA A30, place 1 of 1"]
    assert mistakes == []
