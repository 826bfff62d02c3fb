"""The most memory that a run has had: of its container where that can be seen, of its own process otherwise."""

from __future__ import annotations

import os
from typing import Dict, Tuple

#: Where a container sees its own control group: the file of its limit, and in `memory.stat` what cannot be given back.
#: https://docs.kernel.org/admin-guide/cgroup-v2.html, and cgroup-v1/memory.html for the second.
GROUPS: Tuple[Tuple[str, str, Tuple[str, ...]], ...] = (
    ("", "memory.max", ("anon", "shmem")),
    ("memory", "memory.limit_in_bytes", ("rss", "shmem")),
)
ROOT = "/sys/fs/cgroup"


class Memory:
    """Looks at the memory of this run; `sample` often, because the kernel keeps no peak without the cache of files.

    Args:
        limit: bytes that the container may have. A control group with another limit is not the run's own.
        root: where control groups are mounted.
    """

    def __init__(self, limit: int, root: str = ROOT) -> None:
        self._peak = 0
        self._stat, self._kinds = "", ()  # type: str, Tuple[str, ...]
        for folder, name, kinds in GROUPS:
            if _number(os.path.join(root, folder, name)) == limit:
                self._stat, self._kinds = os.path.join(root, folder, "memory.stat"), kinds
                break

    def sample(self) -> int:
        """The peak so far, in bytes."""
        self._peak = max(self._peak, self._now())
        return self._peak

    def _now(self) -> int:
        if self._stat:
            found = _stat(self._stat)
            return sum(found.get(kind, 0) for kind in self._kinds)
        # Not of `getrusage`, which counts what the process had that this one was started from.
        return 1024 * _status("VmHWM")


def _status(name: str) -> int:
    """KiB of a line of /proc/self/status, which has no peak of the children."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            return next(int(line.split()[1]) for line in file if line.startswith(name + ":"))
    except (OSError, StopIteration):  # not Linux
        return 0


def _number(path: str) -> int:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):  # not there, or "max"
        return -1


def _stat(path: str) -> Dict[str, int]:
    try:
        with open(path, encoding="ascii") as file:
            return {name: int(value) for name, value in (line.split() for line in file)}
    except (OSError, ValueError):
        return {}
