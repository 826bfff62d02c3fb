"""Sweeps of the small service: all points are started at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from aiinfn_hub.contract.jobs import JobState
from aiinfn_hub.contract.sweeps import SweepRequest, SweepRetry, SweepView
from aiinfn_hub.errors import Conflict, NotFound

if TYPE_CHECKING:
    from support.fakeservice import FakeRun, FakeService


def submit(service: FakeService, request: Any) -> Any:
    request.user()
    asked = msgspec.json.decode(request.body, type=SweepRequest)
    asked.check()
    key = request.headers["Idempotency-Key"]
    if key not in service.keys:
        sweep = service.keys[key] = f"sweep{len(service.sweeps) + 1}"
        service.sweeps[sweep] = (asked, [])
        for place, point in enumerate(asked.points):
            run = service.submit(asked.of(place))
            run.sweep, run.point = sweep, point
            service.sweeps[sweep][1].append(run)
    return 201, _view(service, service.keys[key])


def find(service: FakeService, request: Any, reference: str) -> SweepView:
    return _view(service, _named(service, request, reference))


def cancel(service: FakeService, request: Any, reference: str) -> SweepView:
    sweep = _named(service, request, reference)
    for run in service.sweeps[sweep][1]:
        run.cancel = True
    return _view(service, sweep)


def retry(service: FakeService, request: Any, reference: str) -> Any:
    sweep = _named(service, request, reference)
    change = msgspec.json.decode(request.body, type=SweepRetry).change
    asked, runs = service.sweeps[sweep]
    bad = [place for place, run in enumerate(runs) if run.view().final and run.state() is not JobState.SUCCEEDED]
    if not bad:
        raise Conflict(f"No point of {asked.request.name} has failed.")
    for place in bad:
        run = service.submit(change.of(runs[place].request))
        run.sweep, run.point = sweep, asked.points[place]
        runs[place] = run
    return 201, _view(service, sweep)


def _named(service: FakeService, request: Any, reference: str) -> str:
    request.user()
    for sweep, (asked, _runs) in reversed(service.sweeps.items()):
        if reference in (sweep, asked.request.name):
            return sweep
    raise NotFound(f"You have no sweep {reference}.")


def _view(service: FakeService, sweep: str) -> SweepView:
    found: tuple[SweepRequest, list[FakeRun]] = service.sweeps[sweep]
    asked, runs = found
    jobs = [run.view() for run in runs]
    return SweepView(sweep, asked.request.name, asked.at_once, jobs[0].submitted_at, jobs, asked.digest)
