"""A budget that is nearly used up, in a real browser: what the form says, what is granted, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from playwright.async_api import Browser, Page, expect
from support.browsing import login
from support.demo import RunningDemo, running_demo

from aiinfn_hub.catalogue import example_path

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
WAIT = 90_000
#: Half an hour of a T4.
WEEK = {"name": "week", "title": "GPU-hours of your week", "gpu_hours": 0.2, "window_days": 7}
NOW = datetime.now(UTC)
#: The only A30, for a school that has begun.
SCHOOL = {
    "name": "school",
    "title": "School of machine learning",
    "activity": "teaching",
    "flavour": "a30",
    "units": 1,
    "begin": (NOW - timedelta(hours=1)).isoformat(),
    "end": (NOW + timedelta(days=2)).isoformat(),
}


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Iterator[RunningDemo]:
    """The example, where a person has little."""
    assert chromium
    folder = tmp_path_factory.mktemp("quota")
    platform = yaml.safe_load(example_path().read_text())
    platform["quotas"]["rules"] = [WEEK]
    platform["reservations"] = [SCHOOL]
    (folder / "platform.yaml").write_text(yaml.safe_dump(platform))
    with running_demo(folder / "home", "--platform", str(folder / "platform.yaml")) as running:
        yield running


async def choose(page: Page) -> None:
    """A T4 for two hours."""
    await page.get_by_label("NVIDIA T4").check()
    await page.locator("#field-lifetime").select_option("7200s")


@pytest.mark.asyncio
async def test_what_is_left_is_said_granted_and_then_refused(browser: Browser, tight: RunningDemo, camera: Any) -> None:
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    page = await context.new_page()
    await login(page, tight, "scientist", "/hub/spawn")
    await choose(page)
    cost = page.locator("#aiinfn-cost")
    await expect(cost).to_contain_text("2 h on it = 0.80 GPU-h of the 0.20 that are left: GPU-hours of your week.")
    await expect(cost).to_contain_text("That is enough for 30 min.")
    await camera.shoot(page, "quota-form", whole=True)
    await page.get_by_role("button", name="Start", exact=True).click()
    await page.wait_for_url(re.compile(r"/hub/spawn-pending|/user/"))

    # Another tab, while the first one is about to start.
    await page.goto(f"{tight.info['hub_url']}hub/spawn/scientist/two")
    await choose(page)
    await expect(cost).to_contain_text("Nothing is left for it.", timeout=15_000)
    await page.get_by_role("button", name="Start", exact=True).click()
    refusal = page.get_by_text(re.compile(r"0\.0 of 0\.2 GPU-hours of your week are left; it asks for 0\.8"))
    await expect(refusal).to_be_visible(timeout=WAIT)
    await expect(page.get_by_text(re.compile(r"You may start again on \w+ \d+ \w+ at \d\d:\d\d UTC"))).to_be_visible()
    await camera.shoot(page, "quota-refused", whole=True)

    await page.goto(tight.info["panel_url"])
    await expect(page.get_by_text("0.0 of 0.2 GPU-h in 7 days, 0.2 more for what runs and waits")).to_be_visible()
    await camera.shoot(page, "quota-panel", whole=True)

    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    page = await context.new_page()
    await login(page, tight, "operator", f"{tight.info['panel_url']}ledger")
    row = page.get_by_role("row", name="NVIDIA T4")
    await expect(row).to_contain_text("0.8", timeout=WAIT)
    await expect(page.get_by_text("Nothing: pods, hub, queue, runners and Prometheus say the same.")).to_be_visible()
    await camera.shoot(page, "ledger", whole=True)


@pytest.mark.asyncio
async def test_what_a_school_has_reserved_is_not_for_others(browser: Browser, tight: RunningDemo, camera: Any) -> None:
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    page = await context.new_page()
    await login(page, tight, "pi", "/hub/spawn")
    cell = page.locator("#free-a30")
    await expect(cell).to_contain_text("none free of 1; 1 reserved for School of machine learning from ", timeout=WAIT)
    await camera.shoot(page, "reserved", whole=True)
    await page.get_by_label("NVIDIA A30").check()
    await page.get_by_role("button", name="Start", exact=True).click()
    said = "1 unit of NVIDIA A30 is reserved for School of machine learning now, and the others are in use."
    await expect(page.get_by_text(said)).to_be_visible(timeout=WAIT)
