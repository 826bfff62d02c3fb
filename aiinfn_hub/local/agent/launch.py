"""From a container of a manifest to what is run on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiinfn_hub.contract.quantities import parse_bytes
from aiinfn_hub.local.agent.addresses import Address, has_own_addresses
from aiinfn_hub.local.agent.environment import Facts, expand, resolve
from aiinfn_hub.local.agent.paths import Mount, Rewriter, home_mount
from aiinfn_hub.local.agent.process import Launch
from aiinfn_hub.local.agent.references import Source
from aiinfn_hub.local.agent.volumes import Volumes, link_nested

Object = Mapping[str, Any]
#: Jupyter refuses to run as root unless told; in a cluster the image's user is another one.
_JUPYTER = {"jupyter", "jupyter-lab", "jupyter-labhub", "jupyterhub-singleuser", "jupyter-server"}


@dataclass(frozen=True)
class Host:
    """What this machine gives to every container.

    Args:
        environment: variables that containers inherit; PATH among them, nothing secret.
        programs: the folder that comes first in every PATH: where `python3` and `jupyterhub-singleuser` are ours.
        absent_images: references that cannot be pulled; all others are ignored.
        is_root: whether processes run as root.
        own_addresses: whether each pod can have an address of its own.
        retry_s: first and longest pause before a missing Secret or ConfigMap is looked for again.
        sync_s: between two looks at the Secrets and ConfigMaps that running pods show as files.
        back_off_s: first and longest pause before a container that ended is started again.
    """

    environment: Mapping[str, str]
    programs: Path
    absent_images: frozenset[str] = frozenset()
    is_root: bool = field(default_factory=lambda: os.geteuid() == 0)
    own_addresses: bool = field(default_factory=has_own_addresses)
    ip: str = "127.0.0.1"
    retry_s: tuple[float, float] = (0.5, 10.0)
    sync_s: float = 10.0
    back_off_s: tuple[float, float] = (10.0, 300.0)


@dataclass(frozen=True)
class Surroundings:
    """What the containers of one pod share; `folder` is the pod's own, `claims` is below the agent's root."""

    host: Host
    pod: Object
    folder: Path
    address: Address
    facts: Facts
    source: Source
    volumes: Volumes
    claims: Path


async def prepare(container: Object, around: Surroundings) -> Launch:
    """What to run for a container.

    Raises:
        NotFound: something that it refers to is missing.
        InvalidInput: it cannot be run as it is written.
    """
    variables = await resolve(container, around.facts, around.source)
    words = [*(container.get("command") or ()), *(container.get("args") or ())]
    mounts = around.volumes.mounts(container)
    link_nested(mounts, around.claims)
    rewriter = Rewriter(mounts, around.address.ip, around.address.ports)
    argv = [rewriter.text(expand(word, variables)) for word in words]
    environment = {name: rewriter.text(value) for name, value in variables.items()}
    home = _home(environment, mounts, around.folder)
    environment |= _fixed(environment, mounts, home, around)
    limit = ((container.get("resources") or {}).get("limits") or {}).get("memory")
    return Launch(
        argv=_as_root(argv) if around.host.is_root else argv,
        environment=environment,
        cwd=_folder(rewriter.path(container.get("workingDir") or "") or home),
        log=_folder(around.folder / "logs") / f"{container['name']}.log",
        memory_limit=parse_bytes(limit) if limit is not None else 0,
    )


def _home(environment: Mapping[str, str], mounts: Sequence[Mount], folder: Path) -> Path:
    """HOME as the pod has it if that exists here, else the home volume, else a folder that ends with the pod."""
    if "HOME" in environment and Path(environment["HOME"]).is_dir():
        return Path(environment["HOME"])
    mount = home_mount(mounts)
    return mount.target if mount else _folder(folder / "home")


def _fixed(environment: Mapping[str, str], mounts: Sequence[Mount], home: Path, around: Surroundings) -> dict[str, str]:
    """What this machine decides, beside what the pod says."""
    inherited = around.host.environment
    temporary = next((mount.target for mount in mounts if mount.path == "/tmp"), None)  # noqa: S108  the container's
    path = os.pathsep.join([str(around.host.programs), environment.get("PATH") or inherited.get("PATH", os.defpath)])
    own = {"HOSTNAME": around.facts.field("metadata.name")[:63], "TMPDIR": str(_folder(around.folder / "tmp"))}
    if temporary:
        own["TMPDIR"] = str(temporary)
    kept = {name: value for name, value in (*inherited.items(), *own.items()) if name not in environment}
    return kept | {"HOME": str(home), "PATH": path}


def _as_root(argv: list[str]) -> list[str]:
    if argv and Path(argv[0]).name in _JUPYTER and "--allow-root" not in argv:
        return [*argv, "--allow-root"]
    return argv


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path
