"""Jobs on the wire: what a notebook asks for, what it is told, and the states between.

All structs are frozen and refuse unknown fields. Times are Unix seconds (UTC), sizes bytes, CPU millicores.
"""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from aiinfn_hub.errors import InvalidInput

#: A job's or a value's name: what a person types in a cell and finds in a file name.
JOB_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
MAX_SOURCE_BYTES = 256 * 1024
MAX_NAMES = 100


class JobState(StrEnum):
    """Where a job is; the same words in magic, panel, REST and metrics."""

    STAGING = "staging"
    QUEUED = "queued"
    PENDING_REMOTE = "pending-remote"
    STARTING = "starting"
    RUNNING = "running"
    EVICTED = "evicted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"


FINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.LOST})

_S = JobState
_ENDS = {_S.FAILED, _S.CANCELLED, _S.LOST}
#: From each state, the states that may follow. `succeeded` can be reported by a runner before the watch saw it start.
TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    _S.STAGING: frozenset({_S.QUEUED, *_ENDS}),
    _S.QUEUED: frozenset({_S.PENDING_REMOTE, _S.STARTING, _S.RUNNING, _S.SUCCEEDED, *_ENDS}),
    _S.PENDING_REMOTE: frozenset({_S.QUEUED, _S.STARTING, _S.RUNNING, _S.EVICTED, _S.SUCCEEDED, *_ENDS}),
    _S.STARTING: frozenset({_S.QUEUED, _S.PENDING_REMOTE, _S.RUNNING, _S.EVICTED, _S.SUCCEEDED, *_ENDS}),
    _S.RUNNING: frozenset({_S.EVICTED, _S.SUCCEEDED, *_ENDS}),
    _S.EVICTED: frozenset({_S.QUEUED, _S.PENDING_REMOTE, _S.STARTING, _S.RUNNING, _S.SUCCEEDED, *_ENDS}),
    _S.SUCCEEDED: frozenset(),
    _S.FAILED: frozenset(),
    _S.CANCELLED: frozenset(),
    # A node that came back may still deliver the truth.
    _S.LOST: frozenset({_S.SUCCEEDED, _S.FAILED}),
}


class Wire(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=False):
    """Base of every struct on the wire."""


#: What a value of a sweep may be.
Scalar = bool | int | float | str | None
#: What a job measures, by name; None for what is no finite number, which JSON has not.
Metrics = Annotated[
    dict[Annotated[str, msgspec.Meta(pattern=r"^[^\W\d]\w{0,39}$")], float | None], msgspec.Meta(max_length=20)
]
#: The codec of `JobRequest.modules`: a zip file of Python's modules.
MODULES = "modules"
#: Where an image has other packages than the session: say it, end, or install those of the session.
DRIFT = ("warn", "refuse", "install")
#: What stands in the name of a distribution, and in a version: both become words of a command of pip.
PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,99}")
#: After an eviction: go on from what was kept, begin anew, or end.
ON_EVICT = ("resume", "restart", "stop")


class ValueRef(Wire, frozen=True):
    """One value that travels: its codec, and the blob that holds it."""

    codec: str
    sha256: str
    size: int
    summary: str = ""


class Resources(Wire, frozen=True):
    """What one attempt of a job gets. `gpu` is what the person typed: "", "1", a flavour, or "flavour:count"."""

    cpu_millis: int = 1000
    memory_bytes: int = 2 * 1024**3
    gpu: str = ""
    time_s: int = 3600


