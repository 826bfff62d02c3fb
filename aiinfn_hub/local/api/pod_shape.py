"""The types of the fields of a pod, its status, and the metadata that every object has.

Only what is read here, or easily written wrongly, is listed; other fields pass as they are.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec

#: As the refusal words it; what is no number at all is refused here, what cannot be an amount by the rules.
Quantity = Annotated[str, msgspec.Meta(pattern=r"^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$")] | int | float
Texts = dict[str, str] | None
Time = Annotated[datetime, msgspec.Meta(tz=True)]
Amounts = dict[str, Quantity] | None


class Owner(msgspec.Struct, rename="camel"):
    """`metav1.OwnerReference`."""

    uid: str = ""
    name: str = ""
    kind: str = ""
    api_version: str = ""
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class Metadata(msgspec.Struct, rename="camel"):
    """`metav1.ObjectMeta`."""

    name: str | None = ""
    generate_name: str | None = ""
    namespace: str | None = ""
    uid: str | None = ""
    resource_version: str | None = ""
    labels: Texts = None
    annotations: Texts = None
    finalizers: list[str] | None = None
    owner_references: list[Owner] | None = None


class Condition(msgspec.Struct, rename="camel"):
    """A condition of any kind."""

    type: str = ""
    status: str = ""
    reason: str | None = None
    message: str | None = None
    last_transition_time: Time | None = None


class _KeyRef(msgspec.Struct):
    key: str = ""
    name: str = ""
    optional: bool | None = None


class _FieldRef(msgspec.Struct, rename="camel"):
    field_path: str = ""
    api_version: str | None = None


class _ValueFrom(msgspec.Struct, rename="camel"):
    secret_key_ref: _KeyRef | None = None
    config_map_key_ref: _KeyRef | None = None
    field_ref: _FieldRef | None = None


class _Env(msgspec.Struct, rename="camel"):
    name: str = ""
    value: str | None = None
    value_from: _ValueFrom | None = None


class Port(msgspec.Struct, rename="camel"):
    """A port of a container or of a service."""

    container_port: int | None = None
    port: int | None = None
    name: str | None = None
    protocol: str | None = None
    target_port: int | str | None = None


class _Mount(msgspec.Struct, rename="camel"):
    name: str = ""
    mount_path: str = ""
    sub_path: str | None = None
    read_only: bool | None = None


class Needs(msgspec.Struct):
    """Requests and limits."""

    requests: Amounts = None
    limits: Amounts = None


class _HttpGet(msgspec.Struct):
    port: int | str
    path: str | None = None
    scheme: str | None = None


class _Probe(msgspec.Struct, rename="camel"):
    http_get: _HttpGet | None = None
    exec: dict[str, Any] | None = None
    tcp_socket: dict[str, Any] | None = None
    period_seconds: int | None = None
    failure_threshold: int | None = None


class _Container(msgspec.Struct, rename="camel"):
    name: str = ""
    image: str | None = ""
    command: list[str] | None = None
    args: list[str] | None = None
    working_dir: str | None = None
    env: list[_Env] | None = None
    ports: list[Port] | None = None
    volume_mounts: list[_Mount] | None = None
    resources: Needs | None = None
    liveness_probe: _Probe | None = None
    readiness_probe: _Probe | None = None
    image_pull_policy: str | None = None
    startup_probe: _Probe | None = None


class _Toleration(msgspec.Struct, rename="camel"):
    key: str | None = None
    operator: str | None = None
    value: str | None = None
    effect: str | None = None
    toleration_seconds: int | None = None


class _Gate(msgspec.Struct):
    name: str


class _EmptyDir(msgspec.Struct, rename="camel"):
    medium: str | None = None
    size_limit: Quantity | None = None


class _Volume(msgspec.Struct, rename="camel"):
    name: str = ""
    empty_dir: _EmptyDir | None = None
    secret: dict[str, Any] | None = None
    config_map: dict[str, Any] | None = None
    projected: dict[str, Any] | None = None
    persistent_volume_claim: dict[str, Any] | None = None


class _Expression(msgspec.Struct):
    key: str = ""
    operator: str = ""
    values: list[str] | None = None


class _Term(msgspec.Struct, rename="camel"):
    match_expressions: list[_Expression] | None = None
    match_fields: list[_Expression] | None = None


class _Terms(msgspec.Struct, rename="camel"):
    node_selector_terms: list[_Term] | None = None


class _Wish(msgspec.Struct):
    weight: int = 0
    preference: _Term | None = None


class _NodeAffinity(msgspec.Struct):
    required: _Terms | None = msgspec.field(name="requiredDuringSchedulingIgnoredDuringExecution", default=None)
    preferred: list[_Wish] | None = msgspec.field(name="preferredDuringSchedulingIgnoredDuringExecution", default=None)


class _Affinity(msgspec.Struct, rename="camel"):
    node_affinity: _NodeAffinity | None = None
    pod_affinity: dict[str, Any] | None = None
    pod_anti_affinity: dict[str, Any] | None = None


class _SecurityContext(msgspec.Struct, rename="camel"):
    run_as_user: int | None = None
    run_as_group: int | None = None
    fs_group: int | None = None
    run_as_non_root: bool | None = None


class PodSpec(msgspec.Struct, rename="camel"):
    """`corev1.PodSpec`, also in a Job's template."""

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
    service_account_name: str | None = None
    service_account: str | None = None
    affinity: _Affinity | None = None
    security_context: _SecurityContext | None = None
    host_network: bool | None = None
    hostname: str | None = None
    dns_policy: str | None = None
    overhead: Amounts = None


class _Terminated(msgspec.Struct, rename="camel"):
    exit_code: int = 0
    signal: int | None = None
    reason: str | None = None
    message: str | None = None
    started_at: Time | None = None
    finished_at: Time | None = None


class _Waiting(msgspec.Struct):
    reason: str | None = None
    message: str | None = None


class _State(msgspec.Struct):
    waiting: _Waiting | None = None
    running: dict[str, Any] | None = None
    terminated: _Terminated | None = None


class _ContainerStatus(msgspec.Struct, rename="camel"):
    name: str = ""
    ready: bool | None = None
    restart_count: int | None = None
    state: _State | None = None
    last_state: _State | None = None


class PodStatus(msgspec.Struct, rename="camel"):
    """`corev1.PodStatus`."""

    phase: str | None = None
    reason: str | None = None
    message: str | None = None
    conditions: list[Condition] | None = None
    container_statuses: list[_ContainerStatus] | None = None
    init_container_statuses: list[_ContainerStatus] | None = None
    pod_ip: str | None = msgspec.field(name="podIP", default=None)
    start_time: Time | None = None
