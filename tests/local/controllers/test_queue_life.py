"""Sessions and jobs come, wait, are evicted and end in any order: the pure parts of the queue as one machine."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.kubefake import a_pod, raw
from support.queues import cluster_queue, local_queue

from aiinfn_hub.kube.client import PODS
from aiinfn_hub.kube.moments import rfc3339
from aiinfn_hub.kube.shapes import ObjectMeta
from aiinfn_hub.local.controllers import workloads
from aiinfn_hub.local.controllers.cycle import Decisions, cycle
from aiinfn_hub.local.controllers.flavors import Flavor
from aiinfn_hub.local.controllers.queue_shapes import decode_cluster_queue, decode_local_queue, decode_namespace
from aiinfn_hub.local.controllers.queue_snapshot import Snapshot, snapshot
from aiinfn_hub.local.controllers.workloads import Workload, decode_workload, workload_for

GPUS = 4
T0 = 1_800_000_000.0
GPU = ("a100", "nvidia.com/gpu")
FLAVORS = {"a100": Flavor("a100")}
NAMESPACES = [decode_namespace(raw({"metadata": {"name": "default", "uid": "ns"}}))]
LINES = [
    decode_local_queue(raw(local_queue("sessions", "interactive"))),
    decode_local_queue(raw(local_queue("jobs", "batch"))),
]


def quotas(gpus: int) -> dict[str, Any]:
    return {"cpu": gpus * 100, "memory": f"{gpus * 100}Gi", "nvidia.com/gpu": gpus}


class QueueLife(RuleBasedStateMachine):
    """What the API would hold, changed only by the patches that the pure parts make."""

    def __init__(self) -> None:
        super().__init__()
        self.now = T0
        self.made = 0
        self.held = False
        self.workloads: dict[str, Workload] = {}
        self.evictions: dict[str, str] = {}

    def _queues(self) -> list[Any]:
        owner = cluster_queue(
            "interactive",
            quotas(GPUS),
            preemption={"reclaimWithinCohort": "Any"},
            stopPolicy="Hold" if self.held else "None",
        )
        return [decode_cluster_queue(raw(one)) for one in (owner, cluster_queue("batch", quotas(0)))]

    def _write(self, workload: Workload, status: dict[str, Any]) -> None:
        plain = msgspec.to_builtins(workload)
        self.workloads[workload.key] = decode_workload(raw(plain | {"status": plain["status"] | status}))

    def _seen(self) -> Snapshot:
        return snapshot(self.workloads.values(), self._queues(), LINES, FLAVORS, NAMESPACES)

    def _decide(self) -> tuple[Snapshot, Decisions]:
        seen = self._seen()
        return seen, cycle(seen.queues, seen.flavors, seen.admitted, seen.pending)

    def _holding(self) -> list[Workload]:
        return [one for one in self.workloads.values() if one.holds_quota]

    def _used(self, queue: str = "") -> int:
        return sum(
            one.usage()[GPU]
            for one in self._holding()
            if one.status.admission is not None and queue in ("", one.status.admission.cluster_queue)
        )

    @rule(queue=st.sampled_from(["sessions", "jobs"]), gpus=st.integers(1, 3))
    def somebody_comes(self, queue: str, gpus: int) -> None:
        self.made += 1
        owner = ObjectMeta(name=f"w{self.made:03}", uid=f"u{self.made}", namespace="default")
        found = workload_for(PODS, owner, {"spec": a_pod("x", gpu=gpus)["spec"]}, 1, queue, ("", 0))
        found["metadata"] |= {"uid": f"w-u{self.made}", "creationTimestamp": rfc3339(self.now)}
        fresh = decode_workload(raw(found))
        self.workloads[fresh.key] = fresh

    @rule(queue=st.sampled_from(["sessions", "jobs"]), gpus=st.integers(1, 4))
    def somebody_comes_and_the_queue_decides(self, queue: str, gpus: int) -> None:
        self.somebody_comes(queue, gpus)
        self.the_queue_decides()

    @rule()
    def the_queue_decides(self) -> None:
        seen, decided = self._decide()
        for key, flavors in decided.admit.items():
            self._write(
                self.workloads[key], workloads.admitted(self.workloads[key], seen.queue_of[key], flavors, self.now)
            )
        for key, by in decided.evict.items():
            self.evictions[key] = by
            self._write(self.workloads[key], workloads.evicted(self.workloads[key], "Preempted", f"for {by}", self.now))
        for key, message in decided.wait.items():
            self._write(self.workloads[key], workloads.waiting(self.workloads[key], "Pending", message, self.now))

    @precondition(lambda self: any(one.condition("Evicted") for one in self._holding()))
    @rule(which=st.integers(0, 9))
    def an_evicted_one_has_gone(self, which: int) -> None:
        going = [one for one in self._holding() if one.condition("Evicted")]
        one = going[which % len(going)]
        self._write(one, workloads.released(one, self.now, comes_back=True))

    @precondition(lambda self: self._holding())
    @rule(which=st.integers(0, 9))
    def one_ends(self, which: int) -> None:
        holding = self._holding()
        one = holding[which % len(holding)]
        self._write(one, workloads.finished(one, "Succeeded", "Pods succeeded", self.now))

    @precondition(lambda self: self.workloads)
    @rule(which=st.integers(0, 99))
    def one_is_deleted(self, which: int) -> None:
        del self.workloads[list(self.workloads)[which % len(self.workloads)]]

    @rule()
    def the_operator_holds_or_opens_the_queue(self) -> None:
        self.held = not self.held

    @rule(seconds=st.integers(1, 100))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @invariant()
    def no_gpu_is_promised_twice(self) -> None:
        assert self._used() <= GPUS

    @invariant()
    def sessions_are_never_evicted(self) -> None:
        for one in self.workloads.values():
            if one.spec.queue_name == "sessions":
                assert not one.condition("Evicted")

    @invariant()
    def admission_and_quota_go_together(self) -> None:
        for one in self.workloads.values():
            if one.condition("Finished"):
                continue
            assert bool(one.condition("Admitted")) == bool(one.condition("QuotaReserved"))
            assert (one.status.admission is not None) == bool(one.condition("QuotaReserved"))

    @invariant()
    def a_decision_can_be_repeated(self) -> None:
        assert self._decide()[1] == self._decide()[1]

    def teardown(self) -> None:
        """When nobody comes any more and those who run end, everybody has had a turn and nobody is forgotten."""
        self.held = False
        for _ in range(6 * len(self.workloads) + 6):
            self.the_queue_decides()
            for one in self._holding():
                if one.condition("Evicted"):
                    self._write(one, workloads.released(one, self.now, comes_back=True))
                else:
                    self._write(one, workloads.finished(one, "Succeeded", "Pods succeeded", self.now))
        assert all(one.condition("Finished") for one in self.workloads.values())


QueueLife.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestQueueLife = QueueLife.TestCase
