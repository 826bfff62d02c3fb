from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from support.offload import request
from support.offload_service import World

from aiinfn_hub.contract.jobs import JobState, Retry, Why
from aiinfn_hub.contract.plans import Plan, Target
from aiinfn_hub.kube.client import CONFIGMAPS
from aiinfn_hub.offload import blobs
from aiinfn_hub.store import tables

S = JobState
pytestmark = pytest.mark.asyncio


def frame(seq: int, text: str = "") -> dict[str, Any]:
    return {"seq": seq, "output_type": "stream", "name": "stdout", "text": text or f"line {seq}\n"}


async def test_a_job_from_submission_to_its_value(service: World) -> None:
    x = await service.send(b"[1, 2, 3]")
    view = await service.submit(request(inputs={"x": x}, outputs=["total"]))
    assert (view.state, view.target, view.activity, view.flavour) == (S.QUEUED, "local", "lhcb-flashsim", "cpu")
    assert view.owner == "alice"

    uid = await service.cluster.start_pod(view.id)
    token = await service.exchange(view.id, uid)
    assert (await service.job("fit")).state is S.RUNNING
    assert (await service.runner("GET", view.id, f"inputs/{x.sha256}", token)).content == b"[1, 2, 3]"
    answer = await service.runner("POST", view.id, "frames", token, json={"frames": [frame(1), frame(2)]})
    assert answer.json() == {"next": 3, "cancel": False, "limit_s": 3600.0}
    assert (await service.runner("POST", view.id, "heartbeat", token, json={})).json()["cancel"] is False
    sha256 = (await service.send(b"42", who="bob")).sha256
    headers = {"X-Aiinfn-Codec": "json", "X-Aiinfn-Sha256": sha256, "X-Aiinfn-Summary": "int"}
    put = await service.runner("PUT", view.id, "outputs/total", token, headers=headers, content=b"42")
    assert put.status_code == 201, put.text
    report = {"state": "succeeded", "exit_code": 0, "verdict": "", "missing": {}}
    assert (await service.runner("POST", view.id, "result", token, json=report)).status_code == 200

    done = await service.job(view.id)
    assert (done.state, done.exit_code, done.frames) == (S.SUCCEEDED, 0, 2)
    assert done.outputs["total"].summary == "int"
    page = await service.frames(view.id, after=1)
    assert page.frames == [frame(2)]
    value = await service.call("GET", "/jobs/fit/outputs/total")
    assert (value.content, value.headers["X-Aiinfn-Codec"]) == (b"42", "json")


async def test_values_are_attachments_that_no_browser_opens(service: World) -> None:
    view, token = await service.running(request(outputs=["π"]))
    sha256 = (await service.send(b"<script>", who="bob")).sha256
    headers = {"X-Aiinfn-Codec": "text", "X-Aiinfn-Sha256": sha256}
    put = await service.runner("PUT", view.id, "outputs/%CF%80", token, headers=headers, content=b"<script>")
    assert put.status_code == 201, put.text
    for method in ("GET", "HEAD"):
        answer = await service.call(method, f"/jobs/{view.id}/outputs/%CF%80")
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''fit.%CF%80"
        assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Length"] == "8"


async def test_the_same_key_brings_the_same_job(service: World) -> None:
    first = await service.submit(request(), key="k")
    again = await service.call(
        "POST", "/jobs", headers={"Idempotency-Key": "k"}, content=msgspec.json.encode(request())
    )
    assert (again.status_code, again.json()["id"]) == (200, first.id)
    other = await service.call(
        "POST", "/jobs", headers={"Idempotency-Key": "k"}, content=msgspec.json.encode(request(source="other"))
    )
    assert (other.status_code, other.json()["error"]["code"]) == (409, "conflict")
    assert (await service.cluster.objects())["jobs"] == 1


