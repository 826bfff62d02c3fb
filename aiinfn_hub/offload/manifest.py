"""A job as Kubernetes objects: the Job, its ConfigMap (what to run), its Secret (capability), and the runner's. Pure.

What a person typed travels only inside `spec.json`. Everything else that enters a manifest comes from the catalogue or
from the verified identity, and is checked against a strict grammar here, because interLink's plug-ins write parts of a
pod unquoted into scripts on a site's host.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiinfn_hub.catalogue import Flavour, Platform, Site
from aiinfn_hub.contract.jobs import JobRequest, ValueRef
from aiinfn_hub.contract.plans import Plan
from aiinfn_hub.errors import InvalidInput, TooLarge
from aiinfn_hub.offload.plan import site_named
from aiinfn_hub.pods import folders, iam_token, names
from aiinfn_hub.pods.apptainer import run_inside
from aiinfn_hub.pods.images import image_reference, pull_secrets
from aiinfn_hub.pods.placement import placement
from aiinfn_hub.pods.resources import resources
from aiinfn_hub.pods.security import container_security, pod_security
from aiinfn_hub.pods.storage import lies_on, storage

#: Kueue leaves the Job alone while this annotation names a gate; it can be set at creation only.
GATED_BY = "kueue.x-k8s.io/admission-gated-by"
INPUTS_GATE = names.PREFIX + "inputs"

CODE, ORDER, CREDENTIALS, SCRATCH = "/offload", "/offload-job", "/offload-cred", "/scratch"
CAPABILITY_KEY = "capability"
COMMAND = ["/bin/sh", "-c", f"exec python3 {CODE}/boot.py"]

#: Failures of attempts that the Job controller answers with another one; evictions do not count.
RETRIES = 2
#: Exit codes after which another attempt would end the same way, or do twice what was done: the person's exception,
#: another environment, results that cannot be delivered, the time limit, no Python, out of memory. Left are 72 (inputs
#: could not be fetched) and 143 (stopped from outside).
NEVER_AGAIN = [70, 71, 73, 124, 126, 127, 137]
KEEP_FINISHED_S = 24 * 3600
#: SIGTERM to SIGKILL: time for the last frames.
GRACE_S = 60
#: What a pod may take beyond the longest time of its flavour: pulling an image here, the queue of the batch system on a
#: virtual node. A pod cannot get more later, and a job can be extended; its own time is the runner's to enforce.
SLACK_S, REMOTE_SLACK_S = 1800, 7 * 24 * 3600
#: Kubernetes refuses a ConfigMap of 1 MiB; names and metadata count too.
MAX_CODE_BYTES = 1024**2 - 16 * 1024

#: Of a request, what its runner gets as it is.
_AS_SENT = ("source", "context", "packages", "drift", "outputs", "token")

RUN_ID = re.compile(r"[0-9a-z]{26}", re.ASCII)
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Order:
    """A submitted job: who asked for what, and what it was decided to be.

    `url` is the runner listener's, `runner` the ConfigMap of its files; `uid` the POSIX user, None for the images' own.
    """

    run_id: str
    owner: str
    server: str
    activity_reason: str
    request: JobRequest
    plan: Plan
    url: str
    runner: str
    uid: int | None = None


def job_name(run_id: str) -> str:
    """The name of the Job, the ConfigMap and the Secret of a run."""
    if RUN_ID.fullmatch(run_id) is None:
        raise InvalidInput(f"{run_id[:40]!r} is not the identifier of a job.")
    return f"job-{run_id}"


def job_manifest(platform: Platform, order: Order) -> dict[str, Any]:
    """The Job: suspended and gated, so that nothing starts before its ConfigMap and Secret are there.

    Raises:
        InvalidInput: something in the order does not fit its grammar.
    """
    labels = _labels(order) | names.capabilities(platform.flavour(order.plan.flavour).capabilities)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(order.run_id),
            "namespace": platform.namespace,
            "labels": {**labels, names.QUEUE: _label(order.plan.queue), names.PRIORITY: names.BATCH},
            "annotations": {**_annotations(order), GATED_BY: INPUTS_GATE},
        },
        "spec": {
            "suspend": True,
            "completions": 1,
            "parallelism": 1,
            "backoffLimit": RETRIES,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": _failure_policy(),
            "ttlSecondsAfterFinished": KEEP_FINISHED_S,
            "template": {
                "metadata": {"labels": labels, "annotations": _annotations(order)},
                "spec": _pod_spec(platform, order),
            },
        },
    }


def configmap_manifest(platform: Platform, order: Order, job_uid: str) -> dict[str, Any]:
    """The ConfigMap: `spec.json`; it goes when the Job goes.

    Raises:
        TooLarge: the source does not fit.
    """
    text = json.dumps(_spec(order), ensure_ascii=False, separators=(",", ":"))
    if len(text.encode()) > MAX_CODE_BYTES:
        raise TooLarge("The source is too large for a job.", hint="Put data into --in values, and code into a module.")
    return _configmap(_owned(platform, order, job_uid), {"spec.json": text})


def runner_manifest(platform: Platform, name: str, files: Mapping[str, str]) -> dict[str, Any]:
    """The ConfigMap of the runner's files, for all jobs: etcd keeps those of each for a day, and is small."""
    return _configmap({"name": name, "namespace": platform.namespace, "labels": {names.KIND: names.RUNNER}}, files)


