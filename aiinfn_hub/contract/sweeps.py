"""A sweep on the wire: the same code for each of many points, as jobs that belong together."""

from __future__ import annotations

import hashlib
import keyword
import math
from collections import Counter
from typing import Any

import msgspec

from aiinfn_hub.contract.jobs import JobRequest, JobState, JobView, Retry, Scalar, Wire
from aiinfn_hub.errors import InvalidInput

#: The most points, and how many run at the same time where nothing else is said.
MAX_POINTS, AT_ONCE = 500, 8
#: Characters of a name, so that those of its jobs, `fit-0` to `fit-499`, are names of jobs.
MAX_NAME = 36
MAX_TEXT = 500
#: The values of its point, for code that has to set them once more.
POINT = "__point__"
Point = dict[str, Scalar]


class SweepRequest(Wire, frozen=True):
    """Code, and the points to run it for, so many at once. The values of each are in `__point__` of the code."""

    request: JobRequest
    points: list[Point]
    at_once: int = AT_ONCE
    bind: bool = True
    """Whether its values are variables of the code, or in `__point__` only."""

    @property
    def digest(self) -> str:
        """The same for the same work; see `JobRequest.digest`."""
        points = msgspec.json.encode(self.points)
        return hashlib.sha256(self.request.digest.encode() + points).hexdigest()

    def check(self) -> None:
        """Raise `InvalidInput` for what is no sweep; each of its jobs is checked as any other."""
        if not 1 <= len(self.points) <= MAX_POINTS:
            raise InvalidInput(f"The sweep has {len(self.points)} points.", hint=f"It may have 1 to {MAX_POINTS}.")
        if not 1 <= self.at_once <= MAX_POINTS:
            raise InvalidInput(f"{self.at_once} points at once.", hint=f"It may be 1 to {MAX_POINTS}: --at-once 8.")
        if len(self.request.name) > MAX_NAME:
            raise InvalidInput(f"{self.request.name!r} is too long for a sweep.", hint=f"Use up to {MAX_NAME} letters.")
        names = self.points[0].keys()
        if not names:
            raise InvalidInput("The points have no values.", hint="Write --sweep lr=0.1,0.01.")
        for name in names:
            if not name.isidentifier() or keyword.iskeyword(name):
                raise InvalidInput(f"{name[:60]!r} is not a Python name.", hint="Each value of a point is a variable.")
        for place, point in enumerate(self.points):
            if point.keys() != names:
                raise InvalidInput(f"Point {place} has {', '.join(point)}, and the first one {', '.join(names)}.")
            for name, value in point.items():
                _check(f"{name} of point {place}", value)

    def of(self, place: int) -> JobRequest:
        """The job of a point: its values are set before anything else of the code is run."""
        bound = f"globals().update({POINT})\n" if self.bind else ""
        context = f"{POINT} = {self.points[place]!r}\n{bound}{self.request.context}"
        return msgspec.structs.replace(self.request, name=f"{self.request.name}-{place}", context=context)


def _check(what: str, value: Scalar) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidInput(f"{what} is {value}, which no list of values can hold.")
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise InvalidInput(f"{what} is larger than a number of 64 bits.", hint="Send it with --in.")
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise InvalidInput(f"{what} is longer than {MAX_TEXT} characters.", hint="Send it with --in.")


class SweepRetry(Wire, frozen=True):
    """Run the points again that did not succeed, with these changes."""

    change: Retry = Retry()


class SweepView(Wire, frozen=True):
    """A sweep as its owner sees it: the latest job of each point, in the order of the points."""

    id: str
    name: str
    at_once: int
    submitted_at: float
    jobs: list[JobView]
    digest: str = ""
    cell: str = ""

    @property
    def final(self) -> bool:
        """Whether nothing more will come."""
        return all(job.final for job in self.jobs)

    @property
    def counts(self) -> dict[JobState, int]:
        """How many points are in each state that one is in."""
        found = Counter(job.state for job in self.jobs)
        return {state: found[state] for state in JobState if found[state]}

    @property
    def metrics(self) -> list[str]:
        """What has been measured in any of them, in the order of the first."""
        return list(dict.fromkeys(name for job in self.jobs for name in job.metrics))

    def table(self) -> list[dict[str, Any]]:
        """A row for each point: its values, its state, and what was measured; None for what was not, or not yet."""
        return [
            {**job.point, "state": job.state.value, **{name: job.metrics.get(name) for name in self.metrics}}
            for job in self.jobs
        ]
