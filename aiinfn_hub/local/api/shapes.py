"""The types of the fields that our code writes: a number where Kubernetes wants text is refused, as Go's decoder does.

Only fields whose type is easily mistaken are listed; others pass as they are.
"""

from __future__ import annotations

from typing import Any

import msgspec

from aiinfn_hub.local.api import status
from aiinfn_hub.local.api.kinds import Resource

Quantity = str | int | float
Texts = dict[str, str] | None


class _Owner(msgspec.Struct, rename="camel"):
    uid: str = ""
    name: str = ""
    kind: str = ""
    api_version: str = ""
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class _Metadata(msgspec.Struct, rename="camel"):
    name: str = ""
    generate_name: str | None = ""
    namespace: str | None = ""
    uid: str | None = ""
    resource_version: str | None = ""
    labels: Texts = None
    annotations: Texts = None
    finalizers: list[str] | None = None
    owner_references: list[_Owner] | None = None


class _KeyRef(msgspec.Struct):
    key: str = ""
    name: str = ""
    optional: bool | None = None


class _ValueFrom(msgspec.Struct, rename="camel"):
    secret_key_ref: _KeyRef | None = None
    config_map_key_ref: _KeyRef | None = None


class _Env(msgspec.Struct, rename="camel"):
    name: str = ""
    value: str | None = None
    value_from: _ValueFrom | None = None


class _Port(msgspec.Struct, rename="camel"):
    container_port: int | None = None
    port: int | None = None
    name: str | None = None
    target_port: int | str | None = None


class _Mount(msgspec.Struct, rename="camel"):
    name: str = ""
    mount_path: str = ""
    sub_path: str | None = None
    read_only: bool | None = None


class _Needs(msgspec.Struct):
    requests: dict[str, Quantity] | None = None
    limits: dict[str, Quantity] | None = None


class _Container(msgspec.Struct, rename="camel"):
    name: str = ""
    image: str | None = ""
    command: list[str] | None = None
    args: list[str] | None = None
    working_dir: str | None = None
    env: list[_Env] | None = None
    ports: list[_Port] | None = None
    volume_mounts: list[_Mount] | None = None
    resources: _Needs | None = None


class _Toleration(msgspec.Struct, rename="camel"):
    key: str | None = None
    operator: str | None = None
    value: str | None = None
    effect: str | None = None
    toleration_seconds: int | None = None


class _Gate(msgspec.Struct):
    name: str


class _Volume(msgspec.Struct, rename="camel"):
    name: str = ""
    empty_dir: dict[str, Any] | None = None
    secret: dict[str, Any] | None = None
    config_map: dict[str, Any] | None = None
    persistent_volume_claim: dict[str, Any] | None = None


class _PodSpec(msgspec.Struct, rename="camel"):
    containers: list[_Container] | None = None
    init_containers: list[_Container] | None = None
    volumes: list[_Volume] | None = None
    node_name: str | None = None
    node_selector: Texts = None
    tolerations: list[_Toleration] | None = None
    scheduling_gates: list[_Gate] | None = None
    restart_policy: str | None = None
    termination_grace_period_seconds: int | None = None
    active_deadline_seconds: int | None = None
    priority: int | None = None
    priority_class_name: str | None = None
    affinity: dict[str, Any] | None = None
    security_context: dict[str, Any] | None = None


class _Object(msgspec.Struct, rename="camel"):
    metadata: _Metadata


class _Pod(_Object):
    spec: _PodSpec | None = None


class _Template(msgspec.Struct):
    metadata: _Metadata | None = None
    spec: _PodSpec | None = None


class _JobSpec(msgspec.Struct, rename="camel"):
    template: _Template | None = None
    parallelism: int | None = None
    completions: int | None = None
    backoff_limit: int | None = None
    suspend: bool | None = None
    active_deadline_seconds: int | None = None
    ttl_seconds_after_finished: int | None = None
    completion_mode: str | None = None


class _Job(_Object):
    spec: _JobSpec | None = None


class _ConfigMap(_Object):
    data: Texts = None
    binary_data: Texts = None
    immutable: bool | None = None


class _Secret(_Object):
    data: Texts = None
    string_data: Texts = None
    type: str | None = None
    immutable: bool | None = None


class _ServiceSpec(msgspec.Struct, rename="camel"):
    ports: list[_Port] | None = None
    selector: Texts = None


class _Service(_Object):
    spec: _ServiceSpec | None = None


class _LeaseSpec(msgspec.Struct, rename="camel"):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    lease_transitions: int | None = None
    renew_time: str | None = None
    acquire_time: str | None = None


class _Lease(_Object):
    spec: _LeaseSpec | None = None


_SHAPES: dict[tuple[str, str], type[_Object]] = {
    ("", "pods"): _Pod,
    ("", "configmaps"): _ConfigMap,
    ("", "secrets"): _Secret,
    ("", "services"): _Service,
    ("batch", "jobs"): _Job,
    ("coordination.k8s.io", "leases"): _Lease,
}


def check(resource: Resource, obj: Any) -> None:
    """Refuse an object with a field of the wrong type.

    Raises:
        InvalidInput: 400, with the path of the field.
    """
    try:
        msgspec.convert(obj, _SHAPES.get(resource.table, _Object))
    except msgspec.ValidationError as error:
        kind, version = resource.kind.kind, resource.kind.version
        raise status.bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {error}') from error
