"""How long a session goes on, in JupyterLab in a real browser: a countdown, what is saved, more time, who is here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from playwright.async_api import Browser, Page, expect
from support.browsing import login, needs_jupyterlab_side
from support.demo import RunningDemo, Visitor, running_demo
from support.people_at_work import SESSION, session, stop

from aiinfn_hub.catalogue import example_path

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
WAIT = 90_000


@pytest.fixture(scope="module")
def brief(tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Iterator[RunningDemo]:
    """The example, where CPU sessions last two minutes and a T4 that does nothing for 45 s is taken back."""
    assert chromium
    needs_jupyterlab_side()
    folder = tmp_path_factory.mktemp("life")
    platform = yaml.safe_load(example_path().read_text())
    platform["access"]["notice"] = "90s"
    flavours = {flavour["name"]: flavour for flavour in platform["flavours"]}
    flavours["cpu"]["max_lifetime"] = "2m"
    flavours["t4"]["idle"] = {"after": "45s", "cpu_below": 8}
    (folder / "platform.yaml").write_text(yaml.safe_dump(platform))
    with running_demo(folder / "home", "--platform", str(folder / "platform.yaml")) as running:
        yield running


async def entered(browser: Browser, demo: RunningDemo, name: str, path: str) -> Page:
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    page = await context.new_page()
    await login(page, demo, name, f"/hub/{path}")
    await page.wait_for_url(f"**/hub/{path}")
    return page


async def lab(browser: Browser, demo: RunningDemo, name: str) -> Page:
    page = await entered(browser, demo, name, "home")
    await page.goto(f"{demo.info['hub_url']}user/{name}/lab")
    await expect(page.locator("#jp-main-dock-panel")).to_be_visible(timeout=WAIT)
    await page.get_by_role("button", name="No", exact=True).click()  # to JupyterLab's own news
    return page


@pytest.mark.asyncio
async def test_it_ends_with_notice_is_saved_and_extended(browser: Browser, brief: RunningDemo, camera: Any) -> None:
    visitor, _ = await session(brief, "scientist", lifetime="2m")
    page = await lab(browser, brief, "scientist")
    countdown = page.locator(".aiinfn-Life")
    await expect(countdown).to_contain_text("in ", timeout=WAIT)
    await page.locator(".jp-LauncherCard", has_text="Python 3").first.click()
    cell = page.locator(".jp-Notebook .cm-content").first
    await cell.click()
    await page.keyboard.type("precious = 42")
    path = "user/scientist/api/contents/Untitled.ipynb"
    toast = page.locator(".Toastify__toast", has_text="This session ends at")
    await expect(toast).to_be_visible(timeout=WAIT)
    await expect(toast).to_contain_text("(in less than a minute)", timeout=WAIT)
    await camera.shoot(page, "life-notice")
    for _ in range(60):
        if "precious" in (await visitor.http.get(f"{visitor.hub}/{path}")).text:
            break
        await page.wait_for_timeout(500)
    assert "precious" in (await visitor.http.get(f"{visitor.hub}/{path}")).text, "saved before the end, without a click"

    await toast.get_by_role("button", name="Extend").click()
    await expect(toast).to_have_count(0, timeout=WAIT)
    await expect(countdown).to_contain_text("(in 4 h)", timeout=WAIT)
    await countdown.click()
    dialog = page.locator(".jp-Dialog")
    await expect(dialog).to_contain_text("It can be extended by 4 h now")
    await camera.shoot(page, "life")
    await dialog.get_by_role("button", name="Extend by 4 h").click()
    await expect(countdown).to_contain_text("(in 8 h)", timeout=WAIT)


@pytest.mark.asyncio
async def test_who_does_nothing_is_asked_and_says_to_be_here(browser: Browser, brief: RunningDemo, camera: Any) -> None:
    await session(brief, "pi", **SESSION | {"flavour": "t4", "lifetime": "8h"})
    page = await lab(browser, brief, "pi")
    toast = page.locator(".Toastify__toast", has_text="This session ends at")
    await expect(toast).to_be_visible(timeout=150_000)
    await toast.get_by_role("button", name="Details").click()
    dialog = page.locator(".jp-Dialog")
    await expect(dialog).to_contain_text("no kernel and no terminal did anything")
    await camera.shoot(page, "life-idle")
    await dialog.get_by_role("button", name="Close").click()
    await toast.get_by_role("button", name="I am still here").click()
    await expect(toast).to_have_count(0, timeout=WAIT)
    await page.wait_for_timeout(15_000)
    await expect(toast).to_have_count(0)


@pytest.mark.asyncio
async def test_one_click_starts_what_worked_last(browser: Browser, brief: RunningDemo, camera: Any) -> None:
    """At first there is only the way without an accelerator; what failed does not come back."""
    page = await entered(browser, brief, "operator", "spawn")
    buttons = page.locator("[data-quick]")
    await expect(buttons).to_have_count(1)
    await page.get_by_role("button", name="Start without accelerator").click()
    await page.wait_for_url("**/lab*", timeout=WAIT)
    visitor = Visitor(brief, "operator")
    await visitor.login()
    await stop(visitor)
    failed = await visitor.spawn(SESSION | {"flavour": "a30", "lifetime": "1s"})
    assert "too short" in failed.text

    await page.goto(f"{brief.info['hub_url']}hub/spawn")
    again = page.locator("#quick-again")
    await expect(again).to_contain_text(
        "CPU only, 2 cores, 4 GB, 2 min, pytorch-notebook:cuda12-python-3.12", timeout=WAIT
    )
    await expect(buttons).to_have_count(1)  # the last one had no accelerator
    await camera.shoot(page, "quick", whole=True)
    await page.get_by_role("button", name="Start the last one again").click()
    await page.wait_for_url("**/lab*", timeout=WAIT)
