"""The second wall where people have POSIX users: who runs, and what alone may see the folder of all homes.

A real API server, nothing else; every manifest is sent as a dry run.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import pytest
from kubespawner.clients import load_config
from support.controlplane.cluster import running_cluster
from support.hubfakes import FakeUser, in_groups, make_spawner, manifest_of, write_platform
from support.offload import order
from support.small_platform import POSIX, small_platform

from aiinfn_hub.identity.uids import Uids
from aiinfn_hub.install import policies
from aiinfn_hub.kube.apply import apply
from aiinfn_hub.kube.client import KubeClient
from aiinfn_hub.offload.manifest import job_manifest

Object = dict[str, Any]
PLATFORM = small_platform(posix=POSIX)
PODS = f"/api/v1/namespaces/{PLATFORM.namespace}/pods"
JOBS = f"/apis/batch/v1/namespaces/{PLATFORM.namespace}/jobs"


async def _session(folder: Path) -> Object:
    write_platform(folder / "platform.yaml", posix=POSIX)
    spawner = make_spawner(folder, user=FakeUser(groups=in_groups("/aiinfn", "/aiinfn/lhcb")))
    spawner.authenticator = SimpleNamespace(uids=Uids(folder / "bindings.sqlite"))
    return dict(await manifest_of(spawner))


async def _applied(kubeconfig: Path) -> None:
    client = await KubeClient.connect(kubeconfig)
    try:
        wanted = [deepcopy(one) for one in policies.objects(PLATFORM)]
        for one in wanted:
            if one["kind"] == "Namespace":  # the policies alone, without the Pod Security Standard
                one["metadata"]["labels"] = {}
        await apply(client, wanted)
    finally:
        await client.close()


def _job() -> Object:
    good = order()
    plan = msgspec.structs.replace(good.plan, activity="lhcb", queue="lhcb-batch", image=PLATFORM.images[0].ref)
    return job_manifest(PLATFORM, replace(good, plan=plan, uid=PLATFORM.posix.first_uid))  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def send(
    controlplane: None, session: Object, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Object], httpx.Response]]:
    with running_cluster(tmp_path_factory.mktemp("posix"), with_kueue=False) as cluster:
        plane = cluster.ours
        asyncio.run(_applied(cluster.kubeconfig))
        tls = ssl.create_default_context(cadata=plane.authority.pem.decode())
        headers = {"Authorization": f"Bearer {plane.tokens['admin']}"}
        with httpx.Client(base_url=plane.url, verify=tls, headers=headers, timeout=30) as http:

            def sent(manifest: Object) -> httpx.Response:
                path = JOBS if manifest["kind"] == "Job" else PODS
                return http.post(path, json=manifest, params={"dryRun": "All"})

            _until_they_stand(sent, session, _job())
            yield sent


def _until_they_stand(sent: Callable[[Object], httpx.Response], *good: Object) -> None:
    """Policies are compiled seconds after they are made, and nothing says when: each is tried until it refuses."""
    ends = time.monotonic() + 60
    for manifest in map(deepcopy, good):
        spec = manifest["spec"]["template"]["spec"] if manifest["kind"] == "Job" else manifest["spec"]
        spec["securityContext"]["runAsUser"] = 0
        while sent(manifest).status_code != 403:
            assert time.monotonic() < ends, "the policies do not take effect"
            time.sleep(0.2)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory, controlplane: None) -> Object:
    folder = tmp_path_factory.mktemp("session")
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(
        "{apiVersion: v1, kind: Config, current-context: x, clusters: [{name: x, cluster: {server: 'http://127.0.0.1:1'}}],"
        " users: [{name: x, user: {}}], contexts: [{name: x, context: {cluster: x, user: x}}]}"
    )
    load_config.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kubernetes_asyncio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))
        manifest = asyncio.run(_session(folder))
    load_config.cache_clear()
    manifest["metadata"]["namespace"] = PLATFORM.namespace
    return {"apiVersion": "v1", "kind": "Pod", **manifest}


def test_a_session_and_a_job_pass(send: Callable[[Object], httpx.Response], session: Object) -> None:
    for manifest in (session, _job()):
        answer = send(manifest)
        assert answer.status_code == 201, answer.text


Change = Callable[[Object], None]


def pod(**fields: Any) -> Change:
    return lambda spec: spec["securityContext"].update(fields)


def maker(index: int, **fields: Any) -> Change:
    return lambda spec: spec["initContainers"][index].update(fields)


def main_sees_all_homes(spec: Object) -> None:
    spec["containers"][0]["volumeMounts"].append({"name": "volume-home", "mountPath": "/all", "subPath": "home"})


def one_more(**fields: Any) -> Change:
    """A copy of the maker, under its name as a main container, or with other fields."""
    return lambda spec: spec["containers"].append(deepcopy(spec["initContainers"][0]) | fields)


def keeper_for_the_home(spec: Object) -> None:
    spec["initContainers"][0]["securityContext"]["runAsUser"] = 1001


def keeper_for_the_main_container(spec: Object) -> None:
    spec["containers"][0].setdefault("securityContext", {})["runAsUser"] = 1001


def another_mount(spec: Object) -> None:
    spec["initContainers"][0]["volumeMounts"][0]["mountPath"] = "/lib"


ATTACKS = [
    pytest.param(pod(runAsUser=1000), "POSIX user of the person: runAsUser", id="as the user of the images"),
    pytest.param(pod(runAsUser=1001), "POSIX user of the person: runAsUser", id="as the keeper of the shares"),
    pytest.param(
        pod(runAsUser=1_000_000), "POSIX user of the person: runAsUser", id="as a number outside of the range"
    ),
    pytest.param(keeper_for_the_main_container, "runAsUser of a container", id="a container as the keeper"),
    pytest.param(keeper_for_the_home, "runAsUser of a container", id="a home made by the keeper"),
    pytest.param(main_sees_all_homes, "folder that is not this person's", id="the main container sees all homes"),
    pytest.param(maker(0, args=["/folders/somebody", "home"]), "folder that is not", id="the folder of somebody else"),
    pytest.param(
        maker(0, command=["/bin/sh", "-c", "cat /folders/*/.ssh/id_rsa"]), "folder that is not", id="a command"
    ),
    pytest.param(maker(0, image="ghcr.io/mallory/busybox:1"), "folder that is not", id="an image of one's own"),
    pytest.param(
        maker(0, env=[{"name": "LD_PRELOAD", "value": "/folders/x.so"}]), "folder that is not", id="a variable"
    ),
    pytest.param(maker(0, restartPolicy="Always"), "folder that is not", id="a side car"),
    pytest.param(maker(0, workingDir="/folders"), "folder that is not", id="another working directory"),
    pytest.param(maker(0, name="make-volume-else"), "folder that is not", id="another name"),
    pytest.param(another_mount, "folder that is not", id="mounted over its own programs"),
    pytest.param(
        maker(1, args=["/folders/cms", "share"]), "runAsUser of a container", id="the share of another activity"
    ),
    pytest.param(maker(1, args=["/folders/lhcb", "home"]), "runAsUser of a container", id="a share made as a home"),
    pytest.param(
        one_more(name="also", lifecycle={"postStart": {"exec": {"command": ["/bin/cat", "/folders/x"]}}}),
        "folder that is not",
        id="a hook",
    ),
]


@pytest.mark.parametrize(("change", "words"), ATTACKS)
@pytest.mark.parametrize("kind", ["session", "job"])
def test_an_attack_is_refused_with_its_reason(
    send: Callable[[Object], httpx.Response], session: Object, kind: str, change: Change, words: str
) -> None:
    manifest = deepcopy(session) if kind == "session" else _job()
    change(manifest["spec"] if kind == "session" else manifest["spec"]["template"]["spec"])
    answer = send(manifest)
    assert answer.status_code == 403, answer.text
    assert words in answer.json()["message"]
