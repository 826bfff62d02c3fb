"""What the API server fills into a pod: the defaults of core/v1, its quality of service, its first status."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiinfn_hub.local.api import quantity
from aiinfn_hub.local.api.pod_placement import default_tolerations

Object = dict[str, Any]

_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_SPEC = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
    "enableServiceLinks": True,
}
_CONTAINER = {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}
#: Left out of the JSON where they are empty; containers, and what may be an empty object, are not.
_LEFT_OUT = (
    *("hostIPC", "hostNetwork", "hostPID", "imagePullSecrets", "initContainers", "nodeSelector"),
    *("schedulingGates", "tolerations", "volumes"),
)
_EMPTY: tuple[Any, ...] = (None, False, [], {})
_GATED = "Scheduling is blocked due to non-empty scheduling gates"


def containers(spec: Object) -> Iterator[tuple[str, Object]]:
    """Each container of a pod with the path of its field, init containers last."""
    for field in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            yield f"spec.{field}[{index}]", container


def default_pod(pod: Object) -> None:
    """Fill in what was left out; what is there stays."""
    default_spec(pod.setdefault("spec", {}))
    spec = pod["spec"]
    account = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = account
    default_tolerations(spec)


def default_spec(spec: Object) -> None:
    """The same for a pod's specification, which a Job holds as a template (with no account filled in)."""
    for key, value in _SPEC.items():
        spec.setdefault(key, value)
    spec.setdefault("securityContext", {})
    if spec["terminationGracePeriodSeconds"] < 0:
        spec["terminationGracePeriodSeconds"] = 1
    for name in [name for name in _LEFT_OUT if spec.get(name) in _EMPTY]:
        spec.pop(name, None)
    for _, container in containers(spec):
        _default_container(container)
    for volume in spec.get("volumes") or ():
        _default_volume(volume)
    if "overhead" in spec:
        _canonical(spec["overhead"])


def prepare_pod(pod: Object, now: str) -> None:
    """The status that a new pod has, whatever its creator wrote there."""
    spec = pod["spec"]
    pod["status"] = {"phase": "Pending", "qosClass": qos_class(spec)}
    if spec.get("schedulingGates"):
        pod["status"]["conditions"] = [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "SchedulingGated",
                "message": _GATED,
                "lastTransitionTime": now,
            }
        ]


def qos_class(spec: Object) -> str:
    """Guaranteed, Burstable or BestEffort, by the CPU and memory of all containers."""
    requests, limits, guaranteed = set(), set(), True
    for _, container in containers(spec):
        needs = container.get("resources") or {}
        asked, most = _compute(needs.get("requests")), _compute(needs.get("limits"))
        requests |= set(asked)
        limits |= set(most)
        guaranteed = guaranteed and set(most) == {"cpu", "memory"} and asked == most
    if not requests and not limits:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _compute(amounts: Object | None) -> Object:
    found = {name: quantity.parse(value) for name, value in (amounts or {}).items() if name in {"cpu", "memory"}}
    return {name: value for name, value in found.items() if value}


def _default_container(container: Object) -> None:
    for key, value in _CONTAINER.items():
        container.setdefault(key, value)
    image = str(container.get("image", ""))
    tag = image.rpartition("/")[2].partition(":")[2]
    latest = "@" not in image and tag in {"", "latest"}
    container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
    needs = container.setdefault("resources", {})
    for amounts in (needs.get("limits"), needs.get("requests")):
        _canonical(amounts)
    if needs.get("limits"):
        needs["requests"] = needs["limits"] | (needs.get("requests") or {})
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(name):
            _default_probe(container[name])
    for variable in container.get("env") or ():
        field = (variable.get("valueFrom") or {}).get("fieldRef")
        if field:
            field.setdefault("apiVersion", "v1")


def _default_probe(probe: Object) -> None:
    for key, value in _PROBE.items():
        probe.setdefault(key, value)
    if probe.get("httpGet"):
        probe["httpGet"].setdefault("scheme", "HTTP")
        probe["httpGet"].setdefault("path", "/")


def _default_volume(volume: Object) -> None:
    if set(volume) == {"name"}:
        volume["emptyDir"] = {}
    for kind in ("secret", "configMap", "downwardAPI", "projected"):
        if isinstance(volume.get(kind), dict):
            volume[kind].setdefault("defaultMode", 0o644)
            for source in volume[kind].get("sources") or [volume]:
                _default_items(source.get("downwardAPI") or {})
    if isinstance(volume.get("hostPath"), dict):
        volume["hostPath"].setdefault("type", "")


def _default_items(downward: Object) -> None:
    for item in downward.get("items") or ():
        if item.get("fieldRef"):
            item["fieldRef"].setdefault("apiVersion", "v1")


def _canonical(amounts: Object | None) -> None:
    for name, value in (amounts or {}).items():
        amounts[name] = quantity.canonical(value)  # type: ignore[index]  # only reached with a map
