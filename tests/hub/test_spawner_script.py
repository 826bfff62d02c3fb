"""The scripts of form and pending page, in a real browser."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect
from support.offerservice import OfferService
from support.plainsite import Site, eventually

from aiinfn_hub.contract.offer import Expected
from aiinfn_hub.kube.client import PODS

CHROMIUM = shutil.which("chromium") or ""
FLAGS = """
    --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync
"""
SLICE = '[id="flavour-a100-1g.5gb"]'
FREE = '[id="free-a100-1g.5gb"]'

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="this machine has no Chromium"),
]


@pytest.fixture(autouse=True)
def service(site: Site) -> OfferService:
    site.service.free, site.service.status, site.service.delay_s, site.service.expected = 3, 200, 0, None
    return site.service


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield browser
        await browser.close()


@dataclass
class Tabs:
    """Opens pages of the site."""

    chromium: Browser
    url: str

    @asynccontextmanager
    async def __call__(self, name: str, path: str = "/hub/spawn", **context: Any) -> AsyncIterator[Page]:
        """A page of somebody who is logged in; a mistake in a script fails the test."""
        mistakes: list[str] = []
        person = await self.chromium.new_context(**context)
        page = await person.new_page()
        page.on("pageerror", lambda error: mistakes.append(str(error)))
        await page.goto(f"{self.url}/hub/login")
        await page.fill("#username_input", name)
        await page.fill("#password_input", "any")
        await page.click("#login_submit")
        await page.goto(f"{self.url}{path}")
        yield page
        await person.close()
        assert mistakes == []


@pytest.fixture
def tab(chromium: Browser, site: Site) -> Tabs:
    return Tabs(chromium, site.hub.url)


async def able(page: Page, field: str) -> list[str]:
    """The values that can be chosen."""
    found: list[str] = await page.eval_on_selector_all(
        f"{field} option:not([disabled])", "options => options.map(option => option.value)"
    )
    return found


async def test_cpu_memory_and_time_follow_the_accelerator(tab: Tabs) -> None:
    async with tab("mrossi") as page:
        assert (await able(page, "#field-cpu"), await page.input_value("#field-cpu")) == (["1", "2", "4"], "1")
        await page.check(SLICE)
        assert (await able(page, "#field-cpu"), await page.input_value("#field-cpu")) == (["2", "8"], "2")
        assert (await able(page, "#field-lifetime"))[-1] == "28800s"


async def test_how_soon_an_image_is_there_follows_accelerator_and_image(tab: Tabs) -> None:
    async with tab("mrossi") as page:
        note = page.locator("#aiinfn-fetched")
        await expect(note).to_have_text("on 1 of 3 nodes already, else to fetch: about 2 min (6.0 GB)")
        await page.check("#flavour-t4")
        await expect(note).to_have_text("on the node already")
        await page.select_option("[name=environment-image]", "root")
        await expect(note).to_have_text("to fetch: some minutes")
        await page.check(SLICE)
        await expect(note).to_have_text("")


async def test_a_link_to_a_choice_fills_in_the_form_of_somebody_else(tab: Tabs) -> None:
    async with tab("mrossi") as page:
        await page.check("#flavour-t4")
        await page.select_option("#field-cpu", "4")
        await page.check("#environment-registry")
        await page.fill("[name=environment-registry]", "ghcr.io/infn/mine:1 ")
        await page.click("#aiinfn-link button")
        link = await page.input_value("#aiinfn-link input")
    async with tab("both") as page:
        await page.goto(link)
        assert await page.is_checked("#flavour-t4")
        assert await page.input_value("#field-cpu") == "4"
        assert await page.input_value("[name=environment-registry]") == "ghcr.io/infn/mine:1"
        await expect(page.locator("#aiinfn-notice")).to_contain_text("Nothing is started before you press Start")


async def test_a_choice_that_the_next_accelerator_has_too_is_kept(tab: Tabs) -> None:
    async with tab("mrossi") as page:
        await page.select_option("#field-memory", "8Gi")
        await page.check(SLICE)
        assert await page.input_value("#field-memory") == "8Gi"


async def test_what_it_counts_is_said_beside_what_is_left(tab: Tabs) -> None:
    """A T4 counts 0.4, and 0.6 hours of a week are left; a slice counts a seventh of the activity's."""
    async with tab("mrossi") as page:
        cost = page.locator("#aiinfn-cost")
        await expect(cost).to_have_text("")
        await page.check("#flavour-t4")
        await page.select_option("#field-lifetime", "3600s")
        await expect(cost).to_have_text("1 h on it = 0.40 GPU-h of the 0.60 that are left: your GPU-hours of a week.")
        await page.select_option("#field-lifetime", "7200s")
        await expect(cost).to_contain_text("2 h on it = 0.80 GPU-h of the 0.60 that are left")
        await expect(cost).to_contain_text("That is enough for 90 min.")
        await page.check(SLICE)
        await page.select_option("#field-lifetime", "28800s")
        await expect(cost).to_have_text("8 h on it = 1.14 GPU-h of the 12.0 that are left: GPU-hours of LHCb.")


