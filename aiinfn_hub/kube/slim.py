"""Pods, nodes and workloads as flat, small records, decoded straight from the API's JSON text.

Times are Unix seconds, CPU is in millicores, memory in bytes, other resources are counts. A full pod is 6-20 KB of
JSON; of a kept one at most 2 KiB remain, because what pods have in common (labels, conditions) is shared.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache

import msgspec

from aiinfn_hub.kube import shapes
from aiinfn_hub.kube.amounts import amounts, pod_requests, pod_storage
from aiinfn_hub.pods.names import DRAIN_AT, HELD, REHEARSAL, REMOTE_ID

#: Annotations that mean something to us; others (a whole manifest in last-applied-configuration) are not kept.
KEPT_ANNOTATIONS = ("aiinfn.infn.it/", "kueue.x-k8s.io/", "hub.jupyter.org/", REMOTE_ID)


class Condition(msgspec.Struct, frozen=True):
    """A condition's status ("True", "False", "Unknown"), its reason and its sentence."""

    status: str
    reason: str = ""
    message: str = ""


class Pod(msgspec.Struct, frozen=True, kw_only=True):
    """A pod.

    `storage` are bytes that are its own and go with it. `scheduled` is when it was bound, `started` when the kubelet
    took it, `ran_from` when its first container started, `finished` when its last one ended. `exit_code` and
    `exit_reason` are of the container that failed, else of the first that ended. `waiting` is the reason of a container
    that cannot start ("ImagePullBackOff").
    """

    uid: str
    name: str
    namespace: str
    rv: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    node: str = ""
    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    created: float = 0.0
    deleted_at: float | None = None
    scheduled: float | None = None
    started: float | None = None
    ran_from: float | None = None
    finished: float | None = None
    requests: dict[str, int] = {}
    storage: int = 0
    gates: tuple[str, ...] = ()
    ready: bool = False
    exit_code: int | None = None
    exit_reason: str = ""
    waiting: str = ""
    owner_kind: str = ""
    owner_uid: str = ""
    conditions: dict[str, Condition] = {}
    ip: str = ""


