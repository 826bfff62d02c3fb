"""A notice in JupyterLab, in a real browser: it comes while somebody works, says when, and goes when it is over."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Browser, expect
from support.browsing import login, needs_jupyterlab_side
from support.demo import RunningDemo, Visitor
from support.people_at_work import SESSION, session, switch

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
WAIT = 60_000
GROUPS = ["/aiinfn", "/aiinfn/lhcb-flashsim"]


@pytest.fixture(autouse=True)
def built() -> None:
    needs_jupyterlab_side()


@pytest.mark.asyncio
async def test_who_loses_a_group_reads_it_in_jupyterlab_and_when_it_is_over(
    browser: Browser, demo: RunningDemo, camera: Any
) -> None:
    visitor, _ = await session(demo, "scientist")
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    page = await context.new_page()
    mistakes: list[str] = []
    page.on("pageerror", lambda error: mistakes.append(str(error)))
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    await login(page, demo, "scientist", "/hub/home")
    await page.wait_for_url("**/hub/home")
    await page.goto(f"{demo.info['hub_url']}user/scientist/lab")
    await expect(page.locator("#jp-main-dock-panel")).to_be_visible(timeout=WAIT)
    toast = page.locator(".Toastify__toast", has_text="This session ends at")
    await expect(toast).to_have_count(0)

    await switch(demo, account="scientist", groups=["/aiinfn"])
    await ask_the_iam(visitor)
    await expect(toast).to_be_visible(timeout=WAIT)
    await expect(toast).to_contain_text("(in 1")  # 15 min, or 14
    await page.get_by_role("button", name="No", exact=True).click()  # to JupyterLab's own news
    await page.wait_for_timeout(1000)  # until it has slid in
    await camera.shoot(page, "notice")
    await toast.get_by_role("button", name="Details").click()
    dialog = page.locator(".jp-Dialog")
    await expect(dialog).to_contain_text("You are no longer in /aiinfn/lhcb-flashsim")
    await camera.shoot(page, "notice-details")
    await dialog.get_by_role("button", name="Close").click()
    await expect(toast).to_be_visible()

    await switch(demo, account="scientist", groups=GROUPS)
    await ask_the_iam(visitor)
    await expect(toast).to_have_count(0, timeout=WAIT)
    assert mistakes == []
    ours = [url for url in sockets if "/aiinfn/" in url]
    assert len(ours) == 1, "one websocket for a page"
    assert "token" not in ours[0]


async def ask_the_iam(visitor: Visitor) -> None:
    """JupyterHub asks it by itself every five minutes; and whenever somebody starts a session."""
    await visitor.spawn(SESSION, "second")
