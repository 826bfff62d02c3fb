"""Sightings of pods for tests of the ledger."""

from __future__ import annotations

from typing import Any

from aiinfn_hub.accounting.sighting import Sighting

T0 = 1_700_000_000.0
FACTS: dict[str, Any] = {
    "kind": "session",
    "person": "alice",
    "activity": "lhcb-flashsim",
    "activity_reason": "chosen",
    "flavour": "a100-40-1g.5gb",
    "units": 1,
    "weight": 0.25,
    "compute_weight": 0.2,
    "memory_weight": 0.25,
    "resource": "nvidia.com/mig-1g.5gb",
    "model": "A100",
    "cpu_millis": 2000,
    "memory_bytes": 8 * 2**30,
    "storage_bytes": 50 * 2**30,
    "namespace": "aiinfn",
    "pod_name": "jupyter-alice",
    "node": "",
    "server": "",
    "run_id": "",
    "planned_s": 0.0,
    "remote_id": "",
    "created_at": T0,
}


def seen(uid: str = "u1", *, at: float = 0.0, rv: str = "", node: str = "gpu-3", **changes: Any) -> Sighting:
    """A pod that is there, `at` seconds after T0; facts by name, times as seconds after T0."""
    times = {name: T0 + changes.pop(name) for name in ("held_from", "ran_from", "ran_to") if name in changes}
    kind, terminal = changes.pop("kind_", "seen"), changes.pop("terminal", False)
    exit_code = changes.pop("exit_code", None)
    return Sighting(
        source="pods",
        kind=kind,
        resource_version=rv or f"{at:g}",
        observed_at=T0 + at,
        pod_uid=uid,
        facts=FACTS | {"node": node} | changes,
        terminal=terminal,
        exit_code=exit_code,
        **times,
    )


def life(uid: str = "u1", *, start: float = 0.0, end: float = 3600.0, **changes: Any) -> list[Sighting]:
    """A whole life: created, bound, running, finished, deleted."""
    changes.setdefault("created_at", T0 + start - 2)
    common = {"held_from": start, **changes}
    ran = common | {"ran_from": start + 3}
    ended = ran | {"ran_to": end, "terminal": True, "exit_code": 0}
    return [
        seen(uid, at=start - 2, rv=f"{uid}-1", node="", **changes),
        seen(uid, at=start, rv=f"{uid}-2", **common),
        seen(uid, at=start + 3, rv=f"{uid}-3", **ran),
        seen(uid, at=end + 1, rv=f"{uid}-4", **ended),
        seen(uid, at=end + 5, rv=f"{uid}-5", kind_="deleted", **ended),
    ]
