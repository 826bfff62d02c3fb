"""What one look at a pod tells the ledger. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.kube.slim import Pod
from aiinfn_hub.pods import names

#: A pod that will never run again.
TERMINAL = frozenset({"Succeeded", "Failed"})
CPU_ONLY = "cpu"


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """One pod at one moment. Times are Unix seconds of the cluster's clocks, but for `observed_at`, which is ours.

    `kind` is "seen", "deleted" (the watch said so, with the pod's last state) or "absent" (a complete list lacks it).
    """

    source: str
    kind: str
    resource_version: str
    observed_at: float
    pod_uid: str
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    held_from: float | None = None
    ran_from: float | None = None
    ran_to: float | None = None
    terminal: bool = False
    exit_code: int | None = None

    def payload(self) -> dict[str, Any]:
        """What is stored; `from_payload` reads it."""
        return {
            "facts": dict(self.facts),
            "held_from": self.held_from,
            "ran_from": self.ran_from,
            "ran_to": self.ran_to,
            "terminal": self.terminal,
            "exit_code": self.exit_code,
        }

    @classmethod
    def from_payload(cls, row: Mapping[str, Any]) -> Sighting:
        """The sighting of a stored row (columns of the table `observation`)."""
        payload = dict(row["payload"])
        if facts := payload["facts"]:
            # Before version 0004 of the schema a sighting had one weight, the one that is charged.
            weights = {"compute_weight": facts["weight"], "memory_weight": facts["weight"]}
            payload["facts"] = weights | {"planned_s": 0.0, "remote_id": "", "storage_bytes": 0} | facts
        return cls(
            source=row["source"],
            kind=row["kind"],
            resource_version=row["resource_version"],
            observed_at=row["observed_at"],
            pod_uid=row["pod_uid"],
            **payload,
        )


def absent(pod_uid: str, *, now: float, source: str = "pods") -> Sighting:
    """The pod is missing from a complete list: it ended at some time since it was last seen."""
    return Sighting(source=source, kind="absent", resource_version="", observed_at=now, pod_uid=pod_uid)


def of_pod(platform: Platform, pod: Pod, *, kind: str, now: float, source: str = "pods") -> Sighting | None:
    """What is to be noted of a pod; None if it is none of ours (no label of a session or a job)."""
    if pod.labels.get(names.KIND) not in {"session", "job"}:
        return None
    scheduled = pod.conditions.get("PodScheduled")
    bound = bool(pod.node) and (scheduled is None or scheduled.status != "False")
    return Sighting(
        source=source,
        kind=kind,
        resource_version=pod.rv,
        observed_at=now,
        pod_uid=pod.uid,
        facts=_facts(platform, pod),
        held_from=(pod.scheduled or pod.started or now) if bound else None,
        ran_from=pod.ran_from,
        ran_to=pod.finished if pod.phase in TERMINAL else None,
        terminal=pod.phase in TERMINAL,
        exit_code=pod.exit_code if pod.phase in TERMINAL else None,
    )


def planned_s(pod: Pod) -> float:
    """For how long a session asked, in seconds; 0 where nothing says it. What a job asked for is in its run."""
    text = pod.annotations.get(names.LIFETIME, "")
    return float(text) if text.isascii() and text.isdigit() else 0.0


def _facts(platform: Platform, pod: Pod) -> dict[str, Any]:
    """What never changes over a pod's life, but for its node and the site's name for it; the weight is of that day."""
    flavour = platform.known_flavour(pod.labels.get(names.FLAVOUR, ""))
    resource = flavour.resource if flavour else ""
    return {
        "kind": pod.labels[names.KIND],
        "person": pod.annotations.get(names.PERSON_NAME) or pod.labels.get(names.PERSON, ""),
        "activity": pod.labels.get(names.ACTIVITY, ""),
        "activity_reason": pod.annotations.get(names.ACTIVITY_REASON, ""),
        "flavour": pod.labels.get(names.FLAVOUR, CPU_ONLY),
        "units": pod.requests.get(resource, 0) // (flavour.count if flavour else 1) if resource else 0,
        "weight": flavour.weight if flavour else 0.0,
        "compute_weight": flavour.compute_weight if flavour and flavour.accelerator else 0.0,
        "memory_weight": flavour.memory_weight if flavour and flavour.accelerator else 0.0,
        "resource": resource,
        "model": flavour.model if flavour else "",
        "cpu_millis": pod.requests.get("cpu", 0),
        "memory_bytes": pod.requests.get("memory", 0),
        "storage_bytes": pod.storage,
        "namespace": pod.namespace,
        "pod_name": pod.name,
        "node": pod.node,
        "server": pod.annotations.get(names.SERVER, ""),
        "run_id": pod.labels.get(names.RUN, ""),
        "remote_id": pod.annotations.get(names.REMOTE_ID, ""),
        "planned_s": planned_s(pod),
        "created_at": pod.created,
    }
