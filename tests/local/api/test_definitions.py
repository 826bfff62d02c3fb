"""CustomResourceDefinitions: what is defined is served, in each version, until the definition goes."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest
from support.kubeapi import RunningApi

from aiinfn_hub.kube.client import Kind, KubeClient
from aiinfn_hub.local.api import jsonpath

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = Kind("x.io", "v1", "Widget", "widgets")
PATH = "/apis/x.io/v1/namespaces/default/widgets"
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}


def definition(scope: str = "Namespaced", *, status: bool = True, **version: Any) -> dict[str, Any]:
    newer = {"name": "v1", "served": True, "storage": True, **version}
    if status:
        newer["subresources"] = {"status": {}}
    return {
        "metadata": {"name": "widgets.x.io"},
        "spec": {
            "group": "x.io",
            "scope": scope,
            "names": {"kind": "Widget", "plural": "widgets", "shortNames": ["wd"]},
            "versions": [newer, {"name": "v1alpha1", "served": True, "storage": False}],
        },
    }


@pytest.mark.asyncio
async def test_a_definition_is_established_and_served_at_once(api: RunningApi, client: KubeClient) -> None:
    assert (await api.call("GET", PATH)).status == 404
    made = await api.call("POST", DEFINITIONS, definition())
    conditions = {c["type"]: c["status"] for c in made.json["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}
    assert made.json["spec"]["names"]["listKind"] == "WidgetList"
    widget = await client.create(WIDGETS, {"metadata": {"name": "w"}, "spec": {"size": 3}}, "default")
    assert (widget["kind"], widget["apiVersion"], widget["metadata"]["generation"]) == ("Widget", "x.io/v1", 1)
    assert (await client.list(WIDGETS, "default"))[0] == [widget]
    resources = (await api.call("GET", "/apis/x.io/v1")).json["resources"]
    assert [(r["name"], r.get("shortNames")) for r in resources] == [("widgets", ["wd"]), ("widgets/status", None)]
    groups = (await api.call("GET", "/apis")).json["groups"]
    group = next(g for g in groups if g["name"] == "x.io")
    assert [v["version"] for v in group["versions"]] == ["v1", "v1alpha1"]
    assert group["preferredVersion"]["version"] == "v1"


@pytest.mark.asyncio
async def test_every_served_version_shows_the_same_objects(api: RunningApi, client: KubeClient) -> None:
    await api.call("POST", DEFINITIONS, definition())
    old = Kind("x.io", "v1alpha1", "Widget", "widgets")
    made = await client.create(old, {"metadata": {"name": "w"}}, "default")
    assert made["apiVersion"] == "x.io/v1alpha1"
    assert (await client.get(WIDGETS, "w", "default"))["apiVersion"] == "x.io/v1"


@pytest.mark.asyncio
async def test_status_is_apart_only_if_the_definition_says_so(api: RunningApi, client: KubeClient) -> None:
    await api.call("POST", DEFINITIONS, definition(status=False))
    made = await client.create(WIDGETS, {"metadata": {"name": "w"}, "status": {"ready": True}}, "default")
    assert made["status"] == {"ready": True}
    changed = await client.patch(WIDGETS, "w", {"status": {"ready": False}}, "default")
    assert changed["status"] == {"ready": False}
    assert changed["metadata"]["generation"] == 2
    assert (await api.call("GET", f"{PATH}/w/status")).status == 404


@pytest.mark.asyncio
async def test_a_cluster_wide_kind_has_no_namespace(api: RunningApi) -> None:
    await api.call("POST", DEFINITIONS, definition("Cluster"))
    made = await api.call("POST", "/apis/x.io/v1/widgets", {"metadata": {"name": "w"}})
    assert (made.status, "namespace" in made.json["metadata"]) == (201, False)
    assert (await api.call("GET", "/apis/x.io/v1/widgets/w")).status == 200


@pytest.mark.asyncio
async def test_a_definition_takes_its_objects_with_it(api: RunningApi, client: KubeClient) -> None:
    await api.call("POST", DEFINITIONS, definition())
    await client.create(WIDGETS, {"metadata": {"name": "w"}}, "default")
    await client.create(WIDGETS, {"metadata": {"name": "held", "finalizers": ["x.io/hold"]}}, "default")
    gone = await api.call("DELETE", f"{DEFINITIONS}/widgets.x.io")
    assert gone.json["metadata"]["deletionTimestamp"]
    async with asyncio.timeout(5):
        while len((await client.list(WIDGETS, "default"))[0]) > 1:
            await asyncio.sleep(0.01)
        await client.patch(WIDGETS, "held", {"metadata": {"finalizers": None}}, "default")
        while (await api.call("GET", f"{DEFINITIONS}/widgets.x.io")).status != 404:
            await asyncio.sleep(0.01)
    assert (await api.call("GET", PATH)).status == 404


@pytest.mark.asyncio
async def test_an_update_can_serve_another_version(api: RunningApi) -> None:
    made = (await api.call("POST", DEFINITIONS, definition())).json
    made["spec"]["versions"].append({"name": "v2", "served": True, "storage": False})
    made["spec"]["versions"][1]["served"] = False
    await api.call("PUT", f"{DEFINITIONS}/widgets.x.io", made)
    assert (await api.call("GET", "/apis/x.io/v2/widgets")).status == 200
    assert (await api.call("GET", "/apis/x.io/v1alpha1/widgets")).status == 404


def edited(**changes: Any) -> dict[str, Any]:
    body = copy.deepcopy(definition())
    body["spec"] |= changes
    return body


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (edited(group="y.io"), 'must be spec.names.plural+"."+spec.group'),
        (edited(scope="Everywhere"), 'spec.scope: Unsupported value: "Everywhere"'),
        (edited(versions=[]), "must have exactly one version marked as storage version"),
        (edited(versions=[{"served": True, "storage": True}]), "spec.versions[].name: Required value"),
        (edited(names={"plural": "widgets"}), "spec.names.kind: Required value"),
    ],
    ids=["group", "scope", "versions", "version name", "kind"],
)
async def test_a_definition_that_cannot_be_served_is_refused(
    api: RunningApi, body: dict[str, Any], problem: str
) -> None:
    answer = await api.call("POST", DEFINITIONS, body)
    assert answer.status == 422
    assert problem in answer.json["message"]


@pytest.mark.asyncio
async def test_a_definition_may_stand_in_front_of_a_builtin_kind_and_gives_it_back(api: RunningApi) -> None:
    queues = definition("Cluster")
    queues["metadata"]["name"] = "cohorts.kueue.x-k8s.io"
    names = {"kind": "Cohort", "plural": "cohorts"}
    version = {"name": "v7", "served": True, "storage": True}
    queues["spec"] |= {"group": "kueue.x-k8s.io", "names": names, "versions": [version]}
    await api.call("POST", DEFINITIONS, queues)
    assert (await api.call("GET", "/apis/kueue.x-k8s.io/v7/cohorts")).status == 200
    assert (await api.call("GET", "/apis/kueue.x-k8s.io/v1beta2/cohorts")).status == 404
    await api.call("DELETE", f"{DEFINITIONS}/cohorts.kueue.x-k8s.io")
    async with asyncio.timeout(5):
        while (await api.call("GET", "/apis/kueue.x-k8s.io/v1beta2/cohorts")).status != 200:
            await asyncio.sleep(0.01)


@pytest.mark.asyncio
async def test_names_and_scope_of_a_definition_are_fixed(api: RunningApi) -> None:
    await api.call("POST", DEFINITIONS, definition())
    patch = {"spec": {"scope": "Cluster"}}
    answer = await api.call("PATCH", f"{DEFINITIONS}/widgets.x.io", patch, content_type="application/merge-patch+json")
    assert (answer.status, "field is immutable" in answer.json["message"]) == (422, True)


@pytest.mark.asyncio
async def test_printer_columns_become_a_table(api: RunningApi, client: KubeClient) -> None:
    columns = [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status', "priority": 1},
        {"name": "Born", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    await api.call("POST", DEFINITIONS, definition(additionalPrinterColumns=columns))
    await client.create(WIDGETS, {"metadata": {"name": "w"}, "spec": {"size": 3}}, "default")
    status = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    await client.patch(WIDGETS, "w", status, "default", subresource="status")
    table = (await api.call("GET", PATH, headers=TABLE)).json
    assert [(c["name"], c["priority"]) for c in table["columnDefinitions"]] == [
        ("Name", 0), ("Size", 0), ("Ready", 1), ("Born", 0),
    ]  # fmt: skip
    cells = table["rows"][0]["cells"]
    assert cells[:3] == ["w", 3, "True"]
    assert cells[3].endswith("s")


OBJ = {"a": {"b.c": 1, "d": [{"n": "x", "v": 5}, {"n": "y", "v": 6}], "e": [7, 8]}}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (".a.e[0]", 7),
        (".a.e[-1]", 8),
        (".a.e[5]", None),
        ('.a.d[?(@.n=="y")].v', 6),
        ('.a.d[?(@.n=="z")].v', None),
        (".a['b.c']", 1),
        (r".a.b\.c", 1),
        (".a.x.y", None),
        (".a.e.x", None),
    ],
)
def test_paths_of_printer_columns(path: str, value: Any) -> None:
    assert jsonpath.find(OBJ, path) == value
