"""Figures as lines of a table, and what the kernel knows of a process."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")
MIB = 1024**2


@dataclass(frozen=True)
class Figure:
    """One measured value, with what it is to be compared with: a limit, a peer in the same run, or a published one."""

    name: str
    value: float
    unit: str
    beside: str = ""

    def __str__(self) -> str:
        return f"{self.name:46} {self.value:10.3f} {self.unit:14} {self.beside}".rstrip()


class Sheet:
    """The figures of a run, as they come."""

    def __init__(self) -> None:
        self.figures: list[Figure] = []

    def say(self, name: str, value: float, unit: str, beside: str = "") -> None:
        """Note a figure, and print it."""
        self.figures.append(Figure(name, value, unit, beside))
        print(self.figures[-1], flush=True)


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Something goes on until the end of the block."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def p(values: Sequence[float], percent: int) -> float:
    """A percentile."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has used, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid: int, which: str = "VmRSS") -> float:
    """MiB that a process holds now (VmRSS), or has held at most (VmHWM)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{which}:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"no {which} of {pid}")


def load() -> str:
    """What else the machine does, and what it is."""
    one, five, _ = os.getloadavg()
    return f"{time.strftime('%H:%M:%S')}, load {one:.1f} over one minute, {five:.1f} over five, {os.cpu_count()} cores"


def save(path: str, figures: Sequence[Figure]) -> None:
    """The figures as JSON, for whoever compares runs."""
    if path:
        Path(path).write_text(json.dumps([asdict(figure) for figure in figures], indent=1))
