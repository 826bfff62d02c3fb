"""The jobs in JupyterLab, in a real browser: what they do, in two tabs, after a reload and without any kernel."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, Locator, Page, expect
from support.browsing import login, needs_jupyterlab_side
from support.demo import RunningDemo, Visitor
from support.people_at_work import job, session, stop

pytestmark = [pytest.mark.browser, pytest.mark.asyncio, pytest.mark.timeout(400)]
WAIT = 60_000

WORK = """%%offload fit --cpu 1 --mem 1Gi --time 10m --out loss
import time
from IPython.display import HTML, display
print("first words")
display(HTML("<table><tr><td>a cell of a table</td></tr></table><script>window.hacked = 1</script>"))
bar = display("0 of 3", display_id=True)
for step in range(3):
    bar.update(f"{step + 1} of 3")
    print(f"\\rstep {step}", end="")
    time.sleep(0.2)
while not __import__("os").path.exists("go"):
    time.sleep(0.1)
    if time.monotonic() > started + 25:
        break
loss = [3, 2, 1]
"""
LONG = "%%offload long --cpu 1 --mem 1Gi --time 10m\nimport time\nprint('on it', flush=True)\ntime.sleep(300)\n"
#: How many kernels are left, once all were ended.
NO_KERNELS = """async () => {
  const kernels = '/user/scientist/api/kernels';
  const headers = { 'X-XSRFToken': document.cookie.match(/_xsrf=([^;]+)/)[1] };
  for (const kernel of await (await fetch(kernels, { headers })).json()) {
    await fetch(`${kernels}/${kernel.id}`, { method: 'DELETE', headers });
  }
  return (await (await fetch(kernels, { headers })).json()).length;
}"""


@pytest.fixture(autouse=True)
def built() -> None:
    needs_jupyterlab_side()


async def lab(context: BrowserContext, demo: RunningDemo, name: str = "scientist") -> Page:
    page = await context.new_page()
    page.mistakes = []  # type: ignore[attr-defined]
    page.on("pageerror", lambda error: page.mistakes.append(str(error)))  # type: ignore[attr-defined]
    await page.goto(f"{demo.info['hub_url']}user/{name}/lab")
    await expect(page.locator("#jp-main-dock-panel")).to_be_visible(timeout=WAIT)
    return page


async def show(page: Page) -> Locator:
    """Open the list; its node."""
    await page.locator(".lm-TabBar-tab[data-id='aiinfn-jobs']").click(timeout=WAIT)
    panel = page.locator("#aiinfn-jobs")
    await expect(panel).to_be_visible()
    return panel


async def test_jobs_are_looked_after_without_a_kernel(browser: Browser, demo: RunningDemo, camera: Any) -> None:
    visitor, kernel = await session(demo, "scientist")
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    page = await context.new_page()
    await login(page, demo, "scientist", "/hub/home")
    await page.wait_for_url("**/hub/home")
    page = await lab(context, demo)
    await page.get_by_role("button", name="No", exact=True).click(timeout=WAIT)  # to JupyterLab's own news
    panel = await show(page)
    await expect(panel).to_contain_text("You have no jobs.", timeout=WAIT)
    await expect(panel).to_contain_text("%%offload fit --gpu t4")
    await camera.shoot(page, "joblist-empty")

    for cell in ("import time\nstarted = time.monotonic()", WORK, LONG):
        await kernel.run(cell)
    await _reads(page, row(panel, "fit"))
    await camera.shoot(page, "joblist-light")
    other = await lab(context, demo)  # a second tab
    there = await show(other)
    await expect(there.locator(".aiinfn-Job")).to_have_count(2, timeout=WAIT)
    await _acts(page, row(panel, "long"), visitor)
    await expect(row(there, "long")).to_contain_text("cancelled", timeout=WAIT)
    await _goes_away(page, demo, panel)
    await _reloads(page, visitor)

    findings = await _grave(page)
    await page.locator(".lm-MenuBar-itemLabel", has_text="Settings").click()
    await page.locator(".lm-Menu-itemLabel", has_text="Theme").first.hover()
    await page.locator(".lm-Menu-itemLabel", has_text="JupyterLab Dark").first.click()
    await page.wait_for_timeout(1000)  # until the colours have changed
    await camera.shoot(page, "joblist-dark")
    findings += await _grave(page)
    assert findings == []
    await stop(visitor)
    await _without_a_session(context, demo, camera)
    assert (page.mistakes, other.mistakes) == ([], [])  # type: ignore[attr-defined]


def row(panel: Locator, name: str) -> Locator:
    """The latest job of that name in the list."""
    named = panel.page.get_by_role("button", name=name, exact=True)
    return panel.locator(".aiinfn-Job", has=named).first


async def _reads(page: Page, fit: Locator) -> None:
    """Its outputs as they come, harmless, and its value as a file."""
    await expect(fit).to_contain_text("running on", timeout=WAIT)
    await fit.get_by_role("button", name="fit", exact=True).click()
    view = page.locator(".aiinfn-JobView")
    await expect(view).to_contain_text("first words", timeout=WAIT)
    await expect(view.locator("td")).to_have_text("a cell of a table")
    await expect(view).to_contain_text("3 of 3")
    await expect(view).not_to_contain_text("0 of 3")
    await expect(view).to_contain_text("step 2")
    assert await page.evaluate("window.hacked") is None
    await expect(view).to_contain_text("loss: list of 3", timeout=WAIT)
    async with page.expect_download() as saved:
        await view.get_by_role("button", name="Download loss").click()
    assert (await saved.value).suggested_filename == "fit.loss"
    assert (await (await saved.value).path()).read_bytes() == b"[3,2,1]"


async def _acts(page: Page, long: Locator, visitor: Visitor) -> None:
    """Why it runs, more time for it, and its end, which is asked about."""
    await expect(long).to_contain_text("of 10 min", timeout=WAIT)
    await long.get_by_role("button", name="Why long").click()
    await expect(page.locator(".jp-Dialog")).to_contain_text("long: running")
    await page.get_by_role("button", name="Close").click()
    await long.get_by_role("button", name="More time long").click()
    await page.locator(".jp-Dialog input").fill("20m")
    await page.get_by_role("button", name="Give it").click()
    await expect(long).to_contain_text("of 30 min")
    await long.get_by_role("button", name="Cancel long").click()
    await page.get_by_role("button", name="Let it go on").click()
    assert (await job(visitor, "long", "running"))["state"] == "running"
    await long.get_by_role("button", name="Cancel long").click()
    await page.get_by_role("button", name="Cancel the job").click()
    await expect(long).to_contain_text("cancelled", timeout=WAIT)
    await expect(long.get_by_role("button", name="Cancel long")).to_be_hidden()


async def _without_a_session(context: BrowserContext, demo: RunningDemo, camera: Any) -> None:
    """In the hub's panel, with nothing of the session left: output, table, value."""
    page = await context.new_page()
    await page.goto(f"{demo.info['panel_url'].rstrip('/')}/jobs")
    rows = page.locator("tbody tr")
    await expect(rows).to_have_count(3)
    await camera.shoot(page, "panel-jobs")
    await rows.get_by_role("link", name="fit").last.click()
    await expect(page.locator(".output")).to_contain_text("first words")
    await expect(page.locator(".output td")).to_have_text("a cell of a table")
    await expect(page.locator(".output")).to_contain_text("3 of 3")
    assert await page.evaluate("window.hacked") is None
    async with page.expect_download() as saved:
        await page.get_by_role("link", name="loss").click()
    assert (await (await saved.value).path()).read_bytes() == b"[3,2,1]"
    await camera.shoot(page, "panel-job")
    found: dict[str, Any] = (await Axe().run(page)).response
    assert [rule["id"] for rule in found["violations"] if rule["impact"] in {"serious", "critical"}] == []
    await page.set_viewport_size({"width": 360, "height": 740})
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360