def _configmap(metadata: dict[str, Any], data: Mapping[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "immutable": True, "data": {**data}}


def secret_manifest(platform: Platform, order: Order, job_uid: str, capability: str) -> dict[str, Any]:
    """The Secret: the capability and nothing else; it goes when the Job goes."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _owned(platform, order, job_uid),
        "type": "Opaque",
        "stringData": {CAPABILITY_KEY: capability},
    }


def _failure_policy() -> dict[str, Any]:
    return {
        "rules": [
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            {"action": "FailJob", "onExitCodes": {"containerName": "main", "operator": "In", "values": NEVER_AGAIN}},
        ]
    }


def _spec(order: Order) -> dict[str, Any]:
    """`spec.json`, which the runner reads."""
    request = order.request
    return {
        "run": order.run_id,
        "name": request.name,
        "url": order.url,
        **{name: getattr(request, name) for name in _AS_SENT},
        "filename": f"<offload {request.name}>",
        "inputs": {name: _sent(value) for name, value in request.inputs.items()},
        "modules": request.modules and _sent(request.modules),
        "time_s": order.plan.time_s,
        "memory_bytes": order.plan.memory_bytes,
        "credentials": f"{CREDENTIALS}/{CAPABILITY_KEY}",
        "scratch": SCRATCH,
    }


def _sent(value: ValueRef) -> dict[str, Any]:
    return {"codec": value.codec, "sha256": value.sha256, "size": value.size}


def _label(value: str) -> str:
    if _LABEL_VALUE.fullmatch(value) is None:
        raise InvalidInput(f"{value[:80]!r} cannot stand in a label.")
    return value


def _labels(order: Order) -> dict[str, str]:
    return {
        names.KIND: names.JOB,
        names.ACTIVITY: _label(order.plan.activity),
        names.FLAVOUR: _label(order.plan.flavour),
        names.PERSON: _label(names.slug(order.owner)),
        names.RUN: _label(order.run_id),
    }


def _annotations(order: Order) -> dict[str, str]:
    return {
        names.PERSON_NAME: order.owner,
        names.SERVER: order.server,
        names.ACTIVITY_REASON: order.activity_reason,
    }


def _owned(platform: Platform, order: Order, job_uid: str) -> dict[str, Any]:
    name = job_name(order.run_id)
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job_uid}
    return {
        "name": name,
        "namespace": platform.namespace,
        "labels": {names.KIND: names.JOB, names.RUN: order.run_id},
        "ownerReferences": [owner],
    }


def _pod_spec(platform: Platform, order: Order) -> dict[str, Any]:
    plan = order.plan
    flavour, site = platform.flavour(plan.flavour), site_named(platform, plan.site)
    remote = site.kind != "local"
    volumes, mounts = _volumes(platform, order, remote=remote)
    activity = platform.activity(plan.activity)
    makers = [] if remote else folders.makers(platform, order.owner, activity, lies_on(platform, plan.apptainer))
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "activeDeadlineSeconds": flavour.max_lifetime_s + (REMOTE_SLACK_S if remote else SLACK_S),
        "terminationGracePeriodSeconds": GRACE_S,
        "securityContext": pod_security(activity.gid, order.uid),
        **({"initContainers": makers} if makers else {}),
        # A site fetches images with what it has itself: a secret of ours does not travel.
        **({"imagePullSecrets": pull_secrets(platform)} if not remote and pull_secrets(platform) else {}),
        "containers": [_container(platform, order, flavour, mounts)],
        "volumes": volumes,
        **_placement(flavour, site, plan.activity),
    }


def _placement(flavour: Flavour, site: Site, activity: str) -> dict[str, Any]:
    elsewhere = site.kind != "local" or site.node_selector or site.tolerations
    return placement(flavour, site if elsewhere else None, activity)


def _token(platform: Platform, order: Order) -> dict[str, str]:
    """The variables of the token, for a job that has one."""
    if not order.request.token or platform.tokens is None:
        return {}
    return iam_token.environment(platform.tokens, order.owner, platform.activity(order.plan.activity))


def _container(platform: Platform, order: Order, flavour: Flavour, mounts: list[dict[str, Any]]) -> dict[str, Any]:
    plan, binds = order.plan, [mount["mountPath"] for mount in mounts]
    return {
        "name": "main",
        "image": image_reference(plan.image),
        "command": run_inside(platform, plan.apptainer, COMMAND, flavour, binds) if plan.apptainer else COMMAND,
        "env": [
            {"name": "POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
            {"name": "AIINFN_JOB", "value": ORDER},
            {"name": "AIINFN_CREDENTIALS", "value": CREDENTIALS},
            {"name": "AIINFN_SCRATCH", "value": SCRATCH},
            {"name": "PYTHONUNBUFFERED", "value": "1"},
            *({"name": name, "value": value} for name, value in _token(platform, order).items()),
        ],
        "resources": resources(flavour, plan.cpu_millis, plan.memory_bytes, plan.units),
        "securityContext": container_security(flavour.capabilities),
        "volumeMounts": mounts,
    }


def _volumes(platform: Platform, order: Order, *, remote: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Ours, and on the cluster itself the person's: interLink drops every other kind, or all mounts, without a word."""
    name = job_name(order.run_id)
    volumes: list[dict[str, Any]] = [
        {"name": "code", "configMap": {"name": order.runner, "defaultMode": 0o444}},
        {"name": "job", "configMap": {"name": name, "defaultMode": 0o444}},
        {"name": "cred", "secret": {"secretName": name, "defaultMode": 0o440}},
    ]
    mounts: list[dict[str, Any]] = [
        {"name": "code", "mountPath": CODE, "readOnly": True},
        {"name": "job", "mountPath": ORDER, "readOnly": True},
        {"name": "cred", "mountPath": CREDENTIALS, "readOnly": True},
    ]
    if order.request.token:
        volumes.append(iam_token.volume(iam_token.secret_name(name)))
        mounts.append(iam_token.mount())
    if not remote:
        theirs, their_mounts = _personal(platform, order)
        volumes, mounts = volumes + theirs, mounts + their_mounts
    if all(mount["mountPath"] != SCRATCH for mount in mounts):
        volumes.append({"name": "scratch", "emptyDir": {}})
        mounts.append({"name": "scratch", "mountPath": SCRATCH})
    return volumes, mounts


def _personal(platform: Platform, order: Order) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The volumes that everybody gets, and the one that the Apptainer image lies on."""
    plan = order.plan
    return storage(platform, order.owner, platform.activity(plan.activity), lies_on(platform, plan.apptainer))