class JobRequest(Wire, frozen=True):
    """A cell (or function) to run elsewhere; the person, the activity and the place are never taken from here.

    `context` is run before `source`, in the same namespace: definitions of the notebook that it uses.
    """

    name: str
    source: str
    inputs: dict[str, ValueRef] = {}
    outputs: list[str] = []
    resources: Resources = Resources()
    target: str = "auto"
    image: str = ""
    server: str = ""
    origin: dict[str, str] = {}
    token: bool = False
    """Whether it gets a token of the IAM as a file, as sessions have it."""
    context: str = ""
    modules: ValueRef | None = None
    """Code of the session that is in no image."""
    packages: dict[str, list[str]] = {}
    """For each module that the code imports, the distribution that has it in the session, and its version."""
    drift: str = "warn"
    """What to do where the image has other versions, one of `DRIFT`."""
    on_evict: str = "resume"
    """What an eviction means, one of `ON_EVICT`."""
    uid: int | None = None
    """The person's POSIX user: written by the service over whatever was sent."""

    @property
    def sent(self) -> dict[str, ValueRef]:
        """All that was sent before it, by what it is called: its values, and its modules."""
        return {**self.inputs, **({"its modules": self.modules} if self.modules is not None else {})}

    @property
    def digest(self) -> str:
        """The same for the same work: code, values, amounts and place, whatever it is called and where it is from."""
        same = msgspec.structs.replace(self, name="", origin={}, server="", uid=None)
        return hashlib.sha256(msgspec.json.encode(same, order="sorted")).hexdigest()

    def check(self) -> None:
        """Raise `InvalidInput` for what no target could run."""
        if JOB_NAME.fullmatch(self.name) is None:
            raise InvalidInput(
                f"{self.name!r} is not a job name.",
                hint="Use up to 40 letters, digits, - and _, starting with a letter.",
            )
        if len(self.source.encode()) + len(self.context.encode()) > MAX_SOURCE_BYTES:
            raise InvalidInput(
                f"The source, with what it uses of the notebook, is longer than {MAX_SOURCE_BYTES // 1024} KiB.",
                hint="Put the code into a module of the image.",
            )
        for name in (*self.inputs, *self.outputs):
            if not name.isidentifier():
                raise InvalidInput(f"{name!r} is not a Python name.", hint="--in and --out take names, as in --in x,y.")
        self._check_choices()
        if len(self.inputs) + len(self.outputs) > MAX_NAMES:
            raise InvalidInput(f"More than {MAX_NAMES} values travel.", hint="Put them into one dictionary.")

    def _check_choices(self) -> None:
        if self.on_evict not in ON_EVICT:
            raise InvalidInput(
                f"{self.on_evict[:40]!r} is nothing to do after an eviction.", hint=f"There are: {', '.join(ON_EVICT)}."
            )
        if self.drift not in DRIFT:
            raise InvalidInput(
                f"{self.drift[:40]!r} is nothing to do about other packages.", hint=f"There are: {', '.join(DRIFT)}."
            )
        if len(self.packages) > MAX_NAMES:
            raise InvalidInput(f"It names more than {MAX_NAMES} packages.")
        for module, about in self.packages.items():
            if not module.isidentifier() or len(about) != 2 or not all(map(PACKAGE.fullmatch, about)):
                raise InvalidInput(f"{module[:60]!r} is said to come from {about!r:.100}, which is no package.")


class Retry(Wire, frozen=True):
    """What is to be different when a job is tried again; None for as before. Units as in `Resources`."""

    cpu_millis: int | None = None
    memory_bytes: int | None = None
    gpu: str | None = None
    time_s: int | None = None
    target: str | None = None

    def of(self, request: JobRequest) -> JobRequest:
        """The request, changed."""
        names = ("cpu_millis", "memory_bytes", "gpu", "time_s")
        amounts = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return msgspec.structs.replace(
            request,
            resources=msgspec.structs.replace(request.resources, **amounts),
            target=request.target if self.target is None else self.target,
        )


class Extend(Wire, frozen=True):
    """The seconds that all attempts of a job may take together: more than it has."""

    time_s: int


class Vitals(Wire, frozen=True):
    """What an attempt says of itself: the peak of its memory in bytes, and the latest of each number of its work."""

    memory: Annotated[int, msgspec.Meta(ge=0)] = 0
    metrics: Metrics = {}


class Waiting(Wire, frozen=True):
    """A place in the queue, from 1 on, and when such jobs have started.

    Half of those that had waited for longer than this one did so between `early` and `late`, in Unix seconds; they are
    None where there are too few `cases`.
    """

    place: int
    number: int
    early: float | None
    late: float | None
    cases: int


class JobView(Wire, frozen=True):
    """A job as its owner sees it.

    `digest` is that of its request, `cell` the cell of a notebook that it came from; `memory` the most bytes that it
    was seen to have, `checkpointed_at` when it last kept something of its work, None for never; `metrics` what its code
    has measured, None for what is no finite number. One of a sweep has the identifier of that, and its values: `point`.
    """

    id: str
    name: str
    state: JobState
    reason: str
    target: str
    activity: str
    flavour: str
    resources: Resources
    submitted_at: float
    started_at: float | None = None
    finished_at: float | None = None
    attempt: int = 1
    exit_code: int | None = None
    verdict: str = ""
    outputs: dict[str, ValueRef] = {}
    frames: int = 0
    owner: str = ""
    digest: str = ""
    cell: str = ""
    memory: int | None = None
    checkpointed_at: float | None = None
    metrics: dict[str, float | None] = {}
    sweep: str = ""
    point: dict[str, Scalar] = {}
    waiting: Waiting | None = None

    @property
    def final(self) -> bool:
        """Whether nothing more will come."""
        return self.state in FINAL


class FramePage(Wire, frozen=True):
    """Frames after a sequence number, with the job as it is now. A frame is an nbformat output plus `seq`."""

    job: JobView
    frames: list[dict[str, Any]]


class Why(Wire, frozen=True):
    """Why a job waits, or why it ended as it did: a sentence, the next step, and the evidence behind it."""

    state: JobState
    sentence: str
    next_step: str = ""
    evidence: list[str] = []
