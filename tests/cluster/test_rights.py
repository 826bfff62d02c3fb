"""Hub and service have the rights that they use, and no other: what they asked against what they were granted."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.controlplane.cluster import Cluster
from support.demo import RunningDemo, Visitor
from support.people_at_work import A30, SESSION, ask, job, long, session, stop, switch

from aiinfn_hub.catalogue import load_platform
from aiinfn_hub.install import rbac
from aiinfn_hub.kube.client import SECRETS, KubeClient

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(400)]
Right = tuple[str, str]
#: Granted for what a journey cannot bring about: whose right, and when it is used.
RARE: dict[tuple[str, Right], str] = {
    (rbac.SERVICE, ("secrets", "update")): "a service that was killed while it submitted a job finds its Secret there",
    (rbac.SERVICE, ("jobs.batch", "get")): "the same: it finds the Job there",
}


def granted(manifests: list[dict[str, Any]], account: str) -> set[Right]:
    """(resource with its group, verb) of every role that is bound to the account."""
    roles = {
        manifest["roleRef"]["name"]
        for manifest in manifests
        if manifest["kind"].endswith("Binding") and any(subject["name"] == account for subject in manifest["subjects"])
    }
    rules = [
        rule
        for manifest in manifests
        if manifest["kind"] in ("Role", "ClusterRole") and manifest["metadata"]["name"] in roles
        for rule in manifest["rules"]
    ]
    return {
        (f"{resource}.{group}".rstrip("."), verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def asked(audit: Path, account: str) -> Iterator[tuple[Right, int]]:
    """(right, HTTP status) of every request of the account."""
    for line in audit.read_text().splitlines():
        event = json.loads(line)
        who = event["user"].get("username", "")  # none where the token was refused
        if who.endswith(f":{account}") and "objectRef" in event:
            about = event["objectRef"]
            resource = "/".join(filter(None, (about["resource"], about.get("subresource"))))
            right = f"{resource}.{about.get('apiGroup', '')}".rstrip("."), event["verb"]
            yield right, event["responseStatus"]["code"]


async def test_every_right_is_used_and_nothing_is_refused(cluster: Cluster, demo: RunningDemo) -> None:
    if cluster.plane is None:
        pytest.skip("only our own API server keeps an audit log for us")
    await everything(demo)
    audit = cluster.plane.audit
    assert audit is not None
    manifests = rbac.objects(load_platform(Path(demo.info["platform_file"])))
    surplus, refused = {}, defaultdict(set)
    for account in (rbac.HUB, rbac.SERVICE):
        used = set()
        for right, status in asked(audit, account):
            used.add(right)
            if status in (401, 403):
                refused[account].add(right)
        rare = {right for owner, right in RARE if owner == account}
        surplus[account] = sorted(granted(manifests, account) - used - rare)
    assert refused == {}
    assert surplus == {rbac.HUB: [], rbac.SERVICE: []}


async def everything(demo: RunningDemo) -> None:
    """All that hub and service ever do with the cluster."""
    await leave_a_secret(demo, "jupyter-scientist-token")
    scientist, kernel = await session(demo, "scientist", flavour="a30")
    await kernel.run("x = [1, 2, 3]")
    quick = "%%offload fit --cpu 1 --mem 512Mi --time 5m --in x --out total --wait\ntotal = sum(x)\n"
    assert (await kernel.run(quick)).status == "ok"
    await kernel.run(long("long"))
    await job(scientist, "long", "running")
    await kernel.run("%offload cancel long")
    await job(scientist, "long", "cancelled")
    pi = Visitor(demo, "pi")
    await pi.login()
    # Out of the queue by the service, out of the queue by the hub, and through the queue into a session.
    for leave in (leave_by_service, leave_by_hub):
        await pi.spawn(A30)
        await leave(pi, await ticket(pi))
        await no_ticket(pi)
    await pi.spawn(A30)
    await ticket(pi)
    await lose_and_regain(demo, pi)
    await stop(scientist)
    await pi.ready(timeout_s=90)
    await stop(pi)


async def lose_and_regain(demo: RunningDemo, visitor: Visitor) -> None:
    """What waits is held while its person is in another group, and goes on afterwards."""
    groups = demo.account(visitor.name)["groups"]
    for change, held in ((["/aiinfn"], True), (groups, False)):
        await switch(demo, account=visitor.name, groups=change)
        await visitor.spawn(SESSION, "other")  # JupyterHub asks the IAM at every start
        seconds = time.monotonic() + 60
        while bool((await ask(visitor, "notices"))["notices"]) is not held:
            assert time.monotonic() < seconds
            await asyncio.sleep(0.5)
    await visitor.ready("other", timeout_s=90)
    await stop(visitor, "other")


async def leave_a_secret(demo: RunningDemo, name: str) -> None:
    """What a pod that ended a moment ago leaves until the garbage collector comes: the hub writes over it."""
    client = await KubeClient.connect(demo.info["kubeconfig"])
    try:
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "Opaque"}
        await client.create(SECRETS, secret, "aiinfn")
    finally:
        await client.close()


async def ticket(visitor: Visitor) -> str:
    """The uid of the person's ticket, once there is one and nobody at the hub waits for it any more."""
    deadline = time.monotonic() + 60
    while True:
        found = (await ask(visitor, "tickets"))["tickets"]
        if found and not (await visitor.api("GET", f"/users/{visitor.name}")).json()["servers"]:
            return str(found[0]["uid"])
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.2)


async def no_ticket(visitor: Visitor) -> None:
    deadline = time.monotonic() + 60
    while (await ask(visitor, "tickets"))["tickets"]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)


async def leave_by_service(visitor: Visitor, uid: str) -> None:
    service = visitor.demo.info["service_url"]
    headers = {"X-XSRFToken": visitor.xsrf("/services/aiinfn/")}
    answer = await visitor.http.delete(f"{service}/api/tickets/{uid}", headers=headers)
    assert answer.status_code in (200, 202, 204), answer.text


async def leave_by_hub(visitor: Visitor, uid: str) -> None:
    headers = {"X-XSRFToken": visitor.xsrf("/hub/"), "Referer": f"{visitor.hub}/hub/home"}
    answer = await visitor.http.delete(f"{visitor.hub}/hub/aiinfn/tickets/{visitor.name}/?uid={uid}", headers=headers)
    assert answer.status_code == 204, answer.text
