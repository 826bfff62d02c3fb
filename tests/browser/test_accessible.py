"""What axe-core finds on each page, in light and dark: nothing that is serious; and how they look, on a phone too."""

from __future__ import annotations

import re
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect
from support.demo import RunningDemo

pytestmark = [pytest.mark.browser, pytest.mark.asyncio, pytest.mark.timeout(400)]
GRAVE = {"serious", "critical"}
WAIT = 60_000
#: In the page "What people see" of the documentation.
KEPT = {"form", "pending", "me", "operator"}


async def find(page: Page, where: str) -> list[str]:
    """Rule, element and what to do, for each finding that keeps somebody out."""
    found: dict[str, Any] = (await Axe().run(page)).response
    return [
        f"{where}: {rule['id']} at {node['html'][:160]}: {node.get('failureSummary', '')[:300]}"
        for rule in found["violations"]
        if rule["impact"] in GRAVE
        for node in rule["nodes"]
    ]


class Look:
    """Pictures of one page after the other, as wide as a desk's screen and as a phone's, where nothing sticks out."""

    def __init__(self, camera: Any, scheme: str) -> None:
        self.camera, self.scheme = camera, scheme

    async def at(self, page: Page, name: str) -> None:
        for size, width, height in (("phone", 360, 740), ("desktop", 1280, 900)):
            await page.set_viewport_size({"width": width, "height": height})
            if name in KEPT:
                await self.camera.shoot(page, f"{name}-{self.scheme}-{size}", whole=size == "desktop")
            wide = await page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{name} on a {size}: {wide}"


async def enter(browser: Browser, demo: RunningDemo, name: str, scheme: Any) -> Page:
    context = await browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    page = await context.new_page()
    await page.goto(f"{demo.info['hub_url']}hub/oauth_login?next=/hub/spawn")
    await page.fill("[name=username]", name)
    await page.fill("[name=password]", demo.account(name)["password"])
    await page.click("form button")
    await page.wait_for_url(re.compile(r"/hub/spawn|/user/"))
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_form_pending_page_and_panel_keep_nobody_out(
    browser: Browser, demo: RunningDemo, scheme: str, camera: Any
) -> None:
    findings: list[str] = []
    look = Look(camera, scheme)
    scientist = await enter(browser, demo, "scientist", scheme)
    server = f"axe-{scheme}"
    await scientist.goto(f"{demo.info['hub_url']}hub/spawn/scientist/{server}")
    await expect(scientist.get_by_label("NVIDIA T4")).to_be_visible(timeout=WAIT)
    findings += await find(scientist, "form")
    await look.at(scientist, "form")
    await scientist.get_by_role("button", name="Start", exact=True).click()
    await scientist.wait_for_url(re.compile(r"/hub/spawn-pending/"), timeout=WAIT)
    findings += await find(scientist, "pending")
    await look.at(scientist, "pending")
    await scientist.goto(f"{demo.info['hub_url']}hub/spawn/scientist/other?opt-flavour=t40")
    findings += await find(scientist, "a form that refuses a link")
    await scientist.goto(demo.info["panel_url"])
    findings += await find(scientist, "me")
    await look.at(scientist, "me")
    for name, pages in (("pi", ["activity/lhcb-flashsim"]), ("operator", ["operator", "ledger", "audit"])):
        other = await enter(browser, demo, name, scheme)
        for path in pages:
            await other.goto(demo.info["panel_url"] + path)
            await expect(other.locator("h1")).to_be_visible(timeout=WAIT)
            findings += await find(other, path)
            await look.at(other, path.partition("/")[0])
    assert not findings, "\n".join(findings)
