"""Where jobs can run, and what would happen to one."""

from __future__ import annotations

from typing import Any

import msgspec

from aiinfn_hub.contract.jobs import Wire
from aiinfn_hub.errors import InvalidInput


class Target(Wire, frozen=True):
    """A place where jobs can run."""

    name: str
    kind: str
    description: str
    flavours: list[str]


class Plan(Wire, frozen=True, kw_only=True):
    """A job as it would run. CPU in millicores, memory in bytes, time in seconds.

    `target` is what was asked for, `site` the place that it means; `gpu_hours` are weighted, for all of the time.
    With `refusals`, the job cannot be submitted as it is. `manifest` is the Job as it would be sent to Kubernetes, for
    who asks for the plan alone.
    """

    target: str
    site: str
    activity: str
    flavour: str
    units: int
    queue: str
    image: str
    apptainer: str = ""
    cpu_millis: int
    memory_bytes: int
    time_s: int
    gpu_hours: float
    warnings: list[str] = msgspec.field(default_factory=list)
    refusals: list[str] = msgspec.field(default_factory=list)
    manifest: dict[str, Any] = msgspec.field(default_factory=dict)

    def check(self) -> None:
        """Raise `InvalidInput` with every refusal."""
        if self.refusals:
            raise InvalidInput(" ".join(self.refusals), details={"refusals": self.refusals})
