"""Whether Kubernetes and Kueue are there, new enough, and answer. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from aiinfn_hub.install.doctor.facts import (
    KUEUE_NAMESPACE,
    VERSION,
    Facts,
    at,
    conditions,
    named,
)
from aiinfn_hub.install.doctor.findings import Check, Seen

OLDEST_KUBERNETES, OLDEST_KUEUE = (1, 32), (0, 19, 2)
_VERSION = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?")
_CHART = "helm upgrade --install kueue oci://registry.k8s.io/kueue/charts/kueue"
INSTALL = f"{_CHART} --version 0.19.2 --namespace {KUEUE_NAMESPACE} --create-namespace --values helm-values/kueue.yaml"
_RESTART = f"kubectl --namespace {KUEUE_NAMESPACE} rollout restart deployment/kueue-controller-manager"


def _old_kubernetes(facts: Facts) -> Iterator[Seen]:
    for version in facts.of(VERSION):
        found = _numbers(str(version["gitVersion"]))
        if found[:2] < OLDEST_KUBERNETES:
            yield Seen(f"GET /version: gitVersion is {version['gitVersion']}", "kubeadm upgrade apply v1.32")


def _missing(facts: Facts) -> Iterator[Seen]:
    unread = facts.unread("cluster queues")
    if unread is not None and unread.why == "absent":
        yield Seen("GET /apis/kueue.x-k8s.io/v1beta2: not found", INSTALL)


def _image(facts: Facts) -> str:
    containers = [
        container
        for one in facts.of("manager")
        for container in at(one, "spec", "template", "spec", "containers") or ()
    ]
    images = [str(container.get("image", "")) for container in containers]
    return next((image for image in images if "kueue" in image), images[0] if images else "")


def _old(facts: Facts) -> Iterator[Seen]:
    found = _numbers(_tag(_image(facts)))
    if found and found < OLDEST_KUEUE:
        yield Seen(f"Deployment {KUEUE_NAMESPACE}/kueue-controller-manager: image is {_image(facts)}", INSTALL)


def _unknown_version(facts: Facts) -> Iterator[Seen]:
    where = f"Deployment {KUEUE_NAMESPACE}/kueue-controller-manager"
    if not facts.of("manager"):
        yield Seen(f"{where}: is not there", "kubectl get deployments --all-namespaces | grep kueue")
    elif not _numbers(_tag(_image(facts))):
        yield Seen(f"{where}: image is {_image(facts) or 'absent'}", INSTALL)


def _tag(image: str) -> str:
    """Of "registry:5000/kueue:v0.19.2@sha256:..."."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[2]


def _numbers(version: str) -> tuple[int, ...]:
    match = _VERSION.match(version)
    return tuple(int(part or 0) for part in match.groups()) if match else ()


def _silent(facts: Facts) -> Iterator[Seen]:
    unread = facts.unread("conversion")
    if unread is not None:
        yield Seen(f"GET /apis/kueue.x-k8s.io/v1beta1/clusterqueues: {unread.message}", _RESTART)


def _not_running(facts: Facts) -> Iterator[Seen]:
    for manager in facts.of("manager"):
        available = at(manager, "status", "availableReplicas") or 0
        if not available:
            yield Seen(f"{named('Deployment', manager)}: status.availableReplicas is {available}", _RESTART)


def _no_places(facts: Facts) -> Iterator[Seen]:
    unread = facts.unread("visibility")
    if unread is not None:
        yield Seen(f"GET pendingworkloads of ClusterQueue batch: {unread.message}", _RESTART)
    if not facts.of("visibility API"):
        yield Seen("APIService v1beta2.visibility.kueue.x-k8s.io: is not there", INSTALL)
    for service in facts.of("visibility API"):
        available = conditions(service).get("Available", {})
        if available.get("status") != "True":
            words = available.get("message") or available.get("reason") or "not said yet"
            yield Seen(f"{named('APIService', service)}: status.conditions[Available]: {words}", _RESTART)


def _check(code: str, says: str, *reads: str, look: Any, judges: tuple[str, ...] = ()) -> Check:
    return Check(code=code, group="Kubernetes and Kueue", says=says, reads=reads, look=look, judges=judges)


CHECKS = (
    _check(
        "kubernetes-old",
        "The admission policies need Kubernetes 1.32: an older one refuses them, or lets through what they forbid.",
        VERSION,
        look=_old_kubernetes,
    ),
    # It reads nothing that must be there.
    _check("kueue-missing", "Nothing runs: sessions and jobs wait for a queue that nobody serves.", look=_missing),
    _check(
        "kueue-old",
        "Before 0.19.2 people see wrong places in the queue, and jobs are not tried again after a flavor was mended.",
        "manager",
        "cluster queues",
        look=_old,
    ),
    _check(
        "kueue-version-unknown",
        "Nobody knows whether this Kueue has the defects of before 0.19.2.",
        "manager",
        "cluster queues",
        look=_unknown_version,
    ),
    _check(
        "kueue-silent",
        "Nobody can start anything: while Kueue's webhook is silent, no pod and no Job can be created anywhere.",
        "conversion",
        look=_silent,
        judges=("conversion",),
    ),
    _check(
        "kueue-not-running",
        "Nobody can start anything: while Kueue is down, no pod and no Job can be created anywhere.",
        "manager",
        look=_not_running,
    ),
    _check(
        "visibility-unavailable",
        "Whoever waits is not told the place in the queue.",
        "visibility API",
        "visibility",
        "cluster queues",
        look=_no_places,
        judges=("visibility",),
    ),
)
