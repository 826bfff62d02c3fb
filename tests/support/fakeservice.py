"""A small service on loopback: the REST of notebooks and the listener of runners, with a real process for each job.

A job's folder is laid out as a kubelet lays out a ConfigMap (files are links through `..data`), its process gets what a
pod gets and nothing else. Faults are switched on by attributes: `down`, `refuse_frames`, `full`, `wrap_capability`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec
from support import fakesweeps

from aiinfn_hub.contract import run as runner
from aiinfn_hub.contract.jobs import FINAL, Extend, FramePage, JobRequest, JobState, JobView, Retry, ValueRef, Why
from aiinfn_hub.contract.life import Extension, SessionLife, SessionUse
from aiinfn_hub.contract.notices import Notice
from aiinfn_hub.contract.offer import ActivityOffer, Expected, FlavourOffer, Offer
from aiinfn_hub.contract.plans import Plan, Target
from aiinfn_hub.errors import (
    AiinfnError,
    Conflict,
    Expired,
    Forbidden,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    QuotaExceeded,
    TooLarge,
    Unavailable,
)

RUNNER = Path(runner.__file__).parent
PREFIX = "/services/aiinfn"


@dataclass
class FakeRun:
    """What the service knows of one job."""

    id: str
    request: JobRequest
    folder: Path
    capability: str = field(default_factory=lambda: secrets.token_hex(8))
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    pods: set[str] = field(default_factory=set)
    frames: list[dict[str, Any]] = field(default_factory=list)
    outputs: dict[str, tuple[str, bytes, str]] = field(default_factory=dict)
    result: dict[str, Any] | None = None
    cancel: bool = False
    sweep: str = ""
    point: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float | None] = field(default_factory=dict)
    heartbeats: int = 0
    stolen: bool = False
    limit_s: float | None = None
    memory: int = 0
    pieces: dict[str, bytes] = field(default_factory=dict)
    checkpoints: list[dict[str, Any]] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    submitted_at: float = field(default_factory=time.time)

    def state(self) -> JobState:
        """Where it is, from its process and what its runner said."""
        if self.result is not None:
            return JobState(self.result["state"])
        code = self.process.poll() if self.process else None
        if code is not None:
            return JobState.CANCELLED if self.cancel else JobState.FAILED
        if self.process is None:
            return JobState.CANCELLED if self.cancel else JobState.QUEUED
        return JobState.RUNNING if self.pods else JobState.STARTING

    def view(self) -> JobView:
        """As its owner sees it."""
        result = self.result or {}
        found = {}
        for name, (codec, data, summary) in self.outputs.items():
            found[name] = ValueRef(codec, hashlib.sha256(data).hexdigest(), len(data), summary)
        return JobView(
            id=self.id,
            name=self.request.name,
            state=self.state(),
            reason="waiting for 1 CPU" if self.process is None else "",
            target="local",
            activity="lhcb-flashsim",
            flavour="cpu",
            resources=self.request.resources,
            submitted_at=self.submitted_at,
            verdict=result.get("verdict", "") or _absent(result.get("missing", {})),
            exit_code=result.get("exit_code", self.process.poll() if self.process else None),
            outputs=found,
            frames=len(self.frames),
            digest=self.request.digest,
            cell=self.request.origin.get("cell_id", ""),
            metrics={**self.metrics, **result.get("metrics", {})},
            sweep=self.sweep,
            point=self.point,
        )


def _absent(missing: dict[str, str]) -> str:
    return "; ".join(f"{name} does not come back: {why}" for name, why in missing.items())


class FakeService:
    """Start it, give notebooks `environ`, and stop it."""

    def __init__(self, root: Path, python: str = sys.executable) -> None:
        self.root = root
        self.python = python
        self.user_token = secrets.token_hex(8)
        self.blobs: dict[str, bytes] = {}
        self.runs: dict[str, FakeRun] = {}
        self.keys: dict[str, str] = {}
        self.sweeps: dict[str, tuple[Any, list[FakeRun]]] = {}
        self.requests: list[tuple[str, str]] = []
        self.down = 0
        self.silent_about = ""
        self.hold = False
        self.refuse_frames = False
        self.full = False
        self.wrap_capability = False
        self.home = str(root)
        self.spec_extra: dict[str, Any] = {}
        self.environment: dict[str, str] = {}
        self.notices: list[Notice] = []
        self.uses: list[SessionUse] = []
        self.life = SessionLife("NVIDIA T4", 0.0, 4e9, 3600.0)
        self._servers = [_serve(self, USER_ROUTES), _serve(self, RUN_ROUTES)]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._servers[0].server_port}{PREFIX}"

    @property
    def runner_url(self) -> str:
        return f"http://127.0.0.1:{self._servers[1].server_port}"

    @property
    def environ(self) -> dict[str, str]:
        """What a session that the hub starts has in its environment."""
        return {"AIINFN_SERVICE_URL": self.url, "JUPYTERHUB_API_TOKEN": self.user_token, "JUPYTERHUB_SERVER_NAME": ""}

    def stop(self) -> None:
        for run in self.runs.values():
            if run.process and run.process.poll() is None:
                run.process.kill()
                run.process.wait()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def run_of(self, name: str) -> FakeRun:
        return next(run for run in reversed(self.runs.values()) if name in (run.id, run.request.name))

    def wait(self, run: FakeRun, timeout: float = 20) -> int:
        """The exit code of a job's process."""
        assert run.process is not None
        return run.process.wait(timeout)

    def submit(self, request: JobRequest, inputs: dict[str, bytes] | None = None) -> FakeRun:
        self.blobs.update({hashlib.sha256(data).hexdigest(): data for data in (inputs or {}).values()})
        job = f"job{len(self.runs) + 1:04d}"
        run = self.runs[job] = FakeRun(job, request, self.root / job)
        if not self.hold:
            self.start(run)
        return run

    def start(self, run: FakeRun) -> None:
        spec = {
            "run": run.id,
            "name": run.request.name,
            "url": self.runner_url,
            "source": run.request.source,
            "context": run.request.context,
            "filename": f"<offload {run.request.name}>",
            "inputs": {name: msgspec.to_builtins(value) for name, value in run.request.inputs.items()},
            "modules": run.request.modules and msgspec.to_builtins(run.request.modules),
            "packages": run.request.packages,
            "drift": run.request.drift,
            "outputs": run.request.outputs,
            "time_s": run.request.resources.time_s,
            "credentials": "/offload-cred/capability",
            "scratch": "/scratch",
            **self.spec_extra,
        }
        files = {path.name: path.read_bytes() for path in RUNNER.glob("*.py")}
        mount(run.folder / "offload", files)
        mount(run.folder / "job", {"spec.json": json.dumps(spec).encode()})
        capability = run.capability.encode()
        if self.wrap_capability:
            capability = base64.b64encode(capability)
        mount(run.folder / "cred", {"capability": capability})
        (run.folder / "scratch").mkdir()
        with (run.folder / "log").open("wb") as log:
            run.process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {self.python} {run.folder}/offload/boot.py"],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={
                    "PATH": os.environ["PATH"],
                    "HOME": self.home,
                    "POD_UID": f"uid-{run.id}-{len(run.pods)}",
                    "AIINFN_JOB": str(run.folder / "job"),
                    "AIINFN_CREDENTIALS": str(run.folder / "cred"),
                    "AIINFN_SCRATCH": str(run.folder / "scratch"),
                    **self.environment,
                },
            )

    def start_again(self, run: FakeRun) -> None:
        """A new attempt, in a pod that has nothing of the one before."""
        run.folder.rename(run.folder.with_name(f"{run.id}-{len(run.pods)}"))
        run.frames, run.token = [], secrets.token_hex(8)
        self.start(run)


