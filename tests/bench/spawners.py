"""Spawners outside of a hub, on a cluster of our choice; and the pods that they would make."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kubernetes_asyncio.config import kube_config
from kubespawner.clients import load_config
from support.hubfakes import FakeUser, in_groups, make_spawner

from aiinfn_hub.catalogue import example_path
from aiinfn_hub.hub.spawner import AiinfnSpawner
from aiinfn_hub.kube.client import Object
from aiinfn_hub.pods import names

ACTIVITY = "lhcb-flashsim"


@contextmanager
def kubeconfig_of_spawners(path: Path) -> Iterator[None]:
    """KubeSpawner reads its configuration once per process, from a place that is fixed when its client is imported."""
    before = kube_config.KUBE_CONFIG_DEFAULT_LOCATION
    kube_config.KUBE_CONFIG_DEFAULT_LOCATION = str(path)
    load_config.cache_clear()
    try:
        yield
    finally:
        kube_config.KUBE_CONFIG_DEFAULT_LOCATION = before
        load_config.cache_clear()


def spawner(folder: Path, name: str, flavour: str = "cpu", **config: Any) -> AiinfnSpawner:
    """The spawner of a person who starts a session on the example platform."""
    if not (folder / "platform.yaml").exists():
        shutil.copy(example_path(), folder / "platform.yaml")
    user = FakeUser(name, groups=in_groups("/aiinfn", f"/aiinfn/{ACTIVITY}"))
    options = {"flavour": flavour, "activity": ACTIVITY}
    return make_spawner(folder, user=user, options=options, **config)


async def session_manifest(folder: Path, flavour: str) -> Object:
    """The pod of a session, as it goes to the API."""
    one = spawner(folder, "somebody", flavour)
    await one.load_user_options()
    manifest: Object = one.api.api_client.sanitize_for_serialization(await one.get_pod_manifest())
    manifest["metadata"]["namespace"] = one.namespace
    return manifest


def free_pod(manifest: Object) -> Object:
    """The same pod after its turn: nobody holds it back, and Kueue has nothing to say any more."""
    pod = copy.deepcopy(manifest)
    pod["spec"].pop("schedulingGates", None)
    for label in (names.QUEUE, names.PRIORITY):
        pod["metadata"]["labels"].pop(label, None)
    return pod


def plain_manifest(name: str, requests: dict[str, str]) -> Object:
    """Somebody else's pod, about as large as they are."""
    env = [{"name": f"SETTING_{number}", "value": "x" * 40} for number in range(30)]
    limits = {key: value for key, value in requests.items() if key not in ("cpu", "memory")}
    container = {"name": "main", "image": "registry.example.org/app:1", "env": env}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name.rstrip("0123456789-"), "team": "others"}},
        "spec": {"containers": [container | {"resources": {"requests": requests, "limits": limits}}]},
    }
