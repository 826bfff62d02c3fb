"""What the browser tests of a demo begin with."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from playwright.async_api import Page
from support.demo import RunningDemo

_BUILT = Path(sys.prefix) / "share" / "jupyter" / "labextensions" / "aiinfn-labext" / "package.json"


def needs_jupyterlab_side() -> None:
    """Without it a failure in CI, elsewhere a skip that says why."""
    if not _BUILT.exists():
        message = "JupyterLab's side is not built: make frontend, which needs npm"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)


async def login(page: Page, demo: RunningDemo, name: str, path: str) -> None:
    """Log in at the IAM of the demo, on the way to a page of the hub or the panel."""
    await page.goto(f"{demo.info['hub_url']}hub/oauth_login?next={path}")
    await page.fill("[name=username]", name)
    await page.fill("[name=password]", demo.account(name)["password"])
    await page.click("form button")
