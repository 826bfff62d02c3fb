"""A session in an image that lies unpacked on CVMFS, for real: JupyterLab under proot, in a directory."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from support.demo import RunningDemo, Visitor
from support.people_at_work import SESSION, said, session, stop
from support.unpacked import lab_image, needs_proot

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
WHERE = """
import os, pathlib
print(pathlib.Path("/etc/os-release").read_text().strip(), os.path.exists("/var"), os.getcwd() == os.environ["HOME"])
pathlib.Path("written").write_text("kept")
"""


def claims(demo: RunningDemo) -> Path:
    return demo.home / "nodes" / "volumes" / "aiinfn"


def unpacked(name: str) -> dict[str, str]:
    return {"environment": "apptainer", "environment-apptainer": f"/cvmfs/unpacked.infn.it/{name}"}


@pytest.mark.asyncio
async def test_it_is_the_same_session(demo: RunningDemo) -> None:
    needs_proot()
    lab_image(claims(demo) / "cvmfs" / "unpacked.infn.it" / "lab:1")
    visitor, kernel = await session(demo, "pi", **unpacked("lab:1"))
    reply = await kernel.run(WHERE)
    assert reply.text.strip() == "NAME=unpacked False True", reply
    assert (claims(demo) / "homes" / "user-pi" / "written").read_text() == "kept"
    notices = await visitor.http.get(f"{visitor.hub}/user/pi/aiinfn/api/notices")
    assert notices.status_code == 200, "its side of JupyterLab is there"
    await stop(visitor)


@pytest.mark.asyncio
async def test_one_that_is_not_there_is_named(demo: RunningDemo) -> None:
    needs_proot()
    visitor = Visitor(demo, "pi")
    await visitor.login()
    await visitor.spawn(SESSION | unpacked("nothing"))
    async with asyncio.timeout(90):
        while "There is no unpacked image at" not in said(page := await pending(visitor)):
            await asyncio.sleep(0.3)
    assert "unpacked.infn.it/nothing" in said(page)


async def pending(visitor: Visitor) -> httpx.Response:
    return await visitor.http.get(f"{visitor.hub}/hub/spawn-pending/pi")
