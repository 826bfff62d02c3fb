"""What one step of a Job works on: the Job, its pods by what they are, and the plan that comes out. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from aiinfn_hub.kube.moments import rfc3339
from aiinfn_hub.local.controllers.indexes import parse_indexes
from aiinfn_hub.local.controllers.job_shapes import Job, JobCondition, JobPod, JobStatus, Uncounted


@dataclass
class Plan:
    """What one step does, in this order: delete, create, write the status, release.

    Attributes:
        create: the completion index of each pod to create; None where there are no indexes.
        failures: how often earlier pods of an index failed, where indexes have tries of their own.
        delete: pods to delete; those in `release` give up their finalizer first and are never counted.
        release: pods whose finalizer is to go.
        events: (type, reason, message).
        wake_at: Unix seconds at which to look again without any news.
        expired: the Job itself is to be deleted.
    """

    status: JobStatus
    create: list[int | None] = field(default_factory=list)
    failures: dict[int, int] = field(default_factory=dict)
    delete: list[JobPod] = field(default_factory=list)
    release: list[JobPod] = field(default_factory=list)
    events: list[tuple[str, str, str]] = field(default_factory=list)
    wake_at: float | None = None
    expired: bool = False

    def wake(self, moment: float) -> None:
        """Look again at `moment`, or earlier if that was asked for before."""
        self.wake_at = moment if self.wake_at is None else min(self.wake_at, moment)


@dataclass
class Step:
    """The pods of a Job, sorted by what they are, while one step is made."""

    job: Job
    now: float
    backoff_s: float
    pods: Sequence[JobPod]
    plan: Plan
    active: list[JobPod] = field(default_factory=list)
    terminating: list[JobPod] = field(default_factory=list)
    new_failures: int = 0
    policy_failure: str = ""
    failed_indexes: set[int] = field(init=False)

    def __post_init__(self) -> None:
        self.failed_indexes = parse_indexes(self.job.status.failed_indexes or "")

    @property
    def status(self) -> JobStatus:
        """The status to be."""
        return self.plan.status

    @property
    def uncounted(self) -> Uncounted:
        """Pods that ended and are not in the sums yet."""
        return self.status.uncounted_terminated_pods or Uncounted()

    @property
    def failed(self) -> int:
        """Pods that failed, also those not in the sums yet."""
        return self.status.failed + len(self.uncounted.failed)

    @property
    def succeeded(self) -> int:
        """Pods that ended well, also those not in the sums yet."""
        return self.status.succeeded + len(self.uncounted.succeeded)

    def set(self, name: str, reason: str, message: str, *, status: str = "True") -> bool:
        """Set a condition; True if that changed its status."""
        found = next((c for c in self.status.conditions if c.type == name), None)
        if found is not None and found.status == status:
            return False
        now = rfc3339(self.now)
        fresh = JobCondition(name, status, reason, message, now, now)
        self.status.conditions = [c for c in self.status.conditions if c.type != name] + [fresh]
        return True