def mount(folder: Path, files: dict[str, bytes]) -> None:
    """Files as a kubelet mounts them, read-only and behind two links."""
    data = folder / "..2026_11_23"
    data.mkdir(parents=True)
    for name, content in files.items():
        (data / name).write_bytes(content)
        (data / name).chmod(0o444)
        (folder / name).symlink_to(f"..data/{name}")
    (folder / "..data").symlink_to(data.name)


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: FakeService
    routes: list[tuple[str, str, Any]]

    def _handle(self) -> None:
        path, _, query = self.path.partition("?")
        path = unquote(path)
        self.query = dict(parse_qsl(query))
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.service.requests.append((self.command, path))
        try:
            if self.service.silent_about and path.endswith(self.service.silent_about):
                raise Unavailable("The disk of the service fails.")
            if self.service.down > 0:
                self.service.down -= 1
                raise Unavailable("The service restarts.")
            status, answer, headers = self._answer(path)
        except AiinfnError as error:
            status, answer, headers = error.status, json.dumps(error.to_json()).encode(), {}
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(answer))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            with suppress(BrokenPipeError, ConnectionResetError):
                self.wfile.write(answer)

    do_GET = do_HEAD = do_PUT = do_POST = _handle  # noqa: N815  names of http.server

    def _answer(self, path: str) -> tuple[int, bytes, dict[str, str]]:
        for method, pattern, function in self.routes:
            match = re.fullmatch(pattern, path)
            if match and self.command in method.split("|"):
                value = function(self.service, self, *match.groups())
                status, value = value if isinstance(value, tuple) and isinstance(value[0], int) else (200, value)
                if isinstance(value, tuple):
                    return status, *value
                return status, value if isinstance(value, bytes) else msgspec.json.encode(value), {}
        raise NotFound(f"There is no {path}.")

    def user(self) -> None:
        if self.headers.get("Authorization") != f"token {self.service.user_token}":
            raise NotAuthenticated("Unknown token.")

    def log_message(self, *_args: Any) -> None:
        pass


