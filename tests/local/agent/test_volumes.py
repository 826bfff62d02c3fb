"""Volumes as directories, through pods that look at them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import pytest_asyncio
from support.nodeagent import NAMESPACE, Cluster, phase, pod, python, waiting_for

from aiinfn_hub.kube.client import CONFIGMAPS, PODS, SECRETS

LOOK = (
    "import json, os, sys\nfound = {}\n"
    "for folder, _, files in os.walk('/v'):\n"
    " for name in files:\n"
    "  path = os.path.join(folder, name)\n"
    "  found[os.path.relpath(path, '/v')] = [open(path).read(), oct(os.stat(path).st_mode & 0o777)]\n"
    "print(json.dumps(found))"
)


@pytest_asyncio.fixture
async def stocked(cluster: Cluster) -> Cluster:
    """A cluster with a ConfigMap and a Secret."""
    conf = {"metadata": {"name": "conf"}, "data": {"a.txt": "A", "b.txt": "B"}, "binaryData": {"raw": "UkFX"}}
    await cluster.client.create(CONFIGMAPS, conf, NAMESPACE)
    secret = {"metadata": {"name": "mine"}, "stringData": {"token": "s3cret"}}
    await cluster.client.create(SECRETS, secret, NAMESPACE)
    return cluster


async def seen(cluster: Cluster, volume: dict[str, Any], **mount: Any) -> dict[str, list[str]]:
    """File -> content and mode, as a container sees the volume."""
    mounts = [{"name": "v", "mountPath": "/v", **mount}]
    said = await cluster.output(
        "p", *python(LOOK), volumes=[{"name": "v", **volume}], container={"volumeMounts": mounts}
    )
    return dict(json.loads(said))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        pytest.param(
            {"configMap": {"name": "conf"}},
            {"a.txt": ["A", "0o600"], "b.txt": ["B", "0o600"], "raw": ["RAW", "0o600"]},
            id="a whole config map, for its owner only",
        ),
        pytest.param(
            {"configMap": {"name": "conf", "items": [{"key": "a.txt", "path": "deep/x", "mode": 0o444}]}},
            {"deep/x": ["A", "0o400"]},
            id="one key under another name",
        ),
        pytest.param(
            {"configMap": {"name": "conf", "defaultMode": 0o755}},
            {"a.txt": ["A", "0o700"], "b.txt": ["B", "0o700"], "raw": ["RAW", "0o700"]},
            id="executable",
        ),
        pytest.param(
            {"secret": {"secretName": "mine", "defaultMode": 0o440}},
            {"token": ["s3cret", "0o400"]},
            id="a secret",
        ),
        pytest.param({"secret": {"secretName": "none", "optional": True}}, {}, id="an optional secret"),
        pytest.param({"configMap": {"name": "none", "optional": True}}, {}, id="an optional config map"),
        pytest.param({"emptyDir": {}}, {}, id="an empty directory"),
        pytest.param({"emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}, {}, id="one in memory is a directory too"),
        pytest.param({"persistentVolumeClaim": {"claimName": "data"}}, {}, id="a claim"),
        pytest.param(
            {
                "downwardAPI": {
                    "items": [
                        {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}},
                        {"path": "cpu", "resourceFieldRef": {"containerName": "main", "resource": "limits.cpu"}},
                    ]
                }
            },
            {"name": ["p", "0o600"], "cpu": ["4", "0o600"]},
            id="facts about itself",
        ),
        pytest.param(
            {
                "projected": {
                    "defaultMode": 0o400,
                    "sources": [
                        {"secret": {"name": "mine"}},
                        {"configMap": {"name": "conf", "items": [{"key": "a.txt", "path": "a"}]}},
                        {"downwardAPI": {"items": [{"path": "uid", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
                    ],
                }
            },
            {"token": ["s3cret", "0o400"], "a": ["A", "0o400"], "uid": [NAMESPACE, "0o400"]},
            id="several in one",
        ),
    ],
)
async def test_what_a_container_sees(stocked: Cluster, volume: dict, expected: dict) -> None:
    assert await seen(stocked, volume) == expected


@pytest.mark.asyncio
async def test_a_single_file_can_be_mounted(stocked: Cluster) -> None:
    mounts = [{"name": "v", "mountPath": "/etc/app/conf.txt", "subPath": "a.txt"}]
    volumes = [{"name": "v", "configMap": {"name": "conf"}}]
    said = await stocked.output("p", "cat", "/etc/app/conf.txt", volumes=volumes, container={"volumeMounts": mounts})
    assert said == "A"


@pytest.mark.asyncio
async def test_a_sub_path_is_made_and_kept_apart_from_the_others(cluster: Cluster) -> None:
    volumes = [{"name": "homes", "persistentVolumeClaim": {"claimName": "homes"}}]
    for person in ("ada", "bob"):
        mounts = [{"name": "homes", "mountPath": "/home/jovyan", "subPath": f"user-{person}"}]
        code = ("sh", "-c", "echo $0 > /home/jovyan/who; ls -A; pwd", person)
        said = await cluster.output(person, *code, volumes=volumes, container={"volumeMounts": mounts})
        home = cluster.root / "volumes" / NAMESPACE / "homes" / f"user-{person}"
        assert said.split() == ["who", str(home)]
        assert (home / "who").read_text() == f"{person}\n"


@pytest.mark.asyncio
async def test_a_session_finds_its_home_again(cluster: Cluster) -> None:
    volumes = [{"name": "home", "persistentVolumeClaim": {"claimName": "homes"}}]
    mounts = [{"name": "home", "mountPath": "/home/jovyan"}]
    env = [{"name": "HOME", "value": "/home/jovyan"}]
    spec = {"volumes": volumes, "container": {"volumeMounts": mounts, "env": env}}
    await cluster.output("first", "sh", "-c", "echo kept > $HOME/notes", **spec)
    await cluster.delete("first")
    assert await cluster.output("second", "cat", "/home/jovyan/notes", **spec) == "kept"


@pytest.mark.asyncio
async def test_a_share_below_the_home_shows_in_the_home(cluster: Cluster) -> None:
    volumes = [
        {"name": "home", "persistentVolumeClaim": {"claimName": "homes"}},
        {"name": "share", "persistentVolumeClaim": {"claimName": "shared"}},
    ]
    mounts = [{"name": "home", "mountPath": "/home/jovyan"}, {"name": "share", "mountPath": "/home/jovyan/shared"}]
    spec = {"volumes": volumes, "container": {"volumeMounts": mounts}}
    await cluster.output("one", "sh", "-c", "echo x > /home/jovyan/shared/file", **spec)
    assert await cluster.output("two", "sh", "-c", "cat shared/file", **spec) == "x"


@pytest.mark.asyncio
async def test_the_working_directory_is_rewritten_and_made(cluster: Cluster) -> None:
    volumes = [{"name": "scratch", "emptyDir": {}}]
    mounts = [{"name": "scratch", "mountPath": "/scratch"}]
    container = {"volumeMounts": mounts, "workingDir": "/scratch/deep/er"}
    said = await cluster.output("p", "pwd", volumes=volumes, container=container)
    assert said.endswith("/volumes/scratch/deep/er")


@pytest.mark.asyncio
async def test_secret_files_are_removed_when_the_pod_has_ended(stocked: Cluster) -> None:
    volumes = [{"name": "cred", "secret": {"secretName": "mine"}}, {"name": "scratch", "emptyDir": {}}]
    mounts = [{"name": "cred", "mountPath": "/cred"}, {"name": "scratch", "mountPath": "/scratch"}]
    code = ("sh", "-c", "cat /cred/token; touch /scratch/result; exit 1")
    await stocked.create(pod("p", *code, volumes=volumes, container={"volumeMounts": mounts}))
    folder = stocked.folder(await stocked.until("p", phase("Failed")))
    assert await stocked.log("p") == "s3cret"
    assert not (folder / "volumes" / "cred").exists()
    assert (folder / "volumes" / "scratch" / "result").exists()


@pytest.mark.asyncio
async def test_no_secret_is_in_the_files_that_the_agent_keeps(stocked: Cluster) -> None:
    env = [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "mine", "key": "token"}}}]
    await stocked.create(pod("p", "sh", "-c", "sleep 60", container={"env": env}))
    folder = stocked.folder(await stocked.until("p", phase("Running")))
    kept = [path for path in folder.rglob("*") if path.is_file()]
    assert kept
    assert not any(b"s3cret" in path.read_bytes() for path in kept)


@pytest.mark.asyncio
async def test_the_folders_of_pods_and_claims_are_for_their_owner_only(cluster: Cluster) -> None:
    volumes = [{"name": "home", "persistentVolumeClaim": {"claimName": "homes"}}]
    await cluster.output("p", "true", volumes=volumes)
    for path in (cluster.root / "pods", cluster.root / "volumes" / NAMESPACE / "homes"):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.asyncio
async def test_a_link_out_of_a_volume_is_not_followed_by_a_sub_path(cluster: Cluster) -> None:
    volumes = [{"name": "homes", "persistentVolumeClaim": {"claimName": "homes"}}]
    claim = cluster.root / "volumes" / NAMESPACE / "homes"
    await cluster.output("p", "true", volumes=volumes)
    (claim / "out").symlink_to("/etc")
    mounts = [{"name": "homes", "mountPath": "/data", "subPath": "out"}]
    await cluster.create(pod("q", "ls", "/data", volumes=volumes, container={"volumeMounts": mounts}))
    found = await cluster.until("q", waiting_for("CreateContainerConfigError"))
    assert "leaves its volume" in str(found["status"])


@pytest.mark.asyncio
async def test_a_key_that_is_missing_is_said_and_waited_for(stocked: Cluster) -> None:
    items = [{"key": "later", "path": "later"}]
    volumes = [{"name": "v", "configMap": {"name": "conf", "items": items}}]
    mounts = [{"name": "v", "mountPath": "/v"}]
    await stocked.create(pod("p", "cat", "/v/later", volumes=volumes, container={"volumeMounts": mounts}))
    async with asyncio.timeout(5):
        while not await stocked.events("p"):
            await asyncio.sleep(0.02)
    assert "references non-existent configmap key: later" in (await stocked.events("p"))[0][1]
    await stocked.client.patch(CONFIGMAPS, "conf", {"data": {"later": "now"}}, NAMESPACE)
    await stocked.until("p", phase("Succeeded"))


@pytest.mark.asyncio
async def test_an_item_may_not_leave_its_volume(stocked: Cluster) -> None:
    items = [{"key": "a.txt", "path": "../../../escaped"}]
    volumes = [{"name": "v", "configMap": {"name": "conf", "items": items}}]
    body = pod("p", "true", volumes=volumes, container={"volumeMounts": [{"name": "v", "mountPath": "/v"}]})
    created = await stocked.client.create(PODS, body, NAMESPACE)
    async with asyncio.timeout(5):
        while not await stocked.events("p"):
            await asyncio.sleep(0.02)
    assert "must not contain '..'" in (await stocked.events("p"))[0][1]
    assert not list(stocked.root.rglob("escaped"))
    assert created["metadata"]["uid"]
