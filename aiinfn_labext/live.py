"""What a cell shows of a job or a sweep while it waits: frames as they come, and a line or table renewed in place."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from aiinfn_labext.shown import clean_bundle, clean_text


def show_frame(shell: InteractiveShell, frame: dict[str, Any]) -> None:
    """Show a frame as if it came from this kernel."""
    kind = frame.get("output_type")
    if kind == "stream":
        stream = sys.stderr if frame.get("name") == "stderr" else sys.stdout
        stream.write(clean_text(frame.get("text", ""), colours=True))
        stream.flush()
    elif kind in ("display_data", "execute_result", "update_display_data"):
        known = frame.get("transient") or {}
        change = {"transient": known, "update": kind == "update_display_data"} if known else {}
        shell.display_pub.publish(clean_bundle(frame.get("data")), **change)
    elif kind == "clear_output":
        shell.display_pub.clear_output(wait=bool(frame.get("wait")))  # type: ignore[no-untyped-call]  # of IPython
    elif kind == "error":
        lines = frame.get("traceback")
        text = "\n".join(map(str, lines if isinstance(lines, list) else []))
        sys.stderr.write(clean_text(text, colours=True) + "\n")


class Status:
    """What is said about a job or a sweep, renewed in place where the frontend can.

    Args:
        name: its identifier.
        said: what is to be said now, by MIME type.
        note: what is said the first time only.
    """

    def __init__(self, shell: InteractiveShell, name: str, said: Callable[[], dict[str, str]], note: str = "") -> None:
        self._publish = shell.display_pub.publish
        self._transient = {"display_id": f"aiinfn-{name}"}
        self._said = said
        self._shown = said()
        first = {"text/plain": f"{self._shown['text/plain']} · {note}"} if note else {}
        self._publish({**self._shown, **first}, transient=self._transient)

    def show(self) -> None:
        """Show it anew: the output of the job has cleared that of the cell."""
        self._publish(self._shown, transient=self._transient)

    def update(self) -> None:
        """Show it again if it has changed."""
        said = self._said()
        if said != self._shown:
            self._shown = said
            self._publish(said, transient=self._transient, update=True)
