"""What the API server does to a Service. Nothing routes its address here: pods reach each other by their own."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from aiinfn_hub.local.api.status import Problem

Object = dict[str, Any]


def default_service(service: Object) -> None:
    """Fill in what was left out; what is there stays."""
    spec = service.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))


def prepare_service(service: Object, _now: str) -> None:
    """A new Service gets an address of the service range, derived from its uid."""
    service["status"] = {"loadBalancer": {}}
    spec = service["spec"]
    if spec["type"] != "ExternalName" and not spec.get("clusterIP"):
        high, low = uuid.UUID(service["metadata"]["uid"]).bytes[:2]
        spec["clusterIP"] = f"10.96.{high}.{low}"
    if spec.get("clusterIP"):
        spec["clusterIPs"] = [spec["clusterIP"]]


def service_problems(service: Object) -> Iterable[Problem]:
    """The mistakes in a Service."""
    spec = service["spec"]
    if not spec.get("ports") and spec["type"] != "ExternalName" and spec.get("clusterIP") != "None":
        yield Problem.required("spec.ports")
    for index, port in enumerate(spec.get("ports") or ()):
        if not 1 <= (port.get("port") or 0) <= 65535:
            yield Problem.invalid(
                f"spec.ports[{index}].port", port.get("port"), "must be between 1 and 65535, inclusive"
            )
