"""The cheapest things that run a trivial piece of code in another process and bring its value back."""

from __future__ import annotations

import time
from pathlib import Path

import submitit

from aiinfn_hub.contract.jobs import JobRequest
from aiinfn_labext.here import HereJobs


def by_hand(folder: Path, rounds: int) -> list[float]:
    """The runner itself, in a process with a directory: no hub, no queue, no Kubernetes."""
    jobs = HereJobs(folder)
    seconds = []
    for _ in range(rounds):
        started = time.monotonic()
        view = jobs.submit(JobRequest(name="trivial", source="y = 1\n", outputs=["y"]), {})
        while not view.final:
            view = jobs.frames(view.id, view.frames, wait_s=10).job
        assert jobs.output(view.id, "y")[1] == b"1", view
        seconds.append(time.monotonic() - started)
    return seconds


def one() -> int:
    return 1


def submitit_local(folder: Path, rounds: int) -> list[float]:
    """submitit's executor for the local machine."""
    executor = submitit.LocalExecutor(folder=folder)
    seconds = []
    for _ in range(rounds):
        started = time.monotonic()
        assert executor.submit(one).result() == 1
        seconds.append(time.monotonic() - started)
    return seconds
