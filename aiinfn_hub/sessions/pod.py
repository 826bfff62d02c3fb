"""From a decided session to KubeSpawner's traits. Pure: the same session and configuration give the same values.

KubeSpawner keeps its traits between starts, so each start computes them anew from what the operator configured:
nothing of an earlier session is left, and nothing grows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.identity.person import Person
from aiinfn_hub.pods import folders, iam_token, names, rescue
from aiinfn_hub.pods.apptainer import run_inside
from aiinfn_hub.pods.images import pull_secrets
from aiinfn_hub.pods.placement import placement
from aiinfn_hub.pods.resources import resources
from aiinfn_hub.pods.security import container_security, pod_security
from aiinfn_hub.pods.storage import storage, writable
from aiinfn_hub.sessions.options import SessionSpec
from aiinfn_hub.sessions.tickets import digest

Manifests = list[dict[str, Any]]

#: A session has started when it listens, and not before: what ends as it begins is then a start that failed, whose last
#: words tell why. JupyterHub alone would wait for an answer and say that none came.
_STARTING: dict[str, Any] = {
    "startupProbe": {"tcpSocket": {"port": "notebook-port"}, "periodSeconds": 1, "failureThreshold": 600},
    "terminationMessagePolicy": "FallbackToLogsOnError",
}

#: Traits to which a session adds; the operator's own values come first.
LISTS = (
    "init_containers",
    "volumes",
    "volume_mounts",
    "tolerations",
    "node_affinity_preferred",
    "image_pull_secrets",
)
DICTS = ("extra_labels", "extra_annotations", "extra_pod_config", "extra_container_config", "environment")
REPLACED = ("cmd", "node_affinity_required")


def session_traits(
    platform: Platform,
    person: Person,
    server: str,
    spec: SessionSpec,
    configured: Mapping[str, Any],
    *,
    pod: str,
    queued: bool = True,
) -> dict[str, Any]:
    """The value of each trait that the session decides.

    Args:
        platform: the catalogue.
        person: whose session it is.
        server: name of the JupyterHub server, "" for the default one.
        spec: the session, as `validate` decided it.
        configured: the operator's values of LISTS (as lists), DICTS and REPLACED.
        pod: name of the pod.
        queued: whether it goes through Kueue's queue, in which it may have to be left behind as a ticket.
    """
    volumes, mounts = _storage(platform, person, spec, pod)
    placed = placement(spec.flavour, activity=spec.activity.name)
    affinity = placed.get("affinity", {}).get("nodeAffinity", {})
    added: dict[str, Any] = {
        "init_containers": folders.makers(platform, person.name, spec.activity, spec.volumes),
        "volumes": volumes,
        "volume_mounts": mounts,
        "tolerations": placed["tolerations"],
        "node_affinity_preferred": affinity.get("preferredDuringSchedulingIgnoredDuringExecution", []),
        "image_pull_secrets": pull_secrets(platform),
        "extra_labels": _labels(person, spec) | (_queue(spec) if queued else {}),
        "extra_annotations": _annotations(person, server, spec),
        "extra_pod_config": {"enableServiceLinks": False, "schedulingGates": _gates(configured, queued=queued)},
        "extra_container_config": _STARTING,
        "environment": _environment(platform, person, spec),
    }
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {}).get("nodeSelectorTerms", [])
    home = platform.home
    return {
        **{name: [*configured[name], *added[name]] for name in LISTS},
        **{name: {**configured[name], **added[name]} for name in DICTS},
        "node_affinity_required": both(configured["node_affinity_required"], required),
        "cmd": _command(platform, spec, configured["cmd"], mounts),
        "image": spec.image,
        **_amounts(spec),
        "pod_security_context": pod_security(spec.activity.gid, person.uid),
        "container_security_context": container_security(spec.flavour.capabilities),
        "working_dir": home.mount if home else None,
    }


def both(terms: Sequence[Mapping[str, Any]], ours: Sequence[Mapping[str, Any]]) -> Manifests:
    """Terms that hold where one of each holds: Kubernetes takes terms as alternatives, so they must be combined."""
    if not terms or not ours:
        return [dict(term) for term in (*terms, *ours)]
    return [
        {
            key: [*one.get(key, ()), *other.get(key, ())]
            for key in ("matchExpressions", "matchFields")
            if one.get(key) or other.get(key)
        }
        for one in terms
        for other in ours
    ]


def _storage(platform: Platform, person: Person, spec: SessionSpec, pod: str) -> tuple[Manifests, Manifests]:
    """Volumes and mounts: the catalogue's, the token's, and the folder of a rescue start."""
    volumes, mounts = storage(platform, person.name, spec.activity, spec.volumes)
    if platform.tokens:
        volumes, mounts = [*volumes, iam_token.volume(iam_token.secret_name(pod))], [*mounts, iam_token.mount()]
    if spec.rescue:
        volumes, mounts = [*volumes, rescue.VOLUME], [*mounts, rescue.MOUNT]
    return volumes, mounts


def _environment(platform: Platform, person: Person, spec: SessionSpec) -> dict[str, str]:
    token = iam_token.environment(platform.tokens, person.name, spec.activity) if platform.tokens else {}
    volumes = {name: _literal(value) for name, value in writable(platform, spec.volumes).items()}
    return token | volumes | (rescue.environment(platform) if spec.rescue else {})


def _labels(person: Person, spec: SessionSpec) -> dict[str, str]:
    return {
        names.KIND: names.SESSION,
        names.ACTIVITY: spec.activity.name,
        names.FLAVOUR: spec.flavour.name,
        names.PERSON: names.slug(person.name),
        **names.capabilities(spec.flavour.capabilities),
    }


def _amounts(spec: SessionSpec) -> dict[str, Any]:
    exact = resources(spec.flavour, spec.cpu_millis, spec.memory_bytes)
    return {
        # These become CPU_LIMIT, MEM_LIMIT and the like in the session; the manifest has the exact amounts below.
        "cpu_limit": spec.cpu_millis / 1000,
        "cpu_guarantee": spec.cpu_millis / 1000,
        "mem_limit": spec.memory_bytes,
        "mem_guarantee": spec.memory_bytes,
        "extra_resource_limits": exact["limits"],
        "extra_resource_guarantees": exact["requests"],
    }


def _gates(configured: Mapping[str, Any], *, queued: bool) -> Manifests:
    """The operator's, and in a queue ours."""
    return [*configured["extra_pod_config"].get("schedulingGates", ()), *([{"name": names.GATE}] if queued else ())]


def _queue(spec: SessionSpec) -> dict[str, str]:
    return {names.QUEUE: names.interactive_queue(spec.activity.name), names.PRIORITY: names.INTERACTIVE}


def _annotations(person: Person, server: str, spec: SessionSpec) -> dict[str, str]:
    return {
        names.PERSON_NAME: _literal(person.name),
        names.SERVER: _literal(server),
        names.ACTIVITY_REASON: spec.activity_reason,
        names.LIFETIME: str(spec.lifetime_s),
        names.CHOICE: digest(spec),
    }


def _literal(text: str) -> str:
    """KubeSpawner fills in `{username}` and the like; a name with braces must come out as it is."""
    return text.replace("{", "{{").replace("}", "}}")


def _command(platform: Platform, spec: SessionSpec, command: Sequence[str], mounts: Manifests) -> list[str]:
    if not spec.apptainer:
        return list(command)
    return run_inside(platform, spec.apptainer, command, spec.flavour, [mount["mountPath"] for mount in mounts])
