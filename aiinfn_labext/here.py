"""Jobs of `--to here`: the same runner, in a child process of this machine, with a directory instead of a service.

They outlive the kernel: what is known of a job is what is in its directory (see `aiinfn_hub.contract.run.directory`).
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from aiinfn_hub.contract import run
from aiinfn_hub.contract.jobs import FINAL, FramePage, JobRequest, JobState, JobView, Retry, Why
from aiinfn_hub.contract.plans import Target
from aiinfn_hub.errors import Conflict, InvalidInput, NotFound
from aiinfn_labext import folders
from aiinfn_labext.client import TOKEN_VARIABLE

PREFIX = "here-"
KEPT_JOBS = 50
_BOOT = Path(run.__file__).with_name("boot.py")
_POLL_S = 0.1
_START_S = 30


def default_root(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the directories of these jobs are kept."""
    state = environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "aiinfn" / "here"


class HereJobs:
    """The jobs under one directory. The person's own machine and uid: nothing here separates them from the kernel.

    Args:
        root: holds one directory a job; made when needed, private.
        python: the interpreter that runs them.
        sleep: pauses between looks at the directory.
    """

    def __init__(
        self, root: Path, *, python: str = sys.executable, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._root = root
        self._python = python
        self._sleep = sleep
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def submit(self, request: JobRequest, blobs: Mapping[str, bytes]) -> JobView:
        """Start a job at once."""
        request.check()
        self._prune()
        job = PREFIX + secrets.token_hex(5)
        home = self._root / job
        (home / "blobs").mkdir(mode=0o700, parents=True)
        home.chmod(0o700)
        for sha256, data in blobs.items():
            (home / "blobs" / sha256).write_bytes(data)
        spec = {
            "run": job,
            "name": request.name,
            "url": "",
            "directory": str(home),
            "source": request.source,
            "context": request.context,
            "filename": f"<offload {request.name}>",
            "inputs": {name: msgspec.to_builtins(value) for name, value in request.inputs.items()},
            "modules": request.modules and msgspec.to_builtins(request.modules),
            "packages": request.packages,
            "drift": request.drift,
            "outputs": list(request.outputs),
            "time_s": request.resources.time_s,
        }
        (home / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
        about = {"request": request, "submitted_at": time.time()}
        (home / "request.json").write_bytes(msgspec.json.encode(about))
        with (home / "log").open("wb") as log:
            self._processes[job] = subprocess.Popen(  # noqa: S603  our own interpreter and file
                [self._python, str(_BOOT), str(home)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE},
                start_new_session=True,  # an interrupt of the kernel is not one of the job
            )
        return self.job(job)

    def jobs(self, *, name: str = "", state: str = "", before: float = 0, limit: int = 50) -> list[JobView]:
        """These jobs, newest first; with `before`, those submitted at that time or earlier."""
        views = [self._view(path.parent) for path in self._root.glob(PREFIX + "*/request.json")]
        chosen = [view for view in views if name in ("", view.name) and (not state or view.state in state.split(","))]
        chosen = [view for view in chosen if not before or view.submitted_at <= before]
        return sorted(chosen, key=lambda view: view.submitted_at, reverse=True)[:limit]

    def job(self, reference: str) -> JobView:
        """A job by identifier, or the latest of a name."""
        if reference.startswith(PREFIX):
            return self._view(self._home(reference))
        found = self.jobs(name=reference, limit=1)
        if not found:
            raise NotFound(f"No job {reference} ran here.", hint="%offload lists your jobs.")
        return found[0]

    def frames(self, job: str, after: int, wait_s: float = 0, state: str = "") -> FramePage:
        """Frames after a sequence number; waits up to `wait_s` seconds for a frame or another state than this one."""
        home = self._home(job)
        known = state or self._view(home).state
        deadline = time.monotonic() + wait_s
        while True:
            # The state first: all frames of a job that has ended are there.
            view = self._view(home)
            frames = folders.frames(home, after)
            if frames or view.state in FINAL or view.state != known or time.monotonic() >= deadline:
                return FramePage(job=msgspec.structs.replace(view, frames=after + len(frames)), frames=frames)
            self._sleep(_POLL_S)

    def cancel(self, job: str) -> JobView:
        """Ask the job to end.

        Raises:
            Conflict: it is over.
        """
        home, _ = self._open(job, "There is nothing left to cancel.")
        (home / "cancel").touch()
        return self._view(home)

    def retry(self, job: str, change: Retry) -> JobView:
        """The same again.

        Raises:
            Conflict: it is not over.
        """
        home = self._home(job)
        view = self._view(home)
        if not view.final:
            raise Conflict(f"{view.name} is not over: it is {view.state.value}.", hint="Cancel it first, or wait.")
        request = msgspec.convert((folders.read_json(home / "request.json") or {})["request"], JobRequest)
        blobs = {path.name: path.read_bytes() for path in (home / "blobs").iterdir()}
        return self.submit(change.of(request), blobs)

    def more_time(self, job: str, time_s: int) -> JobView:
        """Let it take so many seconds in all.

        Raises:
            Conflict: it is over.
            InvalidInput: it has more.
        """
        home, view = self._open(job, "Retry it with more time.")
        if time_s < view.resources.time_s:
            raise InvalidInput(f"The job {view.name} has {view.resources.time_s} s already, which is more.")
        (home / "limit").write_text(str(time_s), encoding="ascii")
        return self._view(home)

    def evict(self, job: str) -> JobView:
        """Nothing can take its place away."""
        name = self.job(job).name
        raise Conflict(f"{name} runs in this session, and nobody evicts it.", hint="Rehearse it with --to local.")

    def why(self, job: str) -> Why:
        """Why it is as it is."""
        view = self._view(self._home(job))
        log = (self._home(job) / "log").read_text(encoding="utf-8", errors="replace").splitlines()
        return Why(
            state=view.state,
            sentence=view.verdict or view.reason or f"It {view.state.value}.",
            evidence=log[-5:] if view.final else [],
        )

    def output(self, job: str, name: str) -> tuple[str, bytes]:
        """Codec and bytes of an output."""
        home = self._home(job)
        about = folders.read_json(home / "outputs" / f"{name}.json")
        if about is None:
            missing = (folders.read_json(home / "result.json") or {}).get("missing", {})
            raise NotFound(f"{job} has no value {name!r}.", hint=missing.get(name, "It did not deliver it."))
        return str(about["codec"]), (home / "outputs" / name).read_bytes()

    def targets(self) -> list[Target]:
        """This machine."""
        return [Target(name="here", kind="here", description="a process of this session", flavours=[])]

    def _open(self, job: str, hint: str) -> tuple[Path, JobView]:
        home = self._home(job)
        view = self._view(home)
        if view.final:
            raise Conflict(f"The job {view.name} is over: {view.state.value}.", hint=hint)
        return home, view

    def _home(self, job: str) -> Path:
        home = self._root / job
        if not job.startswith(PREFIX) or "/" in job or not (home / "request.json").exists():
            raise NotFound(f"No job {job} ran here.", hint="%offload lists your jobs.")
        return home

    def _view(self, home: Path) -> JobView:
        about = folders.read_json(home / "request.json") or {}
        request = msgspec.convert(about["request"], JobRequest)
        state, reason, exit_code = self._state(home)
        # Read after the state, so that it is there when the state says so.
        result = folders.read_json(home / "result.json") or {}
        return JobView(
            id=home.name,
            name=request.name,
            state=state,
            reason=reason,
            target="here",
            activity="",
            flavour="",
            resources=msgspec.structs.replace(
                request.resources, time_s=folders.limit(home) or request.resources.time_s
            ),
            submitted_at=about["submitted_at"],
            started_at=folders.changed(home / "alive"),
            finished_at=folders.changed(home / "result.json"),
            exit_code=result.get("exit_code", exit_code),
            verdict=result.get("verdict", "") or ("" if state != JobState.LOST else reason),
            outputs=folders.outputs(home, request.outputs, result.get("missing", {})),
            digest=request.digest,
            cell=request.origin.get("cell_id", ""),
            memory=result.get("memory"),
            metrics=result.get("metrics") or folders.read_json(home / "metrics.json") or {},
        )

    def _state(self, home: Path) -> tuple[JobState, str, int | None]:
        process = self._processes.get(home.name)
        # Before the look at the result: a process that ends in between has written it.
        code = process.poll() if process is not None else None
        alive = folders.locked(home / "alive")
        result = folders.read_json(home / "result.json")
        if result is not None:
            return JobState(result["state"]), "", None
        if alive:
            return JobState.RUNNING, "in a process of this session", None
        if (home / "cancel").exists():
            return JobState.CANCELLED, "cancelled", code
        young = time.time() - (folders.changed(home / "request.json") or 0) < _START_S
        # One of ours that has not ended is starting, even if its file is there and not locked yet.
        if code is None and (process is not None or (young and not (home / "alive").exists())):
            return JobState.STARTING, "its process starts", None
        suffix = "" if code is None else f" (exit code {code})"
        return JobState.LOST, f"Its process ended without a result{suffix}.", code

    def _prune(self) -> None:
        for view in [view for view in self.jobs(limit=sys.maxsize) if view.final][KEPT_JOBS - 1 :]:
            shutil.rmtree(self._root / view.id, ignore_errors=True)
