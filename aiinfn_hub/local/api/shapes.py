"""The types of fields that our code writes: a number where Kubernetes wants text is refused, as Go's decoder does."""

from __future__ import annotations

from typing import Any

import msgspec

from aiinfn_hub.local.api import status
from aiinfn_hub.local.api.kinds import Resource
from aiinfn_hub.local.api.pod_shape import Amounts, Condition, Metadata, Needs, PodSpec, PodStatus, Port, Texts, Time
from aiinfn_hub.local.api.status import Problem

Any_ = dict[str, Any] | None


class _Object(msgspec.Struct, rename="camel"):
    metadata: Metadata


class _Pod(_Object):
    spec: PodSpec | None = None
    status: PodStatus | None = None


class _Template(msgspec.Struct):
    metadata: Metadata | None = None
    spec: PodSpec | None = None


class _ExitCodes(msgspec.Struct, rename="camel"):
    container_name: str | None = None
    operator: str | None = None
    values: list[int] | None = None


class _FailureRule(msgspec.Struct, rename="camel"):
    action: str | None = None
    on_exit_codes: _ExitCodes | None = None
    on_pod_conditions: list[dict[str, Any]] | None = None


class _FailurePolicy(msgspec.Struct):
    rules: list[_FailureRule] | None = None


class _JobSpec(msgspec.Struct, rename="camel"):
    template: _Template | None = None
    selector: Any_ = None
    manual_selector: bool | None = None
    parallelism: int | None = None
    completions: int | None = None
    backoff_limit: int | None = None
    backoff_limit_per_index: int | None = None
    suspend: bool | None = None
    active_deadline_seconds: int | None = None
    ttl_seconds_after_finished: int | None = None
    completion_mode: str | None = None
    pod_failure_policy: _FailurePolicy | None = None


class _JobStatus(msgspec.Struct, rename="camel"):
    conditions: list[Condition] | None = None
    active: int | None = None
    succeeded: int | None = None
    failed: int | None = None
    start_time: Time | None = None
    completion_time: Time | None = None


class _Job(_Object):
    spec: _JobSpec | None = None
    status: _JobStatus | None = None


class _ConfigMap(_Object):
    data: Texts = None
    binary_data: dict[str, bytes] | None = None
    immutable: bool | None = None


class _Secret(_Object):
    data: dict[str, bytes] | None = None
    string_data: Texts = None
    type: str | None = None
    immutable: bool | None = None


class _ServiceSpec(msgspec.Struct, rename="camel"):
    ports: list[Port] | None = None
    selector: Texts = None
    type: str | None = None
    cluster_ip: str | None = msgspec.field(name="clusterIP", default=None)


class _Service(_Object):
    spec: _ServiceSpec | None = None
    status: Any_ = None


class _LeaseSpec(msgspec.Struct, rename="camel"):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    lease_transitions: int | None = None
    renew_time: Time | None = None
    acquire_time: Time | None = None


class _Lease(_Object):
    spec: _LeaseSpec | None = None


class _Finalized(msgspec.Struct):
    finalizers: list[str] | None = None


class _Phase(msgspec.Struct, rename="camel"):
    phase: str | None = None
    access_modes: list[str] | None = None


class _Namespace(_Object):
    spec: _Finalized | None = None
    status: _Phase | None = None


class _NodeSpec(msgspec.Struct):
    unschedulable: bool | None = None
    taints: list[dict[str, Any]] | None = None


class _Address(msgspec.Struct):
    type: str
    address: str


class _NodeStatus(msgspec.Struct, rename="camel"):
    conditions: list[Condition] | None = None
    addresses: list[_Address] | None = None
    allocatable: Amounts = None
    capacity: Amounts = None
    node_info: Any_ = None


class _Node(_Object):
    spec: _NodeSpec | None = None
    status: _NodeStatus | None = None


class _ClaimSpec(msgspec.Struct, rename="camel"):
    access_modes: list[str] | None = None
    resources: Needs | None = None


class _Claim(_Object):
    spec: _ClaimSpec | None = None
    status: _Phase | None = None


class _Volume(_Object):
    spec: Any_ = None
    status: _Phase | None = None


class _Reference(msgspec.Struct, rename="camel"):
    kind: str | None = None
    namespace: str | None = None
    name: str | None = None
    uid: str | None = None


class _Series(msgspec.Struct, rename="camel"):
    count: int | None = None
    last_observed_time: Time | None = None


class _Event(_Object):
    involved_object: _Reference | None = None
    type: str | None = None
    reason: str | None = None
    message: str | None = None
    count: int | None = None
    source: Any_ = None
    series: _Series | None = None
    first_timestamp: Time | None = None
    last_timestamp: Time | None = None
    event_time: Time | None = None


class _PriorityClass(_Object):
    value: int
    global_default: bool | None = None
    preemption_policy: str | None = None


class _Names(msgspec.Struct, rename="camel"):
    kind: str | None = None
    plural: str | None = None
    singular: str | None = None
    short_names: list[str] | None = None


class _PrinterColumn(msgspec.Struct, rename="camel"):
    name: str
    type: str
    json_path: str
    priority: int | None = None
    format: str | None = None


class _Version(msgspec.Struct, rename="camel"):
    name: str | None = None
    served: bool | None = None
    storage: bool | None = None
    subresources: Any_ = None
    additional_printer_columns: list[_PrinterColumn] | None = None


class _DefinitionSpec(msgspec.Struct):
    group: str | None = None
    scope: str | None = None
    names: _Names | None = None
    versions: list[_Version] | None = None


class _Definition(_Object):
    spec: _DefinitionSpec | None = None
    status: Any_ = None


_SHAPES: dict[tuple[str, str], type[_Object]] = {
    ("", "pods"): _Pod,
    ("", "configmaps"): _ConfigMap,
    ("", "secrets"): _Secret,
    ("", "services"): _Service,
    ("", "namespaces"): _Namespace,
    ("", "nodes"): _Node,
    ("", "persistentvolumeclaims"): _Claim,
    ("", "persistentvolumes"): _Volume,
    ("", "events"): _Event,
    ("batch", "jobs"): _Job,
    ("coordination.k8s.io", "leases"): _Lease,
    ("scheduling.k8s.io", "priorityclasses"): _PriorityClass,
    ("apiextensions.k8s.io", "customresourcedefinitions"): _Definition,
}


def check(resource: Resource, obj: Any, *, patched: bool = False) -> None:
    """Refuse an object with a field of the wrong type.

    Raises:
        InvalidInput: 400, or 422 if it is what a patch made; with the path of the field.
    """
    try:
        msgspec.convert(obj, _SHAPES.get(resource.table, _Object))
    except msgspec.ValidationError as error:
        kind, version = resource.kind.kind, resource.kind.version
        if patched:
            # The real one shows the whole object here, a Secret's too.
            problem = Problem.invalid("patch", kind, str(error))
            raise status.invalid_value("", problem) from error
        raise status.bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {error}') from error
