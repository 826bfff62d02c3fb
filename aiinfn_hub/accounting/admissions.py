"""What Kueue says of the pods in the ledger: when it let each in, and when it had its share back.

It is noted beside what was seen of the pod, and changes no record; `reconcile` compares the two.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from aiinfn_hub.accounting.sighting import Sighting
from aiinfn_hub.kube.slim import Pod, Workload
from aiinfn_hub.pods import names

#: `Sighting.source` of what Kueue says; the kinds are those of `witness`.
KUEUE = "kueue"


def witness(source: str, kind: str, pod_uid: str, at: float) -> Sighting:
    """That somebody else says of a pod that its use "began" or "ended" at a time (Unix seconds)."""
    return Sighting(source=source, kind=kind, resource_version=f"{at:.0f}", observed_at=at, pod_uid=pod_uid)


class Admissions:
    """Joins Workloads to pods, in whichever order they are seen.

    A session's Workload belongs to its pod, a job's to its Job, which has one pod after the other.

    Args:
        note: is given each word of Kueue's once.
        clock: Unix seconds.
    """

    def __init__(self, note: Callable[[Sighting], None], clock: Callable[[], float]) -> None:
        self._note = note
        self._clock = clock
        self._pods: dict[str, dict[str, float]] = defaultdict(dict)  # owner -> uid of a pod -> when it was created
        self._workloads: dict[str, Workload] = {}  # by owner
        self._said: dict[str, set[str]] = defaultdict(set)  # uid of a pod -> kinds
        self._gone: set[str] = set()

    def on_pod(self, event: str, pod: Pod) -> None:
        """A change of a pod."""
        if pod.labels.get(names.KIND) not in {"session", "job"}:
            return
        owner = pod.owner_uid or pod.uid
        if event == "DELETED":
            if pod.uid not in self._pods.get(owner, ()):
                return
            # Kueue gives the place of what it evicts away once the pod is gone: its last word comes after that.
            self._gone.add(pod.uid)
            self._forget(owner)
        elif pod.uid not in self._pods[owner]:
            self._pods[owner][pod.uid] = pod.created
            if (workload := self._workloads.get(owner)) is not None:
                self._compare(workload)

    def on_workload(self, event: str, workload: Workload) -> None:
        """A change of a Workload."""
        owner = workload.owner_uid
        if event != "DELETED":
            self._workloads[owner] = workload
            self._compare(workload)
        else:
            self._workloads.pop(owner, None)
            if workload.admitted is not None and workload.released is None:
                self._tell(workload, "ended", self._clock())
        self._forget(owner)

    def _compare(self, workload: Workload) -> None:
        if workload.admitted is not None:
            self._tell(workload, "began", workload.admitted)
        if workload.released is not None:
            self._tell(workload, "ended", workload.released)

    def _tell(self, workload: Workload, kind: str, at: float) -> None:
        for uid, created in self._pods.get(workload.owner_uid, {}).items():
            # A pod that came after an eviction was not what was evicted, and one that is gone is not let in again.
            concerned = created <= at if kind == "ended" else uid not in self._gone
            if kind not in self._said[uid] and concerned:
                self._said[uid].add(kind)
                self._note(witness(KUEUE, kind, uid, at))

    def _forget(self, owner: str) -> None:
        """The pods that are gone, and of which nothing more is said."""
        for uid in self._gone.intersection(self._pods.get(owner, ())):
            if owner not in self._workloads or "ended" in self._said[uid]:
                del self._pods[owner][uid]
                self._said.pop(uid, None)
                self._gone.discard(uid)
        if not self._pods.get(owner):
            self._pods.pop(owner, None)
