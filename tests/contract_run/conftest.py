"""A service with real runs, and ways to start one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.fakeservice import FakeRun, FakeService

from aiinfn_hub.contract.jobs import JobRequest, Resources, ValueRef
from aiinfn_hub.contract.run.codecs import encode


@pytest.fixture
def service(tmp_path: Path) -> Iterator[FakeService]:
    fake = FakeService(tmp_path)
    fake.spec_extra = {"patience_s": 5, "grace_s": 1}
    yield fake
    fake.stop()


class Started:
    """A run that was started, and what came of it."""

    def __init__(self, service: FakeService, run: FakeRun) -> None:
        self.service = service
        self.run = run

    def end(self) -> Started:
        self.code = self.service.wait(self.run)
        return self

    @property
    def frames(self) -> list[dict[str, Any]]:
        return self.run.frames

    @property
    def log(self) -> str:
        """What the pod's log has."""
        return (self.run.folder / "log").read_text()

    def text(self, stream: str = "stdout") -> str:
        return "".join(frame["text"] for frame in self.frames if frame.get("name") == stream)

    def data(self) -> list[dict[str, Any]]:
        """MIME bundles, in order."""
        return [frame["data"] for frame in self.frames if "data" in frame]


@pytest.fixture
def start(service: FakeService) -> Callable[..., Started]:
    """start(source, outputs, time_s=60, **inputs): a run that goes on."""

    def begin(source: str, *outputs: str, time_s: int = 60, **inputs: Any) -> Started:
        references, blobs = {}, {}
        for name, value in inputs.items():
            codec, data, summary = encode(value)
            references[name] = ValueRef(codec, hashlib.sha256(data).hexdigest(), len(data), summary)
            blobs[name] = data
        request = JobRequest("fit", source, references, list(outputs), Resources(time_s=time_s))
        return Started(service, service.submit(request, blobs))

    return begin


@pytest.fixture
def ended(start: Callable[..., Started]) -> Callable[..., Started]:
    """The same, over."""
    return lambda *args, **options: start(*args, **options).end()