def _serve(service: FakeService, routes: list[tuple[str, str, Any]]) -> ThreadingHTTPServer:
    handler = type("Handler", (_Request,), {"service": service, "routes": routes})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server


def _find(service: FakeService, request: _Request, reference: str) -> FakeRun:
    request.user()
    try:
        return service.run_of(reference)
    except StopIteration:
        raise NotFound(f"You have no job {reference}.", hint="%offload lists them.") from None


def _blob(service: FakeService, request: _Request, sha256: str) -> Any:
    request.user()
    if request.command == "PUT":
        if hashlib.sha256(request.body).hexdigest() != sha256:
            raise InvalidInput("Wrong hash.")
        service.blobs[sha256] = request.body
        return 201, {}
    if sha256 not in service.blobs:
        raise NotFound("No such blob.")
    return service.blobs[sha256]


def _submit(service: FakeService, request: _Request) -> Any:
    request.user()
    wanted = msgspec.json.decode(request.body, type=JobRequest)
    wanted.check()
    key = request.headers["Idempotency-Key"]
    if key not in service.keys:
        service.keys[key] = service.submit(wanted).id
    return 201, service.runs[service.keys[key]].view()


def _list(service: FakeService, request: _Request) -> Any:
    request.user()
    views = [run.view() for run in reversed(service.runs.values())]
    name, states = request.query.get("name", ""), request.query.get("state", "").split(",")
    before, limit = float(request.query.get("before", "inf")), int(request.query.get("limit", "50"))
    chosen = [view for view in views if name in ("", view.name) and (states == [""] or view.state in states)]
    return {"jobs": [view for view in chosen if view.submitted_at <= before][:limit]}


def _frames(service: FakeService, request: _Request, reference: str) -> FramePage:
    run = _find(service, request, reference)
    after, deadline = int(request.query["after"]), time.monotonic() + float(request.query["wait"])
    known = request.query.get("state") or run.state()
    while True:
        view = run.view()
        if view.final or len(run.frames) > after or view.state != known or time.monotonic() >= deadline:
            return FramePage(job=view, frames=[{**frame, "seq": n + 1} for n, frame in enumerate(run.frames)][after:])
        time.sleep(0.02)


def _cancel(service: FakeService, request: _Request, reference: str) -> JobView:
    run = _find(service, request, reference)
    run.cancel = True
    return run.view()


def _retry(service: FakeService, request: _Request, reference: str) -> JobView:
    run = _find(service, request, reference)
    if run.state() not in FINAL:
        raise Conflict(f"{run.request.name} is not over.")
    change = msgspec.json.decode(request.body, type=Retry)
    return service.submit(change.of(run.request)).view()


def _extend(service: FakeService, request: _Request, reference: str) -> JobView:
    run = _find(service, request, reference)
    run.limit_s = float(msgspec.json.decode(request.body, type=Extend).time_s)
    resources = msgspec.structs.replace(run.request.resources, time_s=int(run.limit_s))
    run.request = msgspec.structs.replace(run.request, resources=resources)
    return run.view()


