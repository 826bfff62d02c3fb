"""What people do on a running demo, for tests that care about what becomes of it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
from bs4 import BeautifulSoup
from support.demo import Kernel, RunningDemo, Visitor

SESSION = {
    "flavour": "cpu",
    "cpu": "1",
    "memory": "4Gi",
    "activity": "lhcb-flashsim",
    "environment": "image",
    "environment-image": "pytorch",
    "lifetime": "4h",
}
#: The only one of its model: whoever has it, has it alone.
A30 = SESSION | {"flavour": "a30"}


def said(page: httpx.Response) -> str:
    """What a page tells its reader."""
    text = BeautifulSoup(page.text, "html.parser").get_text(" ", strip=True)
    return f"{page.status_code} {text[:2000]}"


def long(name: str, *options: str, seconds: int = 400) -> str:
    """A cell that offloads something that takes its time."""
    head = f"%%offload {name} --cpu 1 --mem 4Gi --time 10m {' '.join(options)}"
    return f"{head}\nimport time\nprint('on it', flush=True)\ntime.sleep({seconds})\n"


async def session(demo: RunningDemo, name: str, **changes: str) -> tuple[Visitor, Kernel]:
    """A person whose session runs, with a kernel."""
    visitor = Visitor(demo, name)
    await visitor.login()
    answer = await visitor.spawn(SESSION | changes)
    assert answer.status_code == 200, said(answer)
    await visitor.ready(timeout_s=90)
    return visitor, await visitor.kernel()


async def switch(demo: RunningDemo, **switches: Any) -> None:
    """Turn switches of the demo's IAM."""
    headers = {"Authorization": f"Bearer {(demo.home / 'iam' / 'switches.token').read_text()}"}
    async with httpx.AsyncClient(headers=headers, base_url=demo.info["iam_issuer"]) as http:
        (await http.post("switches", json=switches)).raise_for_status()


async def stop(visitor: Visitor, server: str = "") -> None:
    """Stop a session, and wait until it is gone."""
    path = f"/users/{visitor.name}/" + (f"servers/{server}" if server else "server")
    answer = await visitor.api("DELETE", path)
    assert answer.status_code in (202, 204), answer.text
    deadline = time.monotonic() + 60
    while server in (await visitor.api("GET", f"/users/{visitor.name}")).json()["servers"]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)


async def ask(visitor: Visitor, path: str, seconds: float = 60) -> Any:
    """The JSON of a route of the service, asked until it is answered."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer = await visitor.http.get(f"{visitor.demo.info['service_url']}/api/{path}")
            if answer.status_code == 200 and "json" in answer.headers["Content-Type"]:
                return answer.json()
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, f"{path} does not answer"
        await asyncio.sleep(0.2)


async def records(visitor: Visitor) -> list[dict[str, Any]]:
    """The person's records in the ledger."""
    return list((await ask(visitor, "accounting/records"))["records"])


async def job(visitor: Visitor, name: str, *states: str, seconds: float = 90) -> dict[str, Any]:
    """A job, once it is in one of the states."""
    deadline = time.monotonic() + seconds
    while True:
        found = dict(await ask(visitor, f"jobs/{name}"))
        if found["state"] in states:
            return found
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.2)
