"""The main job, end to end: log in, see what is free, start a session, offload a cell, find it in the ledger."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import httpx
import pytest
from support.demo import RunningDemo, Visitor
from support.people_at_work import job, long, records
from support.testimony import disagreements, heard

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

MIG = {
    "flavour": "a100-40-1g.5gb",
    "cpu": "2",
    "memory": "8Gi",
    "activity": "lhcb-flashsim",
    "environment": "image",
    "environment-image": "pytorch",
    "lifetime": "4h",
}

FIRST_TASTE = """\
%%offload fit --cpu 1 --mem 512Mi --time 5m --in x --out total --wait
total = sum(x) * 7
print("the sum is", sum(x))
"""

MODEL = """\
%%offload model --cpu 1 --mem 1Gi --time 5m --in data --out slope,offset --wait
import numpy as np
import matplotlib.pyplot as plt
points = np.asarray(data)
slope, offset = (float(value) for value in np.polyfit(points[:, 0], points[:, 1], 1))
plt.plot(points[:, 0], points[:, 1], "o")
plt.plot(points[:, 0], slope * points[:, 0] + offset)
plt.show()
print(f"slope {slope:.3f}")
"""


async def metric(demo: RunningDemo, pattern: str) -> list[str]:
    async with httpx.AsyncClient() as http:
        text = (await http.get(demo.info["metrics_url"])).text
    return [line for line in text.splitlines() if re.search(pattern, line)]


async def session(demo: RunningDemo, name: str = "scientist", **changes: str) -> Visitor:
    """A person whose session runs."""
    visitor = Visitor(demo, name)
    await visitor.login()
    model = (await visitor.api("GET", f"/users/{name}")).json()
    if not model["servers"].get("", {}).get("ready"):
        answer = await visitor.spawn(MIG | changes)
        assert answer.status_code == 200, answer.text
    await visitor.ready()
    return visitor


@pytest.mark.asyncio
@pytest.mark.parametrize(("name", "admin"), [("scientist", False), ("pi", False), ("operator", True)])
async def test_each_account_of_the_platform_gets_in_with_its_groups(demo: RunningDemo, name: str, admin: bool) -> None:
    visitor = Visitor(demo, name)
    page = await visitor.login()
    assert page.status_code == 200, page.text
    model = (await visitor.api("GET", "/user")).json()
    assert model["name"] == name
    assert model["admin"] is admin
    assert set(model["groups"]) == set(demo.account(name)["groups"])


@pytest.mark.asyncio
async def test_a_token_for_a_report_shows_the_own_activity_and_nothing_else(demo: RunningDemo) -> None:
    """A PI is a role of JupyterHub: its scope is in the tokens that ask for it, and the browser has it anyway."""
    visitor = Visitor(demo, "pi")
    await visitor.login()

    async def status(http: httpx.AsyncClient, query: str) -> int:
        return (await http.get(f"{demo.info['service_url']}/api/accounting/records?{query}")).status_code

    async def token(*scopes: str) -> dict[str, Any]:
        wanted = {"scopes": ["access:services!service=aiinfn", *scopes], "expires_in": 600}
        return dict((await visitor.api("POST", "/users/pi/tokens", json=wanted)).json())

    own, others = "activity=lhcb-flashsim", "activity=cms-ml&person=scientist"
    assert [await status(visitor.http, query) for query in (own, others)] == [200, 403]
    report = await token("custom:aiinfn:lead!group=/aiinfn/lhcb-flashsim")
    for made, seen in ((report, [200, 403]), (await token(), [403, 403])):
        async with httpx.AsyncClient(headers={"Authorization": f"token {made['token']}"}) as http:
            theirs = f"{own}&person=scientist"
            assert [await status(http, query) for query in (theirs, others)] == seen
    for scope in ("custom:aiinfn:operate", "custom:aiinfn:lead!group=/aiinfn/cms-ml"):
        refused = await visitor.api("POST", "/users/pi/tokens", json={"scopes": [scope]})
        assert refused.status_code == 400, refused.text


@pytest.mark.asyncio
async def test_somebody_of_no_group_of_ours_is_refused_and_told_which_group_is_needed(demo: RunningDemo) -> None:
    page = await Visitor(demo, "outsider").login()
    assert page.status_code == 403
    assert "/aiinfn" in page.text


@pytest.mark.asyncio
async def test_the_form_shows_what_is_free_now(demo: RunningDemo) -> None:
    visitor = Visitor(demo, "pi")
    await visitor.login()
    form = await visitor.http.get(f"{visitor.hub}/hub/spawn")
    assert "7 of 7 free" in form.text or "6 of 7 free" in form.text
    assert "unknown since" not in form.text


@pytest.mark.asyncio
async def test_the_first_taste_of_the_readme_works_word_for_word(demo: RunningDemo) -> None:
    visitor = await session(demo)
    kernel = await visitor.kernel()
    assert (await kernel.run("x = [1, 2, 3]")).status == "ok"
    reply = await kernel.run(FIRST_TASTE)
    assert reply.status == "ok", reply.error
    assert "the sum is 6" in reply.text
    assert "total" in (await kernel.run("%offload get fit")).text
    assert "42" in (await kernel.run("print(total)")).text


@pytest.mark.asyncio
async def test_the_example_in_a_new_home_runs_to_its_end(demo: RunningDemo) -> None:
    visitor = await session(demo)
    kernel = await visitor.kernel()
    found = await visitor.http.get(f"{visitor.hub}/user/scientist/api/contents/Welcome.ipynb")
    assert found.status_code == 200, found.text
    replies = [
        await kernel.run(cell["source"]) for cell in found.json()["content"]["cells"] if cell["cell_type"] == "code"
    ]
    assert [reply.status for reply in replies] == ["ok"] * len(replies)
    assert "the sum is 6" in replies[-2].shown
    assert replies[-1].shown.strip() == "42"


@pytest.mark.asyncio
async def test_a_small_model_is_fitted_elsewhere_and_comes_back_with_its_plot(demo: RunningDemo) -> None:
    kernel = await (await session(demo)).kernel()
    await kernel.run("data = [[0, 1.0], [1, 3.0], [2, 5.0], [3, 7.0]]")
    reply = await kernel.run(MODEL)
    assert reply.status == "ok", reply.error
    assert "slope 2.000" in reply.text
    assert any("image/png" in output for output in reply.outputs)
    assert "2.0 1.0" in (await kernel.run("print(round(slope, 6), round(offset, 6))")).text


@pytest.mark.asyncio
async def test_a_cell_that_fails_shows_its_own_traceback(demo: RunningDemo) -> None:
    kernel = await (await session(demo)).kernel()
    cell = "%%offload broken --cpu 1 --mem 512Mi --time 5m --wait\ndef f(n):\n    return 1 / n\nf(0)\n"
    reply = await kernel.run(cell)
    assert reply.status == "error"
    assert "ZeroDivisionError" in reply.error
    assert "return 1 / n" in reply.error
    assert "runner.py" not in reply.error
    assert "ZeroDivisionError" in (await kernel.run("%offload why broken")).shown


@pytest.mark.asyncio
async def test_a_running_job_can_be_cancelled(demo: RunningDemo) -> None:
    kernel = await (await session(demo)).kernel()
    await kernel.run(
        "%%offload long --cpu 1 --mem 512Mi --time 10m\nimport time\nprint('on it', flush=True)\ntime.sleep(300)\n"
    )
    for _ in range(60):
        if re.search(r"long\b.*running", (await kernel.run("%offload")).shown):
            break
        await asyncio.sleep(0.5)
    await kernel.run("%offload cancel long")
    for _ in range(40):
        listing = (await kernel.run("%offload")).shown
        if re.search(r"long\b.*cancelled", listing):
            return
        await asyncio.sleep(0.5)
    pytest.fail(listing)


@pytest.mark.asyncio
async def test_a_third_job_waits_for_the_units_of_its_person(demo: RunningDemo) -> None:
    """The example lets one person have two T4 at the same time; sessions count in it too."""
    visitor = await session(demo)
    kernel = await visitor.kernel()
    for name in ("one", "two", "three"):
        await kernel.run(long(name, "--gpu t4", seconds=300 if name != "three" else 0))
    for name in ("one", "two"):
        await job(visitor, name, "running")
    waits = await job(visitor, "three", "staging")
    # The two may have been in the queue yet when the third came.
    assert waits["reason"].startswith("2 of 2 units of NVIDIA T4 for one person are in use")
    assert waits["reason"].endswith("It goes into the queue when there is room.")
    assert "End something of yours" in (await kernel.run("%offload why three")).shown
    await kernel.run("%offload cancel one")
    await job(visitor, "three", "succeeded")
    await kernel.run("%offload cancel two")


async def written(visitor: Visitor) -> list[dict[str, Any]]:
    """The records of a session and a job; a cell can be back before the ledger has gathered what it saw of its pod."""
    for _ in range(50):
        found = await records(visitor)
        if {record["kind"] for record in found} == {"session", "job"}:
            return found
        await asyncio.sleep(0.1)
    pytest.fail(f"Not all of it is in the ledger: {found}")


@pytest.mark.asyncio
async def test_session_and_job_are_in_panel_metrics_and_ledger(demo: RunningDemo) -> None:
    visitor = await session(demo)
    kernel = await visitor.kernel()
    await kernel.run("x = [1]")
    assert (await kernel.run(FIRST_TASTE)).status == "ok"
    records = await written(visitor)
    page = await visitor.http.get(demo.info["panel_url"])
    assert page.status_code == 200, page.text
    assert "a100-40-1g.5gb" in page.text
    assert {record["person"] for record in records} == {"scientist"}
    held = await metric(demo, r'aiinfn_pods\{.*flavour="a100-40-1g.5gb".*kind="session".*\} 1')
    assert held, await metric(demo, "aiinfn_pods")
    assert await metric(demo, r'aiinfn_jobs\{.*state="succeeded"')
    assert not await metric(demo, "scientist"), "no person's name is a label"


@pytest.mark.asyncio
async def test_hub_queue_and_pods_say_the_same(demo: RunningDemo) -> None:
    """A session from its start to its stop, and a job, as each of the three saw them."""
    visitor = await session(demo, "pi")
    kernel = await visitor.kernel()
    await kernel.run("x = [1]")
    assert (await kernel.run(FIRST_TASTE.replace(" fit ", " agreed "))).status == "ok"
    await visitor.api("DELETE", "/users/pi/server")
    also = {"job": set(), "session": {"session-started", "session-stopped"}}
    for record in await written(visitor):
        await heard(demo, record["pod_uid"], {"kueue began", "kueue ended"} | also[record["kind"]])
    assert await disagreements(demo) == []


@pytest.mark.asyncio
async def test_the_proxy_streams_progress_within_a_second(demo: RunningDemo) -> None:
    """The form's live numbers come through the proxy as they happen."""
    visitor = Visitor(demo, "pi")
    await visitor.login()
    started = time.monotonic()
    async with visitor.http.stream("GET", f"{visitor.hub}/hub/aiinfn/offer") as stream:
        assert stream.status_code == 200
        async for line in stream.aiter_lines():
            if line.startswith("data:"):
                break
    assert time.monotonic() - started < 5, "the first event comes at once, not when a buffer is full"
