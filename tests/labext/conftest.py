"""A service with real runs, and a notebook that knows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from support.fakeservice import FakeService

from aiinfn_labext import magic
from aiinfn_labext.jobs import Offload, make_offload


@pytest.fixture
def service(tmp_path: Path) -> Iterator[FakeService]:
    fake = FakeService(tmp_path / "service")
    fake.spec_extra = {"patience_s": 5, "grace_s": 1}
    yield fake
    fake.stop()


@pytest.fixture
def offload(service: FakeService, tmp_path: Path) -> Offload:
    """The Python API of a session that the hub has started."""
    return make_offload({**service.environ, "XDG_STATE_HOME": str(tmp_path / "state")})


@pytest.fixture
def alone(tmp_path: Path) -> Offload:
    """The Python API of a machine without a service."""
    return make_offload({"XDG_STATE_HOME": str(tmp_path / "state")})


class Notebook:
    """Cells one after the other in a real IPython shell, and what they show."""

    def __init__(self, offload: Offload, capsys: pytest.CaptureFixture[str]) -> None:
        self.shell = InteractiveShell()
        self.shell.colors = "nocolor"
        self.shell.display_pub = CapturingDisplayPublisher()
        self._capsys = capsys
        magic.register(self.shell, offload)

    def run(self, cell: str) -> Notebook:
        self._capsys.readouterr()
        self.shell.display_pub.outputs.clear()
        result = self.shell.run_cell(cell, store_history=True)
        self.error = result.error_in_exec or result.error_before_exec
        self.out, self.err = self._capsys.readouterr()
        self.shown = list(self.shell.display_pub.outputs)
        return self

    def texts(self) -> list[str]:
        return [output["data"]["text/plain"] for output in self.shown]

    def __getitem__(self, name: str) -> object:
        return self.shell.user_ns[name]


@pytest.fixture
def notebook(offload: Offload, capsys: pytest.CaptureFixture[str]) -> Notebook:
    return Notebook(offload, capsys)


@pytest.fixture
def lonely_notebook(alone: Offload, capsys: pytest.CaptureFixture[str]) -> Notebook:
    """A notebook on a machine without a service."""
    return Notebook(alone, capsys)
