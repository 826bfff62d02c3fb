"""What `from aiinfn_labext import offload` is inside a job, also in an image that has no such package."""

from __future__ import annotations

import os
import sys
import threading
import traceback
import types
from typing import Any, Callable, List

from .checkpoints import Checkpoints
from .vitals import Vitals

#: Seconds that code which looks at `evicting` gets to come to its end by itself. With the seconds of an interruption,
#: of the last checkpoint and of the last words it stays below the 60 s between SIGTERM and SIGKILL.
HEED_S = 25.0


class Inside:
    """The job, as its own code sees it.

    Attributes:
        attempt: 1 at first; one more after each eviction.
    """

    def __init__(self, attempt: int, checkpoints: Checkpoints, vitals: Vitals) -> None:
        self.attempt = attempt
        self._vitals = vitals
        self._checkpoints = checkpoints
        self._evicting = threading.Event()
        self._heeded = False
        self._hooks: List[Callable[[], Any]] = []

    @property
    def evicting(self) -> threading.Event:
        """Set when the job has to give up its place: save what is worth it, and end."""
        self._heeded = True
        return self._evicting

    def checkpoint(self, path: Any) -> None:
        """Keep a file or folder as it is now, outside the pod; the next attempt finds it at the same path.

        It is copied at once and sent in the background; of each path the last two that are complete are kept.

        Raises:
            OSError: there is no such path, or it cannot be read or copied.
        """
        self._checkpoints.keep(os.fspath(path))

    def metric(self, **values: Any) -> None:
        """Say numbers of the work, as in `offload.metric(loss=0.3)`; the latest of each name is shown with the job.

        Raises:
            TypeError: something is no number.
            ValueError: a name is too long, or there are too many.
        """
        self._vitals.set(values)

    def on_evict(self, hook: Callable[[], Any]) -> Callable[[], Any]:
        """Have a function called when the job has been interrupted to give up its place, before it goes.

        What it keeps with `checkpoint` is sent before the end. Also a decorator.
        """
        self._hooks.append(hook)
        return hook

    def task(self, function: Any = None, **_options: Any) -> Any:
        """The function itself: what is decorated runs here when it is called."""
        return function if function is not None else lambda decorated: decorated

    def __call__(self, *_arguments: Any, **_options: Any) -> Any:
        """Refuse: a job has no right to send others."""
        raise RuntimeError("A job sends no jobs: call the function itself, or send it from the notebook.")

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            "offload.%s is for notebooks; a job has offload.checkpoint, metric, attempt, evicting and on_evict" % name
        )

    def warn(self, over: threading.Event) -> None:
        """Say that it has to go, and give code that listens its time; `over` is set when that has ended."""
        self._evicting.set()
        if self._heeded:
            over.wait(HEED_S)

    def leave(self) -> None:
        """Call the hooks."""
        for hook in self._hooks:
            try:
                hook()
            except Exception:  # noqa: BLE001  the person's own code: the others have their turn
                traceback.print_exc()


def install(inside: Inside) -> None:
    """Have `import aiinfn_labext` find it, and nothing else that this name may be in the image."""
    module: Any = types.ModuleType("aiinfn_labext", __doc__)
    module.offload = inside
    sys.modules["aiinfn_labext"] = module
