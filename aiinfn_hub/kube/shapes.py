"""The parts of Kubernetes' JSON that we read, as msgspec sees them while decoding. Nothing here is kept.

Fields may be null or absent: typed clients leave empty ones out, others write null.
"""

from __future__ import annotations

from datetime import datetime

import msgspec


class _Shape(msgspec.Struct, rename="camel", gc=False):
    pass


class OwnerReference(_Shape):
    """Whose child an object is."""

    kind: str = ""
    uid: str = ""
    name: str = ""
    controller: bool | None = None


class ObjectMeta(_Shape):
    """Who an object is."""

    name: str = ""
    uid: str = ""
    namespace: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[OwnerReference] | None = None
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None


class Condition(_Shape):
    """One entry of `status.conditions`."""

    type: str
    status: str = ""
    reason: str | None = None
    message: str | None = None
    last_transition_time: datetime | None = None


class Requirements(_Shape):
    """What a container asks for; amounts are text, or numbers where a client was careless."""

    requests: dict[str, str | int | float] | None = None
    limits: dict[str, str | int | float] | None = None


class Container(_Shape):
    """A container or init container."""

    resources: Requirements | None = None
    restart_policy: str | None = None


class EmptyDir(_Shape):
    """A folder that goes with the pod; `medium` is Memory for one that is counted there."""

    medium: str | None = None
    size_limit: str | int | float | None = None


class ClaimSpec(_Shape):
    """`spec` of a claim."""

    resources: Requirements | None = None


class ClaimTemplate(_Shape):
    """A claim that is made for the pod."""

    spec: ClaimSpec | None = None


class Ephemeral(_Shape):
    """A volume that is made for the pod and goes with it."""

    volume_claim_template: ClaimTemplate | None = None


class Volume(_Shape):
    """A volume of a pod, if it is one of its own."""

    empty_dir: EmptyDir | None = None
    ephemeral: Ephemeral | None = None


class Gate(_Shape):
    """A reason not to schedule a pod yet."""

    name: str


class PodSpec(_Shape):
    """`spec` of a pod."""

    node_name: str | None = None
    containers: list[Container] | None = None
    init_containers: list[Container] | None = None
    overhead: dict[str, str | int | float] | None = None
    scheduling_gates: list[Gate] | None = None
    volumes: list[Volume] | None = None


class Running(_Shape):
    """A container that runs."""

    started_at: datetime | None = None


class Waiting(_Shape):
    """A container that does not run yet."""

    reason: str | None = None
    message: str | None = None


class Terminated(_Shape):
    """A container that ran."""

    exit_code: int = 0
    reason: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


class ContainerState(_Shape):
    """At most one of the three is there."""

    running: Running | None = None
    waiting: Waiting | None = None
    terminated: Terminated | None = None


class ContainerStatus(_Shape):
    """What the kubelet says of a container, and of its run before."""

    state: ContainerState | None = None
    last_state: ContainerState | None = None


class PodStatus(_Shape):
    """`status` of a pod."""

    phase: str | None = None
    reason: str | None = None
    message: str | None = None
    start_time: datetime | None = None
    pod_ip: str | None = msgspec.field(name="podIP", default=None)
    conditions: list[Condition] | None = None
    container_statuses: list[ContainerStatus] | None = None


class PodShape(_Shape):
    """A pod."""

    metadata: ObjectMeta
    spec: PodSpec = msgspec.field(default_factory=PodSpec)
    status: PodStatus | None = None


class TaintShape(_Shape):
    """A taint of a node."""

    key: str
    effect: str = ""
    value: str | None = None


class NodeSpec(_Shape):
    """`spec` of a node."""

    taints: list[TaintShape] | None = None
    unschedulable: bool | None = None


class NodeImage(_Shape):
    """An image that a node has; by tag and by digest, in bytes on its disk."""

    names: list[str] | None = None
    size_bytes: int = 0


class NodeStatus(_Shape):
    """`status` of a node."""

    images: list[NodeImage] | None = None
    allocatable: dict[str, str | int | float] | None = None
    capacity: dict[str, str | int | float] | None = None
    conditions: list[Condition] | None = None


class NodeShape(_Shape):
    """A node."""

    metadata: ObjectMeta
    spec: NodeSpec | None = None
    status: NodeStatus | None = None


class PodSetAssignment(_Shape):
    """Where Kueue put a part of a workload: flavor by resource."""

    flavors: dict[str, str] | None = None


class Admission(_Shape):
    """What Kueue granted."""

    cluster_queue: str = ""
    pod_set_assignments: list[PodSetAssignment] | None = None


class WorkloadSpec(_Shape):
    """`spec` of a Workload."""

    queue_name: str = ""
    priority: int | None = None
    active: bool | None = None


class WorkloadStatus(_Shape):
    """`status` of a Workload."""

    conditions: list[Condition] | None = None
    admission: Admission | None = None


class WorkloadShape(_Shape):
    """A Workload of Kueue."""

    metadata: ObjectMeta
    spec: WorkloadSpec | None = None
    status: WorkloadStatus | None = None
