"""What an attempt says of itself beside its output: the most memory that it had, and the numbers of its work."""

from __future__ import annotations

import math
import threading
from typing import Any, Dict, Optional

from .memory import Memory

#: The most names of numbers, and characters of a name.
MOST, LONGEST = 20, 40


def checked(values: Dict[str, Any]) -> Dict[str, Optional[float]]:
    """Numbers by name, as they travel; what is no finite number is None there, because JSON has none.

    Raises:
        TypeError: something is no number.
        ValueError: a name is too long.
    """
    found = {}  # type: Dict[str, Optional[float]]
    for name, value in values.items():
        if len(name) > LONGEST:
            raise ValueError("%s: a metric has at most %d characters" % (name, LONGEST))
        number = float(value)
        found[name] = number if math.isfinite(number) else None
    return found


class Vitals:
    """Asked by the courier at each step; the numbers are set by the code of the job."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._metrics = {}  # type: Dict[str, Optional[float]]
        self._lock = threading.Lock()

    def set(self, values: Dict[str, Any]) -> None:
        """Keep the latest number of each name.

        Raises:
            TypeError: something is no number.
            ValueError: a name is too long, or there are too many.
        """
        with self._lock:
            both = {**self._metrics, **checked(values)}
            if len(both) > MOST:
                raise ValueError("a job has at most %d metrics" % MOST)
            self._metrics = both

    def report(self) -> Dict[str, Any]:
        """The peak of the memory so far in bytes, and the numbers."""
        with self._lock:
            return {"memory": self._memory.sample(), "metrics": dict(self._metrics)}
