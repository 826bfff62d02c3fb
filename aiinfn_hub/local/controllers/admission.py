"""What Kueue's webhooks do to an object while it is created: pods get gates, Jobs are suspended. Pure."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from aiinfn_hub.kube.client import JOBS, PODS, Kind
from aiinfn_hub.pods.names import QUEUE

Object = dict[str, Any]

MANAGED = "kueue.x-k8s.io/managed"  # label and finalizer of the pods that Kueue looks after
ROLE_HASH = "kueue.x-k8s.io/role-hash"
GATES = ("kueue.x-k8s.io/admission", "kueue.x-k8s.io/topology")
#: Namespaces that Kueue's webhooks do not touch.
EXEMPT = frozenset({"kube-system", "kueue-system"})


def admit(kind: Kind, obj: Object) -> Object:
    """The object as it is stored: unchanged, unless it asks for a queue."""
    meta = obj.get("metadata") or {}
    if not (meta.get("labels") or {}).get(QUEUE) or meta.get("namespace") in EXEMPT:
        return obj
    if kind == JOBS:
        return obj | {"spec": obj.get("spec", {}) | {"suspend": True}}
    if kind == PODS and not _belongs_to_job(meta):
        return _gated(obj)
    return obj


def _belongs_to_job(meta: Object) -> bool:
    """The pods of a Job run in the Job's quota."""
    return any(owner.get("controller") and owner.get("kind") == "Job" for owner in meta.get("ownerReferences") or ())


def _gated(pod: Object) -> Object:
    meta, spec = pod["metadata"], pod.get("spec") or {}
    gates = list(spec.get("schedulingGates") or ())
    gates += [{"name": gate} for gate in GATES if {"name": gate} not in gates]
    finalizers = list(meta.get("finalizers") or ())
    changed = {
        "labels": meta["labels"] | {MANAGED: "true"},
        "annotations": (meta.get("annotations") or {}) | {ROLE_HASH: _role_hash(spec)},
        "finalizers": finalizers if MANAGED in finalizers else [*finalizers, MANAGED],
    }
    return pod | {"metadata": meta | changed, "spec": spec | {"schedulingGates": gates}}


def _role_hash(spec: Object) -> str:
    """Tells apart the roles of a group of pods by what matters for placing them."""
    parts = {key: spec.get(key) for key in ("containers", "initContainers", "nodeSelector", "affinity", "tolerations")}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]
