"""A real kernel, as the hub starts it: %offload is there before the first cell; outputs are messages of the cell."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager
from support.fakeservice import FakeService

import aiinfn_labext

CONFIG = Path(aiinfn_labext.__file__).parent / "etc" / "ipython" / "ipython_config.py"


class Kernel:
    """Runs cells and collects their messages."""

    def __init__(self, manager: KernelManager) -> None:
        self.client = manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=30)

    def run(self, cell: str) -> Kernel:
        self.messages: list[tuple[str, Any]] = []
        self.reply = self.client.execute_interactive(cell, timeout=30, output_hook=self._collect)["content"]
        return self

    def _collect(self, message: Any) -> None:
        self.messages.append((message["msg_type"], message["content"]))

    def of(self, kind: str) -> list[Any]:
        return [content for found, content in self.messages if found == kind]

    def text(self) -> str:
        return "".join(content["text"] for content in self.of("stream") if content["name"] == "stdout")

    def result(self) -> str:
        return str(self.of("execute_result")[0]["data"]["text/plain"])


@pytest.fixture
def kernel(service: FakeService, tmp_path: Path) -> Iterator[Kernel]:
    """A kernel that reads the configuration that we ship, as from PREFIX/etc/ipython."""
    profile = tmp_path / "ipython" / "profile_default"
    profile.mkdir(parents=True)
    shutil.copy(CONFIG, profile)
    manager = KernelManager(kernel_name="python3")
    environ = {**os.environ, **service.environ, "IPYTHONDIR": str(profile.parent), "XDG_STATE_HOME": str(tmp_path)}
    manager.start_kernel(env=environ)
    running = Kernel(manager)
    yield running
    running.client.stop_channels()
    manager.shutdown_kernel(now=True)


def test_the_first_taste_word_for_word(kernel: Kernel, service: FakeService) -> None:
    kernel.run("x = [1, 2, 3]")
    # Already loaded: the very first use works, and loading it again is harmless.
    kernel.run("%%offload fit --cpu 1 --mem 512Mi --time 5m --in x --out total --wait\ntotal = sum(x) * 7\n...")
    assert kernel.reply["status"] == "ok"
    line = kernel.of("display_data")[0]
    assert line["data"]["text/plain"] == "fit · starting · on local · cpu · with x (list of 3, 7 B)"
    updates = kernel.of("update_display_data")
    assert updates[-1]["data"]["text/plain"].startswith("fit · succeeded · on local")
    assert updates[-1]["transient"] == line["transient"]
    kernel.run("%load_ext aiinfn_labext")
    kernel.run("total = None")
    kernel.run("%offload get fit")
    assert kernel.text() == "Bound here: total.\n"
    assert kernel.run("total").result() == "42"
    assert kernel.run("from aiinfn_labext import offload\noffload.job('fit').result()").result() == "{'total': 42}"
    # In the same kernel, for a kernel takes a while to start: a failure is an error of the cell, with its own lines.
    kernel.run("%%offload bad --wait\n1 / 0")
    [error] = kernel.of("error")
    assert kernel.reply["status"] == "error"
    assert error["ename"] == "JobFailed"
    assert '  File "<offload bad>", line 1, in <module>' in error["traceback"]
    assert error["traceback"][-1] == "ZeroDivisionError: division by zero"
    # A function of the notebook travels by its source, with the functions that it calls.
    kernel.run("import math\ndef half(x):\n    return x / 2")
    kernel.run("def f(x):\n    return half(x) + math.floor(1.5)")
    assert kernel.run("offload(f, 4, cpu=1).result(20)").result() == "3.0"
    kernel.run("class Shape:\n    def __init__(self, side):\n        self.side = side")
    assert "A lambda has no name" in kernel.run("offload(lambda: 1)").of("error")[0]["evalue"]
    kernel.run("def area(side):\n    return Shape(side).side ** 2")
    assert kernel.run("offload(area, 3, to='here').result(20)").result() == "9"
    # The cell that sent it is known.
    assert service.run_of("f").request.origin == {}


def test_without_a_hub_nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    from traitlets.config.loader import PyFileConfigLoader  # noqa: PLC0415

    monkeypatch.delenv("AIINFN_SERVICE_URL", raising=False)
    assert PyFileConfigLoader(CONFIG.name, str(CONFIG.parent)).load_config() == {}
