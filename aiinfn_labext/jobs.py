"""The Python API: `from aiinfn_labext import offload`.

- `job = offload(fit, data, gpu="a100", time="2h")` sends a function of this notebook with its arguments,
- `job.result()` is what it returned,
- `@offload.task(gpu="a100")` gives a function `.submit(...)` and `.map(...)`; `offload.Executor()` is one of
  `concurrent.futures`,
- `offload.job("fit").log()` works after a restart of the kernel too.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aiinfn_hub.contract.jobs import JobRequest, JobState
from aiinfn_hub.contract.plans import Target
from aiinfn_hub.contract.run.vitals import checked
from aiinfn_hub.contract.sweeps import AT_ONCE, POINT, SweepRequest
from aiinfn_hub.errors import InvalidInput, NotFound, Unavailable
from aiinfn_labext.amounts import change_of
from aiinfn_labext.calls import options_of, request_of
from aiinfn_labext.client import ServiceClient
from aiinfn_labext.functions import call_source
from aiinfn_labext.futures import OffloadExecutor, Task, Watcher
from aiinfn_labext.here import PREFIX, HereJobs, default_root
from aiinfn_labext.job import Backend, Job
from aiinfn_labext.planned import PlanTable, plan_here
from aiinfn_labext.points import points_of, product
from aiinfn_labext.sweeps import Sweep, Sweeps
from aiinfn_labext.travel import pack

#: Jobs among which an unchanged cell looks for its own.
RECENT = 50


class Offload:
    """Runs functions elsewhere, and finds the jobs again: calls, or `offload.job(...)`, `offload.jobs(...)`.

    Args:
        service: the jobs of the platform.
        here: those of `to="here"`.
    """

    def __init__(self, service: ServiceClient, here: HereJobs) -> None:
        self.service = service
        self.here = here
        self.sweeps = Sweeps(service)
        self.watcher = Watcher()
        self._evicting = threading.Event()

    __aiinfn_import__ = "from aiinfn_labext import offload"
    #: In a notebook as in a job: code that looks at these runs in both. Nobody evicts a notebook's own code.
    attempt = 1

    @property
    def evicting(self) -> threading.Event:
        """Never set here; in a job, when it has to give up its place."""
        return self._evicting

    def checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Here a file stays where it is; in a job, keep it outside the pod for the next attempt.

        Raises:
            FileNotFoundError: there is no such file or folder.
        """
        Path(path).stat()

    def metric(self, **values: Any) -> None:
        """Nothing here; in a job, say numbers of its work, as in `offload.metric(loss=0.3)`: they are shown with it.

        Raises:
            TypeError: something is no number.
            ValueError: a name is too long.
        """
        checked(values)

    def on_evict(self, hook: Callable[[], Any]) -> Callable[[], Any]:
        """Nothing here; in a job, have the function called before it gives up its place. Also a decorator."""
        return hook

    def __call__(self, function: Callable[..., Any], /, *arguments: Any, **options: Any) -> Job:
        """Send a function of this notebook and its arguments.

        Options are those behind `%%offload`, and written as there: name, cpu, mem, gpu, time, to, image, token,
        on_evict, drift, profile.

        Raises:
            InvalidInput: the function, an argument or an amount cannot travel; the message says which and why.
        """
        return self.send(function, arguments, {}, **options)

    def send(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any], **options: Any
    ) -> Job:
        """Send a call of a function of this notebook, with the options of `offload(...)`; the job is its future.

        Raises:
            InvalidInput: the function, an argument or an amount cannot travel, or an option is none.
        """
        values = {f"_argument{index}": value for index, value in enumerate(arguments)}
        values |= {f"_keyword_{name}": value for name, value in keywords.items()}
        source, context = call_source(function, len(arguments), keywords)
        options = {"name": function.__name__[:40], **options}
        request, blobs = request_of(source, pack(values, values, context.values), context, options)
        return self.watcher.watch(self.submit(request, blobs))

    def sweep(
        self,
        function: Callable[..., Any],
        points: Mapping[str, Iterable[Any]] | Iterable[Mapping[str, Any]],
        *,
        at_once: int = AT_ONCE,
        **options: Any,
    ) -> Sweep:
        """Call a function of this notebook for many points, a job for each, so many at once.

        `points` are all combinations of `{"lr": [0.1, 0.01], "seed": range(3)}`, or a list of dictionaries. What a
        call returns is `result` of its point: `sweep.values("result")`. Options are those of `offload(...)`.

        Raises:
            InvalidInput: the function or a point cannot travel, or an option is none.
        """
        found = points_of("points", product(points) if isinstance(points, Mapping) else points)
        _, context = call_source(function, 0)
        source, options = f"result = {function.__name__}(**{POINT})\n", {"name": function.__name__[:36], **options}
        request, blobs = request_of(source, pack([], {}, context.values), context, options)
        return self.sweeps.submit(SweepRequest(request, found, at_once, bind=False), blobs)

    def task(self, function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Decorate a function, so that `f.submit(...)` and `f.map(...)` send it; `f(...)` runs here as before.

        With options or without: `@offload.task(gpu="a100", mem="16Gi")`, `@offload.task`.
        """
        options_of(options)
        if function is None:
            return lambda found: Task(self.send, self._swept, found, options)
        return Task(self.send, self._swept, function, options)

    def _swept(
        self, function: Callable[..., Any], points: list[dict[str, Any]], at_once: int, **options: Any
    ) -> list[Job]:
        return [self.watcher.watch(job) for job in self.sweep(function, points, at_once=at_once, **options).jobs]

    def Executor(self, **options: Any) -> OffloadExecutor:  # noqa: N802  as in concurrent.futures
        """An executor of `concurrent.futures` whose workers are jobs with these options."""
        options_of(options)
        return OffloadExecutor(self.send, options)

    def retry(self, job: Job, **changes: Any) -> Job:
        """The same again as a new job: `offload.retry(job, mem="24Gi")`; changes are cpu, mem, gpu, time, to.

        Raises:
            Conflict: it is not over.
            InvalidInput: a change that is none.
        """
        unknown = [name for name in changes if name not in ("cpu", "mem", "gpu", "time", "to")]
        if unknown:
            raise InvalidInput(f"{unknown[0]!r} cannot be changed.", hint="Change cpu, mem, gpu, time or to.")
        return self.watcher.watch(job.again(change_of(**changes)))

    def plan(self, request: JobRequest, taken: Sequence[str] = (), points: int = 1) -> PlanTable:
        """What would happen to a request, which is not submitted; `taken` is what travels, in words.

        With more `points` than one, to each of those of a sweep.

        Raises:
            InvalidInput: it cannot be planned; what would be refused is in the plan.
        """
        request.check()
        if request.target == "here":
            return PlanTable(plan_here(request), request, None, taken)
        plan, offer = self.service.plan(request), None
        with contextlib.suppress(Unavailable):
            offer = self.service.offer()
        return PlanTable(plan, request, offer, taken, points)

    def submit(self, request: JobRequest, blobs: Mapping[str, bytes]) -> Job:
        """Submit a request to where it wants to go."""
        request.check()
        backend: Backend = self.here if request.target == "here" else self.service
        return Job(backend, backend.submit(request, blobs), request.outputs)

    def unchanged(self, request: JobRequest) -> Job | None:
        """The job that runs this already, or ran it well: of the same name or cell, with the same code and values.

        Raises:
            Unavailable: the service does not answer.
        """
        backend: Backend = self.here if request.target == "here" else self.service
        digest, cell = request.digest, request.origin.get("cell_id", "")
        for view in backend.jobs(limit=RECENT):
            same = view.name == request.name or (cell and view.cell == cell)
            if same and view.digest == digest:
                good = not view.final or view.state == JobState.SUCCEEDED
                return Job(backend, view, request.outputs) if good else None
        return None

    def job(self, reference: str) -> Job:
        """A job by identifier, or the latest of a name, from wherever it ran.

        Raises:
            NotFound: there is none.
        """
        return self.watcher.watch(self.found(reference))

    def found(self, reference: str) -> Job:
        """The same, for who looks once: nobody waits for it as a future."""
        here = self._job_here(reference)
        if here is not None and (reference.startswith(PREFIX) or not self.service.configured):
            return here
        try:
            there = Job(self.service, self.service.job(reference))
        except (NotFound, Unavailable) as error:
            if here is not None:
                return here
            if isinstance(error, NotFound):
                self.sweeps.refuse(reference)
            raise
        return there if here is None or there.view.submitted_at > here.view.submitted_at else here

    def sweep_named(self, reference: str) -> Sweep | None:
        """The sweep of this name or identifier, unless a later job has the name."""
        job = sweep = None
        with contextlib.suppress(NotFound, Unavailable):
            job = self.found(reference)
        with contextlib.suppress(NotFound, Unavailable):
            sweep = self.sweeps.find(reference)
        later = sweep is not None and (job is None or sweep.view.submitted_at >= job.view.submitted_at)
        return sweep if later else None

    def jobs(self, *, state: str = "", name: str = "", before: float = 0, limit: int = 50) -> list[Job]:
        """My jobs, newest first; with `before` (Unix seconds), those submitted at that time or earlier."""
        backends: list[Backend] = [self.here, *([self.service] if self.service.configured else [])]
        found = [
            Job(backend, view)
            for backend in backends
            for view in backend.jobs(name=name, state=state, before=before, limit=limit)
        ]
        return sorted(found, key=lambda job: job.view.submitted_at, reverse=True)[:limit]

    def targets(self) -> list[Target]:
        """Where jobs can run."""
        return [*self.here.targets(), *(self.service.targets() if self.service.configured else [])]

    def _job_here(self, reference: str) -> Job | None:
        try:
            return Job(self.here, self.here.job(reference))
        except NotFound:
            if reference.startswith(PREFIX) or not self.service.configured:
                raise
            return None


def make_offload(environ: Mapping[str, str] = os.environ) -> Offload:
    """The API of this session."""
    return Offload(ServiceClient(environ=environ), HereJobs(Path(default_root(environ))))
