"""A demo, and the machine's own Chromium. In CI a missing browser is a failure, elsewhere a skip that says why."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright
from support.demo import RunningDemo, running_demo

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    message = "no Chromium on this machine; install the package chromium"
    return pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Iterator[RunningDemo]:
    with running_demo(tmp_path_factory.mktemp("browser") / "home") as running:
        yield running


@pytest_asyncio.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        await browser.close()


class Camera:
    """Keeps screenshots where AIINFN_SCREENSHOTS says, else in the test's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(os.environ.get("AIINFN_SCREENSHOTS") or folder).absolute()

    async def shoot(self, page: Page, name: str, *, whole: bool = False) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        await page.screenshot(path=self.folder / f"{name}.png", full_page=whole)


@pytest.fixture
def camera(tmp_path: Path) -> Camera:
    return Camera(tmp_path)
