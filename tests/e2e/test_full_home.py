"""A home that is full, for real: a small file system in its place, a session that cannot start, and one that can."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from bs4 import BeautifulSoup
from support.demo import RunningDemo, Visitor
from support.people_at_work import SESSION, said, session, stop

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
WHERE = """
import os
print(os.path.realpath(os.environ["HOME"]), os.path.realpath("."), os.path.realpath(os.environ["AIINFN_FULL_HOME"]))
"""


@pytest.fixture
def full(demo: RunningDemo) -> Iterator[Path]:
    """The home of the pi, with a big file of hers that fills it."""
    home = demo.home / "nodes" / "volumes" / "aiinfn" / "homes" / "user-pi"
    home.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(home)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:  # that takes a right which not every machine of CI has
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        (home / "data").mkdir()
        with (home / "data" / "events.root").open("wb", 0) as file, suppress(OSError):
            while True:
                file.write(b"x" * 4096)
        yield home
    finally:
        subprocess.run(["umount", "-l", str(home)], check=True)


@pytest.mark.asyncio
async def test_a_session_that_cannot_write_says_so_and_lets_itself_be_rescued(demo: RunningDemo, full: Path) -> None:
    visitor = Visitor(demo, "pi")
    await visitor.login()
    await visitor.spawn(SESSION)
    async with asyncio.timeout(90):
        while "Your home is full, so that JupyterLab cannot start." not in said(await pending(visitor)):
            await asyncio.sleep(0.3)
    form = await visitor.http.get(f"{visitor.hub}/hub/spawn")
    soup = BeautifulSoup(form.text, "html.parser")
    assert "Your home is full. A rescue start is chosen below" in soup.get_text()
    assert soup.select_one("#rescue[checked]") is not None

    visitor, kernel = await session(demo, "pi", rescue="1")
    reply = await kernel.run(WHERE)
    home, here, known = reply.text.split()
    assert home != here, "what Jupyter writes for itself is elsewhere"
    assert here == known, "and the person is at home"
    notices = await visitor.http.get(f"{visitor.hub}/user/pi/aiinfn/api/notices")
    [notice] = [one for one in notices.json()["notices"] if one["id"].startswith("space")]
    assert notice["title"].startswith("Your home is full: 0 bytes are free")
    assert "It has data/events.root (" in notice["text"]

    headers = {"X-XSRFToken": visitor.xsrf("/user/pi/")}
    gone = await visitor.http.delete(f"{visitor.hub}/user/pi/api/contents/data/events.root", headers=headers)
    assert gone.status_code == 204, gone.text
    assert shutil.disk_usage(full).free > 200_000, "nothing went to a trash"
    await stop(visitor)
    form = await visitor.http.get(f"{visitor.hub}/hub/spawn")
    assert BeautifulSoup(form.text, "html.parser").select_one("#rescue[checked]") is None, "the next one is as ever"


async def pending(visitor: Visitor) -> httpx.Response:
    return await visitor.http.get(f"{visitor.hub}/hub/spawn-pending/pi")