async def test_without_a_key_every_request_is_a_job(service: World) -> None:
    assert (await service.submit(request())).id != (await service.submit(request())).id


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/frames"),
        ("GET", "/why"),
        ("POST", "/cancel"),
        ("GET", "/outputs/total"),
    ],
)
@pytest.mark.parametrize("by", ["id", "name"])
async def test_another_persons_job_does_not_exist(service: World, method: str, path: str, by: str) -> None:
    view = await service.submit(request())
    answer = await service.call(method, f"/jobs/{getattr(view, by)}{path}", who="bob")
    assert answer.status_code == 404
    assert "alice" not in answer.text
    assert (await service.frames(view.id, wait=20, state="staging")).job.state is S.QUEUED, (
        "it goes on as if nothing was"
    )


@pytest.mark.parametrize("path", ["/jobs", "/jobs/fit", "/targets", "/blobs/" + "0" * 64])
async def test_nobody_gets_nothing(service: World, path: str) -> None:
    answer = await service.call("GET", path, who="mallory")
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "not-authenticated")


async def test_a_list_has_the_callers_jobs_by_name_and_state(service: World) -> None:
    first, second = await service.submit(request()), await service.submit(request(name="plot"))
    await service.submit(request(), who="bob")
    await service.call("POST", f"/jobs/{first.id}/cancel")

    async def ids(**query: Any) -> list[str]:
        return [job["id"] for job in (await service.call("GET", "/jobs", params=query)).json()["jobs"]]

    assert await ids() == [second.id, first.id]
    assert await ids(name="plot") == [second.id]
    assert await ids(state="cancelled") == [first.id]
    assert await ids(state="queued,cancelled", limit=1) == [second.id]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"state": "runing"}, "Did you mean running"),
        ({"state": "xyz"}, "States: staging"),
        ({"limit": "many"}, "not a whole number"),
    ],
)
async def test_a_wrong_filter_is_refused(service: World, query: dict[str, str], words: str) -> None:
    answer = await service.call("GET", "/jobs", params=query)
    assert answer.status_code == 400
    assert words in str(answer.json())


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        pytest.param(b"{", 400, "cannot be used", id="no JSON"),
        pytest.param(b'{"name": "fit", "source": "1", "user": "bob"}', 400, "user", id="a field that nobody reads"),
        pytest.param(b'{"name": "../x", "source": "1"}', 400, "not a job name", id="a name that is a path"),
        pytest.param(b'{"name": "a", "source": "1", "target": "moon"}', 400, "no place", id="a place that is none"),
        pytest.param(
            b'{"name": "a", "source": "1", "resources": {"gpu": "u55c"}}', 403, "Inference on FPGA", id="not for you"
        ),
        pytest.param(
            b'{"name": "a", "source": "1", "resources": {"cpu_millis": 99000}}', 400, "at most 16", id="too much CPU"
        ),
        pytest.param(
            b'{"name": "a", "source": "1", "resources": {"time_s": 1000000000}}', 400, "runs for 1 s", id="too long"
        ),
        pytest.param(
            b'{"name": "a", "source": "1", "image": "evil.example.org/x:1"}', 400, "not allowed", id="any image"
        ),
        pytest.param(
            b'{"name": "a", "source": "1", "inputs": {"x": {"codec": "json", "sha256": "../../etc", "size": 1}}}',
            400,
            "named by its SHA-256",
            id="a hash that is a path",
        ),
        pytest.param(
            b'{"name": "a", "source": "1", "inputs": {"x": {"codec": "pickle", "sha256": "%s", "size": 1}}}'
            % (b"0" * 64),
            400,
            "codec",
            id="a codec that is code",
        ),
        pytest.param(
            b'{"name": "a", "source": "1", "inputs": {"x": {"codec": "json", "sha256": "%s", "size": 1}}}'
            % (b"0" * 64),
            409,
            "not sent: x",
            id="an input that was not sent",
        ),
        pytest.param(b'{"name": "a", "source": "%s"}' % (b"x" * 300_000), 400, "256 KiB", id="a long source"),
        pytest.param(b'{"name": "a", "source": "%s"}' % (b"x" * 1_100_000), 413, "1024 KiB", id="a longer one"),
        pytest.param(
            b'{"name": "a", "source": "1", "origin": {"k": "%s"}}' % (b"x" * 5000), 400, "origin", id="a long origin"
        ),
    ],
)  # fmt: skip
async def test_what_cannot_run_is_refused_and_leaves_nothing(
    service: World, body: bytes, status: int, words: str
) -> None:
    answer = await service.call("POST", "/jobs", content=body)
    assert answer.status_code == status, answer.text
    assert words in str(answer.json())
    assert (await service.call("GET", "/jobs")).json() == {"jobs": []}
    assert (await service.cluster.objects())["jobs"] == 0