async def test_an_accelerator_of_another_activity_says_what_to_charge(tab: Tabs) -> None:
    async with tab("both") as page:
        await page.select_option("#field-activity", "fpga")
        await page.check("#flavour-u55c")
        await page.select_option("#field-activity", "lhcb")
        assert await page.is_disabled("#flavour-u55c")
        assert await page.text_content("#free-u55c") == "charge it to fpga"
        assert await page.is_checked("#flavour-cpu")
        await page.select_option("#field-activity", "fpga")
        assert await page.is_enabled("#flavour-u55c")


async def test_the_numbers_stay_fresh_and_a_change_of_ones_choice_is_announced(
    tab: Tabs, service: OfferService
) -> None:
    async with tab("mrossi") as page:
        await expect(page.locator("#aiinfn-age")).to_have_text("live")
        await page.check(SLICE)
        await expect(page.locator(FREE)).to_have_text("3 of 7 free")
        await asyncio.sleep(0.5)
        service.free = 0
        await expect(page.locator(FREE)).to_have_text("none free of 7: not enough data to say when")
        await expect(page.locator("#aiinfn-live")).to_contain_text("none free of 7")


async def test_when_there_will_be_some_is_said_in_the_zone_of_the_person(tab: Tabs, service: OfferService) -> None:
    """Times of another day have its name; the page and what comes after it say the same."""
    now = time.time()
    noon = now - now % 86400 + 3 * 86400 + 43200  # in three days, by UTC
    service.free, service.expected = 0, Expected(noon, noon + 1800, noon + 7200, 23)
    day = f"{datetime.fromtimestamp(noon, UTC):%a %-d %b}"
    text = f"none free of 7: about {day} 21:00 to {day} 21:30 (from 23 cases)"
    async with tab("mrossi", timezone_id="Asia/Tokyo", locale="en-GB") as page:
        await expect(page.locator(FREE)).to_have_text(text)
        await expect(page.locator("#aiinfn-age")).to_have_text("live")
        await expect(page.locator(FREE)).to_have_text(text)
        service.expected = Expected(limit=noon)
        await expect(page.locator(FREE)).to_have_text(f"none free of 7: by {day} 21:00 at the latest", timeout=15_000)


async def test_a_service_that_goes_away_leaves_no_number(tab: Tabs, service: OfferService) -> None:
    async with tab("mrossi") as page:
        await expect(page.locator("#aiinfn-age")).to_have_text("live")
        service.status = 503
        await expect(page.locator(FREE)).to_contain_text("unknown since")
        await expect(page.locator(FREE)).to_contain_text("the service answers 503")


async def test_numbers_older_than_half_a_minute_show_their_age(tab: Tabs, service: OfferService) -> None:
    async with tab("mrossi") as page:
        await expect(page.locator("#aiinfn-age")).to_have_text("live")
        service.status = 503
        await expect(page.locator(FREE)).to_contain_text("unknown")
        await page.evaluate("() => { const now = Date.now; Date.now = () => now() + 45000; }")
        await expect(page.locator("#aiinfn-age")).to_contain_text("s old", timeout=8000)


