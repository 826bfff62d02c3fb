"""One function a column: from an object (and the time) to a cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiinfn_hub.local.api.pod_columns import pod_ready, pod_restarts, pod_status

Object = dict[str, Any]
#: Up to how many seconds a span is written in which unit; with the next smaller unit below the last number.
_SPANS = (
    (120, 1, "s", 1, "", 0),
    (3 * 3600, 60, "m", 1, "s", 600),
    (48 * 3600, 3600, "h", 60, "m", 8 * 3600),
    (8 * 86400, 86400, "d", 3600, "h", 8 * 86400),
)


def seconds(stamp: str) -> float:
    """Unix time of an RFC 3339 time."""
    return datetime.fromisoformat(stamp).timestamp()


def duration(elapsed: float) -> str:
    """A span as kubectl writes it (`duration.HumanDuration`): 90s, 5m10s, 3h, 2d4h."""
    total = int(elapsed)
    if total < -1:
        return "<invalid>"
    total = max(total, 0)
    if total >= 2 * 365 * 86400:
        return _two(total, 365 * 86400, "y", 86400, "d", 8 * 365 * 86400)
    for below, unit, letter, smaller, other, whole in _SPANS:
        if total < below:
            return _two(total, unit, letter, smaller, other, whole)
    return f"{total // 86400}d"


def _two(total: int, unit: int, letter: str, smaller: int, other: str, whole: int) -> str:
    """In a unit and, below `whole` seconds, the next smaller one."""
    rest = total % unit // smaller if total < whole else 0
    return f"{total // unit}{letter}" + (f"{rest}{other}" if rest else "")


def age(stamp: str | None, now: float) -> str:
    """How long ago that was."""
    return duration(now - seconds(stamp)) if stamp else "<unknown>"


@dataclass(frozen=True)
class Column:
    """One column; `priority` 1 is shown with `-o wide` only."""

    name: str
    cell: Callable[[Object, float], Any]
    type: str = "string"
    priority: int = 0
    format: str = ""


def at(path: str, missing: Any = "<none>") -> Callable[[Object, float], Any]:
    """The value at a dotted path."""
    keys = path.split(".")

    def cell(obj: Object, _now: float) -> Any:
        value: Any = obj
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return missing if value in (None, "", {}, []) else value

    return cell


def condition(kind: str) -> Callable[[Object, float], str]:
    """The status of a condition, "" where it is not there."""

    def cell(obj: Object, _now: float) -> str:
        # Kinds that come from definitions may hold anything there.
        conditions = at("status.conditions", ())(obj, _now)
        known = [c for c in conditions if isinstance(c, dict)] if isinstance(conditions, list) else []
        return next((str(c.get("status", "")) for c in known if c.get("type") == kind), "")

    return cell


def count(field: str) -> Callable[[Object, float], int]:
    """How many entries a map has."""
    return lambda obj, _now: len(obj.get(field) or ())


NAME = Column("Name", at("metadata.name"), format="name")
AGE = Column("Age", lambda obj, now: age(obj["metadata"].get("creationTimestamp"), now))


def _node_status(node: Object, now: float) -> str:
    ready = {"True": "Ready", "": "Unknown"}.get(condition("Ready")(node, now), "NotReady")
    return f"{ready},SchedulingDisabled" if (node.get("spec") or {}).get("unschedulable") else ready


def _node_roles(node: Object, _now: float) -> str:
    prefix = "node-role.kubernetes.io/"
    roles = sorted(key[len(prefix) :] for key in node["metadata"].get("labels") or {} if key.startswith(prefix))
    return ",".join(roles) or "<none>"


def _node_address(node: Object, _now: float) -> str:
    addresses = (node.get("status") or {}).get("addresses") or ()
    return next((str(a["address"]) for a in addresses if a.get("type") == "InternalIP"), "<none>")


def _job_status(job: Object, now: float) -> str:
    for kind, word in (("Complete", "Complete"), ("Failed", "Failed"), ("Suspended", "Suspended")):
        if condition(kind)(job, now) == "True":
            return word
    if "deletionTimestamp" in job["metadata"]:
        return "Terminating"
    return "FailureTarget" if condition("FailureTarget")(job, now) == "True" else "Running"


def _job_completions(job: Object, _now: float) -> str:
    succeeded = (job.get("status") or {}).get("succeeded", 0)
    wanted, parallel = job["spec"].get("completions"), job["spec"].get("parallelism") or 1
    return f"{succeeded}/{wanted}" if wanted is not None else f"{succeeded}/1" + (f" of {parallel}" * (parallel > 1))


def _job_duration(job: Object, now: float) -> str:
    status = job.get("status") or {}
    if not status.get("startTime"):
        return ""
    end = seconds(status["completionTime"]) if status.get("completionTime") else now
    return duration(end - seconds(status["startTime"]))


def _event_seen(event: Object, now: float) -> str:
    series = event.get("series") or {}
    stamps = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return age(next((s for s in stamps if s), event["metadata"].get("creationTimestamp")), now)


def _event_object(event: Object, _now: float) -> str:
    about = event.get("involvedObject") or {}
    return f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"


def _ports(service: Object, _now: float) -> str:
    ports = service["spec"].get("ports") or ()
    return ",".join(f"{port.get('port')}/{port.get('protocol', 'TCP')}" for port in ports) or "<none>"


def _modes(claim: Object, _now: float) -> str:
    short = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
    return ",".join(short.get(mode, mode) for mode in (claim.get("status") or {}).get("accessModes") or ())


COLUMNS: dict[tuple[str, str], Sequence[Column]] = {
    ("", "pods"): (
        NAME,
        Column("Ready", lambda pod, _now: pod_ready(pod)),
        Column("Status", lambda pod, _now: pod_status(pod)),
        Column("Restarts", lambda pod, now: pod_restarts(pod, lambda stamp: age(stamp, now))),
        AGE,
        Column("IP", at("status.podIP"), priority=1),
        Column("Node", at("spec.nodeName"), priority=1),
        Column("Nominated Node", at("status.nominatedNodeName"), priority=1),
        Column("Readiness Gates", at("spec.readinessGates"), priority=1),
    ),
    ("", "nodes"): (
        NAME,
        Column("Status", _node_status),
        Column("Roles", _node_roles),
        AGE,
        Column("Version", at("status.nodeInfo.kubeletVersion", "")),
        Column("Internal-IP", _node_address, priority=1),
        Column("OS-Image", at("status.nodeInfo.osImage", "<unknown>"), priority=1),
        Column("Container-Runtime", at("status.nodeInfo.containerRuntimeVersion", "<unknown>"), priority=1),
    ),
    ("", "namespaces"): (NAME, Column("Status", at("status.phase")), AGE),
    ("", "events"): (
        Column("Last Seen", _event_seen),
        Column("Type", at("type", "")),
        Column("Reason", at("reason", "")),
        Column("Object", _event_object),
        Column("Message", lambda event, _now: str(event.get("message", "")).strip()),
        Column("Source", at("source.component", ""), priority=1),
        Column("Count", at("count", 1), priority=1),
        Column("Name", at("metadata.name"), priority=1, format="name"),
    ),
    ("", "services"): (
        NAME,
        Column("Type", at("spec.type")),
        Column("Cluster-IP", at("spec.clusterIP")),
        Column("External-IP", at("spec.externalName")),
        Column("Port(s)", _ports),
        AGE,
    ),
    ("", "secrets"): (NAME, Column("Type", at("type")), Column("Data", count("data"), "string"), AGE),
    ("", "configmaps"): (NAME, Column("Data", count("data"), "string"), AGE),
    ("", "persistentvolumeclaims"): (
        NAME,
        Column("Status", at("status.phase")),
        Column("Volume", at("spec.volumeName", "")),
        Column("Capacity", at("status.capacity.storage", "")),
        Column("Access Modes", _modes),
        Column("StorageClass", at("spec.storageClassName", "")),
        AGE,
    ),
    ("batch", "jobs"): (
        NAME,
        Column("Status", _job_status),
        Column("Completions", _job_completions),
        Column("Duration", _job_duration),
        AGE,
    ),
    ("coordination.k8s.io", "leases"): (NAME, Column("Holder", at("spec.holderIdentity", "")), AGE),
    ("scheduling.k8s.io", "priorityclasses"): (
        NAME,
        Column("Value", at("value", 0), "integer"),
        Column("Global-Default", at("globalDefault", missing=False), "boolean"),
        AGE,
    ),
    ("apiextensions.k8s.io", "customresourcedefinitions"): (
        NAME,
        Column("Created At", at("metadata.creationTimestamp")),
    ),
    ("kueue.x-k8s.io", "workloads"): (
        NAME,
        Column("Queue", at("spec.queueName", "")),
        Column("Reserved in", at("status.admission.clusterQueue", "")),
        Column("Admitted", condition("Admitted")),
        Column("Finished", condition("Finished")),
        AGE,
    ),
    ("kueue.x-k8s.io", "localqueues"): (
        NAME,
        Column("ClusterQueue", at("spec.clusterQueue", "")),
        Column("Pending Workloads", at("status.pendingWorkloads", 0), "integer"),
        Column("Admitted Workloads", at("status.admittedWorkloads", 0), "integer"),
    ),
    ("kueue.x-k8s.io", "clusterqueues"): (
        NAME,
        Column("Cohort", at("spec.cohortName", "")),
        Column("Pending Workloads", at("status.pendingWorkloads", 0), "integer"),
    ),
}