async def test_inputs_that_were_not_sent_are_listed_for_programs(service: World) -> None:
    theirs = await service.send(b"secret of bob", who="bob")
    answer = await service.call("POST", "/jobs", content=msgspec.json.encode(request(inputs={"x": theirs})))
    assert answer.status_code == 409
    assert answer.json()["error"]["details"] == {"missing": [theirs.sha256]}


@pytest.mark.parametrize("key", ["x" * 201, "a\tb"])
async def test_a_strange_key_is_refused(service: World, key: str) -> None:
    answer = await service.call(
        "POST", "/jobs", headers={"Idempotency-Key": key}, content=msgspec.json.encode(request())
    )
    assert answer.status_code == 400


async def test_a_person_of_several_activities_must_say_which_pays(service: World) -> None:
    answer = await service.call("POST", "/jobs", who="carol", content=msgspec.json.encode(request()))
    assert answer.status_code == 400
    assert "which activity pays" in answer.text


async def test_a_job_that_is_over_is_tried_again_with_more(service: World) -> None:
    made = await service.call("POST", "/jobs", content=msgspec.json.encode(request()))
    job = made.json()["id"]
    body = msgspec.json.encode(Retry(memory_bytes=8 * 2**30))
    early = await service.call("POST", f"/jobs/{job}/retry", content=body)
    assert early.status_code == 409
    assert "is not over" in early.text
    await service.call("POST", f"/jobs/{job}/cancel")
    deadline = time.monotonic() + 20
    while (await service.call("GET", f"/jobs/{job}")).json()["state"] != "cancelled":
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    answer = await service.call("POST", f"/jobs/{job}/retry", content=body)
    assert answer.status_code == 201, answer.text
    found = answer.json()
    assert (found["name"], found["resources"]["memory_bytes"]) == ("fit", 8 * 2**30)
    assert found["id"] != job
    other = await service.call("POST", f"/jobs/{job}/retry", who="bob", content=body)
    assert other.status_code == 404, "nobody else's"


async def test_a_plan_submits_nothing(service: World) -> None:
    answer = await service.call("POST", "/plan", content=msgspec.json.encode(request(gpu="1g.5gb", cpu_millis=99000)))
    found = msgspec.json.decode(answer.content, type=Plan)
    assert (found.flavour, found.site) == ("a100-40-1g.5gb", "local")
    assert found.refusals
    assert found.manifest == {}, "it cannot be sent"
    answer = await service.call("POST", "/plan", content=msgspec.json.encode(request(gpu="1g.5gb")))
    manifest = msgspec.json.decode(answer.content, type=Plan).manifest
    assert manifest["kind"] == "Job"
    assert manifest["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/mig-1g.5gb"] == "1"
    assert (await service.cluster.objects())["jobs"] == 0


async def test_targets_are_places_with_flavours(service: World) -> None:
    answer = await service.call("GET", "/targets")
    found = msgspec.json.decode(answer.content, type=dict[str, list[Target]])["targets"]
    assert "local" in {target.name for target in found}


async def test_why_has_a_sentence(service: World) -> None:
    view = await service.submit(request())
    await service.frames(view.id, wait=20, state="staging")
    found = msgspec.json.decode((await service.call("GET", f"/jobs/{view.id}/why")).content, type=Why)
    assert found.state is S.QUEUED
    assert "Kueue has not looked" in found.sentence


