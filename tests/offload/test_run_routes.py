"""The runner listener, and those who would misuse it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.offload import request
from support.offload_service import World, soon

from aiinfn_hub.contract.jobs import JobState, JobView, Vitals
from aiinfn_hub.contract.run.channel import Gone, HttpChannel, Orders, Refused, Welcome
from aiinfn_hub.errors import InvalidInput, QuotaExceeded, TooLarge
from aiinfn_hub.offload.run_routes import MAX_FRAMES, MAX_FRAMES_BODY, Pace, read_frames

S = JobState
REPORT = {"state": "succeeded", "exit_code": 0, "verdict": "", "missing": {}}


def frame(seq: int, text: str = "x") -> dict[str, Any]:
    return {"seq": seq, "output_type": "stream", "name": "stdout", "text": text}


async def put(service: World, view: JobView, token: str, name: str, data: bytes, **headers: str) -> Any:
    announced = {"X-Aiinfn-Codec": "json", "X-Aiinfn-Sha256": hashlib.sha256(data).hexdigest()} | headers
    return await service.runner("PUT", view.id, f"outputs/{name}", token, headers=announced, content=data)


@pytest.mark.asyncio
async def test_the_runners_own_channel_gets_along_with_it(service: World) -> None:
    x = await service.send(b"[1]")
    view = await service.submit(request(inputs={"x": x}, outputs=["total"]))
    uid = await service.cluster.start_pod(view.id)
    capability = await service.cluster.capability(view.id)

    def talk() -> list[Any]:
        channel = HttpChannel(service.runs_url, view.id)
        said: list[Any] = [channel.exchange(capability, uid, 0)]
        said.append(channel.fetch(x.sha256, 0))
        said.append(channel.frames([frame(1), frame(2)], {"memory": 5 * 2**20, "metrics": {"loss": 0.5}}))
        said.append(channel.heartbeat({"memory": 4 * 2**20}))
        channel.deliver("total", "json", b"7", "int", 0)
        channel.result(REPORT, 0)
        with pytest.raises(Gone):
            channel.heartbeat({})
        return said

    orders = Orders(cancel=False, limit_s=3600.0)
    assert await asyncio.to_thread(talk) == [Welcome(1, 5.0, 3600.0), b"[1]", (3, orders), orders]
    done = await service.job(view.id)
    assert (done.state, done.outputs["total"].summary) == (S.SUCCEEDED, "int")
    assert (done.memory, done.metrics) == (5 * 2**20, {"loss": 0.5})


@pytest.mark.asyncio
async def test_a_second_exchange_is_refused_and_reported(service: World, caplog: pytest.LogCaptureFixture) -> None:
    view = await service.submit(request())
    uid = await service.cluster.start_pod(view.id)
    await service.exchange(view.id, uid)
    capability = await service.cluster.capability(view.id)
    with caplog.at_level(logging.WARNING, "aiinfn.runs"):
        answer = await service.runner("POST", view.id, "exchange", capability, json={"pod_uid": uid})
    assert (answer.status_code, "exchanged once" in answer.text) == (409, True)
    assert "second exchange" in caplog.text
    assert capability not in caplog.text


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "uid",
    [
        pytest.param("", id="none"),
        pytest.param("00000000-0000-0000-0000-000000000000", id="invented"),
        pytest.param("\x00", id="no text for a database"),
    ],
)
async def test_a_pod_that_is_not_of_the_job_gets_nothing(service: World, uid: str) -> None:
    view = await service.submit(request())
    capability = await service.cluster.capability(view.id)
    answer = await service.runner("POST", view.id, "exchange", capability, json={"pod_uid": uid})
    assert answer.status_code == 403
    assert (await service.job(view.id)).state is S.QUEUED


@pytest.mark.asyncio
async def test_a_pod_of_another_job_gets_nothing(service: World) -> None:
    mine, other = await service.submit(request()), await service.submit(request(), who="bob")
    uid = await service.cluster.start_pod(other.id)
    capability = await service.cluster.capability(mine.id)
    answer = await service.runner("POST", mine.id, "exchange", capability, json={"pod_uid": uid})
    assert answer.status_code == 403


@pytest.mark.asyncio
async def test_a_pod_that_has_ended_gets_nothing(service: World) -> None:
    view = await service.submit(request())
    uid = await service.cluster.start_pod(view.id)
    await service.cluster.end_pod(view.id, 72)
    await soon(lambda: _phase(service, uid, "Failed"))
    capability = await service.cluster.capability(view.id)
    answer = await service.runner("POST", view.id, "exchange", capability, json={"pod_uid": uid})
    assert answer.status_code == 403


async def _phase(service: World, uid: str, phase: str) -> bool:
    pod = service.follower.pods.items.get(uid)
    return pod is not None and pod.phase == phase


@pytest.mark.asyncio
async def test_a_pod_that_the_watch_has_not_seen_is_looked_up(service: World) -> None:
    await service.follower.pods.close()
    view = await service.submit(request())
    uid = await service.cluster.start_pod(view.id)
    assert uid not in service.follower.pods.items
    assert await service.exchange(view.id, uid)


ROUTES: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "exchange", {"pod_uid": "x"}),
    ("POST", "frames", {"frames": []}),
    ("POST", "heartbeat", {}),
    ("POST", "result", REPORT),
    ("GET", "inputs/" + "0" * 64, {}),
    ("PUT", "outputs/total", {}),
]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"Authorization": "Bearer wrong"}, 403, id="a wrong token"),
        pytest.param({"Authorization": "token alice"}, 401, id="a person's token"),
        pytest.param({"Authorization": "Bearer"}, 401, id="no token"),
        pytest.param({"Authorization": "Bearer \xff"}, 401, id="a token that is no text"),
        pytest.param({"Cookie": "token=right"}, 401, id="a cookie"),
    ],
)
async def test_only_the_runs_own_token_opens_anything(service: World, headers: dict[str, str], status: int) -> None:
    view, _ = await service.running(request(outputs=["total"]))
    sent = {name: value.encode("latin-1") for name, value in headers.items()}
    for method, path, body in ROUTES:
        url = f"{service.runs_url}/runs/{view.id}/{path}"
        answer = await service.http.request(method, url, headers=sent, json=body)
        assert answer.status_code == status, (path, answer.text)
    assert (await service.job(view.id)).state is S.RUNNING


@pytest.mark.asyncio
async def test_a_token_of_another_run_opens_nothing(service: World) -> None:
    mine, _ = await service.running(request())
    _, theirs = await service.running(request(name="other"))
    answer = await service.runner("POST", mine.id, "result", theirs, json=REPORT)
    assert answer.status_code == 403
    assert (await service.job(mine.id)).state is S.RUNNING


@pytest.mark.asyncio
async def test_a_late_first_attempt_cannot_write_over_the_second(service: World) -> None:
    view, first = await service.running(request(outputs=["total"]))
    await put(service, view, first, "total", b"1")
    uid = await service.cluster.start_pod(view.id, number=2)
    second = await service.exchange(view.id, uid)
    for method, path in (("POST", "frames"), ("POST", "heartbeat"), ("POST", "result")):
        body = {"frames": {"frames": [frame(1)]}, "heartbeat": {}, "result": REPORT}[path]
        assert (await service.runner(method, view.id, path, first, json=body)).status_code == 409
    assert (await put(service, view, first, "total", b"late")).status_code == 409
    assert (await put(service, view, second, "total", b"2")).status_code == 201
    assert (await service.runner("POST", view.id, "result", second, json=REPORT)).status_code == 200
    assert (await service.call("GET", f"/jobs/{view.id}/outputs/total")).content == b"2"
    assert (await service.job(view.id)).attempt == 2


@pytest.mark.asyncio
async def test_an_upload_that_outlives_its_attempt_is_not_bound(service: World) -> None:
    view, first = await service.running(request(outputs=["total"]))
    uid = await service.cluster.start_pod(view.id, number=2)
    pause, go = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"1"
        pause.set()
        await go.wait()
        yield b"2"

    headers = {"X-Aiinfn-Codec": "json", "X-Aiinfn-Sha256": hashlib.sha256(b"12").hexdigest()}
    upload = asyncio.create_task(
        service.runner("PUT", view.id, "outputs/total", first, headers=headers, content=slowly())
    )
    await pause.wait()
    await asyncio.sleep(0.1)
    await service.exchange(view.id, uid)
    go.set()
    assert (await upload).status_code == 409
    assert (await service.job(view.id)).outputs == {}


@pytest.mark.asyncio
async def test_after_the_end_everything_is_gone(service: World) -> None:
    view, token = await service.running(request(outputs=["total"]))
    await service.runner("POST", view.id, "result", token, json=REPORT)
    for path, body in (("frames", {"frames": []}), ("heartbeat", {}), ("result", {**REPORT, "state": "failed"})):
        assert (await service.runner("POST", view.id, path, token, json=body)).status_code == 410
    assert (await put(service, view, token, "total", b"late")).status_code == 410
    assert (await service.job(view.id)).state is S.SUCCEEDED


@pytest.mark.asyncio
async def test_a_run_reads_only_what_it_lists(service: World) -> None:
    other = await service.send(b"another value of alice")
    view, token = await service.running(request())
    assert (await service.runner("GET", view.id, f"inputs/{other.sha256}", token)).status_code == 404


@pytest.mark.asyncio
@pytest.mark.parametrize("path", ["inputs/..%2F..%2Fetc", "inputs/" + "0" * 63, "inputs/" + "A" * 64])
async def test_an_input_is_a_hash(service: World, path: str) -> None:
    view, token = await service.running(request())
    assert (await service.runner("GET", view.id, path, token)).status_code == 404


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "headers", "status"),
    [
        pytest.param("other", {}, 400, id="a name that was not declared"),
        pytest.param("..%2F..%2Ftotal", {}, 400, id="a name that is a path"),
        pytest.param("total", {"X-Aiinfn-Codec": "pickle"}, 400, id="a codec that is code"),
        pytest.param("total", {"X-Aiinfn-Sha256": "0" * 64}, 400, id="another hash"),
        pytest.param("total", {"X-Aiinfn-Sha256": "../../x"}, 400, id="a hash that is a path"),
        pytest.param("total", {"X-Aiinfn-Sha256": ""}, 400, id="no hash"),
    ],
)
async def test_a_value_that_was_not_announced_is_refused(
    service: World, name: str, headers: dict[str, str], status: int
) -> None:
    view, token = await service.running(request(outputs=["total"]))
    answer = await put(service, view, token, name, b"7", **headers)
    assert answer.status_code == status, answer.text
    assert (await service.job(view.id)).outputs == {}
    assert not [path for path in service.blobs.root.rglob("*") if path.is_file()]


@pytest.mark.asyncio
async def test_a_refused_upload_is_read_to_its_end_so_that_the_runner_learns_why(service: World) -> None:
    view, token = await service.running(request(outputs=["total"]))
    data = b"x" * 5_000_000

    def deliver() -> None:
        channel = HttpChannel(service.runs_url, view.id)
        channel._token = token
        channel.deliver("other", "json", data, "", 0)

    with pytest.raises(Refused, match="not among the outputs"):
        await asyncio.to_thread(deliver)


@pytest.mark.asyncio
async def test_hostile_output_is_cleaned_on_the_way_in(service: World) -> None:
    view, token = await service.running(request())
    batch = [
        {"seq": 1, "output_type": "display_data", "data": {"application/javascript": "alert(1)", "text/plain": "p"}},
        {"seq": 2, "output_type": "display_data", "data": {"text/html": "<b onclick=alert(1)>x</b><script>y</script>"}},
        {"seq": 3, "output_type": "comm_open", "target_name": "jupyter.widget"},
    ]
    answer = await service.runner("POST", view.id, "frames", token, json={"frames": batch})
    assert answer.json()["next"] == 4
    first, second, third = (await service.frames(view.id)).frames
    assert first["data"] == {"text/plain": "p"}
    assert second["data"] == {"text/html": "<b>x</b>"}
    assert third["output_type"] == "stream"


@pytest.mark.asyncio
async def test_a_large_picture_passes_whatever_the_server_allows_others(service: World) -> None:
    view, token = await service.running(request())
    picture = {"seq": 1, "output_type": "display_data", "data": {"image/png": "A" * 7_000_000}}
    answer = await service.runner("POST", view.id, "frames", token, json={"frames": [picture]})
    assert answer.json()["next"] == 2
    assert len((await service.frames(view.id)).frames[0]["data"]["image/png"]) == 7_000_000


@pytest.mark.asyncio
async def test_too_much_at_once_is_answered_so_that_the_runner_does_not_try_for_ever(service: World) -> None:
    view, token = await service.running(request())

    def send() -> None:
        channel = HttpChannel(service.runs_url, view.id)
        channel._token = token
        channel.frames([frame(1, "x" * (MAX_FRAMES_BODY + 1))], {})

    with pytest.raises(Refused, match="At most 32 MiB"):
        await asyncio.to_thread(send)


@pytest.mark.asyncio
async def test_a_large_value_passes_whatever_the_server_allows_others(service: World) -> None:
    view, token = await service.running(request(outputs=["total"]))
    data = b"x" * 9_000_000
    assert (await put(service, view, token, "total", data)).status_code == 201
    assert (await service.call("GET", f"/jobs/{view.id}/outputs/total")).content == data


@pytest.mark.asyncio
async def test_a_wish_to_cancel_reaches_the_runner_with_each_answer(service: World) -> None:
    view, token = await service.running(request())
    await service.call("POST", f"/jobs/{view.id}/cancel")
    assert (await service.runner("POST", view.id, "heartbeat", token, json={})).json()["cancel"]
    answer = await service.runner("POST", view.id, "frames", token, json={"frames": [frame(1)]})
    assert answer.json() == {"next": 2, "cancel": True, "limit_s": 3600.0}


@pytest.mark.asyncio
async def test_a_runner_that_was_stopped_reports_a_cancelled_job(service: World) -> None:
    view, token = await service.running(request())
    await service.call("POST", f"/jobs/{view.id}/cancel")
    report = {"state": "failed", "exit_code": 143, "verdict": "", "missing": {}}
    assert (await service.runner("POST", view.id, "result", token, json=report)).status_code == 200
    assert (await service.job(view.id)).state is S.CANCELLED


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("frames", b"{", 400),
        ("frames", b"[]", 400),
        ("frames", b'{"frames": [1]}', 400),
        ("frames", b'{"frames": [{"output_type": "stream"}]}', 400),
        ("frames", b"[" * 100_000, 400),
        ("heartbeat", b"x" * 300_000, 413),
        ("result", b'{"state": "running", "exit_code": 0}', 400),
        ("result", b'{"state": "succeeded"}', 400),
        ("result", b'{"state": "succeeded", "exit_code": 0, "cost": 0}', 400),
        ("exchange", b"{}", 400),
    ],
)
async def test_bodies_that_are_none_are_refused(service: World, path: str, body: bytes, status: int) -> None:
    view, token = await service.running(request())
    answer = await service.runner("POST", view.id, path, token, content=body)
    assert answer.status_code == status, answer.text


@pytest.mark.asyncio
async def test_a_run_that_asks_without_end_is_slowed_down(service: World) -> None:
    service.gate.pace.at_once, service.gate.pace.per_second = 5, 0.1
    greedy, token = await service.running(request())
    other, their_token = await service.running(request(name="other"))
    codes = [(await service.runner("POST", greedy.id, "heartbeat", token, json={})).status_code for _ in range(7)]
    assert codes == [200] * 5 + [429] * 2
    assert (await service.runner("POST", other.id, "heartbeat", their_token, json={})).status_code == 200


@pytest.mark.asyncio
async def test_nobody_without_the_token_can_slow_a_run_down(service: World) -> None:
    service.gate.pace.at_once, service.gate.pace.per_second = 5, 0.1
    view, token = await service.running(request())
    for _ in range(7):
        await service.runner("POST", view.id, "heartbeat", "wrong", json={})
    assert (await service.runner("POST", view.id, "heartbeat", token, json={})).status_code == 200


def test_the_pace_is_so_many_a_second() -> None:
    now = [0.0]
    pace = Pace(per_second=2, at_once=3, clock=lambda: now[0])

    def taken() -> int:
        count = 0
        try:
            while True:
                pace.take("run")
                count += 1
        except QuotaExceeded:
            return count

    assert taken() == 3
    now[0] = 1.0
    assert taken() == 2
    now[0] = 100.0
    assert taken() == 3


def test_frames_as_python_writes_them_are_read() -> None:
    body = json.dumps({"frames": [{"seq": 1, "text": "\udc80", "value": float("nan")}]}).encode()
    assert read_frames(body) == ([{"seq": 1, "text": "\udc80", "value": None}], Vitals())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{}",
        b'{"frames": {}}',
        b"\xff",
        b'{"frames": [], "memory": -1}',
        b'{"frames": [], "metrics": {"a b": 1}}',
        b'{"frames": [], "metrics": {"loss": "low"}}',
        b'{"frames": [], "owner": "bob"}',
    ],
)
def test_what_is_no_list_of_frames_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        read_frames(body)


def test_too_many_frames_at_once_are_refused() -> None:
    with pytest.raises(TooLarge):
        read_frames(json.dumps({"frames": [{}] * (MAX_FRAMES + 1)}).encode())


@pytest.mark.asyncio
async def test_what_a_job_measures_does_not_grow_with_its_heartbeats(service: World) -> None:
    view, token = await service.running(request())
    for number in range(3):
        metrics = {f"m{number}_{name}": 1.0 for name in range(20)}
        assert (await service.runner("POST", view.id, "heartbeat", token, json={"metrics": metrics})).status_code == 200
    await service.runner("POST", view.id, "heartbeat", token, json={})
    assert (await service.job(view.id)).metrics == metrics, "the latest that were said"
    many = {f"m{name}": 1.0 for name in range(21)}
    assert (await service.runner("POST", view.id, "heartbeat", token, json={"metrics": many})).status_code == 400
