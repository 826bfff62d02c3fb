"""A real Prometheus over samples of the past, as `promtool` makes blocks of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from tornado.testing import bind_unused_port

#: Metric with its labels, Unix seconds, value.
Sample = tuple[str, float, float]


def binary(name: str) -> str:
    """The path of `prometheus` or `promtool`; in CI a missing one is a failure, elsewhere a skip that says why."""
    found = shutil.which(name)
    if found is None:
        message = f"There is no {name} here: apt-get install prometheus."
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    return str(found)


@contextmanager
def prometheus_with(samples: Iterable[Sample], folder: Path) -> Iterator[str]:
    """Its address. Samples of one series are in the order of their times, and a series is written at one go."""
    promtool, server = binary("promtool"), binary("prometheus")
    text = folder / "samples.txt"
    text.write_text("".join(f"{series} {value} {at}\n" for series, at, value in samples) + "# EOF\n", encoding="utf-8")
    made = [promtool, "tsdb", "create-blocks-from", "openmetrics", text, folder / "data"]
    subprocess.run(made, check=True, capture_output=True)
    config = folder / "prometheus.yml"
    config.write_text("{}\n", encoding="utf-8")
    socket, port = bind_unused_port()
    socket.close()
    url = f"http://127.0.0.1:{port}"
    flags = [f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.retention.time=100y", "--log.level=error"]
    process = subprocess.Popen([server, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}", *flags])
    try:
        _await(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _await(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        with suppress(httpx.TransportError):  # it does not listen yet
            if httpx.get(f"{url}/-/ready").status_code == 200:
                return
        time.sleep(0.1)  # a process of another program: there is nothing to wait on
    raise RuntimeError("Prometheus does not start.")
