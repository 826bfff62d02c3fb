"""Hub and service have the rights that they use, and no other: what they asked against what they were granted."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.controlplane.cluster import Cluster
from support.demo import RunningDemo, Visitor
from support.people_at_work import A30, job, long, session, stop

from aiinfn_hub.catalogue import load_platform
from aiinfn_hub.install import rbac

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(400)]
#: Granted for what a journey cannot bring about: the right, and when it is used.
RARE: dict[tuple[str, str], str] = {}
Right = tuple[str, str]


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
        if event["user"]["username"].endswith(f":{account}") and "objectRef" in event:
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
        surplus[account] = sorted(granted(manifests, account) - used - RARE.keys())
    assert refused == {}
    assert surplus == {rbac.HUB: [], rbac.SERVICE: []}


async def everything(demo: RunningDemo) -> None:
    """All that hub and service ever do with the cluster."""
    scientist, kernel = await session(demo, "scientist", flavour="a30")
    await kernel.run("x = [1, 2, 3]")
    quick = "%%offload fit --cpu 1 --mem 512Mi --time 5m --in x --out total --wait\ntotal = sum(x)\n"
    assert (await kernel.run(quick)).status == "ok"
    await kernel.run(long("long"))
    await job(scientist, "long", "running")
    # A service that is killed between two steps of a submission finds its objects there: it replaces the Secret.
    await kernel.run("%offload cancel long")
    await job(scientist, "long", "cancelled")
    pi = Visitor(demo, "pi")
    await pi.login()
    await pi.spawn(A30)
    await stop(scientist)
    await pi.ready(timeout_s=90)
    # The pod of an earlier start is in the way of the next one: the hub did not see it go.
    for pid in demo.children("jupyterhub -f"):
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while (await pi.http.get(f"{pi.hub}/hub/health")).status_code != 200:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)
    await pi.ready(timeout_s=90)
    await stop(pi)
