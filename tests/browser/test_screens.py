"""The journey in a real browser, as the scientist walks it; each screen is looked at."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect
from support.demo import RunningDemo

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
WAIT = 60_000

PLOT = """\
%%offload fit --cpu 1 --mem 512Mi --time 5m --in x --out total --wait
import matplotlib.pyplot as plt
total = sum(x) * 7
print('the sum is', sum(x))
plt.plot(x, [v * v for v in x], 'o-')
plt.show()"""
CELLS = ("x = [1, 2, 3]", PLOT, "total")


async def login(page: Page, demo: RunningDemo, name: str, camera: Any = None) -> None:
    await page.goto(f"{demo.info['hub_url']}hub/oauth_login?next=/hub/spawn")
    if camera:
        await camera.shoot(page, "login")
    await page.fill("[name=username]", name)
    await page.fill("[name=password]", demo.account(name)["password"])
    await page.click("form button")
    await page.wait_for_url(re.compile(r"/hub/spawn|/user/"))


async def person(browser: Browser, **options: Any) -> Page:
    context = await browser.new_context(viewport={"width": 1280, "height": 900}, **options)
    page = await context.new_page()
    page.errors = []  # type: ignore[attr-defined]
    page.on("pageerror", lambda error: page.errors.append(str(error)))  # type: ignore[attr-defined]
    return page


@pytest.mark.asyncio
async def test_a_scientist_walks_from_the_login_to_a_plot_from_elsewhere(
    browser: Browser, demo: RunningDemo, camera: Any
) -> None:
    page = await person(browser)
    await login(page, demo, "scientist", camera)
    await expect(page.locator("[data-flavour='a100-40-1g.5gb'] .aiinfn-free")).to_have_text("7 of 7 free")
    await page.get_by_label("NVIDIA A100 slice 1g.5gb").check()
    await camera.shoot(page, "form", whole=True)
    await page.get_by_role("button", name="Start", exact=True).click()
    await page.wait_for_url(re.compile(r"/hub/spawn-pending|/user/"))
    await page.wait_for_url(re.compile(r"/user/scientist/"), timeout=WAIT)
    await page.goto(f"{demo.info['hub_url']}user/scientist/lab?reset")
    await page.get_by_text("Python 3 (ipykernel)").first.click(timeout=WAIT)
    await expect(page.locator(".jp-Notebook")).to_be_visible(timeout=WAIT)
    await expect(page.get_by_role("button", name="Python 3 (ipykernel) | Idle")).to_be_visible(timeout=WAIT)
    await page.get_by_role("button", name="No", exact=True).click(timeout=WAIT)  # JupyterLab's question about news
    for number, cell in enumerate(CELLS):
        editor = page.locator(".jp-Notebook .jp-Cell .cm-content").nth(number)
        await editor.click()
        await editor.fill(cell)
        await page.keyboard.press("Shift+Enter")
    await expect(page.get_by_text("the sum is 6")).to_be_visible(timeout=WAIT)
    await expect(page.locator(".jp-OutputArea-output").get_by_text("42", exact=True)).to_be_visible(timeout=WAIT)
    await expect(page.locator(".jp-OutputArea img")).to_be_visible(timeout=WAIT)
    await camera.shoot(page, "notebook")


@pytest.mark.asyncio
async def test_the_form_of_one_changes_when_another_takes_a_slice(browser: Browser, demo: RunningDemo) -> None:
    watcher = await person(browser)
    await login(watcher, demo, "pi")
    row = watcher.locator("[data-flavour='t4'] .aiinfn-free")
    await expect(row).to_have_text(re.compile("8 of 8 free"))
    taker = await person(browser)
    await login(taker, demo, "operator")
    await taker.locator("#flavour-t4").check()
    await taker.get_by_role("button", name="Start", exact=True).click()
    await expect(row).to_have_text(re.compile("7 of 8 free"), timeout=15_000)
    assert watcher.errors == []  # type: ignore[attr-defined]


@pytest.mark.asyncio
async def test_the_panel_shows_my_usage_and_the_operator_the_map(
    browser: Browser, demo: RunningDemo, camera: Any
) -> None:
    page = await person(browser)
    await login(page, demo, "operator")
    await page.goto(f"{demo.info['hub_url']}hub/home")
    await page.get_by_role("link", name="Usage").first.click()
    await expect(page.get_by_role("heading", name="My usage")).to_be_visible()
    await page.get_by_role("link", name="Operator").click()
    await expect(page.get_by_role("heading", name="Who holds what")).to_be_visible()
    await expect(page.locator(".device.free").first).to_be_visible()
    await camera.shoot(page, "panel", whole=True)
    await page.get_by_role("link", name="Audit").click()
    await expect(page.get_by_role("heading", name="Who did what")).to_be_visible()
    await page.get_by_label("Person").fill("operator")
    row = page.locator("tr", has_text="login").filter(has_text="The IAM says who it is.").first
    async with asyncio.timeout(60):  # the service fetches the hub's acts now and then
        while not await row.count():
            await page.get_by_role("button", name="Show").click()
            await asyncio.sleep(1)
    await row.get_by_text("more").click()
    await expect(row).to_contain_text("/aiinfn/admins")
    await camera.shoot(page, "audit", whole=True)
    assert page.errors == []  # type: ignore[attr-defined]


@pytest.mark.asyncio
async def test_a_pi_sees_who_used_what_of_the_activity_and_how_sure_that_is(
    browser: Browser, demo: RunningDemo, camera: Any
) -> None:
    page = await person(browser)
    await login(page, demo, "pi")
    await page.goto(demo.info["panel_url"])
    await page.get_by_role("link", name="lhcb-flashsim").click()
    await expect(page.get_by_role("heading", name="Who used what")).to_be_visible()
    await expect(page.get_by_text(re.compile(r"\d+\.\d % observed, \d+ min inferred"))).to_be_visible()
    await camera.shoot(page, "panel-activity", whole=True)


@pytest.mark.asyncio
async def test_somebody_who_is_no_operator_is_not_shown_the_map(browser: Browser, demo: RunningDemo) -> None:
    page = await person(browser)
    await login(page, demo, "scientist")
    answer = await page.goto(f"{demo.info['panel_url']}operator")
    assert answer is not None
    assert answer.status == 403
    await expect(page.get_by_role("alert")).to_contain_text("for operators")


@pytest.mark.asyncio
async def test_form_and_panel_work_on_a_phone_in_the_dark(browser: Browser, demo: RunningDemo) -> None:
    context = await browser.new_context(viewport={"width": 360, "height": 740}, color_scheme="dark")
    page = await context.new_page()
    await login(page, demo, "pi")
    width = await page.evaluate("document.documentElement.scrollWidth")
    assert width <= 360, "nothing sticks out"
    await page.goto(demo.info["panel_url"])
    assert await page.evaluate("document.documentElement.dataset.bsTheme") == "dark"
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.asyncio
async def test_an_outsider_reads_which_group_is_needed(browser: Browser, demo: RunningDemo, camera: Any) -> None:
    page = await person(browser)
    await page.goto(f"{demo.info['hub_url']}hub/oauth_login")
    await page.fill("[name=username]", "outsider")
    await page.fill("[name=password]", demo.account("outsider")["password"])
    await page.click("form button")
    await expect(page.get_by_text("/aiinfn").first).to_be_visible()
    await camera.shoot(page, "refused")
