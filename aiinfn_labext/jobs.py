"""The Python API: `from aiinfn_labext import offload`.

job = offload(fit, data, gpu="a100", time="2h")    # a function of this notebook, with its arguments
job.result()                                       # what it returned
offload.job("fit").log()                           # also after a restart of the kernel
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from aiinfn_hub.contract.jobs import FramePage, JobRequest, JobState, JobView, Target, Why
from aiinfn_hub.errors import NotFound, RemoteFailed, Unavailable
from aiinfn_labext.client import ServiceClient
from aiinfn_labext.functions import call_source
from aiinfn_labext.here import PREFIX, HereJobs, default_root
from aiinfn_labext.parsing import resources
from aiinfn_labext.shown import clean_text, frame_text, job_line, traceback_lines
from aiinfn_labext.travel import pack, unpack

#: Seconds of one long poll, and how long a service may be away while somebody waits for a job.
POLL_S = 20.0
PATIENCE_S = 120.0


class Backend(Protocol):
    """Something that runs jobs; see `ServiceClient` for what the calls mean."""

    def submit(self, request: JobRequest, blobs: Mapping[str, bytes]) -> JobView: ...  # noqa: D102
    def jobs(self, *, name: str = "", state: str = "", limit: int = 50) -> list[JobView]: ...  # noqa: D102
    def job(self, reference: str) -> JobView: ...  # noqa: D102
    def frames(self, job: str, after: int, wait_s: float = 0) -> FramePage: ...  # noqa: D102
    def cancel(self, job: str) -> JobView: ...  # noqa: D102
    def why(self, job: str) -> Why: ...  # noqa: D102
    def output(self, job: str, name: str) -> tuple[str, bytes]: ...  # noqa: D102
    def targets(self) -> list[Target]: ...  # noqa: D102


class JobFailed(RemoteFailed):
    """A job did not succeed. In a notebook it shows the traceback of the job, not that of the waiting."""

    def __init__(self, view: JobView, lines: list[str]) -> None:
        hint = "" if lines else f"%offload why {view.name} says more, %offload log {view.name} shows its output."
        super().__init__(
            f"{view.name} {view.state.value}: {view.verdict or view.reason or 'no reason given'}", hint=hint
        )
        self.lines = lines

    def _render_traceback_(self) -> list[str]:
        return self.lines or [clean_text(str(self), colours=False)]


class Job:
    """A job and where it runs. Holds nothing that is not there again after a restart."""

    def __init__(self, backend: Backend, view: JobView) -> None:
        self._backend = backend
        self.view = view

    def __repr__(self) -> str:
        return job_line(self.view)

    @property
    def id(self) -> str:
        """Its identifier."""
        return self.view.id

    @property
    def name(self) -> str:
        """Its name; a later job may have the same."""
        return self.view.name

    @property
    def status(self) -> JobState:
        """Where it is now."""
        return self.refresh().state

    @property
    def outputs(self) -> list[str]:
        """The names that came back."""
        return [name for name, reference in self.refresh().outputs.items() if reference.codec]

    @property
    def missing(self) -> dict[str, str]:
        """The names that did not come back, and why."""
        return {name: value.summary for name, value in self.refresh().outputs.items() if not value.codec}

    def refresh(self) -> JobView:
        """Ask again, unless it has ended."""
        if not self.view.final:
            self.view = self._backend.job(self.view.id)
        return self.view

    def follow(self, timeout: float | None = None) -> Iterator[dict[str, Any]]:
        """Frames from the first on, as they come, until it has ended. `view` is fresh at each.

        Raises:
            TimeoutError: it has not ended within `timeout` seconds.
            Unavailable: the service was away for longer than `PATIENCE_S`.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        after = 0
        while True:
            wait_s = POLL_S if deadline is None else max(0.0, min(POLL_S, deadline - time.monotonic()))
            page = self._patient_page(after, wait_s)
            self.view = page.job
            for frame in page.frames:
                after = max(after, int(frame.get("seq", 0)))
                yield frame
            if page.job.final and not page.frames:
                return
            if deadline is not None and time.monotonic() >= deadline and not page.job.final:
                raise TimeoutError(f"{self.name} has not ended within {timeout:g} s; it goes on: {self!r}")
            if not page.frames:
                yield {}

    def wait(self, timeout: float | None = None) -> JobView:
        """Wait until it has ended, however it ended."""
        for _ in self.follow(timeout):
            pass
        return self.view

    def result(self, timeout: float | None = None) -> Any:
        """What it gives back: the value of `result` for a function, otherwise the values by name.

        Raises:
            JobFailed: it ended otherwise than well.
            TimeoutError: it has not ended within `timeout` seconds.
        """
        error: dict[str, Any] = {}
        for frame in self.follow(timeout):
            error = frame if frame.get("output_type") == "error" else error
        self.check(error)
        values = self.values()
        if "result" in self.missing:
            raise NotFound(f"What {self.name} returned did not come back: {self.missing['result']}.")
        return values["result"] if list(values) == ["result"] else values

    def check(self, error: Mapping[str, Any]) -> None:
        """Raise `JobFailed`, with the traceback of this error frame, unless it succeeded."""
        if self.view.state != JobState.SUCCEEDED:
            raise JobFailed(self.view, traceback_lines(dict(error)) if error else [])

    def values(self) -> dict[str, Any]:
        """The values that came back, by name; nothing of them is code."""
        found = self.refresh().outputs.items()
        return {name: unpack(name, value, *self.fetch(name)) for name, value in found if value.codec}

    def fetch(self, name: str) -> tuple[str, bytes]:
        """Codec and bytes of an output."""
        return self._backend.output(self.id, name)

    def page(self, after: int = 0, wait_s: float = 0) -> FramePage:
        """Frames after a sequence number; waits up to `wait_s` seconds for a frame or a change of state."""
        return self._backend.frames(self.id, after, wait_s)

    def frames(self) -> list[dict[str, Any]]:
        """What has come so far."""
        return self.page().frames

    def log(self, *, follow: bool = False) -> str:
        """What it has printed so far, without displays; with `follow`, also print it as it comes, until the end."""
        frames = self.follow() if follow else self.frames()
        parts = []
        for frame in frames:
            parts.append(frame_text(frame))
            if follow:
                sys.stdout.write(parts[-1])
        return "".join(parts)

    def cancel(self) -> JobView:
        """Ask it to end."""
        self.view = self._backend.cancel(self.id)
        return self.view

    def why(self) -> Why:
        """Why it waits, or ended as it did."""
        return self._backend.why(self.id)

    def _patient_page(self, after: int, wait_s: float) -> FramePage:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self.page(after, wait_s)
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)


