"""Amounts of resources: what a quantity says, and what a pod asks for. Pure."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache

from aiinfn_hub.contract.quantities import parse_bytes, parse_cpu
from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.kube import shapes

Amount = str | int | float
_THOUSANDS = ("k", "M", "G", "Ki", "Mi", "Gi")


@lru_cache(maxsize=4096)
def amount(resource: str, text: Amount) -> int:
    """An amount of a resource: millicores of cpu, bytes of memory, else a count.

    Raises:
        InvalidInput: it is no quantity.
    """
    try:
        return parse_cpu(text) if resource == "cpu" else parse_bytes(text)
    except InvalidInput:
        return _unusual(resource, str(text))


def _unusual(resource: str, text: str) -> int:
    """Spellings that Kubernetes accepts and people do not use: "1e9", "128974848000m" bytes, "1k" cores."""
    if resource == "cpu" and text.endswith(_THOUSANDS):
        # So the API server writes what somebody wrote as 1000 cores, as a virtual node may have.
        return 1000 * parse_bytes(text)
    factor = Decimal(1000 if resource == "cpu" else 1)
    number, scale = (text[:-1], Decimal("0.001")) if text.endswith("m") else (text, Decimal(1))
    try:
        return int((Decimal(number) * scale * factor).to_integral_value(rounding="ROUND_CEILING"))
    except (ArithmeticError, ValueError) as error:
        raise InvalidInput(f"{text!r} is not an amount of {resource}.") from error


def amounts(written: Mapping[str, Amount] | None) -> dict[str, int]:
    """All amounts of a `requests`, `limits`, `allocatable` or quota."""
    return {sys.intern(resource): amount(resource, text) for resource, text in (written or {}).items()}


def _container_requests(container: shapes.Container) -> dict[str, int]:
    wanted = container.resources or shapes.Requirements()
    return amounts(wanted.limits) | amounts(wanted.requests)  # a limit stands in for a request that is not there


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for resource, value in more.items():
        total[resource] = total.get(resource, 0) + value


def pod_requests(spec: shapes.PodSpec) -> dict[str, int]:
    """What the scheduler reserves: containers and sidecars together, or the largest init container if that is more."""
    total: dict[str, int] = {}
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in spec.init_containers or ():
        wanted = _container_requests(container)
        if container.restart_policy == "Always":
            _add(sidecars, wanted)
            wanted = {}
        for resource in wanted.keys() | sidecars.keys():
            peak[resource] = max(peak.get(resource, 0), wanted.get(resource, 0) + sidecars.get(resource, 0))
    for container in spec.containers or ():
        _add(total, _container_requests(container))
    _add(total, sidecars)
    for resource, value in peak.items():
        total[resource] = max(total.get(resource, 0), value)
    _add(total, amounts(spec.overhead))
    return total


def pod_storage(spec: shapes.PodSpec) -> int:
    """Bytes of storage that are the pod's own and go with it.

    On the node, what it reserves (`ephemeral-storage`, in which its folders count) or the limits of its folders,
    whichever is more; beside that the volumes that are made for it. Shared storage is nobody's own.
    """
    volumes = spec.volumes or ()
    folders = [volume.empty_dir for volume in volumes if volume.empty_dir is not None]
    limits = sum(amount("storage", one.size_limit or 0) for one in folders if one.medium != "Memory")
    templates = [volume.ephemeral.volume_claim_template for volume in volumes if volume.ephemeral is not None]
    claims = [one.spec.resources for one in templates if one is not None and one.spec is not None]
    made = sum(amounts(wanted.requests).get("storage", 0) for wanted in claims if wanted is not None)
    return max(pod_requests(spec).get("ephemeral-storage", 0), limits) + made
