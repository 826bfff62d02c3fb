"""The service's own Deployment, Service and volume, beside the hub. Pure.

Its settings are the operator's, in the ConfigMap `aiinfn-service` (helm-values/service.yaml); here are the files that
they name.
"""

from __future__ import annotations

from typing import Any

from aiinfn_hub import __version__
from aiinfn_hub.catalogue.models import Platform
from aiinfn_hub.install.rbac import SERVICE
from aiinfn_hub.pods.security import container_security, pod_security

NAME = "aiinfn-service"
#: Of people, of jobs, of Prometheus; as in the settings.
PORT, RUNS_PORT, METRICS_PORT = 8001, 8002, 8003
IMAGE = "ghcr.io/aiinfn/service"
HEALTH = "/services/aiinfn/api/health"
#: By group of the pod only: the service refuses a secret that everybody could read.
_SECRET_MODE = 0o440
_UID = _GID = 1000
_PORTS = {"people": PORT, "runs": RUNS_PORT, "metrics": METRICS_PORT}
#: Where each volume is mounted and what it is.
Sources = dict[str, tuple[str, dict[str, Any]]]
_LABELS = {
    "app": NAME,
    # The chart's policy of the hub lets pods with this label in.
    "hub.jupyter.org/network-access-hub": "true",
}


def objects(platform: Platform) -> list[dict[str, Any]]:
    """The volume of blobs, the Deployment and the Service."""
    namespace = platform.system_namespace
    return [_claim(namespace), _deployment(platform), _service(namespace)]


def _metadata(name: str, namespace: str) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "labels": {"app": NAME}}


def _claim(namespace: str) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "100Gi"}}}
    metadata = _metadata("aiinfn-blobs", namespace)
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def _service(namespace: str) -> dict[str, Any]:
    ports = [{"name": name, "port": port, "targetPort": name} for name, port in _PORTS.items()]
    spec = {"selector": {"app": NAME}, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": _metadata(NAME, namespace), "spec": spec}


def _deployment(platform: Platform) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(NAME, platform.system_namespace),
        "spec": {
            # One that observes and follows; its volume is on one node.
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": {"app": NAME}},
            "template": {"metadata": {"labels": _LABELS}, "spec": _pod(_sources(platform))},
        },
    }


def _pod(sources: Sources) -> dict[str, Any]:
    return {
        "serviceAccountName": SERVICE,
        "enableServiceLinks": False,
        "securityContext": pod_security(_GID, _UID),
        "containers": [_container(sources)],
        "volumes": [{"name": name} | source for name, (_, source) in sources.items()],
    }


def _container(sources: Sources) -> dict[str, Any]:
    health = {"httpGet": {"path": HEALTH, "port": "people"}, "timeoutSeconds": 5}
    return {
        "name": "service",
        "image": f"{IMAGE}:{__version__}",
        "command": ["aiinfn", "service", "run", "--config", "/etc/aiinfn-service/service.yaml"],
        "ports": [{"name": name, "containerPort": port} for name, port in _PORTS.items()],
        # 503 until the caches are filled, which takes a minute on a large cluster; migrations come before.
        "startupProbe": health | {"periodSeconds": 5, "failureThreshold": 60},
        "readinessProbe": health | {"periodSeconds": 10},
        # A listener that is gone, and not caches that wait for an API server that is down: a restart helps the first.
        "livenessProbe": {"tcpSocket": {"port": "people"}, "periodSeconds": 20, "failureThreshold": 3},
        "resources": {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"cpu": "2", "memory": "2Gi"}},
        "securityContext": container_security() | {"readOnlyRootFilesystem": True},
        "volumeMounts": [
            {"name": name, "mountPath": path, "readOnly": name not in {"blobs", "tmp"}}
            for name, (path, _) in sources.items()
        ],
    }


def _sources(platform: Platform) -> Sources:
    # Of the chart's Secret only the key of this service: the others are the hub's own.
    token = [{"key": "hub.services.aiinfn.apiToken", "path": "hub.services.aiinfn.apiToken"}]
    logins = [
        {"secret": {"name": name, "items": [{"key": ".dockerconfigjson", "path": f"{name}.json"}]}}
        for name in platform.image_policy.pull_secrets
    ]
    projected = {"projected": {"defaultMode": _SECRET_MODE, "sources": logins}}
    return {
        **({"registries": ("/etc/aiinfn-registries", projected)} if logins and platform.image_policy.look_up else {}),
        "settings": ("/etc/aiinfn-service", {"configMap": {"name": "aiinfn-service"}}),
        "platform": ("/etc/aiinfn", {"configMap": {"name": "aiinfn-platform"}}),
        "hub-key": ("/etc/aiinfn-hub-key", _secret("aiinfn-hub-key")),
        "hub-token": ("/etc/aiinfn-hub-token", _secret("hub", items=token)),
        "database": ("/etc/aiinfn-database", _secret("aiinfn-database")),
        "blobs": ("/var/lib/aiinfn/blobs", {"persistentVolumeClaim": {"claimName": "aiinfn-blobs"}}),
        "tmp": ("/tmp", {"emptyDir": {}}),  # noqa: S108  a folder of the container, on a volume of its own
    }


def _secret(name: str, **more: Any) -> dict[str, Any]:
    return {"secret": {"secretName": name, "defaultMode": _SECRET_MODE, **more}}
