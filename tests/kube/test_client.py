"""The client over HTTP: against the embedded API, and against servers that misbehave."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from support.brokenapi import Script, Stream, answer, client_of, failure
from support.kubeapi import RunningApi
from support.kubefake import a_pod

from aiinfn_hub.errors import (
    AiinfnError,
    Conflict,
    Expired,
    Forbidden,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    RemoteFailed,
    TooLarge,
    Unavailable,
)
from aiinfn_hub.kube.client import CONFIGMAPS, JOBS, NODES, PODS, WORKLOADS, Kind, KubeClient
from aiinfn_hub.kube.failures import error_of


def a_map(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default"}, "data": data}


@pytest.mark.parametrize(
    ("kind", "arguments", "path"),
    [
        pytest.param(PODS, (), "/api/v1/pods", id="all namespaces"),
        pytest.param(PODS, ("a",), "/api/v1/namespaces/a/pods", id="one namespace"),
        pytest.param(PODS, ("a", "b"), "/api/v1/namespaces/a/pods/b", id="one object"),
        pytest.param(PODS, ("a", "b", "log"), "/api/v1/namespaces/a/pods/b/log", id="a subresource"),
        pytest.param(JOBS, ("a", "b"), "/apis/batch/v1/namespaces/a/jobs/b", id="a group"),
        pytest.param(NODES, (None, "n"), "/api/v1/nodes/n", id="without namespaces"),
        pytest.param(NODES, ("a", "n"), "/api/v1/nodes/n", id="a namespace that does not apply"),
        pytest.param(WORKLOADS, ("a",), "/apis/kueue.x-k8s.io/v1beta2/namespaces/a/workloads", id="Kueue"),
        pytest.param(PODS, ("a", "../x?y"), "/api/v1/namespaces/a/pods/..%2Fx%3Fy", id="a name cannot leave its place"),
    ],
)
def test_paths(kind: Kind, arguments: tuple[Any, ...], path: str) -> None:
    assert kind.path(*arguments) == path


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, InvalidInput),
        (401, NotAuthenticated),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (410, Expired),
        (413, TooLarge),
        (415, RemoteFailed),
        (422, InvalidInput),
        (429, Unavailable),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
def test_each_status_has_its_error(status: int, error: type[AiinfnError]) -> None:
    found = error_of(status, b'{"reason": "Because", "message": "pods \\"x\\" is bad"}', "GET /x")
    assert type(found) is error
    assert found.message == 'GET /x: pods "x" is bad'
    assert found.details == {"reason": "Because", "status": status}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param(b"<html>bad gateway</html>", "<html>bad gateway</html>", id="a page of a proxy"),
        pytest.param(b"", "the Kubernetes API answered 502", id="nothing"),
        pytest.param(b"\xff\xfe", "��", id="no text"),
        pytest.param(b'{"message": 3}', '{"message": 3}', id="no Status"),
    ],
)
def test_any_body_makes_an_error(body: bytes, said: str) -> None:
    assert error_of(502, body, "GET /x").message == f"GET /x: {said}"


@pytest.mark.asyncio
async def test_an_object_is_created_read_changed_replaced_and_deleted(client: KubeClient) -> None:
    made = await client.create(CONFIGMAPS, a_map("m", a="1"))
    assert (await client.get(CONFIGMAPS, "m", "default"))["metadata"]["uid"] == made["metadata"]["uid"]
    changed = await client.patch(CONFIGMAPS, "m", {"data": {"b": "2"}}, "default")
    assert changed["data"] == {"a": "1", "b": "2"}
    changed["data"] = {"c": "3"}
    assert (await client.replace(CONFIGMAPS, changed))["data"] == {"c": "3"}
    await client.delete(CONFIGMAPS, "m", "default")
    with pytest.raises(NotFound) as error:
        await client.get(CONFIGMAPS, "m", "default")
    assert error.value.details == {"reason": "NotFound", "status": 404}
    assert 'configmaps "m" not found' in str(error.value)


@pytest.mark.asyncio
async def test_patches_of_all_three_kinds(client: KubeClient) -> None:
    await client.create(PODS, a_pod("p"))
    image = {"spec": {"containers": [{"name": "main", "image": "other:2"}]}}
    changed = await client.patch(PODS, "p", image, "default", strategy="strategic")
    assert changed["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "1"
    label = [{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]
    assert (await client.patch(PODS, "p", label, "default", strategy="json"))["metadata"]["labels"] == {"a": "b"}
    status = await client.patch(PODS, "p", {"status": {"phase": "Running"}}, "default", subresource="status")
    assert status["status"]["phase"] == "Running"


@pytest.mark.asyncio
async def test_conflicts_say_which_of_both_they_are(client: KubeClient) -> None:
    made = await client.create(CONFIGMAPS, a_map("m"))
    with pytest.raises(Conflict) as again:
        await client.create(CONFIGMAPS, a_map("m"))
    assert again.value.details["reason"] == "AlreadyExists"
    await client.patch(CONFIGMAPS, "m", {"data": {"a": "1"}}, "default")
    with pytest.raises(Conflict) as stale:
        await client.replace(CONFIGMAPS, made)
    assert stale.value.details["reason"] == "Conflict"
    with pytest.raises(Conflict):
        await client.delete(CONFIGMAPS, "m", "default", uid="of another")


@pytest.mark.asyncio
async def test_a_long_list_comes_in_pages_and_whole(client: KubeClient) -> None:
    for number in range(7):
        await client.create(CONFIGMAPS, a_map(f"m{number}", n=str(number)))
    items, version = await client.list(CONFIGMAPS, "default", limit=3)
    assert {f"m{number}" for number in range(7)} <= {item["metadata"]["name"] for item in items}
    assert int(version) > 0


@pytest.mark.asyncio
async def test_a_list_without_a_limit_is_what_the_api_server_has_in_memory() -> None:
    script = Script(answer(200, {"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"name": "m"}}]}))
    async with client_of(script) as client:
        assert await client.list(CONFIGMAPS, "default", labels="a=b", limit=0) == ([{"metadata": {"name": "m"}}], "7")
    assert script.seen == ["GET /api/v1/namespaces/default/configmaps?labelSelector=a%3Db&resourceVersion=0"]


@pytest.mark.asyncio
async def test_lists_are_narrowed_by_labels_and_fields(client: KubeClient) -> None:
    for name in ("a", "b"):
        await client.create(PODS, a_pod(name, meta={"namespace": "default", "labels": {"app": name}}))
    by_label, _ = await client.list(PODS, labels="app in (a)")
    by_field, _ = await client.list(PODS, fields="metadata.name=b")
    assert [p["metadata"]["name"] for p in (*by_label, *by_field)] == ["a", "b"]


@pytest.mark.asyncio
async def test_a_watch_tells_what_happened_since_a_list(client: KubeClient) -> None:
    _, version = await client.list(CONFIGMAPS, "default")
    seen: list[tuple[str, str]] = []

    async def follow() -> None:
        async for event, text in client.watch(CONFIGMAPS, "default", resource_version=version):
            if event != "BOOKMARK":
                seen.append((event, msgspec.json.decode(text)["metadata"]["name"]))
            if len(seen) == 3:
                return

    following = asyncio.create_task(follow())
    await client.create(CONFIGMAPS, a_map("m"))
    await client.patch(CONFIGMAPS, "m", {"data": {"a": "1"}}, "default")
    await client.delete(CONFIGMAPS, "m", "default")
    await asyncio.wait_for(following, 5)
    assert seen == [("ADDED", "m"), ("MODIFIED", "m"), ("DELETED", "m")]


@pytest.mark.asyncio
async def test_logs_come_whole_or_from_the_end(client: KubeClient, api: RunningApi) -> None:
    made = await client.create(PODS, a_pod("p", nodeName="n"))
    log = api.logs_root / made["metadata"]["uid"] / "logs" / "main.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"one\ntwo\nthree\n")
    running = {"name": "main", "image": "i", "imageID": "", "restartCount": 0, "ready": True, "state": {"running": {}}}
    status = {"status": {"phase": "Running", "containerStatuses": [running]}}
    await client.patch(PODS, "p", status, "default", subresource="status")
    assert b"".join([part async for part in client.logs("p", "default")]) == b"one\ntwo\nthree\n"
    assert b"".join([part async for part in client.logs("p", "default", tail=1)]) == b"three\n"


@pytest.mark.asyncio
async def test_a_wrong_token_is_not_authenticated(api: RunningApi, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_text(api.kubeconfig.read_text().replace(api.token, "wrong"))
    client = await KubeClient.connect(bad)
    try:
        with pytest.raises(NotAuthenticated):
            await client.list(PODS)
    finally:
        await client.close()


@pytest.mark.asyncio
async def test_the_kubeconfig_comes_from_the_environment(api: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig))
    client = await KubeClient.connect()
    try:
        assert await client.list(PODS)
    finally:
        await client.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("file", ["nowhere", "broken"])
async def test_without_a_usable_configuration_the_error_says_what_to_do(tmp_path: Path, file: str) -> None:
    (tmp_path / "broken").write_text("- not\n- a kubeconfig\n")
    with pytest.raises(Unavailable) as error:
        await KubeClient.connect(tmp_path / file)
    assert "KUBECONFIG" in error.value.hint


@pytest.mark.asyncio
async def test_outside_of_a_cluster_without_kubeconfig_there_is_no_way(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(Unavailable):
        await KubeClient.connect()


@pytest.mark.asyncio
async def test_no_server_is_unavailable() -> None:
    async with client_of(Script(answer(200, {}))) as client:
        client._api.configuration.host = "http://127.0.0.1:9"
        with pytest.raises(Unavailable, match="does not answer GET /api/v1/pods"):
            await client.list(PODS)


async def _slow(request: web.Request) -> web.Response:
    await asyncio.sleep(10)
    return answer(200)


@pytest.mark.asyncio
async def test_a_slow_server_is_unavailable() -> None:
    async with client_of(Script(_slow), request_s=0.2) as client:
        with pytest.raises(Unavailable):
            await client.get(PODS, "p", "default")


@pytest.mark.asyncio
async def test_an_answer_that_is_no_json_is_unavailable() -> None:
    async with client_of(Script(answer(200, "<html>"))) as client:
        with pytest.raises(Unavailable):
            await client.list(PODS)


@pytest.mark.asyncio
async def test_a_list_that_expires_between_its_pages_says_so() -> None:
    first = answer(200, {"metadata": {"resourceVersion": "5", "continue": "abc"}, "items": []})
    script = Script(first, failure(410, "Expired"))
    async with client_of(script) as client:
        with pytest.raises(Expired):
            await client.list(PODS)
    assert "continue=abc" in script.seen[1]


@pytest.mark.asyncio
async def test_an_error_within_a_watch_is_raised() -> None:
    gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}
    async with client_of(Script(Stream(gone))) as client:
        with pytest.raises(Expired, match="too old"):
            async for _ in client.watch(PODS, resource_version="1"):
                pass


@pytest.mark.asyncio
async def test_a_watch_that_breaks_is_unavailable_and_one_that_ends_just_ends() -> None:
    event = {"type": "ADDED", "object": {"metadata": {"name": "p"}}}
    async with client_of(Script(Stream(event), Stream(event, then="break"))) as client:
        seen = [event async for event, _ in client.watch(PODS, resource_version="1")]
        assert seen == ["ADDED"]
        with pytest.raises(Unavailable):
            async for _ in client.watch(PODS, resource_version="1"):
                pass


@pytest.mark.asyncio
async def test_deletion_passes_grace_propagation_and_uid_on() -> None:
    bodies: list[Any] = []

    async def note(request: web.Request) -> web.Response:
        bodies.append(await request.json())
        return answer(200, {"kind": "Status"})

    async with client_of(Script(note)) as client:
        await client.delete(PODS, "p", "default", grace_s=0, uid="u", propagation="Foreground")
    assert bodies[0]["gracePeriodSeconds"] == 0
    assert bodies[0]["preconditions"] == {"uid": "u"}
    assert bodies[0]["propagationPolicy"] == "Foreground"