SWEEP = """%%offload scan --sweep lr=0.5,0.25,0.125 deep=True,False --at-once 3 --cpu 1 --mem 1Gi --time 10m --out total
import time
from aiinfn_labext import offload
offload.metric(loss=lr * 3 + deep, gain=-lr)
if lr == 0.25:
    raise ValueError("it does not converge")
time.sleep(0 if deep else 60)
total = lr
"""


async def test_a_sweep_is_one_line_and_one_table(browser: Browser, demo: RunningDemo, camera: Any) -> None:
    visitor, kernel = await session(demo, "pi")
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    page = await context.new_page()
    await login(page, demo, "pi", "/hub/home")
    await page.wait_for_url("**/hub/home")
    page = await lab(context, demo, "pi")
    await page.get_by_role("button", name="No", exact=True).click(timeout=WAIT)
    panel = await show(page)
    await kernel.run(SWEEP)
    line = row(panel, "scan")
    await expect(line).to_contain_text("sweep ·", timeout=WAIT)
    await expect(panel.locator(".aiinfn-Job")).to_have_count(1)
    await line.get_by_role("button", name="scan", exact=True).click()
    table = page.locator(".aiinfn-Sweep")
    await expect(table.locator("tbody tr")).to_have_count(6, timeout=WAIT)
    await expect(table).to_contain_text("it does not converge", timeout=WAIT)
    await expect(page.locator(".aiinfn-SweepView")).to_contain_text("2 running, 2 succeeded, 2 failed", timeout=WAIT)
    first = table.locator("tbody tr").first
    await table.get_by_role("button", name="loss").click()
    await expect(first).to_contain_text("scan-5", timeout=WAIT)  # until all six have said theirs
    await table.get_by_role("button", name="loss").click()
    await expect(first).to_contain_text("scan-0")
    await expect(table.locator("th[aria-sort=descending]")).to_have_text("loss")
    await camera.shoot(page, "sweep-light")
    assert await _grave(page) == []
    await page.set_viewport_size({"width": 360, "height": 740})
    assert await table.evaluate("node => node.parentElement.scrollWidth >= node.parentElement.clientWidth")
    await page.set_viewport_size({"width": 1280, "height": 800})

    await table.get_by_role("button", name="scan-2").click()
    view = page.locator(".aiinfn-JobView").last
    await expect(view).to_contain_text("it does not converge", timeout=WAIT)
    await page.locator(".lm-TabBar-tab", has_text="scan").first.click()
    await page.get_by_role("button", name="Cancel all of scan").click()
    await page.get_by_role("button", name="Cancel all of it").click()
    head = page.locator(".aiinfn-SweepView .aiinfn-JobView-head")
    await expect(head).to_contain_text("2 succeeded, 2 failed, 2 cancelled", timeout=WAIT)
    await expect(line).to_contain_text("over", timeout=WAIT)
    await page.reload()
    await expect(page.locator(".aiinfn-Sweep tbody tr")).to_have_count(6, timeout=WAIT)  # it was open
    await page.locator(".lm-TabBar-tab", has_text="scan").first.click()
    await page.get_by_role("button", name="Run again what failed of scan").click()
    await expect(head).to_contain_text("running", timeout=WAIT)
    assert page.mistakes == []  # type: ignore[attr-defined]
    await stop(visitor)