class Offload:
    """Runs functions elsewhere, and finds the jobs again: calls, or `offload.job(...)`, `offload.jobs(...)`.

    Args:
        service: the jobs of the platform.
        here: those of `to="here"`.
    """

    def __init__(self, service: ServiceClient, here: HereJobs) -> None:
        self.service = service
        self.here = here

    def __call__(
        self,
        function: Callable[..., Any],
        /,
        *arguments: Any,
        name: str = "",
        cpu: float | str | None = None,
        mem: float | str | None = None,
        gpu: str | int = "",
        time: float | str | None = None,
        to: str = "auto",
        image: str = "",
    ) -> Job:
        """Send a function of this notebook and its arguments; amounts are written as behind `%%offload`.

        Raises:
            InvalidInput: the function, an argument or an amount cannot travel; the message says which and why.
        """
        values = {f"_argument{index}": value for index, value in enumerate(arguments)}
        source = call_source(function, len(arguments))
        luggage = pack(values, values)
        request = JobRequest(
            name=name or function.__name__[:40],
            source=source,
            inputs=luggage.inputs,
            outputs=["result"],
            resources=resources(cpu=cpu, mem=mem, gpu=gpu, time=time),
            target=to,
            image=image,
        )
        return self.submit(request, luggage.blobs)

    def submit(self, request: JobRequest, blobs: Mapping[str, bytes]) -> Job:
        """Submit a request to where it wants to go."""
        request.check()
        backend: Backend = self.here if request.target == "here" else self.service
        return Job(backend, backend.submit(request, blobs))

    def job(self, reference: str) -> Job:
        """A job by identifier, or the latest of a name, from wherever it ran.

        Raises:
            NotFound: there is none.
        """
        if reference.startswith(PREFIX):
            return Job(self.here, self.here.job(reference))
        found: list[Job] = []
        with contextlib.suppress(NotFound):
            found.append(Job(self.here, self.here.job(reference)))
        if self.service.configured or not found:
            with contextlib.suppress(*([NotFound] if found else [])):
                found.append(Job(self.service, self.service.job(reference)))
        return max(found, key=lambda job: job.view.submitted_at)

    def jobs(self, *, state: str = "", name: str = "", limit: int = 50) -> list[Job]:
        """My jobs, newest first."""
        backends: list[Backend] = [self.here, *([self.service] if self.service.configured else [])]
        found = [
            Job(backend, view) for backend in backends for view in backend.jobs(name=name, state=state, limit=limit)
        ]
        return sorted(found, key=lambda job: job.view.submitted_at, reverse=True)[:limit]

    def targets(self) -> list[Target]:
        """Where jobs can run."""
        return [*self.here.targets(), *(self.service.targets() if self.service.configured else [])]


def make_offload(environ: Mapping[str, str] = os.environ) -> Offload:
    """The API of this session."""
    return Offload(ServiceClient(environ=environ), HereJobs(Path(default_root(environ))))
