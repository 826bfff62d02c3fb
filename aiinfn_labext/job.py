"""A job as the notebook holds it: its state, its output as it comes, its values."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from typing import Any, Protocol

from aiinfn_hub.contract.jobs import FramePage, JobRequest, JobState, JobView, Retry, Why
from aiinfn_hub.contract.plans import Target
from aiinfn_hub.contract.quantities import parse_duration
from aiinfn_hub.errors import Conflict, NotFound, RemoteFailed, Unavailable
from aiinfn_labext.shown import clean_text, frame_text, job_line, traceback_lines
from aiinfn_labext.travel import unpack

#: Seconds of one long poll, and how long a service may be away while somebody waits for a job.
POLL_S = 20.0
PATIENCE_S = 120.0


class Backend(Protocol):
    """Something that runs jobs; see `ServiceClient` for what the calls mean."""

    def submit(self, request: JobRequest, blobs: Mapping[str, bytes]) -> JobView: ...  # noqa: D102
    def jobs(self, *, name: str = "", state: str = "", before: float = 0, limit: int = 50) -> list[JobView]: ...  # noqa: D102
    def job(self, reference: str) -> JobView: ...  # noqa: D102
    def frames(self, job: str, after: int, wait_s: float = 0, state: str = "") -> FramePage: ...  # noqa: D102
    def cancel(self, job: str) -> JobView: ...  # noqa: D102
    def why(self, job: str) -> Why: ...  # noqa: D102
    def retry(self, job: str, change: Retry) -> JobView: ...  # noqa: D102
    def more_time(self, job: str, time_s: int) -> JobView: ...  # noqa: D102
    def evict(self, job: str) -> JobView: ...  # noqa: D102
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


class Job(Future[Any]):
    """A job and where it runs; it can be found again after a restart.

    It is a `concurrent.futures.Future`, and `await job` gives its result. Whoever stops waiting detaches: only
    `cancel` ends it.

    Args:
        backend: where it runs.
        view: as it is now.
        wanted: the outputs that were asked for, where that is known.
    """

    def __init__(self, backend: Backend, view: JobView, wanted: Sequence[str] = ()) -> None:
        super().__init__()
        self._backend = backend
        self._wanted = wanted
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
        """The names that did not come back from a job that has ended, and why."""
        found = self.refresh().outputs
        reasons = {name: value.summary for name, value in found.items() if not value.codec}
        if self.view.final:
            reasons.update({name: self._reason(name) for name in self._wanted if name not in found})
        return reasons

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
        reason = self.missing.get("result")
        if reason:
            raise NotFound(f"What {self.name} returned did not come back: {reason}.")
        return values["result"] if list(values) == ["result"] else values

    def exception(self, timeout: float | None = None) -> JobFailed | None:
        """How it failed; None if it did not.

        Raises:
            TimeoutError: it has not ended within `timeout` seconds.
        """
        error: dict[str, Any] = {}
        for frame in self.follow(timeout):
            error = frame if frame.get("output_type") == "error" else error
        try:
            self.check(error)
        except JobFailed as failed:
            return failed
        return None

    def done(self) -> bool:
        """Whether it has ended, however it ended."""
        return self.refresh().final

    def running(self) -> bool:
        """Whether it runs now."""
        return self.refresh().state == JobState.RUNNING

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self.refresh().state == JobState.CANCELLED

    def settle(self) -> None:
        """Tell those who wait for the future that it has ended; what it gave is fetched when somebody asks."""
        with contextlib.suppress(InvalidStateError):  # somebody was quicker
            self.set_result(None)

    def __await__(self) -> Generator[Any, None, Any]:
        return self._awaited().__await__()

    async def _awaited(self) -> Any:
        # Shielded: a task that is cancelled waits no more, and the job goes on.
        await asyncio.shield(asyncio.wrap_future(self))
        return await asyncio.to_thread(self.result)

    def check(self, error: Mapping[str, Any]) -> None:
        """Raise `JobFailed`, with the traceback of this error frame, unless it succeeded."""
        if self.view.state != JobState.SUCCEEDED:
            raise JobFailed(self.view, traceback_lines(dict(error)) if error else [])

    def values(self) -> dict[str, Any]:
        """The values that came back, by name; nothing of them is code."""
        return {name: self.value(name) for name, value in self.refresh().outputs.items() if value.codec}

    def value(self, name: str) -> Any:
        """One of them; `NotFound` if it did not come back."""
        return unpack(name, self.view.outputs[name], *self.fetch(name))

    def fetch(self, name: str) -> tuple[str, bytes]:
        """Codec and bytes of an output."""
        return self._backend.output(self.id, name)

    def page(self, after: int = 0, wait_s: float = 0) -> FramePage:
        """Frames after a sequence number; waits up to `wait_s` seconds for a frame or another state than is known."""
        return self._backend.frames(self.id, after, wait_s, self.view.state)

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

    def end(self) -> JobView:
        """Ask it to end.

        Raises:
            Conflict: it is over.
        """
        self.view = self._backend.cancel(self.id)
        return self.view

    def cancel(self) -> bool:
        """The same, as a future says it: whether there was anything to end."""
        if self.refresh().final:
            return False
        try:
            self.end()
        except Conflict:  # it has just ended
            self.refresh()
            return False
        return True

    def again(self, change: Retry) -> Job:
        """The same again, as a new job.

        Raises:
            Conflict: it is not over.
        """
        return Job(self._backend, self._backend.retry(self.id, change), self._wanted)

    def extend(self, time: str | float) -> JobView:
        """Give it so much more time, as in "1h" or seconds.

        Raises:
            Conflict: it is over.
            InvalidInput: a job may not last so long.
            QuotaExceeded: no quota has room for it.
        """
        self.view = self._backend.more_time(self.id, self.refresh().resources.time_s + parse_duration(time))
        return self.view

    def evict(self) -> JobView:
        """Take its place away for a moment, to see how it goes on: a rehearsal of what a session may do to it.

        Raises:
            Conflict: it does not run.
        """
        self.view = self._backend.evict(self.id)
        return self.view

    def why(self) -> Why:
        """Why it waits, or ended as it did."""
        return self._backend.why(self.id)

    def _reason(self, name: str) -> str:
        try:
            self.fetch(name)
        except NotFound as error:
            return (error.hint or error.message).rstrip(".")
        return "it came after the end"

    def _patient_page(self, after: int, wait_s: float) -> FramePage:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self.page(after, wait_s)
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)