def _evict(service: FakeService, request: _Request, reference: str) -> JobView:
    run = _find(service, request, reference)
    if run.process is None or run.process.poll() is not None:
        raise Conflict(f"{run.request.name} does not run.")
    run.process.terminate()
    run.process.wait()
    service.start_again(run)
    return run.view()


def _output(service: FakeService, request: _Request, reference: str, name: str) -> Any:
    run = _find(service, request, reference)
    if name not in run.outputs:
        reason = ((run.result or {}).get("missing") or {}).get(name, "the job did not deliver it")
        raise NotFound(f"{run.request.name} has no value {name!r}.", hint=reason)
    codec, data, _ = run.outputs[name]
    return 200, (data, {"X-Aiinfn-Codec": codec})


def _attempt(service: FakeService, request: _Request, job: str) -> FakeRun:
    run = service.runs[job]
    if request.headers.get("Authorization") != f"Bearer {run.token}":
        raise Forbidden("Unknown token.")
    if run.stolen:
        raise Conflict("A newer attempt has taken its place.")
    if run.result is not None:
        raise Expired("The run is over.")
    return run


def _exchange(service: FakeService, request: _Request, job: str) -> Any:
    run = service.runs[job]
    if request.headers.get("Authorization") != f"Bearer {run.capability}":
        raise Forbidden("Unknown capability.")
    pod = json.loads(request.body)["pod_uid"]
    if pod in run.pods:
        raise Forbidden("It was exchanged before.")
    run.pods.add(pod)
    welcome = {"token": run.token, "attempt": len(run.pods), "heartbeat_s": 0.3, "restore": bool(run.checkpoints)}
    return {**welcome, "limit_s": run.limit_s}


def _input(service: FakeService, request: _Request, job: str, sha256: str) -> bytes:
    _attempt(service, request, job)
    if sha256 not in service.blobs:
        raise NotFound("No such input.")
    return service.blobs[sha256]


def _post_frames(service: FakeService, request: _Request, job: str) -> Any:
    run = _attempt(service, request, job)
    if service.refuse_frames:
        raise TooLarge("Too many frames.")
    for frame in json.loads(request.body)["frames"]:
        if frame["seq"] == len(run.frames) + 1:
            run.frames.append(frame)
    return {"next": len(run.frames) + 1, **_orders(run, request)}


def _heartbeat(service: FakeService, request: _Request, job: str) -> Any:
    run = _attempt(service, request, job)
    run.heartbeats += 1
    return _orders(run, request)


def _orders(run: FakeRun, request: _Request) -> dict[str, Any]:
    said = json.loads(request.body)
    run.memory = max(run.memory, said["memory"])
    run.metrics |= said["metrics"]
    return {"cancel": run.cancel, "limit_s": run.limit_s}


def _checkpoints(service: FakeService, request: _Request, job: str) -> Any:
    run = _attempt(service, request, job)
    if request.command == "GET":
        return {"checkpoints": run.checkpoints}
    kept = json.loads(request.body)
    if any(piece["sha256"] not in run.pieces for piece in kept["pieces"]):
        raise NotFound("A piece is not here.")
    run.checkpoints.insert(0, {**kept, "attempt": len(run.pods)})
    return {}


def _piece(service: FakeService, request: _Request, job: str, sha256: str) -> Any:
    run = _attempt(service, request, job)
    if request.command == "GET":
        return run.pieces[sha256]
    if service.full:
        raise QuotaExceeded("Your checkpoints take 20480 MiB, of 20480 MiB.")
    run.pieces[sha256] = request.body
    return 201, {}


def _put_output(service: FakeService, request: _Request, job: str, name: str) -> Any:
    run = _attempt(service, request, job)
    if service.full:
        raise QuotaExceeded("You keep 500 MiB here, of 500 MiB.")
    if hashlib.sha256(request.body).hexdigest() != request.headers["X-Aiinfn-Sha256"]:
        raise InvalidInput("Wrong hash.")
    run.outputs[name] = (request.headers["X-Aiinfn-Codec"], request.body, request.headers["X-Aiinfn-Summary"])
    return 201, {}


def _result(service: FakeService, request: _Request, job: str) -> Any:
    run = _attempt(service, request, job)
    run.result = json.loads(request.body)
    return {}


def _why(service: FakeService, request: _Request, reference: str) -> Why:
    run = _find(service, request, reference)
    return Why(state=run.state(), sentence="It waits for 1 CPU.", next_step="Ask for less.", evidence=["0 of 4 free"])


