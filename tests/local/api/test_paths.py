"""What URL paths name, and what the server tells of itself."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.kubeapi import RunningApi

from aiinfn_hub.local.api.kinds import Resources
from aiinfn_hub.local.api.paths import Target, parse


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/api/v1/pods", Target("", "v1", "pods")),
        ("/api/v1/namespaces", Target("", "v1", "namespaces")),
        ("/api/v1/namespaces/a", Target("", "v1", "namespaces", name="a")),
        ("/api/v1/namespaces/a/status", Target("", "v1", "namespaces", name="a", subresource="status")),
        ("/api/v1/namespaces/a/pods", Target("", "v1", "pods", "a")),
        ("/api/v1/namespaces/a/pods/b", Target("", "v1", "pods", "a", "b")),
        ("/api/v1/namespaces/a/pods/b/log", Target("", "v1", "pods", "a", "b", "log")),
        ("/api/v1/namespaces/a/status/b", Target("", "v1", "status", "a", "b")),
        ("/api/v1/nodes/n/status", Target("", "v1", "nodes", "", "n", "status")),
        ("/apis/batch/v1/namespaces/a/jobs/", Target("batch", "v1", "jobs", "a")),
        ("/apis/x.io/v1/widgets/w/status", Target("x.io", "v1", "widgets", "", "w", "status")),
        ("/api", None),
        ("/api/v1", None),
        ("/apis", None),
        ("/apis/batch", None),
        ("/apis/batch/v1", None),
        ("/", None),
        ("/version", None),
        ("/api/v1/namespaces/a/pods/b/log/c", None),
        ("/api/v1/namespaces//pods", None),
        ("/api/v1/namespaces/a/pods//log", None),
    ],
)
def test_paths(path: str, target: Target | None) -> None:
    assert parse(path) == target


@given(st.lists(st.sampled_from(["api", "apis", "v1", "namespaces", "a", "pods", "status", "", ".."]), max_size=8))
def test_every_path_is_a_target_or_none(parts: list[str]) -> None:
    target = parse("/" + "/".join(parts))
    assert target is None or (target.plural and target.version)


@pytest.mark.parametrize("resource", list(Resources()), ids=lambda r: f"{r.kind.api_version} {r.kind.plural}")
def test_the_client_and_the_server_agree_on_paths(resource: Any) -> None:
    kind = resource.kind
    namespace = "ns" if kind.namespaced else ""
    assert parse(kind.path(namespace, "x", "status")) == Target(
        kind.group, kind.version, kind.plural, namespace, "x", "status"
    )


@pytest.mark.asyncio
async def test_what_is_served_is_told(api: RunningApi) -> None:
    assert (await api.call("GET", "/api")).json["versions"] == ["v1"]
    core = (await api.call("GET", "/api/v1")).json
    names = [resource["name"] for resource in core["resources"]]
    assert names == sorted(names)
    assert {"pods", "pods/log", "pods/binding", "pods/status", "nodes", "secrets"} <= set(names)
    groups = {g["name"] for g in (await api.call("GET", "/apis")).json["groups"]}
    assert {"batch", "coordination.k8s.io", "kueue.x-k8s.io", "apiextensions.k8s.io", "events.k8s.io"} <= groups
    assert (await api.call("GET", "/apis/batch")).json["preferredVersion"]["groupVersion"] == "batch/v1"
    kueue = (await api.call("GET", "/apis/kueue.x-k8s.io")).json
    assert [v["version"] for v in kueue["versions"]] == ["v1beta2", "v1beta1"]


@pytest.mark.asyncio
async def test_every_resource_that_is_told_can_be_listed(api: RunningApi) -> None:
    for group in (await api.call("GET", "/apis")).json["groups"]:
        for version in group["versions"]:
            for resource in (await api.call("GET", f"/apis/{version['groupVersion']}")).json["resources"]:
                if "list" in resource["verbs"]:
                    answer = await api.call("GET", f"/apis/{version['groupVersion']}/{resource['name']}")
                    assert answer.json["kind"] == f"{resource['kind']}List"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "path", ["/apis/nope", "/apis/batch/v9", "/api/v2", "/openapi/v2", "/openapi/v3/apis/nope/v1", "/openapi/v3/apis"]
)
async def test_what_is_not_served_is_not_found(api: RunningApi, path: str) -> None:
    assert (await api.call("GET", path)).status == 404


@pytest.mark.asyncio
@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/livez"])
async def test_it_is_well(api: RunningApi, path: str) -> None:
    answer = await api.call("GET", path)
    assert (answer.status, answer.text) == (200, "ok")


@pytest.mark.asyncio
async def test_the_version_is_one_that_kubectl_reads(api: RunningApi) -> None:
    assert (await api.call("GET", "/version")).json["gitVersion"].startswith("v1.")


@pytest.mark.asyncio
async def test_openapi_names_what_can_be_patched(api: RunningApi) -> None:
    index = (await api.call("GET", "/openapi/v3")).json
    document = (await api.call("GET", index["paths"]["api/v1"]["serverRelativeURL"])).json
    patch = document["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "", "version": "v1", "kind": "Pod"}
    assert (
        "/apis/batch/v1/namespaces/{namespace}/jobs/{name}"
        in (await api.call("GET", "/openapi/v3/apis/batch/v1")).json["paths"]
    )


@pytest.mark.asyncio
async def test_whoever_has_the_token_may_do_everything(api: RunningApi) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    review = {"spec": {"resourceAttributes": {"verb": "delete", "resource": "nodes"}}}
    answer = await api.call("POST", path, review)
    assert (answer.status, answer.json["status"]) == (201, {"allowed": True})
    who = await api.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    assert "system:masters" in who.json["status"]["userInfo"]["groups"]
