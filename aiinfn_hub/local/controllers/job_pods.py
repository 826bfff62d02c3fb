"""The pod that a Job creates from its template. Pure."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from aiinfn_hub.local.controllers.job_shapes import CONTROLLER_UID, FAILURES, FINALIZER, INDEX, JOB_NAME, Job

_INDEX_ENV = {
    "name": "JOB_COMPLETION_INDEX",
    "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.labels['{INDEX}']"}},
}


def pod_of(job: Job, index: int | None, failures: int = 0) -> dict[str, Any]:
    """A pod for one completion; `index` is None where completions have none, `failures` how often it failed before."""
    template = deepcopy(job.spec.template)
    meta, spec = template.get("metadata") or {}, template["spec"]
    name, uid = job.metadata.name, job.uid
    tags = {CONTROLLER_UID: uid, JOB_NAME: name, "controller-uid": uid, "job-name": name}
    annotations = meta.get("annotations") or {}
    prefix = name if index is None else f"{name}-{index}"
    if index is not None:
        tags[INDEX] = annotations[INDEX] = str(index)
        if job.spec.backoff_limit_per_index is not None:
            annotations[FAILURES] = str(failures)
        spec.setdefault("hostname", prefix[:63].rstrip("-"))
        for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
            environment = container.setdefault("env", [])
            if not any(variable["name"] == _INDEX_ENV["name"] for variable in environment):
                environment.append(deepcopy(_INDEX_ENV))
    owner = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{prefix[:57]}-",
            "namespace": job.metadata.namespace,
            "labels": (meta.get("labels") or {}) | tags,
            "annotations": annotations,
            "finalizers": [*(meta.get("finalizers") or ()), FINALIZER],
            "ownerReferences": [owner],
        },
        "spec": spec,
    }
