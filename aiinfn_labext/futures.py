"""Jobs as `concurrent.futures` has them: told when they end, and sent by decorated functions and by an executor."""

from __future__ import annotations

import concurrent.futures
import functools
import inspect
import logging
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from aiinfn_hub.errors import AiinfnError, InvalidInput
from aiinfn_labext.functions import TASK
from aiinfn_labext.job import Job

#: Seconds between two looks at the jobs that somebody waits for.
LOOK_S = 1.0
PER_JOB_S = 0.05


class Watcher:
    """Looks after jobs until they end, in a thread that is there only while there are some; it keeps none alive."""

    def __init__(self, look_s: float = LOOK_S) -> None:
        self._look_s = look_s
        self._jobs: weakref.WeakSet[Job] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._log = logging.getLogger("aiinfn.futures")

    def watch(self, job: Job) -> Job:
        """Settle it when it ends; at once if it has ended."""
        if job.view.final:
            job.settle()
            return job
        with self._lock:
            self._jobs.add(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="aiinfn-jobs", daemon=True)
                self._thread.start()
        return job

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            # Of hundreds of jobs, each is asked about less often: the service has other people too.
            pause.wait(max(self._look_s, PER_JOB_S * len(self._jobs)))
            self._look()
            with self._lock:
                if not self._jobs:
                    self._thread = None
                    return

    def _look(self) -> None:
        """Once at each. On its own, so that no variable of the thread keeps the last one alive while it pauses."""
        for job in list(self._jobs):
            try:
                over = job.refresh().final
            except AiinfnError as error:
                self._log.info("%s could not be asked about: %s", job.name, error)
                continue
            except Exception:  # noqa: BLE001 - a background loop: the others are still waited for
                self._log.exception("%s could not be asked about", job.name)
                continue
            if over:
                with self._lock:
                    self._jobs.discard(job)
                job.settle()


class Send(Protocol):
    """Sends a function with its arguments; see `Offload.send`."""

    def __call__(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any], **options: Any
    ) -> Job:
        """The job."""


class Swept(Protocol):
    """Sends a function with many points; see `Offload.sweep`."""

    def __call__(
        self, function: Callable[..., Any], points: list[dict[str, Any]], at_once: int, **options: Any
    ) -> list[Job]:
        """The job of each point."""


class Task:
    """A function that can be sent: called, it runs here as it always did.

    Args:
        send, sweep: how one call is sent, and how many.
        function: what was decorated.
        options: how it is sent, as for `offload(...)`.
    """

    def __init__(self, send: Send, sweep: Swept, function: Callable[..., Any], options: dict[str, Any]) -> None:
        setattr(function, TASK, True)
        functools.update_wrapper(self, function)  # the mark too
        self.function = function
        self._send = send
        self._sweep = sweep
        self._options = options

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Here, and now."""
        return self.function(*arguments, **keywords)

    def submit(self, *arguments: Any, **keywords: Any) -> Job:
        """Elsewhere: the job, whose `result()` is what the function returns."""
        return self._send(self.function, arguments, keywords, **self._options)

    def map(self, *iterables: Iterable[Any], at_once: int | None = None) -> list[Job]:
        """A job for each of the arguments, as the builtin `map` takes them.

        With `at_once` they are the points of a sweep, of which so many are in the queue at once: numbers and words.

        Raises:
            InvalidInput: an argument cannot travel, or the function takes fewer of them.
        """
        calls = list(zip(*iterables, strict=False))
        if at_once is None:
            return [self.submit(*arguments) for arguments in calls]
        names = list(inspect.signature(self.function).parameters)
        if len(names) < len(iterables):
            raise InvalidInput(
                f"{self.function.__name__} takes {len(names)} arguments, and {len(iterables)} are given."
            )
        points = [dict(zip(names, arguments, strict=False)) for arguments in calls]
        return self._sweep(self.function, points, at_once, **self._options)


class OffloadExecutor(concurrent.futures.Executor):
    """`concurrent.futures.Executor`, whose workers are jobs.

    Leaving its `with` waits for them; a job goes on when the kernel that waits for it is gone.
    """

    def __init__(self, send: Send, options: dict[str, Any]) -> None:
        self._send = send
        self._options = options
        self._jobs: list[Job] = []
        self._closed = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Job:
        """Send a call. A job is the future of it.

        Raises:
            RuntimeError: it was shut down.
        """
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        job = self._send(fn, args, kwargs, **self._options)
        self._jobs.append(job)
        return job

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002  its signature
        """Take no more; with `wait`, until all have ended."""
        self._closed = True
        if cancel_futures:
            for job in self._jobs:
                job.cancel()
        if wait:
            concurrent.futures.wait(self._jobs)