async def test_a_tab_that_nobody_sees_asks_nothing(tab: Tabs, service: OfferService) -> None:
    hide = """hidden => {
        Object.defineProperty(document, "hidden", {configurable: true, get: () => hidden});
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    async with tab("mrossi") as page:
        await expect(page.locator("#aiinfn-age")).to_have_text("live")
        await page.evaluate(hide, True)
        await asyncio.sleep(0.6)
        service.asked.clear()
        await asyncio.sleep(0.8)
        assert service.asked == []
        service.free = 1
        await page.evaluate(hide, False)
        await expect(page.locator(FREE)).to_have_text("1 of 7 free")


async def test_typing_a_reference_chooses_that_environment(tab: Tabs) -> None:
    async with tab("mrossi") as page:
        await page.fill("input[name=environment-registry]", "ghcr.io/infn/x:1")
        assert await page.is_checked("#environment-registry")


async def test_the_form_is_used_with_the_keyboard_alone(tab: Tabs) -> None:
    async with tab("mrossi") as page:
        await page.focus("#flavour-cpu")
        await page.keyboard.press("ArrowDown")
        assert await page.is_checked("#flavour-t4")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.id") == "field-cpu"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 2560])
async def test_the_form_fits_its_window(tab: Tabs, width: int, scheme: str) -> None:
    context = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    async with tab("mrossi", **context) as page:
        assert await page.evaluate("document.documentElement.scrollWidth") <= width


async def test_a_mistake_has_the_focus_when_the_page_comes_back(tab: Tabs) -> None:
    async with tab("mrossi", "/hub/spawn?opt-cpu=3") as page:
        assert await page.evaluate("document.activeElement.id") == "aiinfn-error"
        await page.click("#aiinfn-error a")
        assert page.url.endswith("#field-cpu")


async def test_without_the_script_the_form_can_be_used(tab: Tabs, site: Site) -> None:
    async with tab("mrossi", java_script_enabled=False) as page:
        await page.check(SLICE)
        await page.click("form#spawn_form button[type=submit]")
        await page.wait_for_url("**/spawn-pending/mrossi*")
    with site.hub.api as api:
        assert api.delete("/users/mrossi/server").status_code in (202, 204)


async def test_the_pending_page_follows_the_start_and_its_failure(tab: Tabs, site: Site) -> None:
    async with tab("both") as page, site.kubernetes() as client:
        await page.select_option("#field-activity", "cms")
        await page.check("#flavour-t4")
        await page.click("form#spawn_form button[type=submit]")
        await page.wait_for_url("**/spawn-pending/both*")
        await eventually(client, PODS, "jupyter-both", there=True)
        message = "0/4 nodes are available: 4 Insufficient nvidia.com/gpu."
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        await client.patch(
            PODS, "jupyter-both", {"status": {"conditions": [condition]}}, "aiinfn", subresource="status"
        )
        await expect(page.locator("#progress-message")).to_contain_text("Every GPU of this kind is in use")
        await expect(page.locator('#aiinfn-steps [aria-current="step"]')).to_have_text("Node")
        waiting = {"reason": "ErrImagePull", "message": "<b>x</b>: not found"}
        status = {"name": "notebook", "ready": False, "image": "x", "imageID": "", "restartCount": 0}
        statuses = {"containerStatuses": [{**status, "state": {"waiting": waiting}}]}
        await client.patch(PODS, "jupyter-both", {"status": statuses}, "aiinfn", subresource="status")
        await expect(page.locator("h1")).to_have_text("Your session did not start", timeout=10_000)
        await expect(page.locator("#progress-message")).to_have_text(
            "The registry has no such image. Check its name and tag."
        )
        await page.click("#aiinfn-again")
        await page.wait_for_url("**/hub/spawn/both*")
        assert await page.is_checked("#flavour-cpu"), "a choice that failed is not offered again"


async def test_a_wait_offers_what_is_free_instead(tab: Tabs, site: Site) -> None:
    async with tab("third") as page, site.kubernetes() as client:
        await page.check("#flavour-t4")
        await page.click("form#spawn_form button[type=submit]")
        await page.wait_for_url("**/spawn-pending/third*")
        await eventually(client, PODS, "jupyter-third", there=True)
        button = page.locator("#aiinfn-instead")
        await expect(button).to_have_text("Use NVIDIA A100 slice <1g> & 5 GB instead: 3 of 7 free")
        await button.click()
        await page.wait_for_url("**/hub/spawn/third?*")
        assert await page.is_checked(SLICE)
        await eventually(client, PODS, "jupyter-third", there=False)


async def test_cancelling_takes_one_back_home(tab: Tabs, site: Site) -> None:
    async with tab("third") as page:
        await page.click("form#spawn_form button[type=submit]")
        await page.wait_for_url("**/spawn-pending/third*")
        await page.click("#stop-server-btn")
        await page.wait_for_url("**/hub/home")
    async with site.kubernetes() as client:
        await eventually(client, PODS, "jupyter-third", there=False)
