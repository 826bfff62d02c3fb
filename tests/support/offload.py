"""Values that tests of the offload room start from: the example platform, people, requests, runs, cluster records."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

import msgspec

from aiinfn_hub.catalogue import Platform, example_path, load_platform
from aiinfn_hub.contract.jobs import JobRequest, JobState, Resources, ValueRef
from aiinfn_hub.identity.person import Person, person_of
from aiinfn_hub.kube.slim import Condition, Pod, Workload
from aiinfn_hub.offload.kubejob import KubeJob
from aiinfn_hub.offload.manifest import Order
from aiinfn_hub.offload.plan import Plan, make_plan
from aiinfn_hub.offload.runs import NewRun, Run
from aiinfn_hub.offload.session import Heritage
from aiinfn_hub.pods import names

NOW = 1_800_000_000.0
RUN_ID = "01kabcdefghjkmnpqrstvwxyz0"
GI = 1024**3


@cache
def platform() -> Platform:
    """The example that is shipped."""
    return load_platform(example_path())


def person(*activities: str, name: str = "alice") -> Person:
    """A member of these activities (lhcb-flashsim without any)."""
    return person_of(platform(), name, ["/aiinfn", *(f"/aiinfn/{a}" for a in activities or ("lhcb-flashsim",))])


def heritage(activity: str = "lhcb-flashsim", environment: str = "") -> Heritage:
    return Heritage("", activity, "chosen with the session", environment)


def reference(data: bytes, codec: str = "json") -> ValueRef:
    """How the bytes of an input are announced."""
    return ValueRef(codec=codec, sha256=hashlib.sha256(data).hexdigest(), size=len(data))


def request(name: str = "fit", source: str = "total = 7", **more: Any) -> JobRequest:
    """A request; resources may be given by their own names."""
    own = {key: more.pop(key) for key in ("cpu_millis", "memory_bytes", "gpu", "time_s") if key in more}
    return JobRequest(name=name, source=source, resources=Resources(**own), **more)


def plan(wanted: JobRequest | None = None, who: Person | None = None, **inherited: str) -> Plan:
    return make_plan(platform(), who or person(), wanted or request(), heritage(**inherited))


def order(wanted: JobRequest | None = None, **changes: Any) -> Order:
    """An order as the submit flow makes it."""
    wanted = wanted or request()
    fields = {
        "run_id": RUN_ID,
        "owner": "alice",
        "server": "",
        "activity_reason": "the only one",
        "request": wanted,
        "plan": plan(wanted),
        "url": "https://runs.example.org",
        "runner": "aiinfn-runner-1",
    }
    return Order(**(fields | changes))


def new_run(wanted: JobRequest | None = None, **changes: Any) -> NewRun:
    fields: dict[str, Any] = {
        "owner": "alice",
        "activity": "lhcb-flashsim",
        "activity_reason": "the only one",
        "request": wanted or request(),
        "target": "local",
        "flavour": "cpu",
        "units": 1,
        "queue": "lhcb-flashsim-batch",
        "image": "registry.example.org/lab:1",
        "idempotency_key": "key-1",
    }
    return NewRun(**(fields | changes))


def run(state: JobState = JobState.QUEUED, wanted: JobRequest | None = None, **changes: Any) -> Run:
    """A row of the table, with what a test cares for."""
    wanted = wanted or request()
    fields: dict[str, Any] = {
        "id": RUN_ID,
        "owner": "alice",
        "name": wanted.name,
        "activity": "lhcb-flashsim",
        "activity_reason": "the only one",
        "request": msgspec.to_builtins(wanted),
        "state": state,
        "reason": "",
        "target": "local",
        "flavour": "cpu",
        "units": 1,
        "queue": "lhcb-flashsim-batch",
        "image": "registry.example.org/lab:1",
        "job_name": f"job-{RUN_ID}",
        "job_uid": "job-uid",
        "attempt": 1,
        "submitted_at": NOW - 600,
        "started_at": None,
        "finished_at": None,
        "exit_code": None,
        "verdict": "",
        "missing": {},
        "idempotency_key": "key-1",
        "capability_hash": "",
        "capability_expires_at": NOW + 600,
        "cancel_requested": False,
        "frames": 0,
        "frame_bytes": 0,
        "updated_at": NOW - 300,
    }
    return Run(**(fields | changes))


def job(*true: str, suspended: bool = False, reason: str = "", message: str = "", **changes: Any) -> KubeJob:
    """A Job of the run, in which these conditions are true."""
    conditions = {name: Condition("True", reason, message) for name in true}
    fields: dict[str, Any] = {"uid": "job-uid", "name": f"job-{RUN_ID}", "labels": {names.RUN: RUN_ID}}
    return KubeJob(**(fields | {"suspended": suspended, "conditions": conditions} | changes))


def pod(phase: str = "Running", uid: str = "pod-1", **changes: Any) -> Pod:
    """A pod of the run's Job, on a node."""
    fields: dict[str, Any] = {
        "uid": uid,
        "name": f"job-{RUN_ID}-{uid}",
        "namespace": "aiinfn",
        "labels": {names.RUN: RUN_ID, names.KIND: names.JOB},
        "node": "node-1",
        "phase": phase,
        "created": NOW - 60,
        "owner_kind": "Job",
        "owner_uid": "job-uid",
    }
    return Pod(**(fields | changes))


def workload(uid: str = "wl-1", **conditions: tuple[str, str, str]) -> Workload:
    """The run's Workload; conditions are (status, reason, message)."""
    return Workload(
        uid=uid,
        name=uid,
        namespace="aiinfn",
        owner_kind="Job",
        owner_uid="job-uid",
        queue="lhcb-flashsim-batch",
        conditions={name: Condition(*found) for name, found in conditions.items()},
        created=NOW - 100,
    )
