"""Logs: whole, tail, limit, follow until the container has ended, and the refusals of a kubelet."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.kubeapi import RunningApi, pod

from aiinfn_hub.kube.client import PODS, KubeClient
from aiinfn_hub.local.api.logs import tail_offset

PATH = "/api/v1/namespaces/default/pods/a/log"


def state(name: str = "main", **state: Any) -> dict[str, Any]:
    return {"status": {"containerStatuses": [{"name": name, "state": state}]}}


async def running_pod(api: RunningApi, client: KubeClient, **spec: Any) -> Path:
    """A pod `a` that runs; returns the folder of its logs."""
    made = await client.create(PODS, pod("a", nodeName="n", **spec), "default")
    await set_state(client, running={"startedAt": "2026-01-01T00:00:00Z"})
    folder = api.logs_root / made["metadata"]["uid"] / "logs"
    folder.mkdir(parents=True)
    return folder


async def set_state(client: KubeClient, **given: Any) -> None:
    await client.patch(PODS, "a", state(**given), "default", subresource="status")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("query", "text"),
    [
        pytest.param("", "one\ntwo\nthree\n", id="all of it"),
        pytest.param("?tailLines=2", "two\nthree\n", id="the last lines"),
        pytest.param("?tailLines=9", "one\ntwo\nthree\n", id="more lines than there are"),
        pytest.param("?tailLines=0", "", id="no lines"),
        pytest.param("?limitBytes=5", "one\nt", id="some bytes"),
        pytest.param("?tailLines=1&limitBytes=3", "thr", id="some bytes of the last line"),
        pytest.param("?container=main", "one\ntwo\nthree\n", id="by name"),
        pytest.param("?follow=false", "one\ntwo\nthree\n", id="not followed"),
    ],
)
async def test_what_a_container_wrote(api: RunningApi, client: KubeClient, query: str, text: str) -> None:
    folder = await running_pod(api, client)
    (folder / "main.log").write_text("one\ntwo\nthree\n")
    answer = await api.call("GET", PATH + query)
    assert (answer.status, answer.text) == (200, text)


@pytest.mark.asyncio
async def test_a_followed_log_ends_with_its_container_and_misses_nothing(api: RunningApi, client: KubeClient) -> None:
    folder = await running_pod(api, client)
    with (folder / "main.log").open("a") as file:

        async def write() -> None:
            for number in range(5):
                file.write(f"line {number}\n")
                file.flush()
                await asyncio.sleep(0.05)
            file.write("last words")
            file.flush()
            await set_state(client, terminated={"exitCode": 0})

        writing = asyncio.create_task(write())
        pieces = [piece async for piece in client.logs("a", "default", follow=True)]
        await writing
    assert b"".join(pieces) == b"".join(b"line %d\n" % n for n in range(5)) + b"last words"
    assert len(pieces) > 1, "it came while it was written"


@pytest.mark.asyncio
async def test_a_followed_log_of_a_finished_container_ends_at_once(api: RunningApi, client: KubeClient) -> None:
    folder = await running_pod(api, client)
    (folder / "main.log").write_text("done\n")
    await set_state(client, terminated={"exitCode": 1})
    async with asyncio.timeout(2):
        assert [piece async for piece in client.logs("a", "default", follow=True, tail=5)] == [b"done\n"]


@pytest.mark.asyncio
async def test_a_followed_log_ends_when_its_pod_is_deleted(api: RunningApi, client: KubeClient) -> None:
    folder = await running_pod(api, client)
    (folder / "main.log").write_text("x\n")
    stream = client.logs("a", "default", follow=True)
    assert await anext(stream) == b"x\n"
    await client.delete(PODS, "a", "default", grace_s=0)
    async with asyncio.timeout(2):
        assert [piece async for piece in stream] == []


@pytest.mark.asyncio
async def test_stopping_the_server_ends_followed_logs(api: RunningApi, client: KubeClient) -> None:
    folder = await running_pod(api, client)
    (folder / "main.log").write_text("x\n")
    stream = client.logs("a", "default", follow=True)
    assert await anext(stream) == b"x\n"
    async with asyncio.timeout(3):
        await api.server.stop()
        assert [piece async for piece in stream] == []


@pytest.mark.asyncio
async def test_which_container_has_to_be_said_when_there_are_several(api: RunningApi, client: KubeClient) -> None:
    containers = [{"name": "main", "image": "i"}, {"name": "side", "image": "i"}]
    folder = await running_pod(api, client, containers=containers, initContainers=[{"name": "init", "image": "i"}])
    (folder / "init.log").write_text("prepared\n")
    answer = await api.call("GET", PATH)
    assert answer.status == 400
    assert answer.json["message"] == (
        "a container name must be specified for pod a, choose one of: [main side] or one of the init containers: [init]"
    )
    assert (await api.call("GET", f"{PATH}?container=init")).text == "prepared\n"
    wrong = await api.call("GET", f"{PATH}?container=..%2F..%2Fsecret")
    assert (wrong.status, wrong.json["message"]) == (400, "container ../../secret is not valid for pod a")


@pytest.mark.asyncio
async def test_a_container_that_waits_has_no_log(api: RunningApi, client: KubeClient) -> None:
    await running_pod(api, client)
    await set_state(client, running=None, waiting={"reason": "ImagePullBackOff"})
    answer = await api.call("GET", PATH)
    assert answer.status == 400
    assert answer.json["message"] == 'container "main" in pod "a" is waiting to start: ImagePullBackOff'


@pytest.mark.asyncio
async def test_a_pod_without_a_node_has_an_empty_log(api: RunningApi, client: KubeClient) -> None:
    await client.create(PODS, pod("a"), "default")
    answer = await api.call("GET", PATH)
    assert (answer.status, answer.text) == (204, "")


@pytest.mark.asyncio
async def test_no_pod_has_no_log(api: RunningApi) -> None:
    answer = await api.call("GET", PATH)
    assert (answer.status, answer.json["message"]) == (404, 'pods "a" not found')


@pytest.mark.asyncio
@pytest.mark.parametrize("query", ["timestamps=true", "sinceSeconds=5", "previous=true", "tailLines=x"])
async def test_what_is_not_served_is_refused_and_not_ignored(api: RunningApi, client: KubeClient, query: str) -> None:
    folder = await running_pod(api, client)
    (folder / "main.log").write_text("x\n")
    assert (await api.call("GET", f"{PATH}?{query}")).status == 400


@given(st.lists(st.text("ab\x00é", max_size=5), max_size=8), st.integers(0, 10), st.sampled_from([b"", b"\n"]))
def test_the_tail_is_the_last_lines_of_the_file(lines: list[str], count: int, end: bytes) -> None:
    data = "\n".join(lines).encode() + (end if lines else b"")
    expected = b"".join(data.splitlines(keepends=True)[-count:] if count else [])
    assert data[tail_offset(io.BytesIO(data), count) :] == expected


def test_the_tail_of_a_long_file_is_found_across_blocks() -> None:
    data = b"".join(b"%07d %s\n" % (number, b"x" * 1000) for number in range(500))
    assert data[tail_offset(io.BytesIO(data), 200) :] == b"".join(data.splitlines(keepends=True)[-200:])