class Taint(msgspec.Struct, frozen=True):
    """A taint; `effect` is NoSchedule, PreferNoSchedule or NoExecute."""

    key: str
    value: str = ""
    effect: str = ""


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A node; `since` is when it became ready or ceased to be, `drain_at` when an operator wants it empty.

    `images` are those on its disk, by reference, in bytes there. A kubelet names the 50 largest, unless told otherwise.
    """

    uid: str
    name: str
    rv: str = ""
    labels: dict[str, str] = {}
    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False
    ready: bool = False
    since: float = 0.0
    allocatable: dict[str, int] = {}
    capacity: dict[str, int] = {}
    conditions: dict[str, Condition] = {}
    drain_at: float | None = None
    images: dict[str, int] = {}


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """A Workload of Kueue.

    `flavors` is the ResourceFlavor granted for each resource, `admitted` when it was let in, `released` when what it
    held was given back (finished, or evicted and not let in again), `held` why we have put it aside,
    `rehearsal` how far the rehearsal of an eviction is.
    """

    uid: str
    name: str
    namespace: str
    rv: str = ""
    owner_kind: str = ""
    owner_uid: str = ""
    owner_name: str = ""
    queue: str = ""
    cluster_queue: str = ""
    priority: int = 0
    active: bool = True
    held: str = ""
    rehearsal: str = ""
    conditions: dict[str, Condition] = {}
    flavors: dict[str, str] = {}
    created: float = 0.0
    admitted: float | None = None
    released: float | None = None


@lru_cache(maxsize=4096)
def _condition(status: str, reason: str, message: str) -> Condition:
    return Condition(status, reason, message)


def _conditions(found: Iterable[shapes.Condition] | None) -> dict[str, Condition]:
    return {sys.intern(c.type): _condition(c.status, c.reason or "", c.message or "") for c in found or ()}


def _interned(found: Mapping[str, str] | None) -> dict[str, str]:
    return {sys.intern(key): sys.intern(value) for key, value in (found or {}).items()}


def _kept(found: Mapping[str, str] | None) -> dict[str, str]:
    return _interned({key: value for key, value in (found or {}).items() if key.startswith(KEPT_ANNOTATIONS)})


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _moment(text: str) -> float | None:
    """A time that an operator typed; None for none, and for what is none."""
    try:
        return datetime.fromisoformat(text).timestamp() if text else None
    except ValueError:
        return None


def _since(found: Iterable[shapes.Condition] | None, name: str, status: str = "") -> float | None:
    moments = [c.last_transition_time for c in found or () if c.type == name and status in ("", c.status)]
    return _seconds(moments[0]) if moments else None


def _owner(meta: shapes.ObjectMeta) -> shapes.OwnerReference:
    owners = meta.owner_references or []
    return next((o for o in owners if o.controller), owners[0] if owners else shapes.OwnerReference())


class _Runs(msgspec.Struct):
    """What the containers of a pod did, taken together."""

    ran_from: float | None = None
    finished: float | None = None
    exit_code: int | None = None
    exit_reason: str = ""
    waiting: str = ""


def _runs(statuses: Iterable[shapes.ContainerStatus] | None) -> _Runs:
    began: list[datetime | None] = []
    ended: list[shapes.Terminated] = []
    waiting = ""
    for status in statuses or ():
        now, before = status.state or shapes.ContainerState(), status.last_state or shapes.ContainerState()
        began += [run.started_at for run in (before.terminated, now.running, now.terminated) if run]
        if now.terminated:
            ended.append(now.terminated)
        if now.waiting and not waiting:
            waiting = now.waiting.reason or ""
    told = next((run for run in ended if run.exit_code), ended[0] if ended else None)
    return _Runs(
        ran_from=min((t.timestamp() for t in began if t), default=None),
        finished=max((run.finished_at.timestamp() for run in ended if run.finished_at), default=None),
        exit_code=told.exit_code if told else None,
        exit_reason=sys.intern(told.reason or "") if told else "",
        waiting=sys.intern(waiting),
    )


_POD = msgspec.json.Decoder(shapes.PodShape)
_NODE = msgspec.json.Decoder(shapes.NodeShape)
_WORKLOAD = msgspec.json.Decoder(shapes.WorkloadShape)


def decode_pod(text: bytes) -> Pod:
    """A pod from its JSON text; msgspec.DecodeError or InvalidInput if it is none."""
    return flat_pod(_POD.decode(text))


def flat_pod(pod: shapes.PodShape) -> Pod:
    """A pod from its decoded shape."""
    meta, spec, status = pod.metadata, pod.spec, pod.status or shapes.PodStatus()
    owner, runs, conditions = _owner(meta), _runs(status.container_statuses), _conditions(status.conditions)
    return Pod(
        uid=meta.uid,
        name=meta.name,
        namespace=sys.intern(meta.namespace),
        rv=meta.resource_version,
        labels=_interned(meta.labels),
        annotations=_kept(meta.annotations),
        node=sys.intern(spec.node_name or ""),
        phase=sys.intern(status.phase or "Pending"),
        reason=sys.intern(status.reason or ""),
        message=status.message or "",
        created=_seconds(meta.creation_timestamp) or 0.0,
        deleted_at=_seconds(meta.deletion_timestamp),
        scheduled=_since(status.conditions, "PodScheduled", "True"),
        started=_seconds(status.start_time),
        requests=pod_requests(spec),
        storage=pod_storage(spec),
        gates=tuple(sys.intern(gate.name) for gate in spec.scheduling_gates or ()),
        ready="Ready" in conditions and conditions["Ready"].status == "True",
        owner_kind=sys.intern(owner.kind),
        owner_uid=sys.intern(owner.uid),
        conditions=conditions,
        ip=status.pod_ip or "",
        **msgspec.structs.asdict(runs),
    )


def decode_node(text: bytes) -> Node:
    """A node from its JSON text."""
    node = _NODE.decode(text)
    meta, spec, status = node.metadata, node.spec or shapes.NodeSpec(), node.status or shapes.NodeStatus()
    conditions = _conditions(status.conditions)
    return Node(
        uid=meta.uid,
        name=sys.intern(meta.name),
        rv=meta.resource_version,
        labels=_interned(meta.labels),
        taints=tuple(Taint(t.key, t.value or "", t.effect) for t in spec.taints or ()),
        unschedulable=bool(spec.unschedulable),
        ready="Ready" in conditions and conditions["Ready"].status == "True",
        since=_since(status.conditions, "Ready") or 0.0,
        allocatable=amounts(status.allocatable if status.allocatable is not None else status.capacity),
        capacity=amounts(status.capacity),
        conditions=conditions,
        images={sys.intern(name): one.size_bytes for one in status.images or () for name in one.names or ()},
        drain_at=_moment((meta.annotations or {}).get(DRAIN_AT, "")),
    )


def decode_workload(text: bytes) -> Workload:
    """A Workload from its JSON text."""
    found = _WORKLOAD.decode(text)
    meta, spec, status = found.metadata, found.spec or shapes.WorkloadSpec(), found.status or shapes.WorkloadStatus()
    owner, admission = _owner(meta), status.admission or shapes.Admission()
    admitted, finished = (_since(status.conditions, name, "True") for name in ("Admitted", "Finished"))
    evicted = any(c.type == "Evicted" and c.status == "True" for c in status.conditions or ())
    given_back = _since(status.conditions, "Admitted", "False") if evicted else None
    granted = [assignment.flavors or {} for assignment in admission.pod_set_assignments or ()]
    return Workload(
        uid=meta.uid,
        name=meta.name,
        namespace=sys.intern(meta.namespace),
        rv=meta.resource_version,
        owner_kind=sys.intern(owner.kind),
        owner_uid=owner.uid,
        owner_name=owner.name,
        queue=sys.intern(spec.queue_name),
        cluster_queue=sys.intern(admission.cluster_queue),
        priority=spec.priority or 0,
        active=spec.active is not False,
        held=(meta.annotations or {}).get(HELD, ""),
        rehearsal=(meta.annotations or {}).get(REHEARSAL, ""),
        conditions=_conditions(status.conditions),
        flavors=_interned({resource: flavor for flavors in granted for resource, flavor in flavors.items()}),
        created=_seconds(meta.creation_timestamp) or 0.0,
        admitted=admitted,
        released=finished or given_back,
    )
