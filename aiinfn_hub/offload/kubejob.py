"""A Kubernetes Job as a flat, small record, decoded straight from the API's JSON text."""

from __future__ import annotations

import msgspec

from aiinfn_hub.kube import shapes
from aiinfn_hub.kube.slim import Condition


class KubeJob(msgspec.Struct, frozen=True, kw_only=True):
    """A Job; `created` is Unix seconds."""

    uid: str
    name: str
    rv: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    suspended: bool = False
    active: int = 0
    failed: int = 0
    conditions: dict[str, Condition] = {}
    created: float = 0.0

    def holds(self, condition: str) -> bool:
        """Whether the condition is true."""
        found = self.conditions.get(condition)
        return found is not None and found.status == "True"

    @property
    def finished(self) -> bool:
        """Whether it will never run a pod again."""
        return self.holds("Complete") or self.holds("Failed")


class _Spec(msgspec.Struct):
    suspend: bool | None = None


class _Status(msgspec.Struct):
    active: int | None = None
    failed: int | None = None
    conditions: list[shapes.Condition] | None = None


class _Job(msgspec.Struct):
    metadata: shapes.ObjectMeta
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status | None = None


_JOB = msgspec.json.Decoder(_Job)


def decode_job(text: bytes) -> KubeJob:
    """A Job from its JSON text; msgspec.DecodeError if it is none."""
    found = _JOB.decode(text)
    meta, status = found.metadata, found.status or _Status()
    return KubeJob(
        uid=meta.uid,
        name=meta.name,
        rv=meta.resource_version,
        labels=meta.labels or {},
        annotations=meta.annotations or {},
        suspended=found.spec.suspend is True,
        active=status.active or 0,
        failed=status.failed or 0,
        conditions={c.type: Condition(c.status, c.reason or "", c.message or "") for c in status.conditions or ()},
        created=meta.creation_timestamp.timestamp() if meta.creation_timestamp else 0.0,
    )