async def test_a_value_that_is_not_there_says_why(service: World) -> None:
    view, token = await service.running(request(outputs=["total"]))
    early = await service.call("GET", f"/jobs/{view.id}/outputs/total")
    assert (early.status_code, "values come when it ends" in early.text) == (404, True)
    report = {"state": "succeeded", "exit_code": 0, "missing": {"total": "the code did not assign it"}}
    await service.runner("POST", view.id, "result", token, json=report)
    late = await service.call("GET", f"/jobs/{view.id}/outputs/total")
    assert (late.status_code, "did not assign" in late.text) == (404, True)
    assert (await service.call("GET", f"/jobs/{view.id}/outputs/other")).status_code == 404
    assert (await service.job(view.id)).outputs["total"].summary == "the code did not assign it"


class TestFrames:
    """The long poll."""

    async def test_what_is_there_is_answered_at_once(self, service: World) -> None:
        view, token = await service.running(request())
        await service.runner("POST", view.id, "frames", token, json={"frames": [frame(1)]})
        began = time.monotonic()
        assert (await service.frames(view.id, wait=20)).frames == [frame(1)]
        assert time.monotonic() - began < 10

    async def test_what_comes_is_answered_when_it_comes(self, service: World) -> None:
        view, token = await service.running(request())
        poll = asyncio.create_task(service.frames(view.id, wait=20))
        await asyncio.sleep(0.2)
        assert not poll.done()
        began = time.monotonic()
        await service.runner("POST", view.id, "frames", token, json={"frames": [frame(1)]})
        assert (await poll).frames == [frame(1)]
        assert time.monotonic() - began < 10, "long before the poll of 20 s is over"

    async def test_a_change_of_state_is_news_too(self, service: World) -> None:
        view = await service.submit(request())
        poll = asyncio.create_task(service.frames(view.id, wait=20))
        await asyncio.sleep(0.2)
        await service.cluster.start_pod(view.id)
        assert (await asyncio.wait_for(poll, 3)).job.state is not S.QUEUED

    async def test_a_state_that_the_caller_does_not_know_is_told_at_once(self, service: World) -> None:
        view = await service.submit(request())
        began = time.monotonic()
        assert (await service.frames(view.id, wait=20, state="staging")).job.state is S.QUEUED
        assert time.monotonic() - began < 10

    async def test_nothing_is_told_when_the_time_is_over(self, service: World) -> None:
        view = await service.submit(request())
        began = time.monotonic()
        page = await service.frames(view.id, wait=0.3)
        assert page.frames == []
        assert 0.25 < time.monotonic() - began < 10

    async def test_after_the_end_nobody_waits(self, service: World) -> None:
        view = await service.submit(request())
        await service.call("POST", f"/jobs/{view.id}/cancel")
        began = time.monotonic()
        assert (await service.frames(view.id, wait=20)).job.final
        assert time.monotonic() - began < 10

    async def test_a_poll_whose_client_left_ends(self, service: World) -> None:
        view = await service.submit(request())
        poll = asyncio.create_task(service.frames(view.id, wait=20))
        await asyncio.sleep(0.2)
        assert view.id in service.bell._waiting
        poll.cancel()
        async with asyncio.timeout(2):
            while view.id in service.bell._waiting:
                await asyncio.sleep(0.02)

    async def test_news_that_another_process_took_is_seen_without_a_ring(
        self, service: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("aiinfn_hub.offload.routes.LOOK_S", 0.1)
        view, token = await service.running(request())
        monkeypatch.setattr(service.bell, "ring", lambda _run: None)
        poll = asyncio.create_task(service.frames(view.id, wait=20))
        await asyncio.sleep(0.05)
        await service.runner("POST", view.id, "frames", token, json={"frames": [frame(1)]})
        assert (await asyncio.wait_for(poll, 3)).frames == [frame(1)]


class TestBlobs:
    """The caller's own bytes."""

    async def test_they_come_back(self, service: World) -> None:
        value = await service.send(b"data")
        answer = await service.call("GET", f"/blobs/{value.sha256}")
        assert (answer.status_code, answer.content) == (200, b"data")
        assert (await service.call("HEAD", f"/blobs/{value.sha256}")).status_code == 200

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    async def test_those_of_others_do_not_exist(self, service: World, method: str) -> None:
        value = await service.send(b"data")
        assert (await service.call(method, f"/blobs/{value.sha256}", who="bob")).status_code == 404

    async def test_what_has_expired_must_be_sent_again_while_its_file_is_still_there(self, service: World) -> None:
        value = await service.send(b"data")
        with service.database.engine.begin() as connection:
            connection.execute(tables.blob.update().values(last_used=0.0))
        assert (await service.call("HEAD", f"/blobs/{value.sha256}")).status_code == 200
        assert service.database.run(blobs.expire, set(), now=time.time()) == 0, "asking for it keeps it"
        assert service.database.run(blobs.expire, set(), now=time.time() + blobs.KEEP_S + 60) == 1
        assert (await service.call("HEAD", f"/blobs/{value.sha256}")).status_code == 404
        assert await service.send(b"data") == value
        assert (await service.call("HEAD", f"/blobs/{value.sha256}")).status_code == 200

    async def test_empty_bytes_are_bytes(self, service: World) -> None:
        assert (await service.send(b"")).size == 0

    async def test_many_bytes_are_streamed(self, service: World) -> None:
        data = bytes(range(256)) * 40_000
        value = await service.send(data)
        assert (await service.call("GET", f"/blobs/{value.sha256}")).content == data

    async def test_other_bytes_than_announced_are_refused(self, service: World) -> None:
        answer = await service.call("PUT", "/blobs/" + "0" * 64, content=b"data")
        assert (answer.status_code, "announced SHA-256" in answer.text) == (400, True)
        assert not [path for path in service.blobs.root.rglob("*") if path.is_file()]

    @pytest.mark.parametrize("name", ["x", "..%2F..%2Fetc%2Fpasswd", "0" * 63, "A" * 64])
    async def test_what_is_no_hash_is_refused(self, service: World, name: str) -> None:
        for method in ("PUT", "GET"):
            answer = await service.call(method, f"/blobs/{name}", content=b"data" if method == "PUT" else None)
            assert answer.status_code == 400, answer.text

    @pytest.mark.parametrize("chunked", [False, True], ids=["announced", "in chunks"])
    async def test_too_many_bytes_are_refused(self, service: World, *, chunked: bool) -> None:
        service.blobs.limit = 100_000

        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(15):
                yield b"x" * 10_000

        content = pieces() if chunked else b"x" * 150_000
        answer = await service.call("PUT", "/blobs/" + "0" * 64, content=content)
        assert (answer.status_code, "at most" in answer.text) == (413, True)
        assert not [path for path in service.blobs.root.rglob("*") if path.is_file()]

    async def test_a_client_that_leaves_in_the_middle_leaves_nothing(self, service: World) -> None:
        host, port = service.url.removeprefix("http://").partition("/")[0].split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        head = f"PUT /services/aiinfn/api/blobs/{'0' * 64} HTTP/1.1\r\nHost: x\r\nAuthorization: token alice\r\n"
        writer.write(head.encode() + b"Content-Length: 100000\r\n\r\n" + b"x" * 70_000)
        await writer.drain()
        async with asyncio.timeout(3):
            while not list(service.blobs.root.rglob("part-*")):
                await asyncio.sleep(0.02)
        writer.close()
        async with asyncio.timeout(3):
            while list(service.blobs.root.rglob("part-*")):
                await asyncio.sleep(0.02)

    async def test_a_full_disk_is_told(self, service: World) -> None:
        service.blobs.root.mkdir(exist_ok=True)
        (service.blobs.root / "alice").write_text("in the way")
        answer = await service.call("PUT", "/blobs/" + "0" * 64, content=b"data")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")


async def test_the_payload_in_the_cluster_is_the_request(service: World) -> None:
    view = await service.submit(request(source="print('grüße')"))
    found = await service.client.get(CONFIGMAPS, f"job-{view.id}", "aiinfn")
    spec = msgspec.json.decode(found["data"]["spec.json"])
    assert (spec["source"], spec["url"]) == ("print('grüße')", service.runs_url)
    assert list(found["data"]) == ["spec.json"]
