"""What a stored run, or a plan, becomes in Kubernetes, and what every job takes along."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources as package_files

import msgspec

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.contract.jobs import JobRequest
from aiinfn_hub.contract.plans import Plan
from aiinfn_hub.offload import manifest
from aiinfn_hub.offload.runs import Run
from aiinfn_hub.offload.session import Heritage, environment
from aiinfn_hub.pods import names
from aiinfn_hub.pods.names import batch_queue

APPTAINER = "apptainer:"
#: Stands for the identifier of a job that is not submitted.
_NO_RUN = "0" * 26


@dataclass(frozen=True)
class Shipment:
    """What every job takes along: the runner's files by name, and the address of the runner listener."""

    runner: Mapping[str, str]
    url: str

    @cached_property
    def name(self) -> str:
        """The ConfigMap of these files: another one for others."""
        text = "\0".join(f"{name}\0{text}" for name, text in sorted(self.runner.items()))
        return names.RUNNER_PREFIX + hashlib.sha256(text.encode()).hexdigest()[:16]


def runner_files() -> dict[str, str]:
    """The files of the runner by name, as they are shipped with every job."""
    folder = package_files.files("aiinfn_hub.contract.run")
    return {file.name: file.read_text("utf-8") for file in folder.iterdir() if file.name.endswith(".py")}


def order_of(platform: Platform, run: Run, shipment: Shipment) -> manifest.Order:
    """The order behind a stored run: what was decided when it was submitted holds.

    Raises:
        InvalidInput: the catalogue no longer has what was decided.
    """
    request = run.wanted
    image, apptainer = run.image, ""
    if run.image.startswith(APPTAINER):
        image, apptainer = environment(
            platform, Heritage("", run.activity, ""), run.image, platform.flavour(run.flavour)
        )
    wanted = request.resources
    plan = Plan(
        target=request.target,
        site=run.target,
        activity=run.activity,
        flavour=run.flavour,
        units=run.units,
        queue=batch_queue(run.activity),
        image=image,
        apptainer=apptainer,
        cpu_millis=wanted.cpu_millis,
        memory_bytes=wanted.memory_bytes,
        time_s=wanted.time_s,
        gpu_hours=0.0,
    )
    return manifest.Order(
        run_id=run.id,
        owner=run.owner,
        server=request.server,
        activity_reason=run.activity_reason,
        request=request,
        plan=plan,
        url=shipment.url,
        runner=shipment.name,
        uid=request.uid,
    )


def with_manifest(
    platform: Platform, owner: str, request: JobRequest, plan: Plan, heritage: Heritage, shipment: Shipment
) -> Plan:
    """The plan with the Job that it would become; without one where it would be refused."""
    if plan.refusals:
        return plan
    order = manifest.Order(
        run_id=_NO_RUN,
        owner=owner,
        server=heritage.server,
        activity_reason=heritage.activity_reason,
        request=request,
        plan=plan,
        url=shipment.url,
        runner=shipment.name,
        uid=heritage.uid,
    )
    return msgspec.structs.replace(plan, manifest=manifest.job_manifest(platform, order))