async def _goes_away(page: Page, demo: RunningDemo, panel: Locator) -> None:
    """A service that does not answer is said, also after a job was opened, until it does; no state is made up."""
    (service,) = demo.children("aiinfn service")
    os.kill(service, signal.SIGSTOP)
    try:
        warning = panel.locator(".aiinfn-Jobs-warning")
        await expect(warning).to_contain_text("not answer", timeout=WAIT)
        await page.locator(".lm-TabBar-tab", has_text="fit").locator(".lm-TabBar-tabCloseIcon").click()
        await row(panel, "fit").get_by_role("button", name="fit", exact=True).click()
        await expect(page.locator(".aiinfn-JobView")).to_contain_text("succeeded")
        await page.wait_for_timeout(1500)  # the times of the list were counted anew
        await expect(warning).to_be_visible()
    finally:
        os.kill(service, signal.SIGCONT)
    await expect(warning).to_have_count(0, timeout=WAIT)


async def _reloads(page: Page, visitor: Visitor) -> None:
    """No kernel is left, the page is new, and all is there: the log, another try, the filter."""
    assert await page.evaluate(NO_KERNELS) == 0
    await page.reload()
    panel, view = page.locator("#aiinfn-jobs"), page.locator(".aiinfn-JobView")
    await expect(panel).to_be_visible(timeout=WAIT)
    await expect(view).to_contain_text("first words", timeout=WAIT)  # what was open is open again
    await row(panel, "fit").get_by_role("button", name="Retry fit").click()
    await page.get_by_label("Memory").fill("2Gi")
    await page.get_by_role("button", name="Run it again").click()
    await expect(panel.locator(".aiinfn-Job")).to_have_count(3, timeout=WAIT)
    assert (await job(visitor, "fit", "running", "failed"))["resources"]["memory_bytes"] == 2**31
    words = panel.get_by_label("Filter by name or state")
    await words.fill("long canc")
    await expect(panel.locator(".aiinfn-Job")).to_have_count(1)
    await words.fill("nothing like it")
    await expect(panel).to_contain_text("None of your 3 jobs is like that.")
    await words.fill("")


async def _grave(page: Page) -> list[str]:
    """What axe-core finds in the parts of the page that are ours, and keeps somebody out."""
    options: dict[str, Any] = {"include": [["#aiinfn-jobs"], [".aiinfn-JobView"]]}
    found: dict[str, Any] = (await Axe().run(page, context=options)).response
    return [
        f"{rule['id']} at {node['html'][:160]}: {node.get('failureSummary', '')[:300]}"
        for rule in found["violations"]
        if rule["impact"] in {"serious", "critical"}
        for node in rule["nodes"]
    ]