def _notices(service: FakeService, request: _Request) -> Any:
    request.user()
    return {"notices": service.notices}


def _session(service: FakeService, request: _Request) -> SessionLife:
    request.user()
    if request.command == "PUT":
        service.uses.append(msgspec.json.decode(request.body, type=SessionUse))
        return service.life
    wish = msgspec.json.decode(request.body, type=Extension)
    if not service.life.extend_s:
        raise QuotaExceeded("Nothing is left.")
    service.life = msgspec.structs.replace(service.life, ends=wish.ends + service.life.extend_s, extend_s=0.0)
    return service.life


def _targets(_service: FakeService, request: _Request) -> Any:
    request.user()
    return {"targets": [Target(name="local", kind="local", description="the cluster", flavours=["cpu", "t4"])]}


def _plan(_service: FakeService, request: _Request) -> Plan:
    request.user()
    wanted = msgspec.json.decode(request.body, type=JobRequest)
    return Plan(
        target=wanted.target,
        site="local",
        activity="lhcb",
        flavour="t4" if wanted.resources.gpu else "cpu",
        units=1,
        queue="lhcb-batch",
        image="ghcr.io/infn/pytorch:2.9",
        cpu_millis=wanted.resources.cpu_millis,
        memory_bytes=wanted.resources.memory_bytes,
        time_s=wanted.resources.time_s,
        gpu_hours=0.4 if wanted.resources.gpu else 0.0,
        refusals=["99 CPU: cpu has at most 16."] if wanted.resources.cpu_millis == 99000 else [],
        manifest={"kind": "Job", "metadata": {"name": "<b>"}},
    )


def _offer(_service: FakeService, request: _Request) -> Offer:
    flavours = [FlavourOffer("cpu", 64, 12, "core"), FlavourOffer("t4", 8, 0, "unit", expected=Expected(0.0, 60.0))]
    request.user()
    return Offer("alice", 1.0, flavours, [ActivityOffer("lhcb", 28.5, 40)])


_API = PREFIX + "/api"
USER_ROUTES: list[tuple[str, str, Any]] = [
    ("GET|HEAD|PUT", _API + "/blobs/([0-9a-f]{64})", _blob),
    ("POST", _API + "/jobs", _submit),
    ("GET", _API + "/jobs", _list),
    ("POST", _API + "/plan", _plan),
    ("GET", _API + "/offer", _offer),
    ("GET", _API + "/jobs/([^/]+)", lambda service, request, job: _find(service, request, job).view()),
    ("GET", _API + "/jobs/([^/]+)/frames", _frames),
    ("POST", _API + "/jobs/([^/]+)/cancel", _cancel),
    ("POST", _API + "/jobs/([^/]+)/retry", _retry),
    ("POST", _API + "/jobs/([^/]+)/extend", _extend),
    ("POST", _API + "/jobs/([^/]+)/evict", _evict),
    ("GET", _API + "/jobs/([^/]+)/why", _why),
    ("POST", _API + "/sweeps", fakesweeps.submit),
    ("GET", _API + "/sweeps/([^/]+)", fakesweeps.find),
    ("POST", _API + "/sweeps/([^/]+)/cancel", fakesweeps.cancel),
    ("POST", _API + "/sweeps/([^/]+)/retry", fakesweeps.retry),
    ("GET", _API + "/jobs/([^/]+)/outputs/([^/]+)", _output),
    ("GET", _API + "/notices", _notices),
    ("PUT|POST", _API + "/session", _session),
    ("GET", _API + "/targets", _targets),
]
RUN_ROUTES: list[tuple[str, str, Any]] = [
    ("POST", "/runs/([^/]+)/exchange", _exchange),
    ("GET", "/runs/([^/]+)/inputs/([0-9a-f]{64})", _input),
    ("POST", "/runs/([^/]+)/frames", _post_frames),
    ("POST", "/runs/([^/]+)/heartbeat", _heartbeat),
    ("GET|POST", "/runs/([^/]+)/checkpoints", _checkpoints),
    ("GET|PUT", "/runs/([^/]+)/pieces/([0-9a-f]{64})", _piece),
    ("PUT", "/runs/([^/]+)/outputs/([^/]+)", _put_output),
    ("POST", "/runs/([^/]+)/result", _result),
]
