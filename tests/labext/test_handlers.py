"""The server extension in a real Jupyter server: its own login, its own XSRF check, our jobs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest
from support.fakeservice import FakeService
from support.jupyter import JUPYTER_TOKEN, JupyterServer
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from aiinfn_hub.contract.jobs import JobRequest
from aiinfn_hub.contract.notices import Notice
from aiinfn_hub.contract.sweeps import SweepRequest
from aiinfn_labext.client import ServiceClient


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FakeService, JupyterServer]]:
    service = FakeService(tmp_path_factory.mktemp("service"))
    service.spec_extra = {"grace_s": 1}
    server = JupyterServer(tmp_path_factory.mktemp("jupyter"), service.environ)
    yield service, server
    server.stop()
    service.stop()


@pytest.fixture
def service(place: tuple[FakeService, JupyterServer]) -> FakeService:
    place[0].runs.clear()
    place[0].hold = True
    place[0].down = 0
    return place[0]


@pytest.fixture
def url(place: tuple[FakeService, JupyterServer], service: FakeService) -> str:
    return place[1].url


@pytest.fixture
def page(url: str) -> Iterator[httpx.Client]:
    """A page in a browser that has logged in: cookies, and no token."""
    with httpx.Client(base_url=url) as client:
        client.get("api/status", headers={"Authorization": f"token {JUPYTER_TOKEN}"})
        client.get("login", params={"token": JUPYTER_TOKEN}, follow_redirects=True)
        yield client


def test_the_extension_is_enabled_by_its_installation(page: httpx.Client, service: FakeService) -> None:
    service.submit(JobRequest("fit", "1"))
    answer = page.get("aiinfn/api/jobs").raise_for_status().json()
    assert [(job["name"], job["state"]) for job in answer["jobs"]] == [("fit", "queued")]


@pytest.mark.parametrize(
    "path",
    [
        "aiinfn/api/jobs",
        "aiinfn/api/jobs/x",
        "aiinfn/api/jobs/x/frames",
        "aiinfn/api/jobs/x/why",
        "aiinfn/api/jobs/x/outputs/y",
        "aiinfn/api/sweeps/x",
        "aiinfn/events",
    ],
)
def test_nobody_reads_without_a_login(url: str, path: str) -> None:
    assert httpx.get(url + path).status_code in (302, 403)


@pytest.mark.parametrize("act", ["cancel", "retry", "extend"])
def test_a_page_that_did_not_come_from_here_does_nothing(page: httpx.Client, service: FakeService, act: str) -> None:
    run = service.submit(JobRequest("fit", "1"))
    assert page.post(f"aiinfn/api/jobs/{run.id}/{act}", json={"time": "1h"}).status_code == 403
    assert (run.cancel, run.limit_s, len(service.runs)) == (False, None, 1)


def test_a_job_gets_more_time_and_another_try_in_the_words_of_people(page: httpx.Client, service: FakeService) -> None:
    run = service.submit(JobRequest("fit", "1"))
    headers = {"X-XSRFToken": page.cookies["_xsrf"]}
    path = f"aiinfn/api/jobs/{run.id}"
    extended = page.post(f"{path}/extend", json={"time": "30m"}, headers=headers)
    assert extended.json()["resources"]["time_s"] == 5400
    page.post(f"{path}/cancel", headers=headers)
    again = page.post(f"{path}/retry", json={"mem": "24Gi", "gpu": "t4"}, headers=headers).json()
    assert (again["id"] != run.id, again["resources"]["memory_bytes"], again["resources"]["gpu"]) == (
        True,
        24 * 2**30,
        "t4",
    )
    for act, body, said in [
        ("retry", {"mem": "lots"}, "lots"),
        ("retry", {"memory": "1Gi"}, "Nothing is known as memory"),
        ("retry", [1], "no object of words"),
        ("extend", {"time": ""}, ""),
    ]:
        refused = page.post(f"{path}/{act}", json=body, headers=headers)
        assert (refused.status_code, said in refused.text) == (400, True), refused.text


def test_a_value_comes_as_a_file_that_no_browser_opens(page: httpx.Client, service: FakeService) -> None:
    run = service.submit(JobRequest("fit", "1", outputs=["loss"]))
    run.outputs["loss"] = ("text", b"<script>1</script>", "str of 18")
    answer = page.get(f"aiinfn/api/jobs/{run.id}/outputs/loss")
    assert answer.content == b"<script>1</script>"
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"] == "attachment"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    missing = page.get(f"aiinfn/api/jobs/{run.id}/outputs/other")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not-found")


def test_a_page_that_did_not_come_from_here_cannot_cancel(page: httpx.Client, service: FakeService) -> None:
    run = service.submit(JobRequest("fit", "1"))
    path = f"aiinfn/api/jobs/{run.id}/cancel"
    assert page.post(path).status_code == 403
    assert not run.cancel
    answer = page.post(path, headers={"X-XSRFToken": page.cookies["_xsrf"]})
    assert answer.json()["state"] == "cancelled"
    assert run.cancel


def test_a_job_its_reason_and_its_frames(page: httpx.Client, service: FakeService) -> None:
    run = service.submit(JobRequest("fit", "1"))
    run.frames.append({"output_type": "stream", "name": "stdout", "text": "a"})
    assert page.get("aiinfn/api/jobs/fit").json()["id"] == run.id
    assert page.get("aiinfn/api/jobs/fit/why").json()["sentence"] == "It waits for 1 CPU."
    frames = page.get("aiinfn/api/jobs/fit/frames", params={"after": 0, "wait": 5}).json()
    assert [frame["text"] for frame in frames["frames"]] == ["a"]
    assert page.get("aiinfn/api/jobs/fit/frames", params={"after": 1}).json()["frames"] == []


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("aiinfn/api/jobs/nothing", 404, "You have no job nothing."),
        ("aiinfn/api/jobs?limit=0", 400, "limit is 0."),
        ("aiinfn/api/jobs?limit=many", 400, "limit is no number"),
        ("aiinfn/api/nothing", 404, ""),
    ],
)
def test_an_error_has_its_status_and_its_sentence(page: httpx.Client, path: str, status: int, text: str) -> None:
    answer = page.get(path)
    assert answer.status_code == status
    assert text in answer.text


def test_a_service_that_is_away_is_said(page: httpx.Client, service: FakeService) -> None:
    service.down = 10**6
    answer = page.get("aiinfn/api/jobs")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "unavailable"


def test_the_session_s_token_never_reaches_the_page(page: httpx.Client, service: FakeService) -> None:
    service.submit(JobRequest("fit", "1"))
    answer = page.get("aiinfn/api/jobs")
    assert service.user_token not in answer.text + str(answer.headers)


def socket(url: str, **headers: str) -> Any:
    return websocket_connect(HTTPRequest(url.replace("http", "ws", 1) + "aiinfn/events", headers=headers))


async def of(connection: Any, key: str) -> Any:
    """The next message that is about this."""
    while key not in (message := json.loads(await connection.read_message())):
        pass
    return message


def test_the_websocket_tells_the_notices_and_then_what_changes(
    url: str, service: FakeService, page: httpx.Client
) -> None:
    ends = Notice("drain-1", "error", "This session ends at {due}.", "You are no longer in /lhcb.", 1.0, 2.0, "")
    service.notices = []

    async def listen() -> list[Any]:
        connection = await socket(url, Authorization=f"token {JUPYTER_TOKEN}")
        heard = [await of(connection, "notices")]
        service.notices = [ends]
        heard.append(await of(connection, "notices"))
        connection.close()
        return heard

    heard = asyncio.run(asyncio.wait_for(listen(), 40))
    assert heard == [{"notices": []}, {"notices": [msgspec.to_builtins(ends)]}]
    assert page.get("aiinfn/api/notices").json() == heard[1]


def test_the_websocket_tells_the_jobs_and_then_what_changes(url: str, service: FakeService) -> None:
    first = service.submit(JobRequest("first", "1"))

    async def listen() -> list[Any]:
        connection = await socket(url, Authorization=f"token {JUPYTER_TOKEN}")
        heard = [await of(connection, "jobs")]
        service.submit(JobRequest("second", "1"))
        heard.append(await of(connection, "jobs"))
        first.cancel = True
        heard.append(await of(connection, "jobs"))
        service.down = 10**6
        heard.append(await of(connection, "error"))
        connection.close()
        return heard

    heard = asyncio.run(asyncio.wait_for(listen(), 40))
    assert [[(job["name"], job["state"]) for job in message.get("jobs", [])] for message in heard] == [
        [("first", "queued")],
        [("second", "queued")],
        [("first", "cancelled")],
        [],
    ]
    assert heard[3]["error"]["code"] == "unavailable"


def test_the_websocket_follows_every_job_that_is_not_over(url: str, page: httpx.Client, service: FakeService) -> None:
    old = service.submit(JobRequest("old", "1"))
    later = [service.submit(JobRequest(f"later{number}", "1")) for number in range(60)]
    for run in later[:-1]:
        run.cancel = True

    async def listen() -> list[Any]:
        connection = await socket(url, Authorization=f"token {JUPYTER_TOKEN}")
        heard = [await of(connection, "jobs")]
        old.cancel = True  # it is not among the newest any more
        heard.append(await of(connection, "jobs"))
        connection.close()
        return heard

    first, then = asyncio.run(asyncio.wait_for(listen(), 40))
    names = {job["name"] for job in first["jobs"]}
    assert ("old" in names, "later10" in names, "later9" in names, len(names)) == (True, True, False, 51)
    assert first["until"] == later[10].view().submitted_at
    assert [(job["name"], job["state"]) for job in then["jobs"]] == [("old", "cancelled")]
    older = page.get("aiinfn/api/jobs", params={"before": first["until"], "limit": 5}).json()["jobs"]
    assert [job["name"] for job in older] == ["later10", "later9", "later8", "later7", "later6"]


def test_a_sweep_is_seen_ended_and_tried_again(place: Any, page: httpx.Client, service: FakeService) -> None:
    asked = SweepRequest(JobRequest("fit", "1 / n"), [{"n": 0}, {"n": 1}])
    client = ServiceClient(environ=service.environ)
    sweep = client.submit_sweep(asked, {}).id
    seen = page.get(f"aiinfn/api/sweeps/{sweep}").raise_for_status().json()
    assert [(job["name"], job["point"], job["state"]) for job in seen["jobs"]] == [
        ("fit-0", {"n": 0}, "queued"),
        ("fit-1", {"n": 1}, "queued"),
    ]
    for act in ("cancel", "retry"):
        assert page.post(f"aiinfn/api/sweeps/{sweep}/{act}", json={}).status_code == 403, "it did not come from here"
    headers = {"X-XSRFToken": page.cookies["_xsrf"]}
    ended = page.post(f"aiinfn/api/sweeps/{sweep}/cancel", json={}, headers=headers).raise_for_status().json()
    assert {job["state"] for job in ended["jobs"]} == {"cancelled"}
    again = (
        page.post(f"aiinfn/api/sweeps/{sweep}/retry", json={"mem": "3Gi"}, headers=headers).raise_for_status().json()
    )
    assert [job["resources"]["memory_bytes"] for job in again["jobs"]] == [3 * 2**30] * 2
    assert page.get("aiinfn/api/sweeps/none").status_code == 404


@pytest.mark.parametrize("headers", [{}, {"Authorization": "token other"}], ids=["no token", "another token"])
def test_the_websocket_is_for_those_who_are_logged_in(url: str, headers: dict[str, str]) -> None:
    async def connect() -> None:
        await socket(url, **headers)

    with pytest.raises(HTTPClientError) as caught:
        asyncio.run(connect())
    assert caught.value.code in (302, 403)
