"""Jobs and their pods as the Job controller reads and writes them. Pure.

Times stay text, as the API wrote them, because most are written back unchanged.
"""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any

import msgspec

from aiinfn_hub.kube import shapes

FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
JOB_NAME = "batch.kubernetes.io/job-name"
#: How often pods of the same index failed before this one; only where indexes have tries of their own.
FAILURES = "batch.kubernetes.io/job-index-failure-count"


class ExitCodes(msgspec.Struct, rename="camel"):
    """Matches pods by the exit codes of their containers."""

    operator: str
    values: list[int]
    container_name: str | None = None


class PodConditionPattern(msgspec.Struct):
    """Matches pods by a condition."""

    type: str
    status: str = "True"


class FailureRule(msgspec.Struct, rename="camel"):
    """What to do about a failed pod: FailJob, FailIndex, Ignore, Count."""

    action: str
    on_exit_codes: ExitCodes | None = None
    on_pod_conditions: list[PodConditionPattern] | None = None


class FailurePolicy(msgspec.Struct):
    """Rules; the first that matches a pod decides."""

    rules: list[FailureRule] = []


class JobSpec(msgspec.Struct, rename="camel"):
    """`spec` of a Job, with the API's defaults."""

    template: dict[str, Any]
    parallelism: int | None = 1
    completions: int | None = None
    completion_mode: str | None = "NonIndexed"
    backoff_limit: int | None = 6
    backoff_limit_per_index: int | None = None
    max_failed_indexes: int | None = None
    active_deadline_seconds: int | None = None
    ttl_seconds_after_finished: int | None = None
    suspend: bool | None = False
    pod_failure_policy: FailurePolicy | None = None
    pod_replacement_policy: str | None = None
    managed_by: str | None = None


class JobCondition(msgspec.Struct, rename="camel"):
    """A condition of a Job."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_probe_time: str | None = None
    last_transition_time: str | None = None


class Uncounted(msgspec.Struct, omit_defaults=True):
    """Pods that ended and are not in the sums yet; written before their finalizers go, so that none counts twice."""

    succeeded: list[str] = []
    failed: list[str] = []


class JobStatus(msgspec.Struct, rename="camel", omit_defaults=True):
    """`status` of a Job. A number that is None is not written; 0 is, where the real controller writes it."""

    conditions: list[JobCondition] = []
    start_time: str | None = None
    completion_time: str | None = None
    active: int = 0
    ready: int | None = None
    terminating: int | None = None
    succeeded: int = 0
    failed: int = 0
    completed_indexes: str = ""
    failed_indexes: str | None = None
    uncounted_terminated_pods: Uncounted | None = None

    def condition(self, name: str) -> JobCondition | None:
        """The condition, if it is true."""
        return next((c for c in self.conditions if c.type == name and c.status == "True"), None)


class _Meta(shapes.ObjectMeta):
    finalizers: list[str] | None = None


class Job(msgspec.Struct):
    """A Job."""

    metadata: _Meta
    spec: JobSpec
    status: JobStatus = msgspec.field(default_factory=JobStatus)

    @property
    def uid(self) -> str:
        """`metadata.uid`."""
        return self.metadata.uid

    @property
    def rv(self) -> str:
        """`metadata.resourceVersion`."""
        return self.metadata.resource_version

    @property
    def indexed(self) -> bool:
        """Whether each completion has its own index."""
        return self.spec.completion_mode == "Indexed"

    @property
    def replaces_failed_only(self) -> bool:
        """Whether a pod that is ending still holds its place; a failure policy forces it."""
        return self.spec.pod_replacement_policy == "Failed" or self.spec.pod_failure_policy is not None


class Exit(msgspec.Struct, frozen=True):
    """How one container ended."""

    container: str
    code: int


class JobPod(msgspec.Struct, frozen=True, kw_only=True):
    """A pod of a Job."""

    uid: str
    name: str
    namespace: str
    owner_uid: str
    rv: str = ""
    phase: str = "Pending"
    deleting: bool = False
    tracked: bool = True
    ready: bool = False
    index: int | None = None
    failures: int = 0
    exits: tuple[Exit, ...] = ()
    conditions: frozenset[tuple[str, str]] = frozenset()
    restarts: int = 0
    finished: float = 0.0


class _ContainerStatus(shapes.ContainerStatus):
    name: str = ""
    restart_count: int = 0


class _PodStatus(msgspec.Struct, rename="camel"):
    phase: str | None = None
    conditions: list[shapes.Condition] | None = None
    container_statuses: list[_ContainerStatus] | None = None
    init_container_statuses: list[_ContainerStatus] | None = None


class _PodShape(msgspec.Struct):
    metadata: _Meta
    status: _PodStatus | None = None


_JOB = msgspec.json.Decoder(Job)
_POD = msgspec.json.Decoder(_PodShape)


def decode_job(text: bytes) -> Job:
    """A Job from its JSON text."""
    return _JOB.decode(text)


def decode_job_pod(text: bytes) -> JobPod:
    """A pod of a Job from its JSON text."""
    shape = _POD.decode(text)
    meta, status = shape.metadata, shape.status or _PodStatus()
    owner = next((o for o in meta.owner_references or () if o.controller and o.kind == "Job"), shapes.OwnerReference())
    containers = [*(status.init_container_statuses or ()), *(status.container_statuses or ())]
    ended = [(c.name, c.state.terminated) for c in containers if c.state and c.state.terminated]
    index = (meta.annotations or {}).get(INDEX, "")
    failures = (meta.annotations or {}).get(FAILURES, "")
    return JobPod(
        uid=meta.uid,
        name=meta.name,
        namespace=sys.intern(meta.namespace),
        owner_uid=owner.uid,
        rv=meta.resource_version,
        phase=sys.intern(status.phase or "Pending"),
        deleting=meta.deletion_timestamp is not None,
        tracked=FINALIZER in (meta.finalizers or ()),
        ready=any(c.type == "Ready" and c.status == "True" for c in status.conditions or ()),
        index=int(index) if index.isdigit() else None,
        failures=int(failures) if failures.isdigit() else 0,
        exits=tuple(Exit(name, run.exit_code) for name, run in ended),
        conditions=frozenset((c.type, c.status) for c in status.conditions or ()),
        restarts=sum(c.restart_count for c in containers),
        finished=_latest([run.finished_at for _, run in ended]),
    )


def _latest(moments: list[datetime | None]) -> float:
    return max((moment.timestamp() for moment in moments if moment), default=0.0)
