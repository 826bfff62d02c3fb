"""The volumes of a pod as directories of this machine."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiinfn_hub.errors import InvalidInput, NotFound
from aiinfn_hub.local.agent.environment import Facts
from aiinfn_hub.local.agent.paths import Mount, below, container_path, one_name
from aiinfn_hub.local.agent.references import Data, VolumeSource

Object = Mapping[str, Any]
#: Relative path -> content and mode.
Files = dict[str, tuple[bytes, int]]


class Volumes:
    """Makes a pod's volumes.

    Args:
        folder: the pod's own folder; what is made there ends with the pod.
        claims: the folder of the namespace's PersistentVolumeClaims, one directory each, kept.

    Attributes:
        ready: set when all are made.
    """

    def __init__(self, pod: Object, folder: Path, claims: Path, source: VolumeSource, facts: Facts) -> None:
        self._pod = pod
        self._folder = folder / "volumes"
        self._claims = claims
        self._source = source
        self._facts = facts
        self.ready = asyncio.Event()
        self._paths: dict[str, Path] = {}
        self._private: list[Path] = []
        self._makers: dict[str, Callable[[Object], Awaitable[Files]]] = {
            "configMap": self._config_map,
            "secret": self._secret,
            "downwardAPI": self._downward,
            "projected": self._projected,
        }
        self._renewed = ("configMap", "secret")
        #: Only ever inside of a projected volume.
        self._sources = self._makers | {"serviceAccountToken": self._token}

    def check(self) -> None:
        """Refuse at once what no later try could change.

        Raises:
            InvalidInput: a kind of volume that this node does not carry, a mount of something else, a path that leaves.
        """
        kinds = {volume["name"]: self._kind(volume) for volume in self._pod["spec"].get("volumes") or ()}
        for container in [*(self._pod["spec"].get("initContainers") or ()), *self._pod["spec"]["containers"]]:
            one_name(container["name"], "container")
            for mount in container.get("volumeMounts") or ():
                container_path(mount["mountPath"], "mountPath")
                below(self._folder, mount.get("subPath") or "", "subPath")
                if mount["name"] not in kinds:
                    raise InvalidInput(f"volumeMounts: no volume is named {mount['name']!r}")

    def _kind(self, volume: Object) -> str:
        kind = next((key for key in volume if key != "name"), "emptyDir")
        if kind not in {"emptyDir", "persistentVolumeClaim", *self._makers}:
            raise InvalidInput(f"volume {volume['name']!r}: this node does not carry volumes of the kind {kind}")
        one_name(volume["name"], "volume")
        if kind == "persistentVolumeClaim":
            one_name(volume[kind]["claimName"], "claimName")
        return kind

    async def make(self) -> None:
        """Make all of them; those that are there stay as they are.

        Raises:
            NotFound: a ConfigMap or a Secret is missing; the message is the kubelet's event.
            InvalidInput: an item has a path that leaves its volume.
        """
        for volume in self._pod["spec"].get("volumes") or ():
            name, kind = volume["name"], self._kind(volume)
            if kind == "persistentVolumeClaim":
                self._paths[name] = self._claims / volume[kind]["claimName"]
                self._paths[name].mkdir(parents=True, exist_ok=True, mode=0o700)
                continue
            path = self._paths[name] = self._folder / name
            if kind in self._makers:
                self._private.append(path)
                try:
                    files = await self._makers[kind](volume[kind])
                except NotFound as error:
                    raise NotFound(f'MountVolume.SetUp failed for volume "{name}" : {error.message}') from error
                _write(path, files)
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.ready.set()

    async def renew(self) -> None:
        """Bring the files up to what the API has now; what is missing or refused there stays as it is here.

        As the kubelet does about once a minute, the keys of a Secret or ConfigMap that are gone included.
        """
        for volume in self._pod["spec"].get("volumes") or ():
            kind = self._kind(volume)
            if kind in self._renewed:
                with suppress(NotFound, InvalidInput):
                    _write(self._paths[volume["name"]], await self._makers[kind](volume[kind]))

    def mounts(self, container: Object) -> list[Mount]:
        """What a container sees where. A `subPath` that is not there yet becomes a directory."""
        mounts = []
        for mount in container.get("volumeMounts") or ():
            sub_path = mount.get("subPath") or self._expanded(mount.get("subPathExpr") or "")
            target = below(self._paths[mount["name"]], sub_path, "subPath")
            inside = self._paths[mount["name"]].resolve()
            if not target.resolve().is_relative_to(inside):
                raise InvalidInput(f"subPath {sub_path!r} leaves its volume")  # through a link that the person made
            if not target.exists():
                target.mkdir(parents=True, mode=0o700)
            mounts.append(Mount(container_path(mount["mountPath"], "mountPath"), target))
        return mounts

    def _expanded(self, expression: str) -> str:
        if expression:
            raise InvalidInput("subPathExpr is not supported by this node")
        return ""

    def forget_secrets(self) -> None:
        """Remove the files that came from the API; the pod has ended."""
        for path in self._private:
            shutil.rmtree(path, ignore_errors=True)

    async def _config_map(self, volume: Object) -> Files:
        return await self._from_keys(volume, volume.get("name", ""), self._source.config_map, "configmap")

    async def _secret(self, volume: Object) -> Files:
        name = volume.get("secretName") or volume.get("name", "")
        return await self._from_keys(volume, name, self._source.secret, "secret")

    async def _from_keys(self, volume: Object, name: str, get: Callable[[str], Awaitable[Data]], word: str) -> Files:
        mode, optional = volume.get("defaultMode", 0o644), bool(volume.get("optional"))
        try:
            data = await get(name)
        except NotFound:
            if not optional:
                raise
            return {}
        if not volume.get("items"):
            return {key: (value, mode) for key, value in data.items()}
        files = {}
        for item in volume["items"]:
            if item["key"] in data:
                files[item["path"]] = (data[item["key"]], item.get("mode", mode))
            elif not optional:
                raise NotFound(f"{word} references non-existent {word} key: {item['key']}")
        return files

    async def _downward(self, volume: Object) -> Files:
        mode, files = volume.get("defaultMode", 0o644), {}
        for item in volume.get("items") or ():
            if "fieldRef" in item:
                value = self._facts.field(item["fieldRef"]["fieldPath"])
            else:
                reference = item["resourceFieldRef"]
                container = self._container(reference["containerName"])
                value = self._facts.resource(container, reference["resource"], str(reference.get("divisor") or "1"))
            files[item["path"]] = (value.encode(), item.get("mode", mode))
        return files

    async def _projected(self, volume: Object) -> Files:
        files: Files = {}
        for source in volume.get("sources") or ():
            for kind, part in source.items():
                if kind not in self._sources or kind == "projected":
                    raise InvalidInput(f"projected volumes of this node have no source of the kind {kind}")
                files |= await self._sources[kind]({"defaultMode": volume.get("defaultMode", 0o644), **part})
        return files

    async def _token(self, source: Object) -> Files:
        """Bound to the pod, as the kubelet asks for it: worth nothing once the pod is gone."""
        meta = self._pod["metadata"]
        request: dict[str, Any] = {
            "expirationSeconds": source.get("expirationSeconds", 3600),
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]},
        } | ({"audiences": [source["audience"]]} if source.get("audience") else {})
        token = await self._source.token(self._pod["spec"].get("serviceAccountName", "default"), request)
        return {source["path"]: (token.encode(), source["defaultMode"])}

    def _container(self, name: str) -> Object:
        containers: Sequence[Object] = self._pod["spec"]["containers"]
        found = next((container for container in containers if container["name"] == name), None)
        if found is None:
            raise InvalidInput(f"downwardAPI: no container is named {name!r}")
        return found


def _write(folder: Path, files: Files) -> None:
    """For their owner only, whatever the mode says of others; readable even if it forgets that.

    Each file changes as a whole: a reader has the old content or the new one.
    """
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_file() and path.name not in files:
            path.unlink()
    for name, (content, mode) in files.items():
        path = below(folder, name, "path")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = path.with_name(f".{path.name}.new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(descriptor, (mode & 0o700) | 0o400)
        new.replace(path)


def link_nested(mounts: Sequence[Mount], claims: Path) -> None:
    """Show a mount below another one in that one's directory too, where both are kept: /home/x and /home/x/shared."""
    for inner in mounts:
        outer = max((m for m in mounts if inner.path.startswith(m.path + "/")), key=lambda m: len(m.path), default=None)
        if outer is None or not (inner.target.is_relative_to(claims) and outer.target.is_dir()):
            continue
        place = outer.target / inner.path.removeprefix(outer.path + "/")
        if place.is_symlink():
            place.unlink()
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(inner.target)
