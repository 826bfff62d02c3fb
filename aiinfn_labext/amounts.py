"""Amounts as people write them: what a job asks for, and what is to be different when it is tried again. Pure."""

from __future__ import annotations

from aiinfn_hub.contract.jobs import Resources, Retry
from aiinfn_hub.contract.quantities import parse_bytes, parse_cpu, parse_duration


def resources(
    *,
    cpu: str | float | None = None,
    mem: str | float | None = None,
    gpu: str | int = "",
    time: str | float | None = None,
) -> Resources:
    """What a job asks for, from what people write; what is not given is the platform's usual.

    Raises:
        InvalidInput: an amount that cannot be read.
    """
    usual = Resources()
    return Resources(
        cpu_millis=usual.cpu_millis if cpu is None else parse_cpu(cpu),
        memory_bytes=usual.memory_bytes if mem is None else parse_bytes(mem),
        gpu=str(gpu or ""),
        time_s=usual.time_s if time is None else parse_duration(time),
    )


def change_of(
    *,
    cpu: str | float | None = None,
    mem: str | float | None = None,
    gpu: str | None = None,
    time: str | float | None = None,
    to: str | None = None,
) -> Retry:
    """What is to be different when a job is tried again, from what people write.

    Raises:
        InvalidInput: an amount that cannot be read.
    """
    return Retry(
        cpu_millis=None if cpu is None else parse_cpu(cpu),
        memory_bytes=None if mem is None else parse_bytes(mem),
        gpu=gpu,
        time_s=None if time is None else parse_duration(time),
        target=to,
    )
