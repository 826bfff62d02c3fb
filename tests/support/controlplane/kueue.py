"""Kueue's own objects and settings, changed where a manager on loopback is not one in a pod."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]
NAMESPACE = "kueue-system"
ACCOUNT = "kueue-controller-manager"
#: The chart's values that we ship: what the tests start is the `Configuration` of production.
VALUES = Path(__file__).parents[3] / "helm-values" / "kueue.yaml"
#: Inside its own root folder, see `plane`. The first two are fixed in Kueue's code.
METRICS_CERTIFICATES, VISIBILITY_CERTIFICATES, WEBHOOK_CERTIFICATES = "etc/kueue/metrics/certs", "visibility", "webhook"
_NOT_SYSTEM = {
    "key": "kubernetes.io/metadata.name",
    "operator": "NotIn",
    "values": ["kube-system", NAMESPACE],
}


@dataclass(frozen=True)
class Ports:
    """Where the manager listens on loopback."""

    webhook: int
    visibility: int
    health: int


def shipped_configuration() -> Object:
    """The `Configuration` inside the chart's values."""
    values = yaml.safe_load(VALUES.read_text())
    return dict(yaml.safe_load(values["managerConfig"]["controllerManagerConfigYaml"]))


def feature_gates() -> dict[str, bool]:
    """The gates that the chart's values turn on or off."""
    values = yaml.safe_load(VALUES.read_text())
    return {gate["name"]: gate["enabled"] for gate in values["controllerManager"].get("featureGates", [])}


def configuration(ports: Ports) -> Object:
    """The shipped one, on loopback, with certificates from files (no kubelet mounts a Secret), and alone."""
    config = shipped_configuration()
    return config | {
        "health": {"healthProbeBindAddress": f"127.0.0.1:{ports.health}"},
        "metrics": config["metrics"] | {"bindAddress": "0"},
        "webhook": {"host": "127.0.0.1", "port": ports.webhook, "certDir": f"/{WEBHOOK_CERTIFICATES}"},
        "visibilityServer": {"bindAddress": "127.0.0.1", "bindPort": ports.visibility},
        # Each test has a namespace of its own; these are the ones that no selector can include.
        "managedJobsNamespaceSelector": {"matchExpressions": [_NOT_SYSTEM]},
        "internalCertManagement": {"enable": False},
        "leaderElection": {"leaderElect": False},
        "namespace": NAMESPACE,
    }


def objects(manifests: Path, ports: Ports, authority: bytes) -> Iterator[Object]:
    """What the release applies, with webhooks and the visibility API on loopback."""
    for thing in yaml.load_all(manifests.read_text(), yaml.CSafeLoader):
        match thing["kind"]:
            case "Deployment" | "ConfigMap" | "Secret":
                continue
            case "CustomResourceDefinition":
                webhook = thing["spec"].get("conversion", {}).get("webhook")
                if webhook:
                    webhook["clientConfig"] = _client(webhook["clientConfig"], ports, authority)
            case "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration":
                for webhook in thing["webhooks"]:
                    webhook["clientConfig"] = _client(webhook["clientConfig"], ports, authority)
            case "APIService":
                thing["spec"]["service"]["port"] = ports.visibility
            case "Service":
                # Nothing routes cluster addresses here; kube-apiserver follows an external name by itself.
                thing["spec"] = {"type": "ExternalName", "externalName": "localhost"}
        yield thing


def _client(was: Object, ports: Ports, authority: bytes) -> Object:
    path = was["service"]["path"]
    return {"url": f"https://127.0.0.1:{ports.webhook}{path}", "caBundle": base64.b64encode(authority).decode()}
