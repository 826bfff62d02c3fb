"""The hub's pages when the login provider is silent, or says no; with a hub and an IAM of their own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect
from support.hub import running_hub
from support.iam import Answer, BreakableIam, running_iam
from support.iamusers import settings_of

from aiinfn_hub.local.home import free_ports

pytestmark = [pytest.mark.browser, pytest.mark.asyncio, pytest.mark.timeout(120)]


async def arrive(page: Page, hub: str, iam: BreakableIam) -> None:
    await page.goto(f"{hub}/oauth_login?next=/hub/token")
    await page.fill("[name=username]", "scientist")
    await page.fill("[name=password]", "scientist")
    await page.click("form button")
    await page.wait_for_url("**/hub/token")
    assert iam.seen["/userinfo"]


async def test_a_banner_while_it_is_silent_and_the_reason_when_it_refuses(
    browser: Browser, camera: Any, tmp_path: Path
) -> None:
    port, iam_port = free_ports(2)
    callback = f"http://127.0.0.1:{port}/hub/oauth_callback"
    settings = settings_of(f"http://127.0.0.1:{iam_port}/", callback) | {"auth_refresh_age": 1}
    with running_hub(tmp_path / "hub", port, ["list:users"], **settings) as hub:
        async with running_iam(tmp_path / "iam", port=iam_port, redirect_uris=[callback]) as iam:
            page = await (await browser.new_context(viewport={"width": 1280, "height": 500})).new_page()
            await page.goto(f"{hub.url}/login")
            await expect(page.get_by_role("status")).to_have_count(0)
            await arrive(page, hub.url, iam)
            await expect(page.locator("#aiinfn-standing")).to_have_count(0)

            iam.broken.update({"/userinfo": Answer(503), "/token": Answer(503)})
            await asyncio.sleep(1.1)  # auth_refresh_age
            await page.reload()
            await expect(page.locator("#aiinfn-standing")).to_contain_text("You keep your rights until")
            await camera.shoot(page, "outage")

            said = {"error": "invalid_grant", "error_description": "User account is not active."}
            iam.broken.update({"/userinfo": Answer(401), "/token": Answer(400, said)})
            for _ in range(2):  # the rights go first
                await asyncio.sleep(1.1)
                await page.reload()
            await page.wait_for_url("**/hub/login*")
            await expect(page.get_by_role("status")).to_have_count(1)
            await expect(page.get_by_role("status")).to_contain_text("this account is not active")
            await camera.shoot(page, "logged-out")
