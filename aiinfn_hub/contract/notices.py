"""What the platform has to say to a person who works: in the panel, and in JupyterLab."""

from __future__ import annotations

from typing import Literal

from aiinfn_hub.contract.jobs import Wire

Level = Literal["info", "warning", "error"]
#: What somebody may do about it with one click: nothing, let the session go on for longer, say to be here.
Act = Literal["", "extend", "keep"]


class Notice(Wire, frozen=True):
    """One of them; it is there for as long as it is true.

    Attributes:
        id: the same for as long as it is about the same thing, so that it is told once.
        level: how much it matters.
        title: one line; `{due}` in it stands for the time `due`, in the person's own zone.
        text: what happened, and what to do next.
        since: Unix seconds.
        due: when something happens that cannot be undone; None for nothing.
        server: the session that it is about; None for the person as a whole.
        act: what one click does about it.
    """

    id: str
    level: Level
    title: str
    text: str
    since: float
    due: float | None = None
    server: str | None = None
    act: Act = ""
