"""The service, as one person's notebook sees it: REST with the session's own token. No state but a connection pool."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from aiinfn_hub.contract.jobs import Extend, FramePage, JobRequest, JobView, Retry, Why
from aiinfn_hub.contract.life import Extension, SessionLife, SessionUse
from aiinfn_hub.contract.notices import Notice
from aiinfn_hub.contract.offer import Offer
from aiinfn_hub.contract.plans import Plan, Target
from aiinfn_hub.contract.sweeps import SweepRequest, SweepRetry, SweepView
from aiinfn_hub.errors import NotAuthenticated, NotFound, RemoteFailed, Unavailable, from_json

URL_VARIABLE = "AIINFN_SERVICE_URL"
TOKEN_VARIABLE = "JUPYTERHUB_API_TOKEN"  # noqa: S105  the name of a variable
SERVER_VARIABLE = "JUPYTERHUB_SERVER_NAME"
#: Pauses in seconds before a safe call is tried again.
PAUSES_S = (0.2, 0.5, 1.5)
_T = TypeVar("_T")


class ServiceClient:
    """The offload API of the service.

    Every call may raise `Unavailable` (no answer, after some tries), `NotAuthenticated`, or what the service answered.

    Args:
        environ: where address and token are read, at each call: JupyterHub may renew them.
        transport: for tests; the network when None.
        sleep: pauses between tries.
    """

    def __init__(
        self,
        *,
        environ: Mapping[str, str] = os.environ,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._environ = environ
        self._sleep = sleep
        self._http = httpx.Client(transport=transport, timeout=httpx.Timeout(30, connect=5))

    @property
    def configured(self) -> bool:
        """Whether this session knows a service at all."""
        return bool(self._environ.get(URL_VARIABLE))

    def submit(self, request: JobRequest, blobs: Mapping[str, bytes]) -> JobView:
        """Upload what the service does not have yet (bytes by SHA-256), then submit, once whatever is tried again."""
        for sha256, data in blobs.items():
            self._upload(sha256, data)
        server = self._environ.get(SERVER_VARIABLE, "")
        body = msgspec.json.encode(msgspec.structs.replace(request, server=server))
        headers = {"Idempotency-Key": uuid.uuid4().hex, "Content-Type": "application/json"}
        return _decoded(self._call("POST", "/api/jobs", content=body, headers=headers, safe=True), JobView)

    def jobs(self, *, name: str = "", state: str = "", before: float = 0, limit: int = 50) -> list[JobView]:
        """My jobs, newest first; with `before`, those submitted at that time or earlier."""
        wanted = {"name": name, "state": state, "before": repr(before) if before else "", "limit": str(limit)}
        answer = self._call("GET", "/api/jobs", params={key: value for key, value in wanted.items() if value})
        return _decoded(answer, dict[str, list[JobView]]).get("jobs", [])

    def job(self, reference: str) -> JobView:
        """A job by identifier, or the latest of a name."""
        return _decoded(self._call("GET", f"/api/jobs/{_part(reference)}"), JobView)

    def frames(self, job: str, after: int, wait_s: float = 0, state: str = "") -> FramePage:
        """Frames after a sequence number; waits up to `wait_s` seconds for a frame or another state than this one."""
        params = {"after": str(after), "wait": f"{wait_s:g}", **({"state": state} if state else {})}
        return _decoded(
            self._call("GET", f"/api/jobs/{_part(job)}/frames", params=params, read_s=wait_s + 15), FramePage
        )

    def cancel(self, job: str) -> JobView:
        """Ask the job to end; `Conflict` if it is over."""
        return _decoded(self._call("POST", f"/api/jobs/{_part(job)}/cancel", safe=True), JobView)

    def retry(self, job: str, change: Retry) -> JobView:
        """The same again as a new job; `Conflict` while it is not over."""
        body = msgspec.json.encode(change)
        return _decoded(self._call("POST", f"/api/jobs/{_part(job)}/retry", content=body), JobView)

    def more_time(self, job: str, time_s: int) -> JobView:
        """Let it take so many seconds in all; `Conflict` if it is over, `QuotaExceeded` without room."""
        body = msgspec.json.encode(Extend(time_s))
        return _decoded(self._call("POST", f"/api/jobs/{_part(job)}/extend", content=body, safe=True), JobView)

    def evict(self, job: str) -> JobView:
        """Rehearse an eviction; `Conflict` if it does not run."""
        return _decoded(self._call("POST", f"/api/jobs/{_part(job)}/evict"), JobView)

    def why(self, job: str) -> Why:
        """Why it waits, or ended as it did."""
        return _decoded(self._call("GET", f"/api/jobs/{_part(job)}/why"), Why)

    def output(self, job: str, name: str) -> tuple[str, bytes]:
        """Codec and bytes of an output."""
        answer = self._call("GET", f"/api/jobs/{_part(job)}/outputs/{_part(name)}", read_s=120)
        return answer.headers.get("X-Aiinfn-Codec", ""), answer.content

    def targets(self) -> list[Target]:
        """Where jobs can run."""
        return _decoded(self._call("GET", "/api/targets"), dict[str, list[Target]]).get("targets", [])

    def submit_sweep(self, asked: SweepRequest, blobs: Mapping[str, bytes]) -> SweepView:
        """Upload what the service does not have yet, then submit, once whatever is tried again."""
        for sha256, data in blobs.items():
            self._upload(sha256, data)
        request = msgspec.structs.replace(asked.request, server=self._environ.get(SERVER_VARIABLE, ""))
        body = msgspec.json.encode(msgspec.structs.replace(asked, request=request))
        headers = {"Idempotency-Key": uuid.uuid4().hex, "Content-Type": "application/json"}
        return _decoded(self._call("POST", "/api/sweeps", content=body, headers=headers, safe=True), SweepView)

    def sweep(self, reference: str) -> SweepView:
        """A sweep by identifier, or the latest of a name."""
        return _decoded(self._call("GET", f"/api/sweeps/{_part(reference)}"), SweepView)

    def cancel_sweep(self, sweep: str) -> SweepView:
        """End all of it; `Conflict` if it is over."""
        return _decoded(self._call("POST", f"/api/sweeps/{_part(sweep)}/cancel", safe=True), SweepView)

    def retry_sweep(self, sweep: str, asked: SweepRetry) -> SweepView:
        """Run the points again that did not succeed; `Conflict` if there are none."""
        body = msgspec.json.encode(asked)
        return _decoded(self._call("POST", f"/api/sweeps/{_part(sweep)}/retry", content=body), SweepView)

    def plan(self, request: JobRequest) -> Plan:
        """What would happen to a job; nothing is submitted."""
        server = self._environ.get(SERVER_VARIABLE, "")
        body = msgspec.json.encode(msgspec.structs.replace(request, server=server))
        return _decoded(self._call("POST", "/api/plan", content=body, safe=True), Plan)

    def offer(self) -> Offer:
        """What is free for me now."""
        return _decoded(self._call("GET", "/api/offer"), Offer)

    def notices(self) -> list[Notice]:
        """What the platform has to say to me, or about this session, the most pressing first."""
        return _decoded(self._call("GET", "/api/notices"), dict[str, list[Notice]]).get("notices", [])

    def tell(self, use: SessionUse) -> SessionLife:
        """Say what this session does; how long it may go on."""
        return _decoded(self._call("PUT", "/api/session", content=msgspec.json.encode(use)), SessionLife)

    def extend(self, ends: float) -> SessionLife:
        """Let this session go on for longer than to `ends`; `Conflict` if it may not, `QuotaExceeded` without room."""
        wish = msgspec.json.encode(Extension(ends))
        return _decoded(self._call("POST", "/api/session", content=wish, safe=True), SessionLife)

    def _upload(self, sha256: str, data: bytes) -> None:
        path = f"/api/blobs/{sha256}"
        try:
            self._call("HEAD", path)
        except NotFound:
            self._call("PUT", path, content=data, read_s=120, safe=True)

    def _call(
        self, method: str, path: str, *, safe: bool = False, read_s: float = 30, **options: Any
    ) -> httpx.Response:
        """One request; a safe one (reads, and writes that may be repeated) is tried again while nobody answers."""
        headers = {"Authorization": f"token {self._environ.get(TOKEN_VARIABLE, '')}", **options.pop("headers", {})}
        request = self._http.build_request(
            method, self._base() + path, headers=headers, timeout=httpx.Timeout(read_s, connect=5), **options
        )
        pauses = iter(PAUSES_S if safe or method in ("GET", "HEAD") else ())
        while True:
            try:
                return self._once(request)
            except Unavailable:
                pause = next(pauses, None)
                if pause is None:
                    raise
            self._sleep(pause)

    def _base(self) -> str:
        url = self._environ.get(URL_VARIABLE, "").rstrip("/")
        if not url:
            raise Unavailable(
                "This session knows no aiinfn service.",
                hint=f"Start it from the hub, set {URL_VARIABLE}, or run the cell here with --to here.",
            )
        return url

    def _once(self, request: httpx.Request) -> httpx.Response:
        try:
            response = self._http.send(request)
        except httpx.HTTPError as error:
            raise Unavailable(
                f"The aiinfn service does not answer ({type(error).__name__}).", hint="Try again."
            ) from error
        if response.is_success:
            return response
        if response.is_redirect:  # to the login page
            raise NotAuthenticated("The service does not know this session.", hint="Restart the session from the hub.")
        raise from_json(response.status_code, _json(response))


def sha256_of(data: bytes) -> str:
    """The name of a blob."""
    return hashlib.sha256(data).hexdigest()


def _part(text: str) -> str:
    """One part of a path, whatever the person typed."""
    return quote(text, safe="")


def _json(response: httpx.Response) -> Any:
    try:
        return msgspec.json.decode(response.content)
    except msgspec.DecodeError:
        return None


def _decoded(response: httpx.Response, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(response.content, type=kind)
    except msgspec.MsgspecError as error:
        raise RemoteFailed(
            f"The service answered something that this version does not understand: {error}.",
            hint="Restart the session from the hub to get the matching version.",
        ) from error
